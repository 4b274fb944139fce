//! Reverse-mode differentiation as a graph transformation: gradients are ordinary nodes.

use super::{Graph, Node, Phase, ValueId};
use crate::op::{Add, Gradient, Op, Relu};
use crate::{Error, Result, TensorType};

impl Graph {
    /// Adds the nodes that compute gradients with respect to `wrt` from the gradients of a loss with respect to the `upstream`
    /// values. Any value can be in `wrt`: inputs, parameters or activations. The gradient is `None` for values without influence, and
    /// summed over all uses of a value.
    ///
    /// Nodes get the scope of the node they differentiate. Fails if an operation on the path has no gradient, or an upstream gradient
    /// does not have the shape of its value.
    pub fn gradients(
        &mut self,
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
    ) -> Result<Vec<Option<ValueId>>> {
        self.gradients_by(ReluRule::Exact, upstream, wrt)
    }

    /// Like [`Self::gradients`], with a given rule for ReLUs.
    pub fn gradients_by(
        &mut self,
        rule: ReluRule,
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
    ) -> Result<Vec<Option<ValueId>>> {
        self.backward(upstream, wrt, &mut |graph, node, mut grad_outputs, needs| {
            if let (ReluRule::Guided, Op::Relu(_), Some(gradient)) = (rule, &node.op, &mut grad_outputs[0]) {
                *gradient = graph.apply(Relu, &[*gradient])?[0];
            }
            graph.grad_inputs(node, grad_outputs, needs)
        })
    }

    /// Passes the `upstream` values back through the nodes, by the rule of `step`, and returns what arrives at `wrt`.
    pub(super) fn backward(
        &mut self,
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
        step: &mut Step<'_>,
    ) -> Result<Vec<Option<ValueId>>> {
        for (value, gradient) in upstream {
            let (a, b) = (&self.value(*value).ty, &self.value(*gradient).ty);
            if a != b {
                let problem =
                    format!("a value of shape {:?} was given a gradient of shape {:?}", a.shape, b.shape);
                return Err(self.shape_error("gradient", problem));
            }
        }
        let needed = self.dependents(wrt);
        let mut sweep = Sweep { gradients: vec![Vec::new(); self.values.len()], needed };
        for (value, gradient) in upstream {
            sweep.gradients[value.index()].push(*gradient);
        }
        for index in (0..self.nodes.len()).rev() {
            let node = self.nodes[index].clone();
            if node.inputs.iter().any(|v| sweep.needed[v.index()]) {
                self.pass_back(&node, &mut sweep, step)?;
            }
        }
        wrt.iter().map(|v| self.total(&mut sweep, *v)).collect()
    }

    /// For each value, whether it depends on `wrt`.
    fn dependents(&self, wrt: &[ValueId]) -> Vec<bool> {
        let mut depends = vec![false; self.values.len()];
        for v in wrt {
            depends[v.index()] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|v| depends[v.index()]) {
                for v in &node.outputs {
                    depends[v.index()] = true;
                }
            }
        }
        depends
    }

    /// Passes gradients from the outputs of a node to its inputs, with nodes in its scope.
    fn pass_back(&mut self, node: &Node, sweep: &mut Sweep, step: &mut Step<'_>) -> Result<()> {
        let outer = std::mem::replace(&mut self.scope, node.scope.clone());
        let result = self.in_phase(Phase::Backward, |graph| {
            let outputs = node.outputs.iter().map(|v| graph.total(sweep, *v));
            let grad_outputs = outputs.collect::<Result<Vec<Option<ValueId>>>>()?;
            if grad_outputs.iter().all(Option::is_none) {
                return Ok(());
            }
            let needs = node.inputs.iter().map(|v| sweep.needed[v.index()]).collect();
            let grad_inputs = step(graph, node, grad_outputs, needs)?;
            for (value, gradient) in node.inputs.iter().zip(grad_inputs) {
                sweep.gradients[value.index()].extend(gradient);
            }
            Ok(())
        });
        self.leave(outer);
        result
    }

    /// Adds the nodes that compute the gradients of a node's inputs.
    pub(super) fn grad_inputs(
        &mut self,
        node: &Node,
        grad_outputs: Vec<Option<ValueId>>,
        needs: Vec<bool>,
    ) -> Result<Vec<Option<ValueId>>> {
        let grad_inputs = vec![None; node.inputs.len()];
        let mut gradient = NodeGradient { graph: self, node, grad_outputs, needs, grad_inputs };
        node.op.gradient(&mut gradient)?;
        Ok(gradient.grad_inputs)
    }

    /// The sum of a value's gradients so far.
    fn total(&mut self, sweep: &mut Sweep, value: ValueId) -> Result<Option<ValueId>> {
        let parts = &mut sweep.gradients[value.index()];
        let Some(mut total) = parts.first().copied() else { return Ok(None) };
        for part in &parts[1..] {
            total = self.apply(Add, &[total, *part])?[0];
        }
        *parts = vec![total];
        Ok(Some(total))
    }
}

/// How a gradient passes through a ReLU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReluRule {
    /// The derivative: passes where the ReLU's input is above 0 or NaN.
    #[default]
    Exact,
    /// Additionally drops negative gradients: guided backpropagation (Springenberg et al. 2014, "Striving for simplicity").
    Guided,
}

/// State of a backward sweep.
struct Sweep {
    /// For each value, the gradients that have arrived and are not summed yet.
    gradients: Vec<Vec<ValueId>>,
    /// For each value, whether its gradient is needed.
    needed: Vec<bool>,
}

/// The rule of a backward sweep: from a node, the gradients of its outputs, and which inputs need one, to those of its inputs.
pub(super) type Step<'a> =
    dyn FnMut(&mut Graph, &Node, Vec<Option<ValueId>>, Vec<bool>) -> Result<Vec<Option<ValueId>>> + 'a;

/// The [`Gradient`] of one node.
struct NodeGradient<'a> {
    graph: &'a mut Graph,
    node: &'a Node,
    grad_outputs: Vec<Option<ValueId>>,
    needs: Vec<bool>,
    grad_inputs: Vec<Option<ValueId>>,
}

impl Gradient for NodeGradient<'_> {
    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn input(&self, i: usize) -> ValueId {
        self.node.inputs[i]
    }

    fn input_shape(&self, i: usize) -> Vec<usize> {
        self.graph.shape(self.node.inputs[i]).to_vec()
    }

    fn output(&self, i: usize) -> ValueId {
        self.node.outputs[i]
    }

    fn ty(&self, value: ValueId) -> &TensorType {
        &self.graph.value(value).ty
    }

    fn grad_output(&self) -> Result<ValueId> {
        match self.grad_outputs[..] {
            [Some(gradient)] => Ok(gradient),
            [Some(gradient), ref rest @ ..] if rest.iter().all(Option::is_none) => Ok(gradient),
            _ => Err(self.error(
                "only the first output of this operation passes gradients; remove the loss's dependence on the others",
            )),
        }
    }

    fn needs(&self, i: usize) -> bool {
        self.needs.get(i).copied().unwrap_or(false)
    }

    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        self.graph.apply(op, inputs)
    }

    fn set(&mut self, i: usize, gradient: ValueId) {
        self.grad_inputs[i] = Some(gradient);
    }

    fn error(&self, problem: &str) -> Error {
        self.graph.shape_error(self.node.op.name(), problem.to_owned())
    }
}
