//! The graphs of a training step and of an evaluation step.

use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::models::Model;
use crate::nn::{Builder, Mode, Optimizer};
use crate::op::{Blend, CrossEntropy, TopK};
use crate::{Result, TensorType};

/// What a training step does besides the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
    /// Largest global norm of the gradients, if they are clipped.
    pub clip_norm: Option<f32>,
}

/// Forward, backward and update as one graph. Inputs: `images` of `shape` (batch, channels, height, width),
/// `labels` (`u32`), [`Optimizer::SCHEDULE`] and, if the model has dropout, [`Builder::COUNTER`]. Outputs:
/// `loss`, the batch's mean with that of [`Builder::auxiliary`] heads, and `correct`, how many of it were
/// classified right.
pub fn training_graph(model: &dyn Model, shape: [usize; 4], recipe: &Recipe) -> Result<Graph> {
    let mut b = Builder::new(Mode::Train);
    let terms = classify(&mut b, model, shape, recipe.label_smoothing)?;
    let graph = &mut b.graph;
    let parameters = graph.parameters();
    let upstream = terms
        .iter()
        .enumerate()
        .map(|(i, (loss, weight))| Ok((*loss, upstream(graph, i, *weight)?)))
        .collect::<Result<Vec<_>>>()?;
    let gradients = graph.gradients(&upstream, &parameters)?;
    let (parameters, mut gradients): (Vec<ValueId>, Vec<ValueId>) =
        parameters.into_iter().zip(gradients).filter_map(|(p, g)| Some((p, g?))).unzip();
    if let Some(max_norm) = recipe.clip_norm {
        gradients = graph.scoped("clip", |graph| {
            graph.in_phase(Phase::Update, |graph| Ok(crate::ops::clip(graph, &gradients, max_norm)?.0))
        })?;
    }
    let pairs: Vec<(ValueId, ValueId)> = parameters.into_iter().zip(gradients).collect();
    recipe.optimizer.update(graph, &pairs)?;
    Ok(b.graph)
}

/// Forward alone, with running statistics. Inputs `images` and `labels`; outputs `loss` and `correct`.
pub fn evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    classify(&mut b, model, shape, 0.0)?;
    Ok(b.graph)
}

/// The gradient of the loss with respect to one of its terms: the term's weight, a value that stays.
fn upstream(graph: &mut Graph, term: usize, weight: f32) -> Result<ValueId> {
    let name = if term == 0 { "loss.grad".to_owned() } else { format!("loss.aux{term}.grad") };
    graph.persistent(&name, TensorType::f32([1]), PersistentKind::Optimizer, Init::Constant(weight))
}

/// The model with its loss and accuracy. Returns the terms of the loss with their weights: the model's own
/// first, then those of its auxiliary heads.
fn classify(
    b: &mut Builder,
    model: &dyn Model,
    shape: [usize; 4],
    label_smoothing: f32,
) -> Result<Vec<(ValueId, f32)>> {
    let images = b.images(shape)?;
    let labels = b.graph.input("labels", TensorType::u32([shape[0]]))?;
    let logits = model.forward(b, images)?;
    let heads = [&[(logits, 1.0)], b.auxiliaries()].concat();
    b.scoped("loss", |b| {
        let terms = heads
            .into_iter()
            .map(|(logits, weight)| {
                Ok((b.apply(CrossEntropy { label_smoothing }, &[logits, labels])?, weight))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut total = terms[0].0;
        for (loss, weight) in &terms[1..] {
            total = b.apply(Blend { keep: 1.0, take: *weight }, &[total, *loss])?;
        }
        let correct = b.apply(TopK { k: 1 }, &[logits, labels])?;
        b.graph.output("loss", total);
        b.graph.output("correct", correct);
        Ok(terms)
    })
}
