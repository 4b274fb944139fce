//! The graphs of a training step and of an evaluation step.

use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::models::Model;
use crate::nn::{Builder, Mode, Optimizer, Rules};
use crate::op::{Blend, CrossEntropy, Scale, TopK};
use crate::{Error, Result, TensorType};

/// What a training step does besides the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// What holds for some of them only.
    pub rules: Rules,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
    /// Largest global norm of the gradients, if they are clipped.
    pub clip_norm: Option<f32>,
    /// Whether pictures come mixed in pairs ([`Mix`](crate::data::Mix)): with the classes of both, which count by
    /// their shares.
    pub mixed: bool,
    /// How much of itself an average of the weights keeps at each step, if there is to be one beside them: for every
    /// parameter and running statistic a value `ema.NAME`.
    pub ema: Option<f32>,
}

/// What one graph does of a step whose gradients may come from several batches, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All: there is but one batch.
    Whole,
    /// The first batch: gradients are kept.
    First,
    /// A batch in between: gradients are added.
    Middle,
    /// The last batch: gradients are added, and parameters follow them.
    Last,
}

impl Part {
    /// The parts of a step of so many batches, each kind once.
    pub fn of(batches: usize) -> &'static [Part] {
        match batches {
            1 => &[Part::Whole],
            2 => &[Part::First, Part::Last],
            _ => &[Part::First, Part::Middle, Part::Last],
        }
    }
}

impl Recipe {
    /// Name of an input `f32` `[1]` that graphs have which do a part of a step, or whose pictures are mixed: how much the
    /// batch's loss, for its own labels, counts in the step's gradient.
    pub const SHARE: &str = "share";
    /// The same for the labels of the other pictures.
    pub const PARTNER_SHARE: &str = "partner_share";
}

/// Scope of averaged weights.
pub(super) const AVERAGE: &str = "ema";

/// Forward, backward and update as one graph. Inputs: `images` of `shape` (batch, channels, height, width),
/// `labels` (`u32`), [`Optimizer::SCHEDULE`], if the model has dropout, [`Builder::COUNTER`], and, if pictures are mixed,
/// `partners` (`u32`), [`Recipe::SHARE`] and [`Recipe::PARTNER_SHARE`]. Outputs:
/// `loss`, the batch's mean with that of [`Builder::auxiliary`] heads, `correct`, how many of it were
/// classified right, and `partner_loss` for the labels `partners`.
pub fn training_graph(model: &dyn Model, shape: [usize; 4], recipe: &Recipe) -> Result<Graph> {
    partial_graph(model, shape, recipe, Part::Whole)
}

/// A part of a step. But for [`Part::Whole`] there is an input [`Recipe::SHARE`], and [`Optimizer::SCHEDULE`] only where
/// parameters change.
pub fn partial_graph(model: &dyn Model, shape: [usize; 4], recipe: &Recipe, part: Part) -> Result<Graph> {
    let mut b = Builder::new(Mode::Train).with_rules(&recipe.rules);
    let losses = classify(&mut b, model, shape, recipe)?;
    let graph = &mut b.graph;
    let trained = trained(graph, &recipe.rules)?;
    let upstream = upstream(graph, &losses, part)?;
    let gradients = graph.gradients(&upstream, &trained)?;
    let pairs = trained.into_iter().zip(gradients).filter_map(|(p, g)| Some((p, g?))).collect();
    graph.in_phase(Phase::Update, |graph| {
        let pairs = accumulate(graph, pairs, part)?;
        if matches!(part, Part::First | Part::Middle) {
            return Ok(());
        }
        let pairs = clip(graph, pairs, recipe.clip_norm)?;
        recipe.optimizer.update(graph, &pairs, &recipe.rules)?;
        recipe.ema.map_or(Ok(()), |keep| average(graph, keep))
    })?;
    Ok(b.graph)
}

/// Forward alone, with running statistics. Inputs `images` and `labels`; outputs `loss` and `correct`.
pub fn evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    classify(&mut b, model, shape, &Recipe::default())?;
    Ok(b.graph)
}

/// The same with the averaged weights that [`Recipe::ema`] keeps.
pub fn average_evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    b.scoped(AVERAGE, |b| classify(b, model, shape, &Recipe::default()))?;
    Ok(b.graph)
}

/// The parameters that change, those with one rule beside each other so that few launches can update them.
fn trained(graph: &Graph, rules: &Rules) -> Result<Vec<ValueId>> {
    let all = graph.parameters();
    let name = |p: &ValueId| graph.value(*p).name.as_str();
    rules.check(&all.iter().map(name).collect::<Vec<_>>())?;
    let mut trained: Vec<ValueId> = all.into_iter().filter(|p| !rules.is_frozen(name(p))).collect();
    if trained.is_empty() {
        return Err(Error::argument("freeze", "stands for all parameters; leave some that can learn"));
    }
    trained.sort_by_key(|p| (rules.lr_scale(name(p)).to_bits(), rules.decays(name(p), graph.shape(*p))));
    Ok(trained)
}

/// The terms of the loss: each with its weight, for the pictures' own labels and for those mixed in.
struct Losses {
    own: Vec<(ValueId, f32)>,
    partners: Vec<(ValueId, f32)>,
}

