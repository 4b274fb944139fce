//! A static graph of typed values: what is computed.
//!
//! A graph is built once for a batch shape. The forward pass, the backward pass ([`Graph::gradients`]) and the optimizer update
//! are nodes of the same graph. It does not say where or how they run.

mod autodiff;
mod receptive_field;
mod relevance;

use crate::op::{Op, narrow};
use crate::{Error, Result, TensorType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use crate::op::ValueId;
pub use autodiff::ReluRule;
pub use receptive_field::ReceptiveField;
pub use relevance::RelevanceRules;

/// The origin of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// Given at each step.
    Input,
    /// Kept from step to step: weights, running statistics, optimizer state.
    Persistent(Persistence),
    /// The output of a node.
    Computed {
        /// Index of the node in [`Graph::nodes`].
        node: usize,
    },
}

/// The purpose and initialization of a persistent value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Persistence {
    /// Its purpose.
    pub kind: PersistentKind,
    /// Initial contents.
    pub init: Init,
}

/// The purpose of a persistent value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersistentKind {
    /// Learned by gradient descent.
    Parameter,
    /// Part of the model, but not learned: running statistics.
    Buffer,
    /// Optimizer state, which is not part of the model.
    Optimizer,
}

/// Initial contents of a persistent value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Normal distribution with mean 0.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// Uniform distribution over [-bound, bound).
    Uniform {
        /// The bound.
        bound: f32,
    },
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Shape and element type.
    pub ty: TensorType,
    /// `layer1.0.conv1.weight` for persistent values; scope and operation for computed ones.
    pub name: String,
    /// Its origin.
    pub role: Role,
}

/// The part of a training step that a node belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the inputs to the outputs.
    #[default]
    Forward,
    /// Activations that were not kept, recomputed for the backward pass.
    Recompute,
    /// Gradients.
    Backward,
    /// Updates of parameters and running statistics.
    Update,
}

impl Phase {
    /// `forward`, `recompute`, `backward` or `update`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Recompute => "recompute",
            Phase::Backward => "backward",
            Phase::Update => "update",
        }
    }
}

/// One application of an operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its inputs.
    pub inputs: Vec<ValueId>,
    /// Its outputs.
    pub outputs: Vec<ValueId>,
    /// The layer it belongs to: `layer1.0.conv1`.
    pub scope: Arc<str>,
    /// The part of a step it belongs to.
    pub phase: Phase,
}

