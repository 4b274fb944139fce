//! Graphs of a training step and of an evaluation.

use super::ranks;
use crate::graph::{Graph, Init, Node, PersistentKind, Phase, Role, ValueId};
use crate::models::Model;
use crate::nn::{BatchOfRanks, Builder, Mode, Optimizer, Rules};
use crate::op::{CrossEntropy, NonFinite, Scale, TopK, WeightedSum};
use crate::{Error, Result, TensorType};

/// Everything about a training step except the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Per-parameter settings.
    pub rules: Rules,
    /// Fraction of the target probability spread evenly over all classes.
    pub label_smoothing: f32,
    /// Weight of each class in the loss, passed as the input [`Recipe::CLASS_WEIGHTS`].
    pub class_weights: Option<Vec<f32>>,
    /// Clip gradients to this global norm.
    pub clip_norm: Option<f32>,
    /// Whether images are mixed in pairs by mixup or CutMix ([`Mix`](crate::data::Mix)). The loss is then a weighted
    /// mean over both labels.
    pub mixed: bool,
    /// Output the gradient of every trained parameter under [`Recipe::gradient_of`]: accumulated over the micro-batches
    /// so far, before clipping.
    pub gradients: bool,
    /// Decay of an exponential moving average of the weights: every parameter and running statistic gets a second
    /// persistent value `ema.NAME`.
    pub ema: Option<f32>,
    /// The batch is one rank's part of a larger one: gradients, losses and statistics are summed over all ranks.
    pub ranks: Option<BatchOfRanks>,
}

/// The part of a training step that a graph computes, if gradients are accumulated over several micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The whole step: there is one batch.
    Whole,
    /// The first micro-batch, which stores its gradients.
    First,
    /// A micro-batch in between, which adds its gradients.
    Middle,
    /// The last micro-batch, which adds its gradients and updates the parameters.
    Last,
}

impl Part {
    /// The distinct parts of a step of `batches` micro-batches.
    pub fn of(batches: usize) -> &'static [Part] {
        match batches {
            1 => &[Part::Whole],
            2 => &[Part::First, Part::Last],
            _ => &[Part::First, Part::Middle, Part::Last],
        }
    }
}

impl Recipe {
    /// Input: class labels, `u32` `[batch]`.
    pub const LABELS: &str = "labels";
    /// Input: the label of each image's mixup partner, `u32` `[batch]`.
    pub const PARTNERS: &str = "partners";
    /// Input: class weights, `f32` `[classes]`.
    pub const CLASS_WEIGHTS: &str = "class_weights";
    /// Output: the loss, `[1]`.
    pub const LOSS: &str = "loss";
    /// Output: the loss for the labels [`Recipe::PARTNERS`], `[1]`.
    pub const PARTNER_LOSS: &str = "partner_loss";
    /// Output: the number of correctly classified images, `[1]`.
    pub const CORRECT: &str = "correct";
    /// Output: the global norm of the gradients before clipping, `[1]`.
    pub const GRAD_NORM: &str = "grad_norm";
    /// Output of graphs that update parameters: 0 if loss and gradients are finite, otherwise infinity, `[1]`. In that case
    /// the step changes neither parameters nor running statistics, averages or the state of the optimizer.
    pub const NON_FINITE: &str = "non_finite";
    /// Input: the weight of [`Recipe::LOSS`] in the step's gradient, `f32` `[1]`. Graphs have it if they compute part of a
    /// step or if images are mixed.
    pub const LOSS_WEIGHT: &str = "loss_weight";
    /// Input of graphs that sum over ranks: this rank's part of [`Recipe::LOSS`], `f32` `[1]`; with class weights, that differs from
    /// its part of the images.
    pub const LOSS_SHARE: &str = "loss_share";
    /// Input of such graphs: this rank's part of [`Recipe::PARTNER_LOSS`], `f32` `[1]`.
    pub const PARTNER_LOSS_SHARE: &str = "partner_loss_share";
    /// Input of such graphs: 1, or 0 if none of the images belong to this rank, `f32` `[1]`.
    pub const PRESENT: &str = "present";
    /// Input: the weight of [`Recipe::PARTNER_LOSS`], `f32` `[1]`.
    pub const PARTNER_LOSS_WEIGHT: &str = "partner_loss_weight";

    /// Total class weight of these labels.
    pub(super) fn total_weight(&self, labels: &[u32]) -> f32 {
        match &self.class_weights {
            None => labels.len() as f32,
            Some(weights) => labels.iter().map(|label| weights[*label as usize]).sum(),
        }
    }

    /// The name of the output with a parameter's gradient.
    pub fn gradient_of(parameter: &str) -> String {
        format!("{parameter}.grad")
    }
}

/// Scope of the averaged weights.
pub(super) const AVERAGE: &str = "ema";

