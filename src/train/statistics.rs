//! Batch norm's statistics for tests: means over training images with the weights as they are ("precise batch norm", Wu & Johnson
//! 2021, "Rethinking Batch in BatchNorm", section 3).
//!
//! The running averages of training steps mix the statistics of the last dozens of steps. While weights change quickly, they fit
//! none of these weights; after a few steps, they are mostly their initial values.

use super::config::TrainConfig;
use super::ranks::{self, Own};
use super::step::{AVERAGE, Recipe};
use crate::data::{Loader, LoaderConfig, Split};
use crate::graph::{Graph, Node, Role};
use crate::models::Model;
use crate::nn::{Builder, Mode};
use crate::op::{Op, WeightedSum};
use crate::runtime::Stream;
use crate::{Outputs, Result, Session, Tensor};

/// So many images are averaged over, in full batches: up to a batch more, or fewer if there are not as many.
const IMAGES: usize = 1024;

/// The graph of batch norm's statistics for tests: the forward pass in training mode. Its outputs are the statistics of the batch that every running average takes in, under the
/// average's name: means and unbiased variances. Inputs are [`Builder::IMAGES`] and, with dropout, [`Builder::COUNTER`]. `None` if
/// no average moves.
///
/// ```
/// use striate::models::LeNet;
/// use striate::train::{Recipe, statistics_graph};
///
/// let model = striate::models::by_name("resnet8", 1, 10)?;
/// let graph = statistics_graph(&*model, [32, 1, 28, 28], &Recipe::default())?.expect("it has batch norms");
/// assert_eq!(graph.outputs()[0].0, "bn1.running_mean");
/// let lenet = LeNet { in_channels: 1, classes: 10 };
/// assert!(statistics_graph(&lenet, [32, 1, 28, 28], &Recipe::default())?.is_none());
/// # Ok::<(), striate::Error>(())
/// ```
pub fn statistics_graph(model: &dyn Model, shape: [usize; 4], recipe: &Recipe) -> Result<Option<Graph>> {
    let forward = |b: &mut Builder| {
        let images = b.images(shape)?;
        model.forward(b, images)
    };
    let rules = recipe.ema.map_or_else(|| recipe.rules.clone(), |_| recipe.rules.under(AVERAGE));
    let mut b = Builder::new(Mode::Train).with_rules(&rules).with_ranks(recipe.ranks);
    match recipe.ema {
        None => forward(&mut b)?,
        Some(_) => b.scoped(AVERAGE, forward)?,
    };
    let graph = &mut b.graph;
    let updates = graph.take_updates();
    for (average, new) in &updates {
        let Role::Computed { node } = graph.value(*new).role else { unreachable!("computed from a batch") };
        let Node { op: Op::WeightedSum(WeightedSum { alpha, beta }), inputs, .. } =
            graph.nodes()[node].clone()
        else {
            unreachable!("running statistics are weighted sums");
        };
        // With a momentum of 0, the average is never to move.
        if alpha == 1.0 {
            continue;
        }
        // The weight of the batch is momentum, times the factor of an unbiased variance.
        let op = WeightedSum { alpha: 0.0, beta: beta / (1.0 - alpha) };
        let statistic = graph.apply(op, &inputs)?[0];
        let name = graph.value(*average).name.clone();
        graph.output(&name, statistic);
    }
    let is_empty = graph.outputs().is_empty();
    Ok((!is_empty).then_some(b.graph))
}

/// Replaces the running averages in a session by means over batches of training images, in the order of an epoch. `program` is
/// the plan of [`statistics_graph`].
pub(super) fn recompute(
    session: &mut Session,
    program: usize,
    split: &Split,
    config: &TrainConfig,
    epoch: usize,
) -> Result<()> {
    let size = config.micro_batch();
    let batches = IMAGES.div_ceil(size).min(split.train.len() / size);
    let ranks = session.device().ranks().cloned();
    let share = [Own::of(0..size, ranks.as_ref()).len() as f32 / size as f32];
    let shard = ranks::shard(ranks.as_ref(), size);
    let loader_config = LoaderConfig { batch_size: size, drop_last: true, shard, ..config.loader(epoch, 0) };
    let mut loader = Loader::new(split.train.clone(), &split.normalization, loader_config)?;
    let names: Vec<String> =
        session.plans()[program].outputs.iter().map(|output| output.name.clone()).collect();
    let mut sums = vec![Vec::new(); names.len()];
    let mut stream = Stream::new(session)?;
    for step in 0..batches {
        let Some(batch) = loader.next() else { break };
        let counter = [step as u32, config.seed as u32];
        let mut inputs = vec![
            (Builder::IMAGES, (&batch.images).into()),
            (Builder::COUNTER, (&counter).into()),
            (Builder::SHARE, (&share).into()),
        ];
        inputs.retain(|(name, _)| stream.has_input(program, name));
        stream.submit(program, &inputs, ())?;
        loader.recycle(batch);
        while let Some((outputs, ())) = stream.poll()? {
            add(&mut sums, outputs);
        }
    }
    while let Some((outputs, ())) = stream.wait()? {
        add(&mut sums, outputs);
    }
    drop(stream);
    if let Some(ranks) = ranks.filter(|_| !config.sync_batch_norm) {
        for sum in &mut sums {
            sum.iter_mut().for_each(|value| *value *= f64::from(share[0]));
            *sum = ranks::sum(&ranks, sum)?;
        }
    }
    names.iter().zip(sums).try_for_each(|(name, sum)| {
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / batches as f64) as f32).collect();
        session.write(name, &Tensor::f32([mean.len()], mean)?)
    })
}

/// Adds the outputs of a batch to their sums.
fn add(sums: &mut [Vec<f64>], outputs: Outputs) {
    for (sum, tensor) in sums.iter_mut().zip(outputs.into_tensors()) {
        sum.resize(tensor.len(), 0.0);
        sum.iter_mut().zip(tensor.as_f32()).for_each(|(sum, value)| *sum += f64::from(*value));
    }
}
