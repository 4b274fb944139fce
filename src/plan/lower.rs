//! From a graph to launches: assigns storages to values, lowers each node, and groups the launches.

use super::algorithm::{self, Requested};
use super::{
    Group, Launch, NamedValue, NodeLowering, PersistentValue, Placement, Plan, Storage, Target,
    horizontal_fusion, limits, memory, traffic,
};
use crate::graph::{Graph, Node, Phase, Role, ValueId};
use crate::kernel::{self, Elementwise, Grid, Kernel, Params, StorageId};
use crate::op::{Labels, Operation};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn lower(graph: &Graph, target: &Target) -> Result<Plan> {
    let live = graph.live_nodes();
    let mut builder = Builder {
        target,
        storages: Vec::new(),
        storage_of_value: vec![None; graph.values().count()],
        launches: Vec::new(),
        groups: Vec::new(),
        nodes: Vec::new(),
        ranges: HashMap::new(),
    };
    builder.allocate_inputs_and_state(graph);
    let mut requested = Requested::new(target);
    for (index, node) in graph.nodes().iter().enumerate().filter(|(i, _)| live[*i]) {
        builder.allocate_outputs(graph, &live, index)?;
        let start = builder.launches.len();
        let tuned = algorithm::shape_class(graph, node).and_then(|class| target.tuned_for(&class));
        let target = tuned.as_ref().unwrap_or(target);
        algorithm::lower(&node.op, &mut NodeLowering { builder: &mut builder, graph, node, target })?;
        requested.observe(&node.op, &builder.launches[start..]);
        if builder.close_group(&node.scope, node.phase, graph.shape(node.outputs[0]), start) {
            builder.add_node(index, node.op.fused());
        }
    }
    requested.check()?;
    builder.write_back_updates(graph)?;
    builder.finish(graph)
}

pub(crate) struct Builder<'a> {
    pub(super) target: &'a Target,
    pub(super) storages: Vec<Storage>,
    storage_of_value: Vec<Option<StorageId>>,
    pub(super) launches: Vec<Launch>,
    groups: Vec<Group>,
    /// Node indices by group; empty for the final copies.
    nodes: Vec<Vec<usize>>,
    /// Ranges by storage, offset and size in bytes.
    pub(super) ranges: HashMap<(StorageId, u64, u64), StorageId>,
}

