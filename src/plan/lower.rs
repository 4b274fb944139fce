//! From a graph to launches: assigns storages to values, lowers each node, and groups the launches.

use super::algorithm::{self, Requested};
use super::node_lowering::Lowered;
use super::{
    Group, NamedValue, NodeLowering, PersistentValue, Placement, Plan, Target, exchange, horizontal_fusion,
    limits, memory, moments_fusion, range_fusion, slice_sum_fusion, submissions, traffic,
};
use crate::graph::{Graph, Node, Phase, Role, ValueId};
use crate::kernel::StorageId;
use crate::op::{Labels, Op};
use crate::{Error, Result};

pub(super) fn lower(graph: &Graph, target: &Target) -> Result<Plan> {
    check_excluded(target)?;
    let (lowered, groups, nodes) = Default::default();
    let mut builder = Builder { graph, target, lowered, groups, nodes };
    builder.allocate_inputs_and_state();
    let mut requested = Requested::new(target);
    for (index, node) in graph.nodes().iter().enumerate() {
        builder.allocate_outputs(index);
        let start = builder.lowered.launches.len();
        builder.lower(node)?;
        requested.observe(&node.op, &builder.lowered.launches[start..]);
        if builder.close_group(&node.scope, node.phase, graph.shape(node.outputs[0]), start) {
            builder.add_node(index, node.op.fused());
        }
    }
    requested.check()?;
    builder.write_back_updates()?;
    builder.finish()
}

/// Fails if nothing can run on the device after its self-test, or if a request needs a kernel that failed.
fn check_excluded(target: &Target) -> Result<()> {
    if let Some(probe) = target.excluded.iter().find(|kernel| kernel.is_required_probe()) {
        return Err(Error::Device(format!(
            "{} of the self-test failed, so no result could be trusted; update the driver, or use another device (cpu works everywhere)",
            probe.name
        )));
    }
    let kernels = target.kernels.iter().map(|(pass, kernel)| (*pass, kernel.name, vec![*kernel]));
    let algorithms = target.algorithms.iter();
    let algorithms = algorithms.map(|(pass, by)| (*pass, by.name(), pass.kernels_of(*by).collect()));
    for (pass, name, kernels) in kernels.chain(algorithms) {
        if let Some(kernel) = kernels.first().filter(|_| !kernels.iter().any(|kernel| target.allows(kernel)))
        {
            let problem = format!(
                "{} failed the self-test of this device; choose another from `striate kernels`",
                kernel.name
            );
            return Err(Error::argument(format!("{}={name}", pass.name()), problem));
        }
    }
    Ok(())
}

struct Builder<'a> {
    graph: &'a Graph,
    target: &'a Target,
    lowered: Lowered,
    groups: Vec<Group>,
    /// Node indices by group; empty for the final copies.
    nodes: Vec<Vec<usize>>,
}