/// Scope of losses and gradients that are summed over micro-batches.
const SUMS: &str = "accumulate";

/// Whether a persistent value is such a sum, which every step overwrites. It may be NaN or infinite after a skipped step.
pub(super) fn is_sum(persistent: &str) -> bool {
    persistent.strip_prefix(SUMS).is_some_and(|rest| rest.starts_with('.'))
}

/// Forward, backward and update as one graph, for images of `shape` `[batch, channels, height, width]`.
///
/// Inputs:
/// - [`Builder::IMAGES`], [`Recipe::LABELS`] and [`Optimizer::SCHEDULE`]
/// - [`Builder::COUNTER`] if the model has dropout
/// - [`Recipe::CLASS_WEIGHTS`] if the recipe has them
/// - [`Recipe::PARTNERS`], [`Recipe::LOSS_WEIGHT`] and [`Recipe::PARTNER_LOSS_WEIGHT`] if images are mixed
/// - [`Recipe::LOSS_WEIGHT`], [`Recipe::LOSS_SHARE`], [`Recipe::PRESENT`] and [`Builder::SHARE`] if the batch is one rank's part of a larger one, and
///   [`Recipe::PARTNER_LOSS_SHARE`] if its images are mixed
///
/// Outputs:
/// - [`Recipe::LOSS`], the batch's mean loss, including that of [`Builder::auxiliary`] heads, and [`Recipe::CORRECT`]
/// - [`Recipe::PARTNER_LOSS`] if images are mixed
/// - [`Recipe::GRAD_NORM`] if gradients are clipped
/// - [`Recipe::NON_FINITE`]
/// - [`Recipe::gradient_of`] each trained parameter if [`Recipe::gradients`]
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

/// Like [`training_graph`], for one part of a step. Except for [`Part::Whole`], there is an input
/// [`Recipe::LOSS_WEIGHT`]; parts that do not update parameters lack [`Optimizer::SCHEDULE`] and [`Recipe::NON_FINITE`].
pub fn partial_graph(model: &dyn Model, shape: [usize; 4], recipe: &Recipe, part: Part) -> Result<Graph> {
    let mut b = Builder::new(Mode::Train).with_rules(&recipe.rules).with_ranks(recipe.ranks);
    let mut losses = classify(&mut b, model, shape, recipe)?;
    let share = recipe.ranks.map(|_| b.share()).transpose()?;
    let graph = &mut b.graph;
    let mut statistics = graph.take_updates();
    if let Some(share) = share {
        let synced = recipe.ranks.is_some_and(|ranks| ranks.sync_batch_norm);
        let local = if synced { &mut [][..] } else { &mut statistics };
        // Before the backward pass, which hides it.
        ranks::sum_losses(graph, &mut losses, local, share)?;
    }
    let trained = trained(graph, &recipe.rules)?;
    let upstream = upstream(graph, &losses, part, recipe.ranks.is_some())?;
    let gradients = graph.gradients(&upstream, &trained)?;
    let pairs = trained.into_iter().zip(gradients).filter_map(|(p, g)| Some((p, g?))).collect();
    graph.in_phase(Phase::Update, |graph| {
        for (name, value) in losses.totals.iter().chain(&[(Recipe::CORRECT, losses.correct)]) {
            graph.output(name, *value);
        }
        let (losses, mut pairs) = accumulate(graph, &losses.totals, pairs, part)?;
        let is_last = matches!(part, Part::Whole | Part::Last);
        if share.is_some() && is_last {
            ranks::sum_gradients(graph, &mut pairs)?;
        }
        for (parameter, gradient) in pairs.iter().filter(|_| recipe.gradients) {
            let name = Recipe::gradient_of(&graph.value(*parameter).name);
            graph.output(&name, *gradient);
        }
        if !is_last {
            let guard = guard(graph, &losses)?;
            return update_statistics(graph, statistics, guard);
        }
        let (pairs, norm) = clip(graph, pairs, recipe.clip_norm)?;
        // The norm is not finite if a gradient is not.
        let gradients = norm.map_or_else(|| pairs.iter().map(|(_, g)| *g).collect(), |norm| vec![norm]);
        let guard = guard(graph, &[losses, gradients].concat())?;
        graph.output(Recipe::NON_FINITE, guard);
        update_statistics(graph, statistics, guard)?;
        recipe.optimizer.update(graph, &pairs, Some(guard), &recipe.rules)?;
        recipe.ema.map_or(Ok(()), |decay| average(graph, decay, guard))
    })?;
    Ok(b.graph)
}

/// The forward pass in evaluation mode. Inputs are [`Builder::IMAGES`] and [`Recipe::LABELS`]; outputs are
/// [`Recipe::LOSS`], [`Recipe::CORRECT`] and [`Builder::LOGITS`].
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

