//! Reverse-mode differentiation as a transformation of the graph: gradients are ordinary nodes.

use super::{Graph, Node, Phase, ValueId};
use crate::op::{Add, Gradient, Op, Operation, Relu};
use crate::{Error, Result, TensorType};

impl Graph {
    /// Adds the nodes that compute, from the gradients of some loss with respect to `upstream` values, its
    /// gradients with respect to each of `wrt`: inputs, parameters or values in between. `None` where a
    /// value has no influence. A value used many times gets the sum over its uses.
    ///
    /// Each new node keeps the scope of the node it differentiates. Fails when an op on the way has no
    /// gradient, or when an upstream gradient has another shape than its value.
    pub fn gradients(
        &mut self,
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
    ) -> Result<Vec<Option<ValueId>>> {
        self.gradients_by(ReluRule::Exact, upstream, wrt)
    }

    /// The same with a rule for ReLUs.
    pub fn gradients_by(
        &mut self,
        rule: ReluRule,
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
    ) -> Result<Vec<Option<ValueId>>> {
        for (value, gradient) in upstream {
            let (a, b) = (&self.value(*value).ty, &self.value(*gradient).ty);
            if a != b {
                let problem =
                    format!("a value of shape {:?} was given a gradient of shape {:?}", a.shape, b.shape);
                return Err(self.shape_error("gradient", problem));
            }
        }
        let needed = self.influenced_by(wrt);
        let mut sweep = Sweep { gradients: vec![Vec::new(); self.values.len()], needed, rule };
        for (value, gradient) in upstream {
            sweep.gradients[value.index()].push(*gradient);
        }
        for index in (0..self.nodes.len()).rev() {
            let node = self.nodes[index].clone();
            if node.inputs.iter().any(|v| sweep.needed[v.index()]) {
                self.differentiate(&node, &mut sweep)?;
            }
        }
        wrt.iter().map(|v| self.total(&mut sweep, *v)).collect()
    }

    /// For each value, whether a change of `wrt` can change it.
    fn influenced_by(&self, wrt: &[ValueId]) -> Vec<bool> {
        let mut influenced = vec![false; self.values.len()];
        for v in wrt {
            influenced[v.index()] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|v| influenced[v.index()]) {
                for v in &node.outputs {
                    influenced[v.index()] = true;
                }
            }
        }
        influenced
    }

    fn differentiate(&mut self, node: &Node, sweep: &mut Sweep) -> Result<()> {
        let (scope, phase) = (self.scope.clone(), self.phase);
        self.scope = node.scope.clone();
        self.phase = Phase::Backward;
        let result = self.differentiate_in_scope(node, sweep);
        self.scope = scope;
        self.phase = phase;
        result
    }

    fn differentiate_in_scope(&mut self, node: &Node, sweep: &mut Sweep) -> Result<()> {
        let mut grad_outputs =
            node.outputs.iter().map(|v| self.total(sweep, *v)).collect::<Result<Vec<Option<ValueId>>>>()?;
        if grad_outputs.iter().all(Option::is_none) {
            return Ok(());
        }
        if let (ReluRule::Guided, Op::Relu(_), Some(gradient)) = (sweep.rule, &node.op, &mut grad_outputs[0])
        {
            *gradient = self.apply(Relu, &[*gradient])?[0];
        }
        let needs = node.inputs.iter().map(|v| sweep.needed[v.index()]).collect();
        let grad_inputs = vec![None; node.inputs.len()];
        let mut gradient = NodeGradient { graph: self, node, grad_outputs, needs, grad_inputs };
        node.op.gradient(&mut gradient)?;
        for (value, gradient) in node.inputs.iter().zip(gradient.grad_inputs) {
            if let Some(gradient) = gradient {
                sweep.gradients[value.index()].push(gradient);
            }
        }
        Ok(())
    }

    /// The sum of all gradients that reached a value so far.
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

/// What a ReLU does with the gradient that reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReluRule {
    /// It passes where the ReLU's input is above 0, or NaN: the derivative.
    #[default]
    Exact,
    /// Of that it passes only what is above 0: guided backpropagation (Springenberg et al. 2014, "Striving for simplicity").
    Guided,
}

/// State of one walk from the outputs back.
struct Sweep {
    /// By value: gradients that arrived and are not summed yet.
    gradients: Vec<Vec<ValueId>>,
    /// By value: whether anything asked for depends on its gradient.
    needed: Vec<bool>,
    rule: ReluRule,
}

/// What the gradient rule of a node's operation sees.
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
            _ => {
                Err(self.error("only its first output passes gradients on; let the loss depend on no other"))
            }
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
