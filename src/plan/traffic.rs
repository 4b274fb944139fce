//! The minimum memory traffic of a group: [`Group::min_bytes`](super::Group::min_bytes).

use super::{Group, Launch};
use crate::graph::{Graph, Role, ValueId};
use std::collections::{BTreeSet, HashMap};

/// Sets [`Group::min_bytes`]. `nodes` holds the node indices of each group.
pub(super) fn set_min_bytes(graph: &Graph, groups: &mut [Group], nodes: &[Vec<usize>], launches: &[Launch]) {
    let dataflow = Dataflow::new(graph, nodes);
    for (g, group) in groups.iter_mut().enumerate() {
        let moved = launches[group.launches.clone()].iter().map(|l| l.bytes).sum();
        let values: BTreeSet<ValueId> = dataflow.inputs(g).chain(dataflow.outputs(g)).collect();
        let bytes: u64 = values.into_iter().map(|v| graph.value(v).ty.bytes()).sum();
        // The final copies belong to no node and move only boundary values.
        group.min_bytes = if nodes[g].is_empty() { moved } else { bytes.min(moved) };
    }
}

/// Which group produces and which groups read each value. A view counts as its base.
struct Dataflow<'a> {
    graph: &'a Graph,
    /// Node indices by group.
    nodes: &'a [Vec<usize>],
    /// Group by node.
    group_of: HashMap<usize, usize>,
    /// Groups that read a value.
    readers: HashMap<ValueId, BTreeSet<usize>>,
    /// Outputs of the step and new values of states.
    stored: BTreeSet<ValueId>,
}

impl<'a> Dataflow<'a> {
    fn new(graph: &'a Graph, nodes: &'a [Vec<usize>]) -> Self {
        let (mut group_of, mut readers) = (HashMap::new(), HashMap::<_, BTreeSet<usize>>::new());
        for (g, node) in nodes.iter().enumerate().flat_map(|(g, nodes)| nodes.iter().map(move |n| (g, *n))) {
            group_of.insert(node, g);
            for input in &graph.nodes()[node].inputs {
                readers.entry(graph.view_base(*input)).or_default().insert(g);
            }
        }
        let outputs = graph.outputs().iter().map(|(_, v)| *v);
        let updates = graph.updates().iter().map(|(_, v)| *v);
        let stored = outputs.chain(updates).map(|v| graph.view_base(v)).collect();
        Self { graph, nodes, group_of, readers, stored }
    }

    /// The group that computes a value; `None` for inputs and persistent values.
    fn producer(&self, value: ValueId) -> Option<usize> {
        match self.graph.value(value).role {
            Role::Computed { node } => self.group_of.get(&node).copied(),
            _ => None,
        }
    }

    /// Values that a group reads but does not compute.
    fn inputs(&self, g: usize) -> impl Iterator<Item = ValueId> {
        let readers = self.readers.iter().filter(move |(_, groups)| groups.contains(&g));
        readers.map(|(value, _)| *value).filter(move |value| self.producer(*value) != Some(g))
    }

    /// Values that a group computes and that are stored or read by other groups.
    fn outputs(&self, g: usize) -> impl Iterator<Item = ValueId> {
        let computed = self.nodes[g].iter().flat_map(|node| &self.graph.nodes()[*node].outputs).copied();
        computed.filter(move |value| {
            let read_outside =
                self.readers.get(value).is_some_and(|groups| groups.iter().any(|other| *other != g));
            read_outside || self.stored.contains(value)
        })
    }
}
