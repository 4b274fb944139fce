//! Fusion: rewrites the graph so that intermediate tensors are smaller or never reach memory.

use crate::TensorType;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{
    Add, BatchNorm, BatchNormEval, BatchNormGrad, ChannelSum, Conv2d, Conv2dGradInput, Epilogue,
    FoldBatchNorm, GradEpilogue, MaxPool, Op, Relu, ReluGrad,
};
use std::collections::{HashMap, HashSet};

/// Fuses ReLU, and the sum with a residual before it, into the preceding convolution or batch norm; folds an inference batch
/// norm into the preceding convolution; fuses the gradient of a ReLU into the gradient of a batch norm; moves the gradient of a
/// ReLU and bias sums ahead of the gradient of a max-pooling; and fuses the sum with another gradient, and the gradient of a ReLU
/// after it, into the gradient of a convolution's input. Nodes that this makes unnecessary are removed.
pub(super) fn fuse(graph: &Graph) -> Graph {
    let mut fusion = Fusion::new(graph);
    let rules = [
        Fusion::fuse_epilogue,
        Fusion::fold_batch_norm,
        Fusion::fuse_relu_grad,
        Fusion::relu_grad_before_pool_grad,
        Fusion::sum_before_pool_grad,
        Fusion::fuse_gradient_sum,
        Fusion::fuse_relu_grad_into_conv,
    ];
    for rule in rules {
        (0..fusion.nodes.len()).for_each(|index| rule(&mut fusion, index));
    }
    let nodes = topological_order(&fusion.graph, fusion.nodes);
    fusion.graph.with_nodes(nodes).without_dead_nodes()
}

struct Fusion {
    /// Owns all values. Its nodes are outdated; see `nodes`.
    graph: Graph,
    /// `None` for nodes that were fused into others.
    nodes: Vec<Option<Node>>,
    /// Index of the node that computes a value.
    producer: HashMap<ValueId, usize>,
    /// How many times a value is read, output or stored in a state.
    uses: HashMap<ValueId, usize>,
}

impl Fusion {
    fn new(graph: &Graph) -> Self {
        let nodes: Vec<Option<Node>> = graph.nodes().iter().cloned().map(Some).collect();
        let indexed = nodes.iter().flatten().enumerate();
        let producer = indexed.flat_map(|(i, node)| node.outputs.iter().map(move |v| (*v, i))).collect();
        let mut uses = HashMap::new();
        let read = nodes.iter().flatten().flat_map(|n| &n.inputs);
        let kept = graph.outputs().iter().map(|(_, v)| v);
        for value in read.chain(kept).chain(graph.updates().iter().map(|(_, v)| v)) {
            *uses.entry(*value).or_insert(0) += 1;
        }
        Self { graph: graph.clone(), nodes, producer, uses }
    }

    /// The node whose first output is `value`, if that has a single use.
    fn single_use(&self, value: ValueId) -> Option<(usize, &Node)> {
        let index = *self.producer.get(&value)?;
        let node = self.nodes[index].as_ref()?;
        (self.uses.get(&value) == Some(&1) && node.outputs[0] == value).then_some((index, node))
    }

    /// Replaces a node by a new one with the scope and phase of `like`, and returns its outputs, which are new values.
    fn replace(
        &mut self,
        index: usize,
        op: impl Into<Op>,
        inputs: Vec<ValueId>,
        like: &Node,
    ) -> Vec<ValueId> {
        let op = op.into();
        let types: Vec<&TensorType> = inputs.iter().map(|v| &self.graph.value(*v).ty).collect();
        let types = op.infer(&types).expect("rules only create operations that accept their inputs");
        let outputs = self.graph.add_results(&like.scope, &op, types, index);
        self.producer.extend(outputs.iter().map(|v| (*v, index)));
        self.nodes[index] = Some(Node { op, inputs, outputs: outputs.clone(), ..like.clone() });
        outputs
    }

    /// Whether a value depends on the outputs of a node.
    fn depends_on(&self, value: ValueId, node: usize) -> bool {
        let (mut seen, mut open) = (HashSet::new(), vec![value]);
        while let Some(value) = open.pop() {
            let Some(producer) = self.producer.get(&value) else { continue };
            if *producer == node {
                return true;
            }
            if seen.insert(*producer) {
                open.extend(self.nodes[*producer].iter().flat_map(|n| &n.inputs));
            }
        }
        false
    }

    /// The node that computes a value, and the index of that output.
    fn producer_of(&self, value: ValueId) -> Option<(&Node, usize)> {
        let node = self.nodes[*self.producer.get(&value)?].as_ref()?;
        Some((node, node.outputs.iter().position(|v| *v == value)?))
    }

