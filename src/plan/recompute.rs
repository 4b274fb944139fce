//! Recomputation, or activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). The
//! forward pass is split into segments; only activations that cross a segment boundary are kept, and the backward pass
//! recomputes the rest segment by segment. The rewritten graph gives bit-identical results.

use super::checkpoint_segments::{Lifetime, checkpoint_segments};
use crate::graph::{Graph, Node, Phase, ValueId};
use crate::op::{BatchNorm, BatchNormEval, Op};
use std::collections::{HashMap, HashSet};

/// Recomputes activations instead of keeping them where that lowers peak memory. The last segment is never recomputed, since
/// the backward pass starts there.
pub(super) fn recompute(graph: &Graph) -> Graph {
    let nodes: Vec<&Node> = graph.nodes().iter().collect();
    let forward: Vec<&Node> = nodes.iter().copied().filter(|n| n.phase == Phase::Forward).collect();
    let lifetimes = lifetimes(graph, &nodes, &forward);
    let mut segments = checkpoint_segments(lifetimes.values(), forward.len());
    segments.pop();
    let dropped = |(value, lifetime): (&ValueId, &Lifetime)| {
        let segment = segments.iter().position(|steps| steps.contains(&lifetime.def))?;
        (lifetime.last_use < segments[segment].end).then_some((*value, segment))
    };
    let later = nodes.iter().filter(|n| n.phase != Phase::Forward);
    let mut rewrite = Rewrite {
        graph,
        result: graph.clone(),
        segments: segments.iter().map(|steps| &forward[steps.clone()]).collect(),
        dropped: lifetimes.iter().filter_map(dropped).collect(),
        needed: later.flat_map(|n| n.inputs.iter().copied()).collect(),
        recomputed: HashMap::new(),
    };
    let nodes = nodes.into_iter().flat_map(|node| rewrite.node(node)).collect();
    rewrite.result.with_nodes(nodes)
}

/// Values that are never recomputed: outputs, new values of states, operands of updates, and batch norm statistics, which are
/// small but expensive to compute.
fn kept(graph: &Graph, nodes: &[&Node]) -> HashSet<ValueId> {
    let outputs = graph.outputs().iter().map(|(_, v)| v);
    let states = graph.updates().iter().map(|(_, v)| v);
    let updating = nodes.iter().filter(|n| n.phase == Phase::Update).flat_map(|n| &n.inputs);
    let norms = nodes.iter().filter(|n| matches!(n.op, Op::BatchNorm(_)));
    let statistics = norms.flat_map(|n| &n.outputs[1..]);
    outputs.chain(states).chain(updating).chain(statistics).map(|v| graph.view_base(*v)).collect()
}

/// Lifetimes of the values that could be recomputed. A read of a view counts as a read of its base.
fn lifetimes(graph: &Graph, nodes: &[&Node], forward: &[&Node]) -> HashMap<ValueId, Lifetime> {
    let kept = kept(graph, nodes);
    let mut lifetimes: HashMap<ValueId, Lifetime> = HashMap::new();
    for (step, node) in forward.iter().enumerate() {
        for input in &node.inputs {
            if let Some(lifetime) = lifetimes.get_mut(&graph.view_base(*input)) {
                lifetime.last_use = step;
            }
        }
        for output in node.outputs.iter().filter(|v| graph.view_base(**v) == **v && !kept.contains(v)) {
            let bytes = graph.value(*output).ty.bytes();
            lifetimes.insert(*output, Lifetime { bytes, def: step, last_use: step, saved: false });
        }
    }
    let later = nodes.iter().filter(|n| n.phase != Phase::Forward);
    for input in later.flat_map(|node| &node.inputs) {
        if let Some(lifetime) = lifetimes.get_mut(&graph.view_base(*input)) {
            lifetime.saved = true;
        }
    }
    lifetimes
}

/// Walks the nodes and inserts the copies of a segment before the first node that reads one of its dropped values.
struct Rewrite<'a> {
    graph: &'a Graph,
    /// The graph, extended by the values of the copies.
    result: Graph,
    segments: Vec<&'a [&'a Node]>,
    /// The segment that computes each dropped value.
    dropped: HashMap<ValueId, usize>,
    /// Values that nodes after the forward pass read.
    needed: HashSet<ValueId>,
    /// The recomputed value that replaces each dropped one.
    recomputed: HashMap<ValueId, ValueId>,
}

impl Rewrite<'_> {
    /// The node, preceded by the copies whose results it reads.
    fn node(&mut self, node: &Node) -> Vec<Node> {
        if node.phase == Phase::Forward {
            return vec![node.clone()];
        }
        let mut nodes = Vec::new();
        for input in &node.inputs {
            if let (Some(segment), false) = (self.segment(*input), self.recomputed.contains_key(input)) {
                nodes.extend(self.recompute_segment(segment));
            }
        }
        nodes.push(Node { inputs: self.renamed(&node.inputs), ..node.clone() });
        nodes
    }

    /// The segment of a dropped value.
    fn segment(&self, value: ValueId) -> Option<usize> {
        self.dropped.get(&self.graph.view_base(value)).copied()
    }

    /// Copies of the nodes of a segment that later nodes need, directly or through other copies.
    fn recompute_segment(&mut self, segment: usize) -> Vec<Node> {
        let mut needed: HashSet<ValueId> = self.needed.clone();
        let mut copied: Vec<&Node> = Vec::new();
        for node in self.segments[segment].iter().rev() {
            if node.outputs.iter().any(|v| needed.contains(v) && self.segment(*v) == Some(segment)) {
                needed.extend(&node.inputs);
                copied.push(node);
            }
        }
        copied.into_iter().rev().map(|node| self.copy(node)).collect()
    }

    fn copy(&mut self, node: &Node) -> Node {
        let mut copy = Node { phase: Phase::Recompute, ..node.clone() };
        if let Op::BatchNorm(BatchNorm { eps, epilogue }) = node.op {
            // The statistics were kept, so the copy only normalizes.
            copy.op = BatchNormEval { eps, epilogue }.into();
            copy.inputs.splice(3..3, copy.outputs.drain(1..));
        }
        copy.inputs = self.renamed(&copy.inputs);
        for output in &mut copy.outputs {
            let fresh = self.result.new_like(*output);
            if self.dropped.contains_key(&self.graph.view_base(*output)) {
                self.recomputed.insert(*output, fresh);
            }
            *output = fresh;
        }
        copy
    }

    fn renamed(&self, values: &[ValueId]) -> Vec<ValueId> {
        values.iter().map(|v| self.recomputed.get(v).copied().unwrap_or(*v)).collect()
    }
}
