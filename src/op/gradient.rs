//! The interface for the gradient rule of an operation.

use super::Op;
use crate::{Error, Result, TensorType};

/// A value of a [`Graph`](crate::graph::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Index among the values of the graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node of the graph during differentiation: its inputs and outputs, and their gradients. Implemented by the graph.
pub trait Gradient {
    /// Number of inputs, optional ones included.
    fn inputs(&self) -> usize;

    /// The node's i-th input.
    fn input(&self, i: usize) -> ValueId;

    /// Shape of the node's i-th input.
    fn input_shape(&self, i: usize) -> Vec<usize>;

    /// The node's i-th output.
    fn output(&self, i: usize) -> ValueId;

    /// Type of any value.
    fn ty(&self, value: ValueId) -> &TensorType;

    /// The gradient with respect to the first output. Fails if another output has a gradient, which most operations do not
    /// pass on.
    fn grad_output(&self) -> Result<ValueId>;

    /// Whether the gradient with respect to the i-th input is needed.
    fn needs(&self, i: usize) -> bool;

    /// Adds a node in the differentiated node's scope.
    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>>;

    /// Sets the gradient with respect to the i-th input.
    fn set(&mut self, i: usize, gradient: ValueId);

    /// Adds a node and sets the gradients with respect to input `first` and those after it to its outputs.
    fn set_to(&mut self, first: usize, op: impl Into<Op>, inputs: &[ValueId]) -> Result<()> {
        for (i, gradient) in self.apply(op, inputs)?.into_iter().enumerate() {
            self.set(first + i, gradient);
        }
        Ok(())
    }

    /// An error that names the operation and its scope.
    fn error(&self, problem: &str) -> Error;
}