    /// Fuses a ReLU, and a sum before it, into the epilogue of a convolution or batch norm.
    fn fuse_epilogue(&mut self, relu: usize) {
        let Some(Node { op: Op::Relu(Relu), inputs, outputs, .. }) = &self.nodes[relu] else { return };
        let output = outputs[0];
        let Some((before, node)) = self.single_use(inputs[0]) else { return };
        let operand_orders = match node.op {
            Op::Add(Add) => vec![[node.inputs[0], node.inputs[1]], [node.inputs[1], node.inputs[0]]],
            _ => vec![],
        };
        let with_sum = operand_orders.into_iter().find_map(|[normed, residual]| {
            let (norm, node) = self.single_use(normed)?;
            let op = with_epilogue(&node.op, Epilogue::AddRelu)?;
            // A residual that depends on this node, through its statistics for example, is not ready in time.
            (!self.depends_on(residual, norm)).then_some((norm, op, Some(residual)))
        });
        let alone = || Some((before, with_epilogue(&node.op, Epilogue::Relu)?, None));
        let Some((norm, op, residual)) = with_sum.or_else(alone) else { return };
        if residual.is_some() {
            self.nodes[before] = None;
        }
        self.nodes[relu] = None;
        if let Some(node) = &mut self.nodes[norm] {
            node.op = op;
            node.inputs.extend(residual);
            node.outputs[0] = output;
            self.producer.insert(output, norm);
        }
    }

    /// Folds a batch norm with given statistics into the preceding convolution, together with its epilogue. This replaces a pass
    /// over the activations by one over the weights.
    fn fold_batch_norm(&mut self, norm: usize) {
        let Some(Node { op: Op::BatchNormEval(BatchNormEval { eps, epilogue }), inputs, outputs, .. }) =
            &self.nodes[norm]
        else {
            return;
        };
        let Some((conv, before)) = self.single_use(inputs[0]) else { return };
        let Op::Conv2d(op @ Conv2d { epilogue: Epilogue::None, .. }) = before.op else { return };
        let (x, weight, bias) = (before.inputs[0], before.inputs[1], &before.inputs[2..]);
        let len = |value| self.graph.value(value).ty.len();
        if len(weight) >= len(outputs[0]) {
            return;
        }
        let (statistics, residual) = inputs[1..].split_at(4);
        let parts = [&[weight], statistics, bias].concat();
        let (residual, outputs, before) = (residual.to_vec(), outputs.clone(), before.clone());
        let (fold, op) = (FoldBatchNorm { eps: *eps }, Conv2d { epilogue: *epilogue, ..op });
        let folded = self.replace(conv, fold, parts, &before);
        let inputs = [vec![x], folded, residual].concat();
        self.nodes[norm] = Some(Node { op: op.into(), inputs, outputs, ..before });
    }

    /// Fuses the gradient of a ReLU into the gradient of the batch norm before it.
    fn fuse_relu_grad(&mut self, grad: usize) {
        let Some(Node { op: Op::BatchNormGrad(BatchNormGrad { eps, relu: false }), inputs, .. }) =
            &self.nodes[grad]
        else {
            return;
        };
        let (eps, own) = (*eps, inputs.clone());
        let Some((before, Node { op: Op::ReluGrad(ReluGrad), inputs, .. })) = self.single_use(inputs[3])
        else {
            return;
        };
        let [output, upstream] = [inputs[0], inputs[1]];
        let norm = self.producer.get(&output).and_then(|norm| self.nodes[*norm].as_ref());
        // With a residual, the ReLU's input is the sum, which the batch norm cannot recompute.
        let matches = norm.is_some_and(|n| {
            let expected = [n.inputs[0], n.outputs[1], n.outputs[2], own[3], n.inputs[1], n.inputs[2]];
            n.op == BatchNorm { eps, epilogue: Epilogue::Relu }.into() && own == expected
        });
        if let (true, Some(node)) = (matches, &mut self.nodes[grad]) {
            node.op = BatchNormGrad { eps, relu: true }.into();
            node.inputs[3] = upstream;
            self.nodes[before] = None;
        }
    }

    /// Applies the gradient of a ReLU before the gradient of a max-pooling, while the tensor is still small. The ReLU passes the
    /// gradient where its result is above 0, and at the argmax that result is the maximum.
    fn relu_grad_before_pool_grad(&mut self, relu: usize) {
        let Some(node @ Node { op: Op::ReluGrad(ReluGrad), inputs, .. }) = &self.nodes[relu] else { return };
        let rectified = inputs[0];
        let Some((grad, Node { op: Op::MaxPoolGrad(spread), inputs, .. })) = self.single_use(inputs[1])
        else {
            return;
        };
        let [upstream, index] = [inputs[0], inputs[1]];
        let Some((Node { op: Op::MaxPool(MaxPool { window }), inputs, outputs, .. }, 1)) =
            self.producer_of(index)
        else {
            return;
        };
        if inputs[0] != rectified || spread.window != *window {
            return;
        }
        let (maxima, spread, node) = (outputs[0], spread.clone(), node.clone());
        let passed = self.replace(grad, ReluGrad, vec![maxima, upstream], &node)[0];
        self.nodes[relu] = Some(Node { op: spread.into(), inputs: vec![passed, index], ..node });
    }