impl Builder<'_> {
    /// Allocates inputs and persistent values, which have their own buffers.
    fn allocate_inputs_and_state(&mut self) {
        for (id, value) in self.graph.values() {
            let placement = match value.role {
                Role::Input => Placement::Input,
                Role::Persistent(_) => Placement::Persistent,
                Role::Computed { .. } => continue,
            };
            let storage = self.lowered.add_storage(value.name.clone(), value.ty.bytes(), placement);
            self.lowered.storage_of.insert(id, storage);
        }
    }

    /// Assigns storages to the outputs of a node: the input's for a view and for a sum over ranks, the storage of a persistent value
    /// that can be overwritten in place, or else a new one.
    fn allocate_outputs(&mut self, index: usize) {
        let graph = self.graph;
        let node = &graph.nodes()[index];
        for (o, output) in node.outputs.iter().enumerate() {
            let shared = if node.op.is_view() || can_sum_in_place(graph, node) {
                Some(node.inputs[0])
            } else {
                let input =
                    node.op.in_place().iter().find(|(out, _)| *out == o).map(|(_, i)| node.inputs[*i]);
                let replaced = input.filter(|state| can_replace(graph, index, *state, *output));
                replaced.or_else(|| unread_state(graph, *output))
            };
            let value = graph.value(*output);
            let storage = match shared {
                Some(v) => self.lowered.storage_of[&v],
                None => {
                    let transient = Placement::Slot(usize::MAX);
                    self.lowered.add_storage(value.name.clone(), value.ty.bytes(), transient)
                }
            };
            self.lowered.storage_of.insert(*output, storage);
        }
    }

    /// Emits the launches of a node by the first alternative without an excluded kernel.
    fn lower(&mut self, node: &Node) -> Result<()> {
        let (graph, target) = (self.graph, self.target);
        let before = self.lowered.launches.len();
        let mut excluded = None;
        for target in algorithm::alternatives(graph, node, target) {
            let mark = self.lowered.mark();
            let target = &target;
            let result = algorithm::lower(
                &node.op,
                &mut NodeLowering { lowered: &mut self.lowered, graph, node, target },
            );
            let launches = &self.lowered.launches[before..];
            let kernel = launches.iter().map(|launch| launch.kernel).find(|kernel| !target.allows(kernel));
            match (result, kernel, excluded) {
                (Ok(()), None, _) => return Ok(()),
                (Err(error), None, None) => return Err(error),
                (_, kernel, _) => excluded = excluded.or(kernel),
            }
            self.lowered.reset(mark);
        }
        let kernel = excluded.expect("the loop ends early unless a kernel is excluded").name;
        Err(Error::Device(format!(
            "{} needs the kernel {kernel} or others that failed the self-test of this device; `striate selftest` says why; update the driver, or use another device (cpu works everywhere)",
            node.op.name()
        )))
    }

    /// Emits copies for updates that could not be computed in place.
    fn write_back_updates(&mut self) -> Result<()> {
        let (graph, target) = (self.graph, self.target);
        let start = self.lowered.launches.len();
        for (state, value) in graph.updates() {
            let (from, to) = (self.lowered.storage_of[value], self.lowered.storage_of[state]);
            if from == to {
                continue;
            }
            let Role::Computed { node } = graph.value(graph.view_base(*value)).role else {
                return Err(Error::argument(
                    graph.value(*state).name.clone(),
                    "can only be updated to a computed value, not to a view of an input or persistent value; apply an operation to it first",
                ));
            };
            let node = &graph.nodes()[node];
            NodeLowering { lowered: &mut self.lowered, graph, node, target }.copy(from, to)?;
        }
        self.close_group("", Phase::Update, &[], start);
        Ok(())
    }

    /// Adds the launches since `start` to the current group, or to a new one if the layer or phase changed. Returns whether there
    /// are any.
    fn close_group(&mut self, scope: &str, phase: Phase, shape: &[usize], start: usize) -> bool {
        let end = self.lowered.launches.len();
        if start == end {
            return false;
        }
        match self.groups.last_mut() {
            Some(group) if group.scope == scope && group.phase == phase => {
                group.launches.end = end;
                group.shape = shape.to_vec();
            }
            _ => {
                self.groups.push(Group {
                    scope: scope.to_owned(),
                    phase,
                    shape: shape.to_vec(),
                    launches: start..end,
                    min_bytes: 0,
                    fused: Vec::new(),
                });
                self.nodes.push(Vec::new());
            }
        }
        true
    }

    /// Adds a node to the current group.
    fn add_node(&mut self, index: usize, fused: &[&'static str]) {
        if let (Some(group), Some(nodes)) = (self.groups.last_mut(), self.nodes.last_mut()) {
            group.fused.extend(fused.iter().map(ToString::to_string));
            nodes.push(index);
        }
    }

    fn finish(self) -> Result<Plan> {
        let Self { graph, target, lowered, mut groups, nodes } = self;
        for (name, value) in graph.outputs() {
            if matches!(graph.value(graph.view_base(*value)).role, Role::Persistent(_)) {
                return Err(Error::argument(
                    name,
                    "a persistent value, or a view of one, cannot be an output; read it by its name",
                ));
            }
        }
        let named = |id: ValueId, name: &str| NamedValue {
            name: name.to_owned(),
            ty: graph.value(id).ty.clone(),
            storage: lowered.storage_of[&id],
            labels: labels(graph, id),
        };
        let outputs: Vec<NamedValue> = graph.outputs().iter().map(|(name, v)| named(*v, name)).collect();
        let inputs =
            graph.values().filter(|(_, v)| v.role == Role::Input).map(|(id, v)| named(id, &v.name)).collect();
        let persistent = graph
            .values()
            .filter_map(|(id, v)| match &v.role {
                Role::Persistent(p) => {
                    Some(PersistentValue { value: named(id, &v.name), persistence: p.clone() })
                }
                _ => None,
            })
            .collect();
        let sums = exchange::nodes_by_exchange(graph).into_iter();
        let sums = sums.map(|nodes| {
            nodes.into_iter().map(|i| lowered.storage_of[&graph.nodes()[i].outputs[0]]).collect()
        });
        let sums: Vec<Vec<StorageId>> = sums.collect();
        let Lowered { mut storages, mut launches, .. } = lowered;
        traffic::set_min_bytes(graph, &mut groups, &nodes, &launches);
        if target.fuse {
            moments_fusion::fuse(&mut storages, &mut launches, &mut groups, target);
            horizontal_fusion::fuse(&mut storages, &mut launches, &mut groups, target);
            // These need the contiguous operands that horizontal fusion makes.
            if sums.is_empty() {
                // It would hold back gradients that other ranks wait for.
                slice_sum_fusion::fuse(&storages, &mut launches, &mut groups, target);
            }
            range_fusion::fuse(&storages, &mut launches, &mut groups, target);
        }
        let kept: Vec<StorageId> = outputs.iter().map(|p| p.storage).collect();
        let slots = memory::assign_slots(&mut storages, &launches, &kept);
        let exchanges = exchange::schedule(&storages, &launches, sums);
        let (dispatches, submissions) = submissions::divide(&launches, &groups, &exchanges, target);
        let plan = Plan {
            storages,
            slots,
            launches,
            groups,
            dispatches,
            submissions,
            exchanges,
            inputs,
            outputs,
            persistent,
        };
        limits::check(&plan, target)?;
        Ok(plan)
    }
}

