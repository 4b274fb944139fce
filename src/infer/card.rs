//! What goes with weights: the model, its classes, and what it wants images to be like.

use super::inference_graph;
use crate::data::Preprocessing;
use crate::graph::{Graph, Role, Value, ValueId};
use crate::weights::Weights;
use crate::{Result, models};
use std::collections::BTreeMap;

/// What a file of weights says of itself in its metadata, as far as it does. Files that striate writes do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The name that [`models::by_name`] knows the network by.
    pub model: Option<String>,
    /// Names of the classes, by number.
    pub classes: Option<Vec<String>>,
    /// What it was trained on images by.
    pub preprocessing: Option<Preprocessing>,
    /// What the metadata have under these names and is of no use here, with the reason: others use the names too.
    pub passed_over: Vec<String>,
}

const MODEL: &str = "model";
const CLASSES: &str = "classes";
const PREPROCESSING: &str = "preprocessing";

impl Card {
    /// What the weights say. What makes no sense is [passed over](Self::passed_over).
    pub fn of(weights: &Weights) -> Self {
        let mut passed_over = Vec::new();
        let mut pass_over = |key: &str, why: String| passed_over.push(format!("{key} ({why})"));
        let model = weights.metadata(MODEL).and_then(|name| {
            // Neither channels nor classes matter to whether there is such a model.
            models::by_name(name, 3, 10).map_err(|e| pass_over(MODEL, e.to_string())).ok()?;
            Some(name.to_owned())
        });
        let classes = weights
            .metadata(CLASSES)
            .and_then(|text| serde_json::from_str(text).map_err(|e| pass_over(CLASSES, e.to_string())).ok());
        let preprocessing = weights
            .metadata(PREPROCESSING)
            .and_then(|text| Preprocessing::from_json(text).map_err(|e| pass_over(PREPROCESSING, e)).ok());
        Self { model, classes, preprocessing, passed_over }
    }

    /// The metadata that say it, for [`weights::write`](crate::weights::write).
    pub fn metadata(&self) -> BTreeMap<String, String> {
        const JSON: &str = "text and finite numbers are JSON";
        let classes = self.classes.as_ref().map(|classes| serde_json::to_string(classes).expect(JSON));
        let preprocessing = self.preprocessing.as_ref().map(|p| serde_json::to_string(p).expect(JSON));
        let pairs = [(MODEL, self.model.clone()), (CLASSES, classes), (PREPROCESSING, preprocessing)];
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        // PyTorch's tools ask for the format.
        pairs.chain([("format".to_owned(), "pt".to_owned())]).collect()
    }
}

/// The name of what a model's last layer learned first: `fc.weight`, say. `None` if it learns nothing.
///
/// # Errors
///
/// [`Error::Argument`](crate::Error::Argument) if there is no model of this name.
pub fn last_layer(model: &str) -> Result<Option<String>> {
    Ok(last_learned(&network(model)?).map(str::to_owned))
}

/// A model's graph as far as names go: neither channels nor classes change them.
fn network(model: &str) -> Result<Graph> {
    let model = models::by_name(model, 3, 10)?;
    let [height, width] = model.input_size();
    inference_graph(&*model, [1, 3, height, width])
}

fn is_learned(value: &Value) -> bool {
    matches!(value.role, Role::Persistent(_))
}

fn last_learned(graph: &Graph) -> Option<&str> {
    let learned = |input: &ValueId| Some(graph.value(*input)).filter(|value| is_learned(value));
    let last = graph.nodes().iter().rev().find_map(|node| node.inputs.iter().find_map(learned))?;
    Some(&last.name)
}

/// How many classes weights tell apart, if they are a model's: the first size of what its last layer learned.
/// `None` if they have no such layer.
///
/// # Errors
///
/// [`Error::Argument`](crate::Error::Argument) if there is no model of this name.
pub fn class_count(weights: &Weights, model: &str) -> Result<Option<usize>> {
    let graph = network(model)?;
    let Some(last) = last_learned(&graph) else { return Ok(None) };
    let learned = graph.values().filter(|(_, value)| is_learned(value)).map(|(_, value)| value.name.as_str());
    let tensor = weights.get_as(last, learned);
    Ok(tensor.and_then(|tensor| tensor.shape().first().copied()))
}

/// The [named preprocessing](Preprocessing::named) that weights of a model usually want; `None` where models of
/// this name are for all kinds of images. Of a name with a tag of timm's it is timm's.
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
