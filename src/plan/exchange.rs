//! Exchanges: sums over ranks in the middle of a step.

use super::{Launch, Storage, StorageId, locate};
use crate::graph::{Graph, Node};
use crate::op::Op;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Storages whose contents are replaced by their sums over all [`Ranks`](crate::distributed::Ranks), through the host. Launches
/// between `start` and `end` do not touch them, so the device continues meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// What is summed.
    pub storages: Vec<StorageId>,
    /// The first launch after those that compute it.
    pub start: usize,
    /// The first launch that needs the sums, or the number of launches.
    pub end: usize,
}

/// Sums that follow each other in a graph are divided into at most this many exchanges, so that the first ones run while the device
/// computes the rest.
const PARTS: u64 = 8;
/// An exchange takes more sums until it has this many bytes, since each costs a few messages.
const MIN_BYTES: u64 = 1 << 18;
/// With this many bytes, it is full even if that makes more parts: few are to be left when the last launch is done.
const MAX_BYTES: u64 = 1 << 24;

/// The sums of a graph by exchange, as indices of nodes. They depend on the graph alone, so all ranks exchange the same tensors,
/// on any devices.
pub(super) fn nodes_by_exchange(graph: &Graph) -> Vec<Vec<usize>> {
    let is_sum = |node: &Node| matches!(node.op, Op::AllReduce(_));
    let bytes = |node: &usize| graph.value(graph.nodes()[*node].outputs[0]).ty.bytes();
    let indices: Vec<usize> = (0..graph.nodes().len()).collect();
    let runs = indices.chunk_by(|a, b| is_sum(&graph.nodes()[*a]) == is_sum(&graph.nodes()[*b]));
    let mut exchanges = Vec::new();
    for run in runs.filter(|run| is_sum(&graph.nodes()[run[0]])) {
        let full = (run.iter().map(bytes).sum::<u64>() / PARTS).clamp(MIN_BYTES, MAX_BYTES);
        let mut size = u64::MAX;
        for node in run {
            if size >= full {
                exchanges.push(Vec::new());
                size = 0;
            }
            size += bytes(node);
            exchanges.last_mut().expect("the first one was just added").push(*node);
        }
    }
    exchanges
}

/// Finds the launches between which the sums are computed.
pub(super) fn schedule(
    storages: &[Storage],
    launches: &[Launch],
    exchanges: Vec<Vec<StorageId>>,
) -> Vec<Exchange> {
    let bytes = |storage: StorageId| {
        let (whole, start) = locate(storages, storage);
        (whole, start..start + storages[storage.index()].bytes)
    };
    let overlap = |a: &(StorageId, Range<u64>), b: &(StorageId, Range<u64>)| {
        a.0 == b.0 && a.1.start < b.1.end && b.1.start < a.1.end
    };
    let mut before = 0;
    let schedule = |storages: Vec<StorageId>| {
        let summed: Vec<_> = storages.iter().map(|storage| bytes(*storage)).collect();
        let touches = |storage: StorageId| summed.iter().any(|range| overlap(range, &bytes(storage)));
        let last = launches.iter().rposition(|launch| launch.writes.iter().any(|id| touches(*id)));
        let computed = last.map_or(0, |last| last + 1);
        let needs = |launch: &Launch| launch.reads.iter().any(|id| touches(*id));
        let after = launches[computed..].iter().position(needs);
        let end = after.map_or(launches.len(), |at| computed + at);
        // Exchanges start in order, on all ranks.
        let start = computed.max(before);
        assert!(
            start <= end,
            "launches follow the order of the graph, in which a sum is needed after the ones before it"
        );
        before = start;
        Exchange { storages, start, end }
    };
    exchanges.into_iter().map(schedule).collect()
}
