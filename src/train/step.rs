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
    /// How much each class counts in the loss, by number, if not all alike: then there is an input
    /// [`Recipe::CLASS_WEIGHTS`], which takes these.
    pub class_weights: Option<Vec<f32>>,
    /// Largest global norm of the gradients, if they are clipped.
    pub clip_norm: Option<f32>,
    /// Whether images come mixed in pairs ([`Mix`](crate::data::Mix)): with the classes of both, which count by
    /// their shares.
    pub mixed: bool,
    /// Whether the step gives out the gradient of every parameter that it trains, as an output
    /// ([`Recipe::gradient_of`]): that of the loss, over all batches of the step so far, before it is clipped.
    pub gradients: bool,
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
    /// Name of the input of labels, `u32` `[batch]`.
    pub const LABELS: &str = "labels";
    /// Name of the input of the labels of the images that are mixed in.
    pub const PARTNERS: &str = "partners";
    /// Name of the input of the weights of the classes, `f32` `[classes]`.
    pub const CLASS_WEIGHTS: &str = "class_weights";
    /// Name of the output of the loss, `[1]`.
    pub const LOSS: &str = "loss";
    /// Name of the output of the loss for the labels [`Recipe::PARTNERS`], `[1]`.
    pub const PARTNER_LOSS: &str = "partner_loss";
    /// Name of the output of how many images were classified right, `[1]`.
    pub const CORRECT: &str = "correct";
    /// Name of the output of the global norm of the gradients before they are clipped, `[1]`.
    pub const GRAD_NORM: &str = "grad_norm";
    /// Name of an input `f32` `[1]` that graphs have which do a part of a step, or whose images are mixed: how much the
    /// batch's loss, for its own labels, counts in the step's gradient.
    pub const SHARE: &str = "share";
    /// The same for the labels of the other images.
    pub const PARTNER_SHARE: &str = "partner_share";

    /// What labels weigh together.
    pub(super) fn weigh(&self, labels: &[u32]) -> f32 {
        match &self.class_weights {
            None => labels.len() as f32,
            Some(weights) => labels.iter().map(|label| weights[*label as usize]).sum(),
        }
    }

    /// Name of the output of a parameter's gradient.
    pub fn gradient_of(parameter: &str) -> String {
        format!("{parameter}.grad")
    }
}

/// Scope of averaged weights.
pub(super) const AVERAGE: &str = "ema";

/// Forward, backward and update as one graph. Inputs: [`Builder::IMAGES`] of `shape` (batch, channels, height, width),
/// [`Recipe::LABELS`], [`Optimizer::SCHEDULE`], if the model has dropout, [`Builder::COUNTER`], if classes count
/// differently, [`Recipe::CLASS_WEIGHTS`], and, if images are mixed, [`Recipe::PARTNERS`], [`Recipe::SHARE`] and
/// [`Recipe::PARTNER_SHARE`]. Outputs: [`Recipe::LOSS`], the batch's mean with that of [`Builder::auxiliary`] heads, [`Recipe::CORRECT`],
/// [`Recipe::PARTNER_LOSS`] if images are mixed, [`Recipe::GRAD_NORM`] if gradients are clipped, and the gradients, if
/// asked for.
///
/// ```
/// use striate::models::LeNet;
/// use striate::nn::{Builder, Optimizer};
/// use striate::plan::Plan;
/// use striate::train::{Recipe, training_graph};
/// use striate::{Device, Session};
///
/// let device = Device::select("cpu")?;
/// let model = LeNet { in_channels: 1, classes: 10 };
/// let recipe = Recipe { gradients: true, ..Default::default() };
/// let graph = training_graph(&model, [2, 1, 28, 28], &recipe)?;
/// let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
/// session.initialize(1)?;
///
/// let images = vec![0.5f32; 2 * 28 * 28];
/// let schedule = recipe.optimizer.schedule(0.1, 0);
/// let outputs = session.run(0, &[
///     (Builder::IMAGES, (&images).into()),
///     (Recipe::LABELS, (&[3u32, 7]).into()),
///     (Optimizer::SCHEDULE, (&schedule).into()),
/// ])?;
/// println!("loss {}", outputs.scalar(Recipe::LOSS).unwrap());
/// let gradient = outputs.get(&Recipe::gradient_of("conv1.weight")).unwrap();
/// assert_eq!(gradient.shape()[1..], [1, 5, 5]);
/// # Ok::<(), striate::Error>(())
/// ```
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
        for (parameter, gradient) in pairs.iter().filter(|_| recipe.gradients) {
            let name = Recipe::gradient_of(&graph.value(*parameter).name);
            graph.output(&name, *gradient);
        }
        if matches!(part, Part::First | Part::Middle) {
            return Ok(());
        }
        let pairs = clip(graph, pairs, recipe.clip_norm)?;
        recipe.optimizer.update(graph, &pairs, &recipe.rules)?;
        recipe.ema.map_or(Ok(()), |keep| average(graph, keep))
    })?;
    Ok(b.graph)
}

