//! From a graph to launches: values get storages, ops emit launches, launches form groups.

use super::algorithm::{self, Requested, sum_slices};
use super::{
    ALIGNED, Group, Launch, PersistentPort, Place, Plan, Port, Storage, Target, gather, least, memory,
};
use crate::graph::{Graph, Node, Phase, Role, ValueId};
use crate::kernel::{self, Elementwise, Grid, Kernel, Params, StorageId};
use crate::op::{Labels, Lowering, Operation, word};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn lower(graph: &Graph, target: &Target) -> Result<Plan> {
    let live = graph.live_nodes();
    let mut builder = Builder {
        target,
        storages: Vec::new(),
        of_value: vec![None; graph.values().count()],
        launches: Vec::new(),
        groups: Vec::new(),
        nodes: Vec::new(),
        parts: HashMap::new(),
    };
    builder.place_given_values(graph);
    let mut requested = Requested::new(target);
    for (index, node) in graph.nodes().iter().enumerate().filter(|(i, _)| live[*i]) {
        builder.place_outputs(graph, &live, index)?;
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
    of_value: Vec<Option<StorageId>>,
    pub(super) launches: Vec<Launch>,
    groups: Vec<Group>,
    /// Indices of each group's nodes; none for the copies at the end.
    nodes: Vec<Vec<usize>>,
    /// Parts of storages by the storage, and where in it they start and how long they are, in bytes.
    pub(super) parts: HashMap<(StorageId, u64, u64), StorageId>,
}

impl Builder<'_> {
    pub(super) fn storage(&mut self, label: String, bytes: u64, place: Place) -> StorageId {
        self.storages.push(Storage { label, bytes, place });
        StorageId(self.storages.len() as u32 - 1)
    }

    fn of(&self, value: ValueId) -> StorageId {
        self.of_value[value.index()].expect("a node's inputs are placed before it: nodes are in order")
    }

    /// Inputs and persistent values have buffers of their own.
    fn place_given_values(&mut self, graph: &Graph) {
        for (id, value) in graph.values() {
            let place = match value.role {
                Role::Input => Place::Input,
                Role::Persistent(_) => Place::Persistent,
                Role::Computed { .. } => continue,
            };
            self.of_value[id.index()] = Some(self.storage(value.name.clone(), value.ty.bytes(), place));
        }
    }

    /// Gives a node's outputs storages: their own, that of the input they view, or that of the persistent
    /// value they replace: one that the node updates in place, or one that nothing reads.
    fn place_outputs(&mut self, graph: &Graph, live: &[bool], index: usize) -> Result<()> {
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
                Some(v) => self.of(v),
                None => self.storage(value.name.clone(), value.ty.bytes(), Place::Slot(usize::MAX)),
            };
            self.of_value[output.index()] = Some(storage);
        }
        Ok(())
    }

    /// Copies the updates that could not be made in place.
    fn write_back_updates(&mut self, graph: &Graph) -> Result<()> {
        let start = self.launches.len();
        for (state, value) in graph.updates() {
            let (from, to) = (self.of(*value), self.of(*state));
            if from == to {
                continue;
            }
            if !matches!(graph.value(viewed(graph, *value)).role, Role::Computed { .. }) {
                return Err(Error::argument(
                    graph.value(*state).name.clone(),
                    "can only be updated to a computed value, of which a view is none; apply an op to it first",
                ));
            }
            copy(self, from, to)?;
        }
        self.close_group(&"".into(), Phase::Update, &[], start);
        Ok(())
    }

    /// Puts the launches since `start` into the last group, or a new one if layer or direction changed. Tells
    /// whether there are any.
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
                    least: 0,
                    fused: Vec::new(),
                });
                self.nodes.push(Vec::new());
            }
        }
        true
    }

    /// Makes a node part of the last group.
    fn add_node(&mut self, index: usize, fused: &[&'static str]) {
        if let (Some(group), Some(nodes)) = (self.groups.last_mut(), self.nodes.last_mut()) {
            group.fused.extend(fused);
            nodes.push(index);
        }
    }

    fn finish(mut self, graph: &Graph) -> Result<Plan> {
        for (name, value) in graph.outputs() {
            if matches!(graph.value(viewed(graph, *value)).role, Role::Persistent(_)) {
                return Err(Error::argument(
                    name,
                    "a persistent value, or a view of one, cannot be an output; read it by its name",
                ));
            }
        }
        let port = |id: ValueId, name: &str| Port {
            name: name.to_owned(),
            ty: graph.value(id).ty.clone(),
            storage: self.of(id),
            labels: labels(graph, id),
        };
        let outputs: Vec<Port> = graph.outputs().iter().map(|(name, v)| port(*v, name)).collect();
        let inputs =
            graph.values().filter(|(_, v)| v.role == Role::Input).map(|(id, v)| port(id, &v.name)).collect();
        let persistent = graph
            .values()
            .filter_map(|(id, v)| match &v.role {
                Role::Persistent(p) => {
                    Some(PersistentPort { port: port(id, &v.name), persistence: p.clone() })
                }
                _ => None,
            })
            .collect();
        least::find(graph, &mut self.groups, &self.nodes, &self.launches);
        if self.target.fuse {
            gather::gather(&mut self.storages, &mut self.launches, &mut self.groups, self.target);
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
        check_limits(&plan, self.target)?;
        Ok(plan)
    }
}

/// The value whose memory a value is: itself, unless it is a view.
pub(super) fn viewed(graph: &Graph, mut value: ValueId) -> ValueId {
    while let Role::Computed { node } = graph.value(value).role
        && graph.nodes()[node].op.is_view()
    {
        value = graph.nodes()[node].inputs[0];
    }
    value
}

/// What a value's elements may be for all operations that take them for labels.
fn labels(graph: &Graph, value: ValueId) -> Option<Labels> {
    let takes = |node: &Node| node.inputs.get(Labels::INPUT).is_some_and(|v| viewed(graph, *v) == value);
    let of = |node: &Node| {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|v| graph.shape(*v)).collect();
        node.op.labels(&shapes)
    };
    graph.nodes().iter().filter(|node| takes(node)).map(of).fold(None, Labels::both)
}

