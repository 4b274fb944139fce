//! Metadata of weights: the model, its classes, and its preprocessing.

use super::inference_graph;
use crate::data::Preprocessing;
use crate::graph::{Graph, PersistentKind, Role, Value, ValueId};
use crate::train::{Recipe, training_graph};
use crate::weights::Weights;
use crate::{Result, models};
use std::collections::{BTreeMap, BTreeSet};

/// The metadata of a weight file. Files that striate writes have all of it.
///
/// ```
/// use striate::data::Preprocessing;
/// use striate::infer::Card;
/// use striate::weights::{self, Weights};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("model.safetensors");
/// # let state = vec![("fc.bias".to_owned(), striate::Tensor::f32([2], vec![0.0; 2])?)];
/// let preprocessing = Some(Preprocessing::named("imagenet")?);
/// let card = Card { model: Some("resnet18".into()), preprocessing, ..Default::default() };
/// weights::write(&path, &state, &card.metadata())?;
/// assert_eq!(Card::of(&Weights::read(&path)?), card);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The network's name, as for [`models::by_name`].
    pub model: Option<String>,
    /// Names of the classes, by label.
    pub classes: Option<Vec<String>>,
    /// The preprocessing it was trained with.
    pub preprocessing: Option<Preprocessing>,
    /// Entries that were ignored because they are invalid, each with the reason. Other programs may use the same keys.
    pub ignored: Vec<String>,
}

const MODEL: &str = "model";
const CLASSES: &str = "classes";
const PREPROCESSING: &str = "preprocessing";

impl Card {
    /// Reads the metadata of weights. Invalid entries are [ignored](Self::ignored).
    pub fn of(weights: &Weights) -> Self {
        let mut ignored = Vec::new();
        let mut ignore = |key: &str, why: String| ignored.push(format!("{key} ({why})"));
        let model = weights.metadata(MODEL).and_then(|name| {
            // Whether the name is known does not depend on channels and classes.
            models::by_name(name, 3, 10).map_err(|e| ignore(MODEL, e.to_string())).ok()?;
            Some(name.to_owned())
        });
        let classes = weights
            .metadata(CLASSES)
            .and_then(|text| serde_json::from_str(text).map_err(|e| ignore(CLASSES, e.to_string())).ok());
        let preprocessing = weights
            .metadata(PREPROCESSING)
            .and_then(|text| Preprocessing::from_json(text).map_err(|e| ignore(PREPROCESSING, e)).ok());
        Self { model, classes, preprocessing, ignored }
    }

    /// The metadata to pass to [`weights::write`](crate::weights::write).
    pub fn metadata(&self) -> BTreeMap<String, String> {
        const JSON: &str = "strings and finite numbers serialize";
        let classes = self.classes.as_ref().map(|classes| serde_json::to_string(classes).expect(JSON));
        let preprocessing = self.preprocessing.as_ref().map(|p| serde_json::to_string(p).expect(JSON));
        let pairs = [(MODEL, self.model.clone()), (CLASSES, classes), (PREPROCESSING, preprocessing)];
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        // Expected by PyTorch tools.
        pairs.chain([("format".to_owned(), "pt".to_owned())]).collect()
    }
}

/// The name of the first parameter of a model's last layer, such as `fc.weight`; `None` if there are no parameters.
///
/// # Errors
///
/// [`Error::Argument`](crate::Error::Argument) if the model is unknown.
pub fn last_layer(model: &str) -> Result<Option<String>> {
    Ok(last_parameter(&network(model)?).map(str::to_owned))
}

/// The names of a model's tensors whose shape depends on the number of classes: weight and bias of its last layer, and of those of
/// auxiliary heads.
///
/// ```
/// use striate::infer::class_tensors;
/// assert!(class_tensors("resnet18")?.into_iter().eq(["fc.bias", "fc.weight"]));
/// assert!(class_tensors("googlenet")?.contains("aux2.fc2.weight"));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`](crate::Error::Argument) if the model is unknown.
pub fn class_tensors(model: &str) -> Result<BTreeSet<String>> {
    let shapes = |classes: usize| -> Result<Vec<(String, Vec<usize>)>> {
        let model = models::by_name(model, 3, classes)?;
        let [height, width] = model.input_size();
        let graph = training_graph(&*model, [2, 3, height, width], &Recipe::default())?;
        let parameters = graph.values().map(|(_, value)| value).filter(|value| is_parameter(value));
        Ok(parameters.map(|value| (value.name.clone(), value.ty.shape.clone())).collect())
    };
    let pairs = shapes(10)?.into_iter().zip(shapes(11)?);
    Ok(pairs.filter(|(one, other)| one != other).map(|((name, _), _)| name).collect())
}

/// A model's graph, used for its names only, which do not depend on channels and classes.
fn network(model: &str) -> Result<Graph> {
    let model = models::by_name(model, 3, 10)?;
    let [height, width] = model.input_size();
    inference_graph(&*model, [1, 3, height, width])
}

fn is_persistent(value: &Value) -> bool {
    matches!(value.role, Role::Persistent(_))
}

fn is_parameter(value: &Value) -> bool {
    matches!(&value.role, Role::Persistent(persistence) if persistence.kind == PersistentKind::Parameter)
}

fn last_parameter(graph: &Graph) -> Option<&str> {
    let persistent = |input: &ValueId| Some(graph.value(*input)).filter(|value| is_persistent(value));
    let last = graph.nodes().iter().rev().find_map(|node| node.inputs.iter().find_map(persistent))?;
    Some(&last.name)
}

/// The number of classes of weights for a model: the first dimension of its last layer. `None` if they lack that layer.
///
/// # Errors
///
/// [`Error::Argument`](crate::Error::Argument) if the model is unknown.
pub fn class_count(weights: &Weights, model: &str) -> Result<Option<usize>> {
    let graph = network(model)?;
    let Some(last) = last_parameter(&graph) else { return Ok(None) };
    let persistent =
        graph.values().filter(|(_, value)| is_persistent(value)).map(|(_, value)| value.name.as_str());
    let tensor = weights.get_as(last, persistent);
    Ok(tensor.and_then(|tensor| tensor.shape().first().copied()))
}

/// The [named preprocessing](Preprocessing::named) that weights of a model usually need: timm's for a name with one of
/// timm's tags, and `None` if the model has no default.
pub fn usual_preprocessing(model: &str) -> Option<String> {
    let depth = model.strip_prefix("resnet").or(model.strip_prefix("plain"));
    Some(match (model, depth) {
        ("lenet", _) => return None,
        ("googlenet-original", _) => "bvlc".to_owned(),
        ("googlenet", _) => "googlenet".to_owned(),
        ("alexnet" | "alexnet-2012", _) | (_, Some("18" | "34" | "50" | "101" | "152")) => {
            "imagenet".to_owned()
        }
        _ if model.contains('.') => format!("timm:{model}"),
        _ if model.ends_with("-a") => "cifar10-imagenet".to_owned(),
        _ => "cifar10".to_owned(),
    })
}