impl Builder<'_> {
    pub(super) fn storage(&mut self, label: String, bytes: u64, placement: Placement) -> StorageId {
        self.storages.push(Storage { label, bytes, placement });
        StorageId(self.storages.len() as u32 - 1)
    }

    pub(super) fn storage_of(&self, value: ValueId) -> StorageId {
        self.storage_of_value[value.index()]
            .expect("nodes are in topological order, so inputs already have storage")
    }

    /// Allocates inputs and persistent values, which have their own buffers.
    fn allocate_inputs_and_state(&mut self, graph: &Graph) {
        for (id, value) in graph.values() {
            let placement = match value.role {
                Role::Input => Placement::Input,
                Role::Persistent(_) => Placement::Persistent,
                Role::Computed { .. } => continue,
            };
            self.storage_of_value[id.index()] =
                Some(self.storage(value.name.clone(), value.ty.bytes(), placement));
        }
    }

    /// Assigns storages to the outputs of a node: that of the input for a view, that of a persistent value which can be
    /// overwritten in place, or else a new one.
    fn allocate_outputs(&mut self, graph: &Graph, live: &[bool], index: usize) -> Result<()> {
        let node = &graph.nodes()[index];
        for (o, output) in node.outputs.iter().enumerate() {
            let shared = if node.op.is_view() {
                Some(node.inputs[0])
            } else {
                let input =
                    node.op.in_place().iter().find(|(out, _)| *out == o).map(|(_, i)| node.inputs[*i]);
                let replaced = input.filter(|state| can_replace(graph, live, index, *state, *output));
                replaced.or_else(|| unread_state(graph, live, *output))
            };
            let value = graph.value(*output);
            let storage = match shared {
                Some(v) => self.storage_of(v),
                None => self.storage(value.name.clone(), value.ty.bytes(), Placement::Slot(usize::MAX)),
            };
            self.storage_of_value[output.index()] = Some(storage);
        }
        Ok(())
    }

    /// Emits copies for updates that could not be computed in place.
    fn write_back_updates(&mut self, graph: &Graph) -> Result<()> {
        let start = self.launches.len();
        for (state, value) in graph.updates() {
            let (from, to) = (self.storage_of(*value), self.storage_of(*state));
            if from == to {
                continue;
            }
            if !matches!(graph.value(view_base(graph, *value)).role, Role::Computed { .. }) {
                return Err(Error::argument(
                    graph.value(*state).name.clone(),
                    "can only be updated to a computed value, not to a view of an input or persistent value; apply an operation to it first",
                ));
            }
            copy(self, from, to)?;
        }
        self.close_group(&"".into(), Phase::Update, &[], start);
        Ok(())
    }

    /// Adds the launches since `start` to the current group, or to a new one if layer or phase changed. Returns whether there
    /// are any.
    fn close_group(&mut self, scope: &Arc<str>, phase: Phase, shape: &[usize], start: usize) -> bool {
        let end = self.launches.len();
        if start == end {
            return false;
        }
        match self.groups.last_mut() {
            Some(group) if group.scope == *scope && group.phase == phase => {
                group.launches.end = end;
                group.shape = shape.to_vec();
            }
            _ => {
                self.groups.push(Group {
                    scope: scope.clone(),
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
            group.fused.extend(fused);
            nodes.push(index);
        }
    }

    fn finish(mut self, graph: &Graph) -> Result<Plan> {
        for (name, value) in graph.outputs() {
            if matches!(graph.value(view_base(graph, *value)).role, Role::Persistent(_)) {
                return Err(Error::argument(
                    name,
                    "a persistent value, or a view of one, cannot be an output; read it by its name",
                ));
            }
        }
        let named = |id: ValueId, name: &str| NamedValue {
            name: name.to_owned(),
            ty: graph.value(id).ty.clone(),
            storage: self.storage_of(id),
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
        traffic::set_min_bytes(graph, &mut self.groups, &self.nodes, &self.launches);
        if self.target.fuse {
            horizontal_fusion::fuse(&mut self.storages, &mut self.launches, &mut self.groups, self.target);
        }
        let kept: Vec<StorageId> = outputs.iter().map(|p| p.storage).collect();
        let slots = memory::assign_slots(&mut self.storages, &self.launches, &kept);
        let plan = Plan {
            storages: self.storages,
            slots,
            launches: self.launches,
            groups: self.groups,
            inputs,
            outputs,
            persistent,
        };
        limits::check(&plan, self.target)?;
        Ok(plan)
    }
}

/// The value whose storage a value shares: itself, unless it is a view.
pub(super) fn view_base(graph: &Graph, mut value: ValueId) -> ValueId {
    while let Role::Computed { node } = graph.value(value).role
        && graph.nodes()[node].op.is_view()
    {
        value = graph.nodes()[node].inputs[0];
    }
    value
}

/// The labels that every operation which reads a value as labels accepts.
fn labels(graph: &Graph, value: ValueId) -> Option<Labels> {
    let takes = |node: &Node| node.inputs.get(Labels::INPUT).is_some_and(|v| view_base(graph, *v) == value);
    let of = |node: &Node| {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|v| graph.shape(*v)).collect();
        node.op.labels(&shapes)
    };
    graph.nodes().iter().filter(|node| takes(node)).map(of).fold(None, Labels::intersection)
}

/// Whether node `index` may compute `output` in the storage of `state`: `output` is the new value of `state`, the node reads
/// `state` only once, and nothing later reads the old contents.
fn can_replace(graph: &Graph, live: &[bool], index: usize, state: ValueId, output: ValueId) -> bool {
    let later = graph.nodes().iter().zip(live).skip(index + 1);
    graph.updates().contains(&(state, output))
        && graph.nodes()[index].inputs.iter().filter(|v| **v == state).count() == 1
        && !later.filter(|(_, live)| **live).any(|(n, _)| n.inputs.contains(&state))
        && !graph.nodes()[..index].iter().any(|n| n.op.is_view() && n.inputs.contains(&state))
}

/// The persistent value that `output` replaces, if no node reads it and `output` can be computed in place.
fn unread_state(graph: &Graph, live: &[bool], output: ValueId) -> Option<ValueId> {
    let read = |state| graph.nodes().iter().zip(live).any(|(n, live)| *live && n.inputs.contains(&state));
    graph.updates().iter().find(|(state, value)| *value == output && !read(*state)).map(|(state, _)| *state)
}

pub(super) fn copy(builder: &mut Builder, from: StorageId, to: StorageId) -> Result<()> {
    let params = |len| Elementwise { len, ..Default::default() };
    builder.launch_elementwise(&kernel::COPY, params, &[from], &[to], 0, false)
}

pub(super) fn launch<P: Params>(
    builder: &Builder,
    kernel: &'static Kernel,
    params: &P,
    reads: &[StorageId],
    writes: &[StorageId],
    grid: Grid,
) -> Result<Launch> {
    assert_eq!(P::LAYOUT.name, kernel.params.name, "{} takes different parameters", kernel.name);
    assert_eq!((reads.len(), writes.len()), (kernel.reads, kernel.writes), "bindings of {}", kernel.name);
    let target = builder.target;
    if kernel.threads > target.max_invocations
        || (kernel.reads + kernel.writes) as u32 > target.max_storage_buffers
    {
        return Err(Error::TooLarge(format!(
            "kernel {} needs workgroups of {} and {} storage buffers, but the device offers {} and {}; use another device",
            kernel.name,
            kernel.threads,
            kernel.reads + kernel.writes,
            target.max_invocations,
            target.max_storage_buffers
        )));
    }
    let mut touched: Vec<StorageId> = reads.iter().chain(writes).copied().collect();
    touched.sort();
    touched.dedup();
    Ok(Launch {
        kernel,
        params: bytemuck::cast_slice(std::slice::from_ref(params)).to_vec(),
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        workgroups: grid.workgroups(kernel, target.max_workgroups)?,
        flops: 0,
        bytes: touched.iter().map(|s| builder.storages[s.index()].bytes).sum(),
    })
}