    /// Sums a gradient over all pixels before the gradient of a max-pooling scatters it among zeros.
    fn sum_before_pool_grad(&mut self, sum: usize) {
        let Some(Node { op: Op::ChannelSum(ChannelSum), inputs, .. }) = &self.nodes[sum] else { return };
        let Some((Node { op: Op::MaxPoolGrad(_), inputs, .. }, 0)) = self.producer_of(inputs[0]) else {
            return;
        };
        let upstream = inputs[0];
        if let Some(node) = &mut self.nodes[sum] {
            node.inputs[0] = upstream;
        }
    }

    /// Fuses the sum of two gradients into the epilogue of the one that is computed last, if that is the gradient of a convolution's
    /// input.
    fn fuse_gradient_sum(&mut self, add: usize) {
        let Some(Node { op: Op::Add(Add), inputs, .. }) = &self.nodes[add] else { return };
        let mut operands = [inputs[0], inputs[1]];
        operands.sort_by_key(|value| self.producer.get(value));
        let [other, gradient] = operands;
        self.fuse_into_grad_input(add, gradient, other, |epilogue| match epilogue {
            GradEpilogue::None => Some(GradEpilogue::Add),
            _ => None,
        });
    }

    /// Fuses the gradient of a ReLU into the epilogue of the gradient of a convolution's input.
    fn fuse_relu_grad_into_conv(&mut self, relu: usize) {
        let Some(Node { op: Op::ReluGrad(ReluGrad), inputs, .. }) = &self.nodes[relu] else { return };
        self.fuse_into_grad_input(relu, inputs[1], inputs[0], |epilogue| match epilogue {
            GradEpilogue::None => Some(GradEpilogue::ReluGrad),
            GradEpilogue::Add => Some(GradEpilogue::AddReluGrad),
            _ => None,
        });
    }

    /// Fuses node `last`, which reads `gradient` and `operand`, into the gradient of a convolution's input that computes `gradient`.
    fn fuse_into_grad_input(
        &mut self,
        last: usize,
        gradient: ValueId,
        operand: ValueId,
        extended: impl Fn(GradEpilogue) -> Option<GradEpilogue>,
    ) {
        let Some((conv, Node { op: Op::Conv2dGradInput(op), .. })) = self.single_use(gradient) else {
            return;
        };
        let Some(epilogue) = extended(op.epilogue) else { return };
        let op = Conv2dGradInput { epilogue, ..op.clone() };
        if self.depends_on(operand, conv) {
            return;
        }
        let Some(Node { outputs, .. }) = self.nodes[last].take() else { return };
        self.producer.insert(outputs[0], conv);
        if let Some(node) = &mut self.nodes[conv] {
            node.op = op.into();
            node.inputs.push(operand);
            node.outputs = outputs;
        }
    }
}

/// The operation with an epilogue, if it is a convolution or batch norm without one.
fn with_epilogue(op: &Op, epilogue: Epilogue) -> Option<Op> {
    match *op {
        Op::Conv2d(conv @ Conv2d { epilogue: Epilogue::None, .. }) => {
            Some(Conv2d { epilogue, ..conv }.into())
        }
        Op::BatchNorm(BatchNorm { eps, epilogue: Epilogue::None }) => {
            Some(BatchNorm { eps, epilogue }.into())
        }
        Op::BatchNormEval(BatchNormEval { eps, epilogue: Epilogue::None }) => {
            Some(BatchNormEval { eps, epilogue }.into())
        }
        _ => None,
    }
}

/// Restores topological order with few changes: fusion may have given a batch norm a residual that is computed after it.
fn topological_order(graph: &Graph, nodes: Vec<Option<Node>>) -> Vec<Node> {
    let nodes: Vec<Node> = nodes.into_iter().flatten().collect();
    let mut missing: Vec<bool> = vec![false; graph.values().count()];
    for output in nodes.iter().flat_map(|n| &n.outputs) {
        missing[output.index()] = true;
    }
    let (mut ordered, mut waiting) = (Vec::with_capacity(nodes.len()), Vec::new());
    for node in nodes {
        waiting.push(node);
        while let Some(ready) = waiting.iter().position(|n| n.inputs.iter().all(|v| !missing[v.index()])) {
            let node: Node = waiting.remove(ready);
            for output in &node.outputs {
                missing[output.index()] = false;
            }
            ordered.push(node);
        }
    }
    assert!(waiting.is_empty(), "`depends_on` prevents cycles");
    ordered
}
