//! Training on several ranks: the sums in the graph of a step, and the parts of batches and results that belong to a rank.

use super::report::Score;
use super::step::{Losses, Pairs, Recipe, running_statistic};
use crate::data::{Batch, Shard};
use crate::distributed::{Ranks, share};
use crate::graph::{Graph, Node, Role, ValueId};
use crate::nn::Builder;
use crate::op::{AllReduce, Op, Scale, WeightedSum};
use crate::{Result, TensorType};
use std::ops::Range;

/// The images of a batch's range that a rank computes with.
pub(super) struct Own {
    /// Positions in the batch.
    pub range: Range<usize>,
    /// Whether none of the images belong to this rank. It computes with as many as rank 0 all the same, which count nothing, to
    /// update its weights like the others.
    pub absent: bool,
}

impl Own {
    pub fn of(range: Range<usize>, ranks: Option<&Ranks>) -> Self {
        let part = |rank: usize| share(range.clone(), rank, ranks.map_or(1, Ranks::ranks));
        let (own, first) = (part(ranks.map_or(0, Ranks::rank)), part(0));
        let absent = own.is_empty();
        let range = if absent { first } else { own };
        Self { range, absent }
    }

    /// Number of images in its graph.
    pub fn len(&self) -> usize {
        self.range.len()
    }
}

/// The images that a rank loads.
pub(super) fn shard(ranks: Option<&Ranks>, micro_batch: usize) -> Option<Shard> {
    ranks.map(|ranks| Shard { rank: ranks.rank(), ranks: ranks.ranks(), micro_batch })
}

/// The inputs of a graph that weight the losses, statistics and predictions of a micro-batch, of which a rank computes `own`: 0 if it
/// is absent.
///
/// The loss of each micro-batch and rank is a mean over its own labels. The weights of losses turn their sum into a mean over the step,
/// the shares into a mean over the micro-batch.
pub(super) fn weights(
    recipe: &Recipe,
    batch: &Batch,
    range: Range<usize>,
    own: &Own,
) -> [(&'static str, [f32; 1]); 6] {
    let counted = |fraction: f32| if own.absent { 0.0 } else { fraction };
    let part_of = |labels: &[u32], range: Range<usize>| match labels.is_empty() {
        true => 0.0,
        false => {
            counted(recipe.total_weight(&labels[own.range.clone()]) / recipe.total_weight(&labels[range]))
        }
    };
    let Batch { labels, partners, mix_weight, size, .. } = batch;
    [
        (Recipe::LOSS_WEIGHT, [mix_weight * part_of(labels, 0..*size)]),
        (Recipe::PARTNER_LOSS_WEIGHT, [(1.0 - mix_weight) * part_of(partners, 0..*size)]),
        (Recipe::LOSS_SHARE, [part_of(labels, range.clone())]),
        (Recipe::PARTNER_LOSS_SHARE, [part_of(partners, range.clone())]),
        (Builder::SHARE, [counted(own.len() as f32 / range.len() as f32)]),
        (Recipe::PRESENT, [counted(1.0)]),
    ]
}

/// The score over the images of all ranks, from that over a rank's own.
pub(super) fn merge(ranks: &Ranks, own: Score) -> Result<Score> {
    let images = own.images as f64;
    let sums = [own.loss * images, own.accuracy * images, images];
    let [loss, correct, images] = sum(ranks, &sums)?[..] else { unreachable!("as many sums as values") };
    Ok(Score { loss: loss / images, accuracy: correct / images, images: images as usize })
}

/// Adds up values over ranks, in their order.
pub(super) fn sum(ranks: &Ranks, own: &[f64]) -> Result<Vec<f64>> {
    let mut sums = vec![0.0; own.len()];
    for other in ranks.gather(bytemuck::cast_slice(own).to_vec())? {
        let other: Vec<f64> = bytemuck::pod_collect_to_vec(&other);
        sums.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
    }
    Ok(sums)
}

/// Replaces losses and the statistics of batch norms by their means over all ranks, and the number of correct predictions by the
/// sum. As the guard depends on these losses, all ranks skip the same steps.
pub(super) fn sum_losses(
    graph: &mut Graph,
    losses: &mut Losses,
    statistics: &mut [(ValueId, ValueId)],
    share: ValueId,
) -> Result<()> {
    graph.scoped("ranks", |graph| {
        let mut moves = Vec::new();
        for (_, updated) in statistics {
            let Node { op: Op::WeightedSum(op), inputs, .. } = running_statistic(graph, *updated) else {
                unreachable!("running statistics are weighted sums");
            };
            // With a momentum of 0, the average never moves.
            if op.alpha < 1.0 {
                moves.push((inputs[0], inputs[1], op, updated));
            }
        }
        // Sums that follow each other are exchanged together, so everything else comes first.
        let mut scaled = Vec::new();
        for ((_, loss), name) in losses.totals.iter().zip([Recipe::LOSS_SHARE, Recipe::PARTNER_LOSS_SHARE]) {
            let share = graph.input(name, TensorType::f32([1]))?;
            scaled.push(graph.apply(Scale, &[*loss, share])?[0]);
        }
        for (old, statistic, WeightedSum { alpha, beta }, _) in &moves {
            // A running variance takes the unbiased one, which depends on the number of images.
            let unbiased = WeightedSum { alpha: 0.0, beta: beta / (1.0 - alpha) };
            let unbiased = graph.apply(unbiased, &[*old, *statistic])?[0];
            scaled.push(graph.apply(Scale, &[unbiased, share])?[0]);
        }
        let present = graph.input(Recipe::PRESENT, TensorType::f32([1]))?;
        scaled.push(graph.apply(Scale, &[losses.correct, present])?[0]);
        let sums = scaled.into_iter().map(|value| Ok(graph.apply(AllReduce, &[value])?[0]));
        let mut sums = sums.collect::<Result<Vec<_>>>()?.into_iter();
        losses.totals.iter_mut().zip(&mut sums).for_each(|((_, loss), sum)| *loss = sum);
        for ((old, _, WeightedSum { alpha, .. }, updated), sum) in moves.into_iter().zip(&mut sums) {
            *updated = graph.apply(WeightedSum { alpha, beta: 1.0 - alpha }, &[old, sum])?[0];
        }
        losses.correct = sums.next().expect("the last sum is that of correct predictions");
        Ok(())
    })
}

/// Replaces gradients by their sums over all ranks, in the order in which the backward pass computes them.
pub(super) fn sum_gradients(graph: &mut Graph, pairs: &mut Pairs) -> Result<()> {
    let producer = |gradient: &ValueId| match graph.value(*gradient).role {
        Role::Computed { node } => node,
        _ => 0,
    };
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|i| producer(&pairs[*i].1));
    graph.scoped("ranks", |graph| {
        order.into_iter().try_for_each(|i| {
            pairs[i].1 = graph.apply(AllReduce, &[pairs[i].1])?[0];
            Ok(())
        })
    })
}