/// Whether node `index` may overwrite `state` with `output`: it is the state's update, the node reads the
/// state but once, and nothing that comes later wants the old contents.
fn can_replace(graph: &Graph, live: &[bool], index: usize, state: ValueId, output: ValueId) -> bool {
    let later = graph.nodes().iter().zip(live).skip(index + 1);
    graph.updates().contains(&(state, output))
        && graph.nodes()[index].inputs.iter().filter(|v| **v == state).count() == 1
        && !later.filter(|(_, live)| **live).any(|(n, _)| n.inputs.contains(&state))
        && !graph.nodes()[..index].iter().any(|n| n.op.is_view() && n.inputs.contains(&state))
}

/// The persistent value that becomes `output` and that no node reads, so that it can be computed right there.
fn unread_state(graph: &Graph, live: &[bool], output: ValueId) -> Option<ValueId> {
    let read = |state| graph.nodes().iter().zip(live).any(|(n, live)| *live && n.inputs.contains(&state));
    graph.updates().iter().find(|(state, value)| *value == output && !read(*state)).map(|(state, _)| *state)
}

fn check_limits(plan: &Plan, target: &Target) -> Result<()> {
    // What is larger than a binding is bound in parts where its operation can do so.
    let bound =
        plan.launches.iter().flat_map(Launch::storages).map(|id| (id, "binding", target.binding_limit()));
    let buffers = (0..plan.storages.len()).map(|i| (StorageId(word(i)), "buffer", target.max_buffer));
    let all = bound.chain(buffers).map(|(id, what, limit)| (&plan.storages[id.index()], what, limit));
    let room = |(storage, _, limit): &(&Storage, &str, u64)| *limit as f64 / storage.span() as f64;
    let is_kept = |(storage, ..): &(&Storage, &str, u64)| storage.place == Place::Persistent;
    // Weights that no batch helps, else what asks for the smallest one: what is advised suits the others, too.
    let worst = all
        .filter(|one| room(one) < 1.0)
        .min_by(|a, b| is_kept(b).cmp(&is_kept(a)).then(room(a).total_cmp(&room(b))));
    if let Some((storage, what, limit)) = worst {
        return Err(Error::TooLarge(format!(
            "{} takes {}, but a {what} can have at most {} here; use {}",
            storage.label,
            mib(storage.bytes),
            mib(limit),
            smaller(plan, storage, limit)
        )));
    }
    if let Some(memory) = target.memory.filter(|m| plan.peak_bytes() > *m) {
        return Err(Error::TooLarge(format!(
            "the plan takes {} of memory, but the device has {}; use a smaller batch, smaller images or a smaller model",
            mib(plan.peak_bytes()),
            mib(memory)
        )));
    }
    Ok(())
}

