//! Fusion: operations that follow each other and become one, so that a tensor in between is neither
//! written nor read, or that change places so that less is. A graph goes in, and an equal one comes out.

use crate::TensorType;
use crate::graph::{Graph, Node, Phase, ValueId};
use crate::op::{
    Add, BatchNorm, BatchNormEval, BatchNormGrad, ChannelSum, Conv2d, Epilogue, FoldBatchNorm, MaxPool, Op,
    Operation, Relu, ReluGrad,
};
use std::collections::{HashMap, HashSet};

/// Joins convolution or batch norm, perhaps the sum with a residual, and ReLU; folds a batch norm with given statistics
/// into the convolution before it; and backward joins the ReLU's gradient with that of the batch norm, and takes what can be
/// taken of pooled images from them; lets running statistics wait for the end of the step. Nodes that nothing depends
/// on are left out.
pub(super) fn fuse(graph: &Graph) -> Graph {
    let mut fusion = Fusion::new(graph);
    let rules = [
        Fusion::join_forward,
        Fusion::fold,
        Fusion::join_backward,
        Fusion::relu_before_pool,
        Fusion::sum_before_pool,
    ];
    for rule in rules {
        (0..fusion.nodes.len()).for_each(|index| rule(&mut fusion, index));
    }
    let nodes = in_order(&fusion.graph, fusion.nodes);
    fusion.graph.with_nodes(states_last(&fusion.graph, nodes))
}

struct Fusion {
    /// Whose values the nodes name; its own nodes are the old ones.
    graph: Graph,
    /// `None` where a node became part of another.
    nodes: Vec<Option<Node>>,
    /// Index of the node that makes a value.
    maker: HashMap<ValueId, usize>,
    /// How often a value is read, given out or stored.
    uses: HashMap<ValueId, usize>,
}

impl Fusion {
    fn new(graph: &Graph) -> Self {
        let live = graph.live_nodes();
        let nodes: Vec<Option<Node>> =
            graph.nodes().iter().zip(live).filter(|(_, live)| *live).map(|(n, _)| Some(n.clone())).collect();
        let made = nodes.iter().flatten().enumerate();
        let maker = made.flat_map(|(i, node)| node.outputs.iter().map(move |v| (*v, i))).collect();
        let mut uses = HashMap::new();
        let read = nodes.iter().flatten().flat_map(|n| &n.inputs);
        let kept = graph.outputs().iter().map(|(_, v)| v);
        for value in read.chain(kept).chain(graph.updates().iter().map(|(_, v)| v)) {
            *uses.entry(*value).or_insert(0) += 1;
        }
        Self { graph: graph.clone(), nodes, maker, uses }
    }

    /// The node whose first output a value is, if that is used but once.
    fn lone(&self, value: ValueId) -> Option<(usize, &Node)> {
        let index = *self.maker.get(&value)?;
        let node = self.nodes[index].as_ref()?;
        (self.uses.get(&value) == Some(&1) && node.outputs[0] == value).then_some((index, node))
    }

    /// Puts a new node of the scope and phase of another in a place, and returns its outputs, which are new values.
    fn put(&mut self, place: usize, op: impl Into<Op>, inputs: Vec<ValueId>, like: &Node) -> Vec<ValueId> {
        let op = op.into();
        let types: Vec<&TensorType> = inputs.iter().map(|v| &self.graph.value(*v).ty).collect();
        let types = op.infer(&types).expect("the rules put in operations that fit");
        let outputs = self.graph.add_results(&like.scope, &op, types, place);
        self.maker.extend(outputs.iter().map(|v| (*v, place)));
        self.nodes[place] = Some(Node { op, inputs, outputs: outputs.clone(), ..like.clone() });
        outputs
    }

    /// Whether a value is computed from what a node makes.
    fn depends(&self, value: ValueId, node: usize) -> bool {
        let (mut seen, mut open) = (HashSet::new(), vec![value]);
        while let Some(value) = open.pop() {
            let Some(made) = self.maker.get(&value) else { continue };
            if *made == node {
                return true;
            }
            if seen.insert(*made) {
                open.extend(self.nodes[*made].iter().flat_map(|n| &n.inputs));
            }
        }
        false
    }

    /// The node that makes a value, and which of its outputs it is.
    fn made_by(&self, value: ValueId) -> Option<(&Node, usize)> {
        let node = self.nodes[*self.maker.get(&value)?].as_ref()?;
        Some((node, node.outputs.iter().position(|v| *v == value)?))
    }