/// Like [`evaluation_graph`], with the averaged weights of [`Recipe::ema`].
pub fn average_evaluation_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    b.scoped(AVERAGE, |b| evaluate(b, model, shape))?;
    Ok(b.graph)
}

fn evaluate(b: &mut Builder, model: &dyn Model, shape: [usize; 4]) -> Result<()> {
    let Losses { logits, correct, totals, .. } = classify(b, model, shape, &Recipe::default())?;
    for (name, value) in totals.into_iter().chain([(Recipe::CORRECT, correct), (Builder::LOGITS, logits)]) {
        b.graph.output(name, value);
    }
    Ok(())
}

/// The parameters that are not frozen. Those with equal settings are adjacent, so that few launches update them all.
fn trained(graph: &Graph, rules: &Rules) -> Result<Vec<ValueId>> {
    let all = graph.parameters();
    let name = |p: &ValueId| graph.value(*p).name.as_str();
    rules.check(&all.iter().map(name).collect::<Vec<_>>())?;
    let mut trained: Vec<ValueId> = all.into_iter().filter(|p| !rules.is_frozen(name(p))).collect();
    if trained.is_empty() {
        return Err(Error::argument("freeze", "matches all parameters; leave some to train"));
    }
    trained.sort_by_key(|p| (rules.lr_scale(name(p)).to_bits(), rules.decays(name(p), graph.shape(*p))));
    Ok(trained)
}

