//! Sums over ranks in a fixed order.

use super::Transport;
use crate::Result;

/// Adds up values element by element: each rank adds up one part of the elements, in f64 and in the order of the ranks, and sends
/// the results to all. Every rank sends and receives about twice the size of the values, as in a ring. MPI's own reductions may
/// add in another order from run to run.
pub(super) fn sum(transport: &mut dyn Transport, mut values: Vec<f32>) -> Result<Vec<f32>> {
    let (ranks, len) = (transport.ranks(), values.len());
    let part = len.div_ceil(ranks);
    values.resize(part * ranks, 0.0);
    let mut parts = vec![0f32; part * ranks];
    transport.all_to_all(bytemuck::cast_slice(&values), bytemuck::cast_slice_mut(&mut parts))?;
    let mut totals = vec![0f64; part];
    for summands in parts.chunks_exact(part) {
        totals.iter_mut().zip(summands).for_each(|(total, value)| *total += f64::from(*value));
    }
    let totals: Vec<f32> = totals.into_iter().map(|total| total as f32).collect();
    transport.all_gather(bytemuck::cast_slice(&totals), bytemuck::cast_slice_mut(&mut values))?;
    values.truncate(len);
    Ok(values)
}