/// What keeps a storage within a limit.
fn smaller(plan: &Plan, storage: &Storage, limit: u64) -> String {
    if storage.place == Place::Persistent {
        return "fewer channels, features or classes".to_owned();
    }
    // Images are an input of four axes.
    let images = plan.inputs.iter().find(|port| port.ty.shape.len() == 4);
    let fitting = |port: &Port| u128::from(limit) * port.ty.shape[0] as u128 / u128::from(storage.span());
    match images.map_or(0, fitting) {
        0 => "a smaller batch or smaller images".to_owned(),
        batch => format!("a batch of at most {batch} or smaller images"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

fn copy(builder: &mut Builder, from: StorageId, to: StorageId) -> Result<()> {
    let params = |len| Elementwise { len, ..Default::default() };
    builder.launch_each(&kernel::COPY, params, &[from], &[to], 0, false)
}

pub(super) fn launch<P: Params>(
    builder: &Builder,
    kernel: &'static Kernel,
    params: &P,
    reads: &[StorageId],
    writes: &[StorageId],
    grid: Grid,
) -> Result<Launch> {
    assert_eq!(P::LAYOUT.name, kernel.params.name, "{} takes other parameters", kernel.name);
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

/// What lowering a node sees: its values, the target, and a place for launches.
pub(crate) struct NodeLowering<'a, 'b> {
    pub(super) builder: &'a mut Builder<'b>,
    graph: &'a Graph,
    node: &'a Node,
    target: &'a Target,
}

impl<'a> NodeLowering<'a, '_> {
    /// Limits and preferences.
    pub fn target(&self) -> &'a Target {
        self.target
    }
}

impl Lowering for NodeLowering<'_, '_> {
    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn input(&self, i: usize) -> StorageId {
        self.builder.of(self.node.inputs[i])
    }

    fn input_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.inputs[i]).to_vec()
    }

    fn output(&self, i: usize) -> StorageId {
        self.builder.of(self.node.outputs[i])
    }

    fn output_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.outputs[i]).to_vec()
    }

    fn scratch(&mut self, label: &str, elements: usize) -> StorageId {
        let label = format!("{} ({label})", self.graph.value(self.node.outputs[0]).name);
        self.builder.storage(label, elements as u64 * 4, Place::Slot(usize::MAX))
    }

    fn begin_in_place(&mut self, o: usize, i: usize) -> Result<StorageId> {
        let (from, to) = (self.input(i), self.output(o));
        if from != to {
            copy(self.builder, from, to)?;
        }
        Ok(to)
    }

    fn most_elements(&self) -> usize {
        self.builder.most_elements()
    }

    fn part(&mut self, of: StorageId, elements: Range<usize>) -> (StorageId, u32) {
        let before = elements.start % ALIGNED;
        (self.builder.part(of, elements.start - before..elements.end), word(before))
    }

    fn launch<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: &P,
        reads: &[StorageId],
        writes: &[StorageId],
        grid: Grid,
        flops: u64,
    ) -> Result<()> {
        let launch = launch(self.builder, kernel, params, reads, writes, grid)?;
        self.builder.launches.push(Launch { flops, ..launch });
        Ok(())
    }

    fn launch_each<P: Params>(
        &mut self,
        kernel: &'static Kernel,
        params: impl Fn(u32) -> P,
        reads: &[StorageId],
        writes: &[StorageId],
        flops: u64,
        in_place: bool,
    ) -> Result<()> {
        self.builder.launch_each(kernel, params, reads, writes, flops, in_place)
    }

    fn set_bytes(&mut self, bytes: u64) {
        if let Some(launch) = self.builder.launches.last_mut() {
            launch.bytes = bytes;
        }
    }

    fn sum_slices(
        &mut self,
        x: StorageId,
        out: StorageId,
        sizes: [usize; 2],
        scale: f32,
        accumulate: bool,
    ) -> Result<()> {
        sum_slices(self, x, out, sizes, scale, accumulate)
    }
}
