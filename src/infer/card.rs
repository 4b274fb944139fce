//! What goes with weights: the model, its classes, and what it wants pictures to be like.

use super::inference_graph;
use crate::data::Preprocessing;
use crate::graph::{Role, ValueId};
use crate::weights::Weights;
use crate::{Error, Result, models};
use std::collections::BTreeMap;

/// What a file of weights says of itself in its metadata, as far as it does. Files that striate writes do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The name that [`models::by_name`] knows the network by.
    pub model: Option<String>,
    /// Names of the classes, by number.
    pub classes: Option<Vec<String>>,
    /// What it was trained on pictures by.
    pub preprocessing: Option<Preprocessing>,
}

const MODEL: &str = "model";
const CLASSES: &str = "classes";
const PREPROCESSING: &str = "preprocessing";

impl Card {
    /// What the weights say.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if something there makes no sense.
    pub fn of(weights: &Weights) -> Result<Self> {
        let wrong = |key: &str, why: String| {
            Error::data(
                weights.path(),
                format!("its metadata {key:?} cannot be used ({why}); write the file again"),
            )
        };
        let classes = weights.metadata(CLASSES).map(serde_json::from_str).transpose();
        let preprocessing = weights.metadata(PREPROCESSING).map(serde_json::from_str).transpose();
        let card = Self {
            model: weights.metadata(MODEL).map(str::to_owned),
            classes: classes.map_err(|e| wrong(CLASSES, e.to_string()))?,
            preprocessing: preprocessing.map_err(|e| wrong(PREPROCESSING, e.to_string()))?,
        };
        if let Some(preprocessing) = &card.preprocessing {
            preprocessing.check().map_err(|e| wrong(PREPROCESSING, e.to_string()))?;
        }
        Ok(card)
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

/// How many classes weights tell apart, if they are a model's: the first size of what its last layer learned.
/// `None` if they have no such layer.
pub fn class_count(weights: &Weights, model: &str, preprocessing: &Preprocessing) -> Result<Option<usize>> {
    // Any number of classes will do: only the names count.
    let model = models::by_name(model, preprocessing.channels(), 10)?;
    let [height, width] = preprocessing.size;
    let graph = inference_graph(&*model, [1, preprocessing.channels(), height, width])?;
    let learned = |value: &ValueId| matches!(graph.value(*value).role, Role::Persistent(_));
    let last = graph.nodes().iter().rev().find_map(|node| node.inputs.iter().copied().find(learned));
    let tensor = last.and_then(|value| weights.get(&graph.value(value).name));
    Ok(tensor.and_then(|tensor| tensor.shape().first().copied()))
}

/// The [named preprocessing](Preprocessing::named) that weights of a model usually want; `None` where models of
/// this name are for all kinds of pictures.
pub fn usual_preprocessing(model: &str) -> Option<&'static str> {
    let depth = model.strip_prefix("resnet").or(model.strip_prefix("plain"));
    match (model, depth) {
        ("lenet", _) => None,
        ("googlenet-original", _) => Some("bvlc"),
        ("googlenet" | "alexnet" | "alexnet-2012", _) | (_, Some("18" | "34" | "50" | "101" | "152")) => {
            Some("imagenet")
        }
        _ if model.ends_with("-a") => Some("cifar10-imagenet"),
        _ => Some("cifar10"),
    }
}
