//! Recomputation, or activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): the
//! forward pass is cut into segments, what does not leave one is not kept for the backward pass, and when that gets
//! there, the segment is computed again. A graph goes in, and one of the same results to the bit comes out.

use super::cuts::{Life, segments};
use super::lower::viewed;
use crate::graph::{Graph, Node, Phase, ValueId};
use crate::op::{BatchNorm, BatchNormEval, Op};
use std::collections::{HashMap, HashSet};

/// Computes again what is cheaper to compute than to keep. The last segment stays as it is: the backward pass starts
/// with it.
pub(super) fn recompute(graph: &Graph) -> Graph {
    let live = graph.live_nodes();
    let nodes: Vec<&Node> =
        graph.nodes().iter().zip(live).filter(|(_, live)| *live).map(|(n, _)| n).collect();
    let forward: Vec<&Node> = nodes.iter().copied().filter(|n| n.phase == Phase::Forward).collect();
    let lives = lives(graph, &nodes, &forward);
    let mut segments = segments(lives.values(), forward.len());
    segments.pop();
    let dropped = |(value, life): (&ValueId, &Life)| {
        let segment = segments.iter().position(|steps| steps.contains(&life.made))?;
        (life.last < segments[segment].end).then_some((*value, segment))
    };
    let later = nodes.iter().filter(|n| n.phase != Phase::Forward);
    let mut rewrite = Rewrite {
        graph,
        result: graph.clone(),
        segments: segments.iter().map(|steps| &forward[steps.clone()]).collect(),
        dropped: lives.iter().filter_map(dropped).collect(),
        wanted: later.flat_map(|n| n.inputs.iter().copied()).collect(),
        again: HashMap::new(),
    };
    let nodes = nodes.into_iter().flat_map(|node| rewrite.node(node)).collect();
    rewrite.result.with_nodes(nodes)
}

/// Values that are there until the backward pass in any case: what is given out, what states become or are computed
/// from, and the statistics of batch norms, which are few numbers and dear to compute.
fn kept(graph: &Graph, nodes: &[&Node]) -> HashSet<ValueId> {
    let given_out = graph.outputs().iter().map(|(_, v)| v);
    let states = graph.updates().iter().map(|(_, v)| v);
    let updating = nodes.iter().filter(|n| n.phase == Phase::Update).flat_map(|n| &n.inputs);
    let norms = nodes.iter().filter(|n| matches!(n.op, Op::BatchNorm(_)));
    let statistics = norms.flat_map(|n| &n.outputs[1..]);
    given_out.chain(states).chain(updating).chain(statistics).map(|v| viewed(graph, *v)).collect()
}

/// The values that could be dropped and computed again. A view is a use of what it views.
fn lives(graph: &Graph, nodes: &[&Node], forward: &[&Node]) -> HashMap<ValueId, Life> {
    let kept = kept(graph, nodes);
    let mut lives: HashMap<ValueId, Life> = HashMap::new();
    for (step, node) in forward.iter().enumerate() {
        for input in &node.inputs {
            if let Some(life) = lives.get_mut(&viewed(graph, *input)) {
                life.last = step;
            }
        }
        for output in node.outputs.iter().filter(|v| viewed(graph, **v) == **v && !kept.contains(v)) {
            let bytes = graph.value(*output).ty.bytes();
            lives.insert(*output, Life { bytes, made: step, last: step, wanted: false });
        }
    }
    let later = nodes.iter().filter(|n| n.phase != Phase::Forward);
    for input in later.flat_map(|node| &node.inputs) {
        if let Some(life) = lives.get_mut(&viewed(graph, *input)) {
            life.wanted = true;
        }
    }
    lives
}

/// A walk over the nodes that puts a segment's copies before the first node that reads what was dropped of it.
struct Rewrite<'a> {
    graph: &'a Graph,
    /// The graph with the values of the copies.
    result: Graph,
    segments: Vec<&'a [&'a Node]>,
    /// Of each value that is not kept, the segment that makes it.
    dropped: HashMap<ValueId, usize>,
    /// What nodes read that are not of the forward pass.
    wanted: HashSet<ValueId>,
    /// What stands for a dropped value once it has been computed again.
    again: HashMap<ValueId, ValueId>,
}

impl Rewrite<'_> {
    /// A node, after the copies that have to come before it.
    fn node(&mut self, node: &Node) -> Vec<Node> {
        if node.phase == Phase::Forward {
            return vec![node.clone()];
        }
        let mut nodes = Vec::new();
        for input in &node.inputs {
            if let (Some(segment), false) = (self.segment(*input), self.again.contains_key(input)) {
                nodes.extend(self.compute_again(segment));
            }
        }
        nodes.push(Node { inputs: self.renamed(&node.inputs), ..node.clone() });
        nodes
    }

    /// The segment that a value was dropped of.
    fn segment(&self, value: ValueId) -> Option<usize> {
        self.dropped.get(&viewed(self.graph, value)).copied()
    }

    /// Copies of what later nodes want of a segment, and of what that takes.
    fn compute_again(&mut self, segment: usize) -> Vec<Node> {
        let mut wanted: HashSet<ValueId> = self.wanted.clone();
        let mut copied: Vec<&Node> = Vec::new();
        for node in self.segments[segment].iter().rev() {
            if node.outputs.iter().any(|v| wanted.contains(v) && self.segment(*v) == Some(segment)) {
                wanted.extend(&node.inputs);
                copied.push(node);
            }
        }
        copied.into_iter().rev().map(|node| self.copy(node)).collect()
    }

    fn copy(&mut self, node: &Node) -> Node {
        let mut copy = Node { phase: Phase::Recompute, ..node.clone() };
        if let Op::BatchNorm(BatchNorm { eps, epilogue }) = node.op {
            // Its statistics are kept.
            copy.op = BatchNormEval { eps, epilogue }.into();
            copy.inputs.splice(3..3, copy.outputs.drain(1..));
        }
        copy.inputs = self.renamed(&copy.inputs);
        for output in &mut copy.outputs {
            let fresh = self.result.like(*output);
            if self.dropped.contains_key(&viewed(self.graph, *output)) {
                self.again.insert(*output, fresh);
            }
            *output = fresh;
        }
        copy
    }

    fn renamed(&self, values: &[ValueId]) -> Vec<ValueId> {
        values.iter().map(|v| self.again.get(v).copied().unwrap_or(*v)).collect()
    }
}