/// Forward alone, with running statistics. Inputs [`Builder::IMAGES`] and [`Recipe::LABELS`]; outputs [`Recipe::LOSS`],
/// [`Recipe::CORRECT`] and [`Builder::LOGITS`].
///
/// ```
/// # use striate::{models::LeNet, nn::Builder, plan::Plan, train::{Recipe, evaluation_graph}, Device, Session};
/// # let device = Device::select("cpu")?;
/// let graph = evaluation_graph(&LeNet { in_channels: 1, classes: 10 }, [2, 1, 28, 28])?;
/// let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
/// session.initialize(1)?;
/// let images = vec![0.5f32; 2 * 28 * 28];
/// let outputs =
///     session.run(0, &[(Builder::IMAGES, (&images).into()), (Recipe::LABELS, (&[3u32, 7]).into())])?;
/// assert_eq!(outputs.get(Builder::LOGITS).unwrap().shape(), [2, 10]);
/// # Ok::<(), striate::Error>(())
/// ```
pub fn evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    evaluate(&mut b, model, shape)?;
    Ok(b.graph)
}

/// The same with the averaged weights that [`Recipe::ema`] keeps.
pub fn average_evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    b.scoped(AVERAGE, |b| evaluate(b, model, shape))?;
    Ok(b.graph)
}

fn evaluate(b: &mut Builder, model: &dyn Model, shape: [usize; 4]) -> Result<()> {
    let Losses { logits, .. } = classify(b, model, shape, &Recipe::default())?;
    b.graph.output(Builder::LOGITS, logits);
    Ok(())
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

/// The logits, and the terms of the loss: each with its weight, for the images' own labels and for those mixed in.
struct Losses {
    logits: ValueId,
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
    let (clipped, norm) =
        graph.scoped("clip", |graph| crate::nn::clip_grad_norm(graph, &gradients, max_norm))?;
    graph.output(Recipe::GRAD_NORM, norm);
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
    let labels = b.graph.input(Recipe::LABELS, TensorType::u32([shape[0]]))?;
    let logits = model.forward(b, images)?;
    let heads = [&[(logits, 1.0)], b.auxiliaries()].concat();
    let weights = recipe.class_weights.as_ref().map(|weights| TensorType::f32([weights.len()]));
    let weights = weights.map(|ty| b.graph.input(Recipe::CLASS_WEIGHTS, ty)).transpose()?;
    let loss = CrossEntropy { label_smoothing: recipe.label_smoothing, ..Default::default() };
    b.scoped("loss", |b| {
        let own = losses(b, &heads, [Some(labels), weights], loss, Recipe::LOSS)?;
        let correct = b.apply(TopK::default(), &[logits, labels])?;
        b.graph.output(Recipe::CORRECT, correct);
        let mut partners = Vec::new();
        if recipe.mixed {
            let labels = b.graph.input(Recipe::PARTNERS, TensorType::u32([shape[0]]))?;
            partners = losses(b, &heads, [Some(labels), weights], loss, Recipe::PARTNER_LOSS)?;
        }
        Ok(Losses { logits, own, partners })
    })
}

/// The loss of each head, for labels and perhaps weights of the classes, with its weight; their weighted sum is given out.
fn losses(
    b: &mut Builder,
    heads: &[(ValueId, f32)],
    targets: [Option<ValueId>; 2],
    loss: CrossEntropy,
    output: &str,
) -> Result<Vec<(ValueId, f32)>> {
    let term = |(logits, weight): &(ValueId, f32)| {
        let inputs: Vec<ValueId> = [*logits].into_iter().chain(targets.into_iter().flatten()).collect();
        Ok((b.apply(loss, &inputs)?, *weight))
    };
    let terms = heads.iter().map(term).collect::<Result<Vec<_>>>()?;
    let mut total = terms[0].0;
    for (loss, weight) in &terms[1..] {
        total = b.apply(Blend { keep: 1.0, take: *weight }, &[total, *loss])?;
    }
    b.graph.output(output, total);
    Ok(terms)
}