    /// Makes a ReLU, and perhaps the sum before it, the epilogue of a convolution or batch norm.
    fn join_forward(&mut self, relu: usize) {
        let Some(Node { op: Op::Relu(Relu), inputs, outputs, .. }) = &self.nodes[relu] else { return };
        let output = outputs[0];
        let Some((before, node)) = self.lone(inputs[0]) else { return };
        let sides = match node.op {
            Op::Add(Add) => vec![[node.inputs[0], node.inputs[1]], [node.inputs[1], node.inputs[0]]],
            _ => vec![],
        };
        let with_sum = sides.into_iter().find_map(|[normed, residual]| {
            let (norm, node) = self.lone(normed)?;
            let op = with_epilogue(&node.op, Epilogue::AddRelu)?;
            // A residual made from other results of the same node, such as statistics, cannot be there before it.
            (!self.depends(residual, norm)).then_some((norm, op, Some(residual)))
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
            self.maker.insert(output, norm);
        }
    }

    /// Puts a batch norm with given statistics into the convolution before it, which takes over its epilogue: a pass over the
    /// weight instead of one over the result.
    fn fold(&mut self, norm: usize) {
        let Some(Node { op: Op::BatchNormEval(BatchNormEval { eps, epilogue }), inputs, outputs, .. }) =
            &self.nodes[norm]
        else {
            return;
        };
        let Some((conv, before)) = self.lone(inputs[0]) else { return };
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
        let folded = self.put(conv, fold, parts, &before);
        let inputs = [vec![x], folded, residual].concat();
        self.nodes[norm] = Some(Node { op: op.into(), inputs, outputs, ..before });
    }

    /// Lets the gradient of a batch norm with a ReLU pass through the ReLU itself.
    fn join_backward(&mut self, grad: usize) {
        let Some(Node { op: Op::BatchNormGrad(BatchNormGrad { eps, relu: false }), inputs, .. }) =
            &self.nodes[grad]
        else {
            return;
        };
        let (eps, own) = (*eps, inputs.clone());
        let Some((before, Node { op: Op::ReluGrad(ReluGrad), inputs, .. })) = self.lone(inputs[3]) else {
            return;
        };
        let [output, upstream] = [inputs[0], inputs[1]];
        let norm = self.maker.get(&output).and_then(|norm| self.nodes[*norm].as_ref());
        // With a residual the sum decides what passes, which is not known here.
        let ours = norm.is_some_and(|n| {
            let theirs = [n.inputs[0], n.outputs[1], n.outputs[2], own[3], n.inputs[1], n.inputs[2]];
            n.op == BatchNorm { eps, epilogue: Epilogue::Relu }.into() && own == theirs
        });
        if let (true, Some(node)) = (ours, &mut self.nodes[grad]) {
            node.op = BatchNormGrad { eps, relu: true }.into();
            node.inputs[3] = upstream;
            self.nodes[before] = None;
        }
    }

    /// Lets a gradient pass the ReLU before a max-pooling while it is still small: what the ReLU lets pass is where its result
    /// is above 0, and that result is the maximum.
    fn relu_before_pool(&mut self, relu: usize) {
        let Some(node @ Node { op: Op::ReluGrad(ReluGrad), inputs, .. }) = &self.nodes[relu] else { return };
        let rectified = inputs[0];
        let Some((grad, Node { op: Op::MaxPoolGrad(spread), inputs, .. })) = self.lone(inputs[1]) else {
            return;
        };
        let [upstream, index] = [inputs[0], inputs[1]];
        let Some((Node { op: Op::MaxPool(MaxPool { window }), inputs, outputs, .. }, 1)) =
            self.made_by(index)
        else {
            return;
        };
        if inputs[0] != rectified || spread.window != *window {
            return;
        }
        let (maxima, spread, node) = (outputs[0], spread.clone(), node.clone());
        let passed = self.put(grad, ReluGrad, vec![maxima, upstream], &node)[0];
        self.nodes[relu] = Some(Node { op: spread.into(), inputs: vec![passed, index], ..node });
    }

    /// Sums up a gradient over all pixels before a max-pooling's gradient spreads it among zeros.
    fn sum_before_pool(&mut self, sum: usize) {
        let Some(Node { op: Op::ChannelSum(ChannelSum), inputs, .. }) = &self.nodes[sum] else { return };
        let Some((Node { op: Op::MaxPoolGrad(_), inputs, .. }, 0)) = self.made_by(inputs[0]) else { return };
        let upstream = inputs[0];
        if let Some(node) = &mut self.nodes[sum] {
            node.inputs[0] = upstream;
        }
    }
}

/// A convolution or batch norm without an epilogue, given one.
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

/// The nodes in their old order, except that those whose inputs come later wait for them: a residual may be
/// computed after the batch norm that now adds it.
fn in_order(graph: &Graph, nodes: Vec<Option<Node>>) -> Vec<Node> {
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
    assert!(waiting.is_empty(), "no node waits for itself: `depends` keeps circles out");
    ordered
}

/// Moves what updates running statistics from the layers to the end, where it stands together and can become few launches.
fn states_last(graph: &Graph, mut nodes: Vec<Node>) -> Vec<Node> {
    let read: HashSet<ValueId> = nodes.iter().flat_map(|n| n.inputs.iter().copied()).collect();
    let given_out: HashSet<ValueId> = graph.outputs().iter().map(|(_, v)| *v).collect();
    let only_state = |v: &ValueId| !read.contains(v) && !given_out.contains(v);
    let waits = |node: &Node| matches!(node.op, Op::Blend(_)) && node.outputs.iter().all(only_state);
    let layers = nodes.iter().rposition(|n| n.phase != Phase::Update).map_or(0, |last| last + 1);
    let rest = nodes.split_off(layers);
    let (late, mut nodes): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(waits);
    let late = late.into_iter();
    nodes.extend(late.map(|n| Node { scope: "running statistics".into(), phase: Phase::Update, ..n }));
    nodes.extend(rest);
    nodes
}