/// The labels accepted by every operation that reads a value as labels.
fn labels(graph: &Graph, value: ValueId) -> Option<Labels> {
    let takes = |node: &Node| node.inputs.get(Labels::INPUT).is_some_and(|v| graph.view_base(*v) == value);
    let of = |node: &Node| {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|v| graph.shape(*v)).collect();
        node.op.labels(&shapes)
    };
    graph.nodes().iter().filter(|node| takes(node)).map(of).fold(None, Labels::intersection)
}

/// Whether node `index` may compute `output` in the storage of `state`: `output` is the new value of `state`, the node reads
/// `state` only once, and nothing later reads the old contents.
fn can_replace(graph: &Graph, index: usize, state: ValueId, output: ValueId) -> bool {
    let nodes = graph.nodes();
    graph.updates().contains(&(state, output))
        && nodes[index].inputs.iter().filter(|v| **v == state).count() == 1
        && !nodes[index + 1..].iter().any(|n| n.inputs.contains(&state))
        && !nodes[..index].iter().any(|n| n.op.is_view() && n.inputs.contains(&state))
}

/// Whether a node is a sum over ranks that may replace its input, because only this node needs the input.
fn can_sum_in_place(graph: &Graph, node: &Node) -> bool {
    let input = node.inputs[0];
    let reads = |n: &Node| n.inputs.iter().filter(|v| **v == input).count();
    matches!(node.op, Op::AllReduce(_))
        && matches!(graph.value(input).role, Role::Computed { .. })
        && graph.view_base(input) == input
        && graph.nodes().iter().map(reads).sum::<usize>() == 1
        && graph.outputs().iter().all(|(_, v)| *v != input)
        && graph.updates().iter().all(|(_, v)| *v != input)
}

/// The persistent value that `output` replaces, if no node reads it.
fn unread_state(graph: &Graph, output: ValueId) -> Option<ValueId> {
    let read = |state| graph.nodes().iter().any(|n| n.inputs.contains(&state));
    graph.updates().iter().find(|(state, value)| *value == output && !read(*state)).map(|(state, _)| *state)
}
