//! What a group has to move at least: [`Group::least`](super::Group::least).

use super::lower::viewed;
use super::{Group, Launch};
use crate::graph::{Graph, Role, ValueId};
use std::collections::{BTreeSet, HashMap};

/// Says of each group, whose nodes are given by index, what has to cross its border.
pub(super) fn find(graph: &Graph, groups: &mut [Group], nodes: &[Vec<usize>], launches: &[Launch]) {
    let border = Border::new(graph, nodes);
    for (g, group) in groups.iter_mut().enumerate() {
        let moved = launches[group.launches.clone()].iter().map(|l| l.bytes).sum();
        let values: BTreeSet<ValueId> = border.read(g).chain(border.written(g)).collect();
        let bytes: u64 = values.into_iter().map(|v| graph.value(v).ty.bytes()).sum();
        // The copies at the end belong to no node: they are all border.
        group.least = if nodes[g].is_empty() { moved } else { bytes.min(moved) };
    }
}

/// Who makes and who wants the values. A view counts as what it views.
struct Border<'a> {
    graph: &'a Graph,
    /// Indices of each group's nodes.
    nodes: &'a [Vec<usize>],
    /// The group that a node is in.
    home: HashMap<usize, usize>,
    /// The groups that read a value.
    readers: HashMap<ValueId, BTreeSet<usize>>,
    /// Values that the step gives out or that states become.
    kept: BTreeSet<ValueId>,
}

impl<'a> Border<'a> {
    fn new(graph: &'a Graph, nodes: &'a [Vec<usize>]) -> Self {
        let (mut home, mut readers) = (HashMap::new(), HashMap::<_, BTreeSet<usize>>::new());
        for (g, node) in nodes.iter().enumerate().flat_map(|(g, nodes)| nodes.iter().map(move |n| (g, *n))) {
            home.insert(node, g);
            for input in &graph.nodes()[node].inputs {
                readers.entry(viewed(graph, *input)).or_default().insert(g);
            }
        }
        let outputs = graph.outputs().iter().map(|(_, v)| *v);
        let updates = graph.updates().iter().map(|(_, v)| *v);
        let kept = outputs.chain(updates).map(|v| viewed(graph, v)).collect();
        Self { graph, nodes, home, readers, kept }
    }

    /// The group that makes a value; `None` for what is given to the step.
    fn maker(&self, value: ValueId) -> Option<usize> {
        match self.graph.value(value).role {
            Role::Computed { node } => self.home.get(&node).copied(),
            _ => None,
        }
    }

    /// Values that a group reads and does not make.
    fn read(&self, g: usize) -> impl Iterator<Item = ValueId> {
        let readers = self.readers.iter().filter(move |(_, groups)| groups.contains(&g));
        readers.map(|(value, _)| *value).filter(move |value| self.maker(*value) != Some(g))
    }

    /// Values that a group makes and others want.
    fn written(&self, g: usize) -> impl Iterator<Item = ValueId> {
        let made = self.nodes[g].iter().flat_map(|node| &self.graph.nodes()[*node].outputs).copied();
        made.filter(move |value| {
            let elsewhere =
                self.readers.get(value).is_some_and(|groups| groups.iter().any(|other| *other != g));
            elsewhere || self.kept.contains(value)
        })
    }
}
