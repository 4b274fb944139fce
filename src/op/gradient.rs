//! What an operation's gradient rule sees.

use super::Op;
use crate::{Error, Result, TensorType};

/// A value of a [`Graph`](crate::graph::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Its index among the graph's values.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One node of a graph, the gradients of its outputs, and a place for those of its inputs. The graph implements it.
pub trait Gradient {
    /// Number of inputs; some are optional.
    fn inputs(&self) -> usize;

    /// The node's i-th input.
    fn input(&self, i: usize) -> ValueId;

    /// Shape of the node's i-th input.
    fn input_shape(&self, i: usize) -> Vec<usize>;

    /// The node's i-th output.
    fn output(&self, i: usize) -> ValueId;

    /// Type of any value.
    fn ty(&self, value: ValueId) -> &TensorType;

    /// The gradient with respect to the first output, the only one that most operations pass gradients through. Fails if
    /// another output has one.
    fn grad_output(&self) -> Result<ValueId>;

    /// Whether the gradient with respect to the i-th input is needed.
    fn needs(&self, i: usize) -> bool;

    /// Adds a node in the differentiated node's scope.
    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>>;

    /// Sets the gradient with respect to the i-th input.
    fn set(&mut self, i: usize, gradient: ValueId);

    /// An error that names the operation and its scope.
    fn error(&self, problem: &str) -> Error;
}