/// The gradients of the loss with respect to its terms: weights, which stay, times what the batch counts in this step.
fn upstream(graph: &mut Graph, losses: &Losses, part: Part) -> Result<Vec<(ValueId, ValueId)>> {
    let one = TensorType::f32([1]);
    let mixed = !losses.partners.is_empty();
    let share =
        |graph: &mut Graph, name, wanted: bool| wanted.then(|| graph.input(name, one.clone())).transpose();
    let own = share(graph, Recipe::SHARE, mixed || part != Part::Whole)?;
    let partners = share(graph, Recipe::PARTNER_SHARE, mixed)?;
    let mut upstream = Vec::new();
    for (i, (loss, weight)) in losses.own.iter().enumerate() {
        let name = if i == 0 { "loss.grad".to_owned() } else { format!("loss.aux{i}.grad") };
        let weight =
            graph.persistent(&name, one.clone(), PersistentKind::Optimizer, Init::Constant(*weight))?;
        let terms = [(Some(loss), own), (losses.partners.get(i).map(|(loss, _)| loss), partners)];
        for (loss, share) in terms {
            let Some(loss) = loss else { continue };
            let gradient = match share {
                Some(share) => graph.apply(Scale, &[weight, share])?[0],
                None => weight,
            };
            upstream.push((*loss, gradient));
        }
    }
    Ok(upstream)
}

type Pairs = Vec<(ValueId, ValueId)>;

/// Parameters with the gradients of the batches so far.
fn accumulate(graph: &mut Graph, pairs: Pairs, part: Part) -> Result<Pairs> {
    if part == Part::Whole {
        return Ok(pairs);
    }
    graph.scoped("accumulate", |graph| {
        let sum = |(parameter, gradient): (ValueId, ValueId)| {
            let (name, ty) =
                (format!("{}.gradient", graph.value(parameter).name), graph.value(gradient).ty.clone());
            let kept = graph.persistent(&name, ty, PersistentKind::Optimizer, Init::Constant(0.0))?;
            let sum = match part {
                Part::First => gradient,
                _ => graph.apply(Blend { keep: 1.0, take: 1.0 }, &[kept, gradient])?[0],
            };
            graph.update(kept, sum)?;
            Ok((parameter, sum))
        };
        pairs.into_iter().map(sum).collect()
    })
}

fn clip(graph: &mut Graph, pairs: Pairs, max_norm: Option<f32>) -> Result<Pairs> {
    let Some(max_norm) = max_norm else { return Ok(pairs) };
    let (parameters, gradients): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let clipped = graph.scoped("clip", |graph| crate::ops::clip(graph, &gradients, max_norm))?.0;
    Ok(parameters.into_iter().zip(clipped).collect())
}

/// Moves an average towards each new parameter and running statistic.
fn average(graph: &mut Graph, keep: f32) -> Result<()> {
    graph.scoped(AVERAGE, |graph| {
        for state in graph.model_state() {
            let (name, ty) = (graph.value(state).name.clone(), graph.value(state).ty.clone());
            let average = graph.persistent(&name, ty, PersistentKind::Optimizer, Init::Constant(0.0))?;
            let updated = graph.updates().iter().find(|(s, _)| *s == state).map(|(_, new)| *new);
            if let Some(new) = updated {
                let moved = graph.apply(Blend { keep, take: 1.0 - keep }, &[average, new])?[0];
                graph.update(average, moved)?;
            }
        }
        Ok(())
    })
}

/// The model with its loss and accuracy.
fn classify(b: &mut Builder, model: &dyn Model, shape: [usize; 4], recipe: &Recipe) -> Result<Losses> {
    let images = b.images(shape)?;
    let labels = b.graph.input("labels", TensorType::u32([shape[0]]))?;
    let logits = model.forward(b, images)?;
    let heads = [&[(logits, 1.0)], b.auxiliaries()].concat();
    b.scoped("loss", |b| {
        let own = losses(b, &heads, labels, recipe.label_smoothing, "loss")?;
        let correct = b.apply(TopK { k: 1 }, &[logits, labels])?;
        b.graph.output("correct", correct);
        let mut partners = Vec::new();
        if recipe.mixed {
            let labels = b.graph.input("partners", TensorType::u32([shape[0]]))?;
            partners = losses(b, &heads, labels, recipe.label_smoothing, "partner_loss")?;
        }
        Ok(Losses { own, partners })
    })
}

/// The loss of each head with its weight; their weighted sum is given out.
fn losses(
    b: &mut Builder,
    heads: &[(ValueId, f32)],
    labels: ValueId,
    label_smoothing: f32,
    output: &str,
) -> Result<Vec<(ValueId, f32)>> {
    let loss = |(logits, weight): &(ValueId, f32)| {
        Ok((b.apply(CrossEntropy { label_smoothing }, &[*logits, labels])?, *weight))
    };
    let terms = heads.iter().map(loss).collect::<Result<Vec<_>>>()?;
    let mut total = terms[0].0;
    for (loss, weight) in &terms[1..] {
        total = b.apply(Blend { keep: 1.0, take: *weight }, &[total, *loss])?;
    }
    b.graph.output(output, total);
    Ok(terms)
}