/// A static graph of typed values and operations.
///
/// ```
/// use striate::graph::Graph;
/// use striate::op::Relu;
/// use striate::TensorType;
///
/// let mut graph = Graph::new();
/// let x = graph.input("x", TensorType::f32([2, 3]))?;
/// let y = graph.apply(Relu, &[x])?[0];
/// let grad_y = graph.input("grad_y", TensorType::f32([2, 3]))?;
/// let grad_x = graph.gradients(&[(y, grad_y)], &[x])?[0];
/// assert!(grad_x.is_some());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<(String, ValueId)>,
    updates: Vec<(ValueId, ValueId)>,
    scope: Arc<str>,
    phase: Phase,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that is given at each step. Fails if a size is 0 or the name is taken.
    pub fn input(&mut self, name: &str, ty: TensorType) -> Result<ValueId> {
        self.check_elements("input", name, &ty)?;
        if self.values.iter().any(|v| v.role == Role::Input && v.name == name) {
            return Err(Error::argument(name, "an input with this name already exists; choose another"));
        }
        Ok(self.push_value(ty, name.to_owned(), Role::Input))
    }

    /// Adds a value that is kept from step to step. Its name is prefixed by the current scope: `layer1.0.conv1` + `weight`. Fails if
    /// the full name is taken.
    pub fn persistent(
        &mut self,
        name: &str,
        ty: TensorType,
        kind: PersistentKind,
        init: Init,
    ) -> Result<ValueId> {
        let full = if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) };
        if self.find_persistent(&full).is_some() {
            let problem = "a parameter with this name already exists; use another scope";
            return Err(Error::argument(full, problem));
        }
        self.check_elements("parameter", name, &ty)?;
        Ok(self.push_value(ty, full, Role::Persistent(Persistence { kind, init })))
    }

    /// Adds a node and returns its outputs. Fails if the inputs do not fit; the error names operation, scope and shapes.
    pub fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        let op = op.into();
        let types: Vec<&TensorType> = inputs.iter().map(|v| &self.value(*v).ty).collect();
        let outputs = op.infer(&types).map_err(|problem| self.shape_error(op.name(), problem))?;
        outputs.iter().try_for_each(|ty| self.check_elements(op.name(), "the result", ty))?;
        let outputs = self.add_results(&self.scope.clone(), &op, outputs, self.nodes.len());
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            scope: self.scope.clone(),
            phase: self.phase,
        });
        Ok(outputs)
    }

    /// Declares a value to be read back after each step.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.outputs.push((name.to_owned(), value));
    }

    /// Removes all outputs.
    pub(crate) fn clear_outputs(&mut self) {
        self.outputs.clear();
    }

    /// Declares the value that a persistent value takes after the step. Fails if `state` is not persistent, has another type or is
    /// updated already.
    pub fn update(&mut self, state: ValueId, value: ValueId) -> Result<()> {
        if !matches!(self.value(state).role, Role::Persistent(_)) {
            let name = self.value(state).name.clone();
            return Err(Error::argument(name, "only persistent values can be updated"));
        }
        let (old, new) = (&self.value(state).ty, &self.value(value).ty);
        if old != new {
            let problem = format!("a value of shape {:?} cannot become {:?}", old.shape, new.shape);
            return Err(self.shape_error("update", problem));
        }
        if self.updates.iter().any(|(other, _)| *other == state) {
            let name = self.value(state).name.clone();
            return Err(Error::argument(name, "is already updated; a step can update each value only once"));
        }
        self.updates.push((state, value));
        Ok(())
    }

    /// Removes all updates declared so far and returns them.
    pub(crate) fn take_updates(&mut self) -> Vec<(ValueId, ValueId)> {
        std::mem::take(&mut self.updates)
    }

    /// Runs `build` inside a scope nested in the current one.
    pub fn scoped<R>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        let outer = self.enter(name);
        let result = build(self);
        self.leave(outer);
        result
    }

    /// Enters a scope nested in the current one, and returns the outer one for [`Self::leave`].
    pub(crate) fn enter(&mut self, name: &str) -> Arc<str> {
        let inner = if self.scope.is_empty() { name.into() } else { format!("{}.{name}", self.scope).into() };
        std::mem::replace(&mut self.scope, inner)
    }

    /// Returns to the scope that [`Self::enter`] returned.
    pub(crate) fn leave(&mut self, outer: Arc<str>) {
        self.scope = outer;
    }

    /// Runs `build`; its nodes belong to `phase`.
    pub fn in_phase<R>(&mut self, phase: Phase, build: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.phase, phase);
        let result = build(self);
        self.phase = outer;
        result
    }

    /// Type, name and role of a value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Shape of a value.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.value(id).ty.shape
    }

    /// All values, in order of creation.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().map(|(i, v)| (ValueId(i as u32), v))
    }

    /// All nodes; each comes after those it depends on.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Names and values that are read back after each step.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// Pairs of a persistent value and its new value.
    pub fn updates(&self) -> &[(ValueId, ValueId)] {
        &self.updates
    }

    /// The learned parameters, in order of creation.
    pub fn parameters(&self) -> Vec<ValueId> {
        let learned =
            |v: &Value| matches!(&v.role, Role::Persistent(p) if p.kind == PersistentKind::Parameter);
        self.values().filter(|(_, v)| learned(v)).map(|(id, _)| id).collect()
    }

    /// Parameters and buffers such as running statistics, in order of creation.
    pub fn model_state(&self) -> Vec<ValueId> {
        let kept = |v: &Value| matches!(&v.role, Role::Persistent(p) if p.kind != PersistentKind::Optimizer);
        self.values().filter(|(_, v)| kept(v)).map(|(id, _)| id).collect()
    }

    /// The persistent value with this full name.
    pub fn find_persistent(&self, name: &str) -> Option<ValueId> {
        self.values().find(|(_, v)| matches!(v.role, Role::Persistent(_)) && v.name == name).map(|(id, _)| id)
    }

    /// The graph without nodes that no output or update depends on.
    pub(crate) fn without_dead_nodes(&self) -> Self {
        let mut needed = vec![false; self.values.len()];
        for v in self.outputs.iter().map(|(_, v)| v).chain(self.updates.iter().map(|(_, v)| v)) {
            needed[v.index()] = true;
        }
        let mut live = Vec::new();
        for node in self.nodes.iter().rev().cloned() {
            if node.outputs.iter().any(|v| needed[v.index()]) {
                node.inputs.iter().for_each(|v| needed[v.index()] = true);
                live.push(node);
            }
        }
        live.reverse();
        self.with_nodes(live)
    }

    /// The value whose memory a value shares: itself, unless it is a view.
    pub(crate) fn view_base(&self, mut value: ValueId) -> ValueId {
        while let Role::Computed { node } = self.value(value).role
            && self.nodes[node].op.is_view()
        {
            value = self.nodes[node].inputs[0];
        }
        value
    }

    /// The graph with the same values, outputs and updates but other nodes, which must be in topological order.
    pub(crate) fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        let mut graph = self.clone();
        for (index, node) in nodes.iter().enumerate() {
            for output in &node.outputs {
                graph.values[output.index()].role = Role::Computed { node: index };
            }
        }
        graph.nodes = nodes;
        graph
    }

    /// A new value with the type, name and role of another, for a node of [`Self::with_nodes`].
    pub(crate) fn new_like(&mut self, value: ValueId) -> ValueId {
        let Value { ty, name, role } = self.value(value).clone();
        self.push_value(ty, name, role)
    }

    /// An [`Error::Shape`] for an operation in the current scope.
    pub(crate) fn shape_error(&self, op: &str, problem: String) -> Error {
        Error::Shape { op: op.to_owned(), scope: self.scope.to_string(), problem }
    }

    /// Fails if a tensor is empty or has more elements than kernels can count.
    fn check_elements(&self, op: &str, what: &str, ty: &TensorType) -> Result<()> {
        let problem = match narrow("elements", ty.len()) {
            Ok(1..) => return Ok(()),
            Ok(0) => "every size, the batch included, must be at least 1".to_owned(),
            Err(problem) => problem,
        };
        Err(self.shape_error(op, format!("{what} has shape {:?}; {problem}", ty.shape)))
    }

    /// Adds the output values of a node that is, or will be, at index `node`.
    pub(crate) fn add_results(
        &mut self,
        scope: &str,
        op: &Op,
        types: Vec<TensorType>,
        node: usize,
    ) -> Vec<ValueId> {
        let name = format!("{scope}{}{}", if scope.is_empty() { "" } else { "/" }, op.name());
        let role = Role::Computed { node };
        types.into_iter().map(|ty| self.push_value(ty, name.clone(), role.clone())).collect()
    }

    fn push_value(&mut self, ty: TensorType, name: String, role: Role) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { ty, name, role });
        id
    }
}