/// The logits, each head's loss and weight for the images' own labels and for their partners' labels, the sums over the heads, and
/// the number of correct predictions.
pub(super) struct Losses {
    logits: ValueId,
    own: Vec<(ValueId, f32)>,
    partners: Vec<(ValueId, f32)>,
    pub totals: Vec<(&'static str, ValueId)>,
    pub correct: ValueId,
}

/// The upstream gradient of each head's loss: the head's weight times the weight of the batch in the step.
fn upstream(
    graph: &mut Graph,
    losses: &Losses,
    part: Part,
    in_ranks: bool,
) -> Result<Vec<(ValueId, ValueId)>> {
    let one = TensorType::f32([1]);
    let mixed = !losses.partners.is_empty();
    let input =
        |graph: &mut Graph, name, needed: bool| needed.then(|| graph.input(name, one.clone())).transpose();
    let own = input(graph, Recipe::LOSS_WEIGHT, mixed || in_ranks || part != Part::Whole)?;
    let partners = input(graph, Recipe::PARTNER_LOSS_WEIGHT, mixed)?;
    let mut upstream = Vec::new();
    for (i, (loss, weight)) in losses.own.iter().enumerate() {
        let name = if i == 0 { "loss.grad".to_owned() } else { format!("loss.aux{i}.grad") };
        let weight =
            graph.persistent(&name, one.clone(), PersistentKind::Optimizer, Init::Constant(*weight))?;
        let terms = [(Some(loss), own), (losses.partners.get(i).map(|(loss, _)| loss), partners)];
        for (loss, loss_weight) in terms {
            let Some(loss) = loss else { continue };
            let gradient = match loss_weight {
                Some(loss_weight) => graph.apply(Scale, &[weight, loss_weight])?[0],
                None => weight,
            };
            upstream.push((*loss, gradient));
        }
    }
    Ok(upstream)
}

/// Parameters and their gradients.
pub(super) type Pairs = Vec<(ValueId, ValueId)>;

/// The node that moves a running statistic towards that of the batch.
pub(super) fn running_statistic(graph: &Graph, updated: ValueId) -> Node {
    let Role::Computed { node } = graph.value(updated).role else {
        unreachable!("running statistics are weighted sums");
    };
    graph.nodes()[node].clone()
}

/// Adds losses and gradients to those of the previous micro-batches.
fn accumulate(
    graph: &mut Graph,
    losses: &[(&str, ValueId)],
    pairs: Pairs,
    part: Part,
) -> Result<(Vec<ValueId>, Pairs)> {
    graph.scoped(SUMS, |graph| {
        let losses = losses.iter().map(|(name, loss)| add_up(graph, name, *loss, part));
        let losses = losses.collect::<Result<_>>()?;
        let pairs = pairs.into_iter().map(|(parameter, gradient)| {
            let name = format!("{}.gradient", graph.value(parameter).name);
            Ok((parameter, add_up(graph, &name, gradient, part)?))
        });
        Ok((losses, pairs.collect::<Result<_>>()?))
    })
}

/// The sum of a value over the micro-batches so far.
fn add_up(graph: &mut Graph, name: &str, value: ValueId, part: Part) -> Result<ValueId> {
    if part == Part::Whole {
        return Ok(value);
    }
    let ty = graph.value(value).ty.clone();
    let kept = graph.persistent(name, ty, PersistentKind::Optimizer, Init::Constant(0.0))?;
    let sum = match part {
        Part::First => value,
        _ => graph.apply(WeightedSum { alpha: 1.0, beta: 1.0 }, &[kept, value])?[0],
    };
    graph.update(kept, sum)?;
    Ok(sum)
}

/// Clips the gradients to a global norm, and returns them with the norm before.
fn clip(graph: &mut Graph, pairs: Pairs, max_norm: Option<f32>) -> Result<(Pairs, Option<ValueId>)> {
    let Some(max_norm) = max_norm else { return Ok((pairs, None)) };
    let (parameters, gradients): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let (clipped, norm) =
        graph.scoped("clip", |graph| crate::nn::clip_grad_norm(graph, &gradients, max_norm))?;
    graph.output(Recipe::GRAD_NORM, norm);
    Ok((parameters.into_iter().zip(clipped).collect(), Some(norm)))
}

/// A value that is finite if all of these are, on which the updates of the step depend.
fn guard(graph: &mut Graph, values: &[ValueId]) -> Result<ValueId> {
    graph.scoped("guard", |graph| Ok(graph.apply(NonFinite, values)?[0]))
}

/// Adds the updates of running statistics, which the forward pass declared before there was a guard, at the end of the step.
fn update_statistics(graph: &mut Graph, updates: Vec<(ValueId, ValueId)>, guard: ValueId) -> Result<()> {
    graph.scoped("running statistics", |graph| {
        for (state, value) in updates {
            let Node { op, inputs, .. } = running_statistic(graph, value);
            let guarded = graph.apply(op, &[inputs, vec![guard]].concat())?[0];
            graph.update(state, guarded)?;
        }
        Ok(())
    })
}

/// Updates the moving averages of parameters and running statistics.
fn average(graph: &mut Graph, decay: f32, guard: ValueId) -> Result<()> {
    graph.scoped(AVERAGE, |graph| {
        for state in graph.model_state() {
            let (name, ty) = (graph.value(state).name.clone(), graph.value(state).ty.clone());
            let average = graph.persistent(&name, ty, PersistentKind::Optimizer, Init::Constant(0.0))?;
            let updated = graph.updates().iter().find(|(s, _)| *s == state).map(|(_, new)| *new);
            if let Some(new) = updated {
                let op = WeightedSum { alpha: decay, beta: 1.0 - decay };
                let moved = graph.apply(op, &[average, new, guard])?[0];
                graph.update(average, moved)?;
            }
        }
        Ok(())
    })
}

/// Adds the model, its loss and the number of correct predictions.
fn classify(b: &mut Builder, model: &dyn Model, shape: [usize; 4], recipe: &Recipe) -> Result<Losses> {
    let images = b.images(shape)?;
    let labels = b.graph.input(Recipe::LABELS, TensorType::u32([shape[0]]))?;
    let logits = model.forward(b, images)?;
    let heads = [&[(logits, 1.0)], b.auxiliaries()].concat();
    let weights = recipe.class_weights.as_ref().map(|weights| TensorType::f32([weights.len()]));
    let weights = weights.map(|ty| b.graph.input(Recipe::CLASS_WEIGHTS, ty)).transpose()?;
    let loss = CrossEntropy { label_smoothing: recipe.label_smoothing, ..Default::default() };
    b.scoped("loss", |b| {
        let (own, total) = losses(b, &heads, [Some(labels), weights], loss)?;
        let mut totals = vec![(Recipe::LOSS, total)];
        let correct = b.apply(TopK::default(), &[logits, labels])?;
        let mut partners = Vec::new();
        if recipe.mixed {
            let labels = b.graph.input(Recipe::PARTNERS, TensorType::u32([shape[0]]))?;
            let total;
            (partners, total) = losses(b, &heads, [Some(labels), weights], loss)?;
            totals.push((Recipe::PARTNER_LOSS, total));
        }
        Ok(Losses { logits, own, partners, totals, correct })
    })
}

/// The loss of each head with its weight, and their weighted sum. `targets` are labels and optional class weights.
fn losses(
    b: &mut Builder,
    heads: &[(ValueId, f32)],
    targets: [Option<ValueId>; 2],
    loss: CrossEntropy,
) -> Result<(Vec<(ValueId, f32)>, ValueId)> {
    let term = |(logits, weight): &(ValueId, f32)| {
        let inputs: Vec<ValueId> = [*logits].into_iter().chain(targets.into_iter().flatten()).collect();
        Ok((b.apply(loss, &inputs)?, *weight))
    };
    let terms = heads.iter().map(term).collect::<Result<Vec<_>>>()?;
    let mut total = terms[0].0;
    for (loss, weight) in &terms[1..] {
        total = b.apply(WeightedSum { alpha: 1.0, beta: *weight }, &[total, *loss])?;
    }
    Ok((terms, total))
}
