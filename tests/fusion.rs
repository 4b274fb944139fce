//! Fusion: which operations are fused or reordered, which must not be, and that results do not change.

mod common;

use common::{Random, compare_all};
use striate::graph::{Graph, ValueId};
use striate::op::*;
use striate::plan::{Family, Plan, Target};
use striate::{Device, Session, Tensor, TensorType};

/// A graph with random data for each of its inputs.
struct Net {
    graph: Graph,
    feed: Vec<(String, Tensor)>,
    rng: Random,
}

impl Net {
    fn new(seed: u64) -> Self {
        Self { graph: Graph::new(), feed: Vec::new(), rng: Random::new(seed) }
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let tensor = self.rng.uniform(shape, 0.2, 1.2);
        let shifted = tensor.as_f32().iter().map(|x| if shape.len() > 1 { x - 0.7 } else { *x }).collect();
        let tensor = Tensor::f32(shape, shifted).unwrap();
        let name = format!("input {}", self.feed.len());
        self.feed.push((name.clone(), tensor.clone()));
        self.graph.input(&name, tensor.ty().clone()).unwrap()
    }

    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        self.graph.apply(op, inputs).unwrap()[0]
    }

    /// A 3 x 3 convolution of x to `outs` channels.
    fn conv(&mut self, x: ValueId, outs: usize, bias: bool) -> ValueId {
        let ins = self.graph.shape(x)[1];
        let mut inputs = vec![x, self.input(&[outs, ins, 3, 3])];
        if bias {
            inputs.push(self.input(&[outs]));
        }
        self.apply(Conv2d { padding: [1, 1], ..Default::default() }, &inputs)
    }

    /// An inference batch norm of x.
    fn norm(&mut self, x: ValueId) -> ValueId {
        let channels = [self.graph.shape(x)[1]];
        let statistics = [0; 4].map(|_| self.input(&channels));
        self.apply(BatchNormEval::default(), &[&[x], &statistics[..]].concat())
    }

    fn plan(&self, fuse: bool) -> Plan {
        Plan::new(&self.graph, &Target { fuse, ..Device::cpu_reference().target().clone() }).unwrap()
    }

    /// The kernels of the fused plan.
    fn kernels(&self) -> Vec<&'static str> {
        self.plan(true).launches.iter().map(|l| l.kernel.name).collect()
    }

    /// All outputs, with and without fusion.
    fn both(&self) -> [Vec<Tensor>; 2] {
        let feed = common::feed(&self.feed);
        [true, false].map(|fuse| {
            let mut session = Session::new(&Device::cpu_reference(), vec![self.plan(fuse)]).unwrap();
            session.run(0, &feed).unwrap().into_tensors()
        })
    }
}

#[test]
fn an_inference_batch_norm_is_folded_into_the_convolution() {
    for (seed, (bias, tail)) in
        [false, true].into_iter().flat_map(|b| ["none", "relu", "sum"].map(|t| (b, t))).enumerate()
    {
        let mut net = Net::new(seed as u64);
        let x = net.input(&[2, 3, 8, 8]);
        let conv = net.conv(x, 4, bias);
        let mut y = net.norm(conv);
        if tail == "sum" {
            let residual = net.input(&[2, 4, 8, 8]);
            y = net.apply(Add, &[residual, y]);
        }
        if tail != "none" {
            y = net.apply(Relu, &[y]);
        }
        net.graph.output("y", y);
        let last: &[&str] = match tail {
            "none" => &[],
            "relu" => &["relu"],
            _ => &["add_relu"],
        };
        assert_eq!(net.kernels(), [&["fold_batch_norm", "conv_direct"], last].concat());
        let [fused, separate] = net.both();
        compare_all(&format!("bias {bias}, {tail}"), &fused, &separate, 1e-5, 1.0).unwrap();
    }
}

#[test]
fn a_batch_norm_is_not_folded_where_that_is_wrong_or_expensive() {
    let folded = |net: &Net| net.kernels().contains(&"fold_batch_norm");
    // The output of the convolution has another reader.
    let mut net = Net::new(1);
    let x = net.input(&[2, 3, 8, 8]);
    let conv = net.conv(x, 4, false);
    let y = net.norm(conv);
    let sum = net.apply(Add, &[conv, y]);
    net.graph.output("sum", sum);
    assert!(!folded(&net));
    // The weight is larger than the output.
    let mut net = Net::new(2);
    let x = net.input(&[1, 8, 4, 4]);
    let conv = net.conv(x, 16, false);
    let y = net.norm(conv);
    net.graph.output("y", y);
    assert!(!folded(&net));
}

/// Convolution with bias, ReLU and max-pooling, with gradients of image, weight and bias.
fn pooled(kernel_size: usize, stride: usize) -> Net {
    let mut net = Net::new(3);
    let x = net.input(&[2, 3, 8, 8]);
    let weight = net.input(&[4, 3, 3, 3]);
    let bias = net.input(&[4]);
    let y = net.apply(Conv2d { padding: [1, 1], ..Default::default() }, &[x, weight, bias]);
    let y = net.apply(Relu, &[y]);
    let pool = MaxPool2d { kernel_size: [kernel_size; 2], stride: Some([stride; 2]), ..Default::default() };
    let y = net.apply(pool, &[y]);
    let shape = net.graph.shape(y).to_vec();
    let upstream = net.input(&shape);
    let gradients = net.graph.gradients(&[(y, upstream)], &[x, weight, bias]).unwrap();
    for (i, gradient) in gradients.into_iter().enumerate() {
        net.graph.output(&format!("gradient {i}"), gradient.unwrap());
    }
    net
}

#[test]
fn relu_gradients_and_bias_sums_run_before_the_pooling_gradient() {
    for (kernel_size, stride) in [(2, 2), (3, 1)] {
        let net = pooled(kernel_size, stride);
        let plan = net.plan(true);
        let pooled_size = net.feed.last().unwrap().1.len() as u64 * 4;
        let of = |kernel: &str| plan.launches.iter().find(|l| l.kernel.name == kernel).unwrap();
        let size =
            |launch: &striate::plan::Launch, read: usize| plan.storages[launch.reads[read].index()].bytes;
        assert_eq!(size(of("relu_grad"), 0), pooled_size);
        assert_eq!(size(of("channel_sum"), 0), pooled_size);
        let [fused, separate] = net.both();
        compare_all(&format!("{kernel_size} by {stride}"), &fused, &separate, 1e-5, 1.0).unwrap();
    }
}

#[test]
fn a_relu_gradient_is_not_moved_if_pooling_reads_another_value() {
    let mut net = Net::new(4);
    let x = net.input(&[2, 3, 8, 8]);
    let other = net.input(&[2, 3, 8, 8]);
    let rectified = net.apply(Relu, &[other]);
    let pool: Op = MaxPool2d::default().into();
    let outputs = net.graph.apply(pool, &[x]).unwrap();
    let upstream = net.input(&[2, 3, 4, 4]);
    let spread = MaxPoolGrad {
        window: Window::Sliding { kernel_size: [2; 2], stride: [2; 2], padding: [0; 2], ceil_mode: false },
        input_shape: vec![2, 3, 8, 8],
    };
    let spread = net.apply(spread, &[upstream, outputs[1]]);
    let passed = net.apply(ReluGrad, &[rectified, spread]);
    net.graph.output("passed", passed);
    let kernels = net.kernels();
    assert_eq!(kernels.last(), Some(&"relu_grad"), "{kernels:?}");
    let [fused, separate] = net.both();
    compare_all("another ReLU", &fused, &separate, 0.0, 0.0).unwrap();
}

/// x, through a ReLU or not, convolved twice; the gradients of x, or of the ReLU's input, and of the weights.
fn branches(relu: bool, stride: usize) -> Net {
    let mut net = Net::new(5);
    let x = net.input(&[2, 3, 8, 8]);
    let start = if relu { net.apply(Relu, &[x]) } else { x };
    let strided = Conv2d { padding: [1, 1], stride: [stride; 2], ..Default::default() };
    let weights = [net.input(&[4, 3, 3, 3]), net.input(&[4, 3, 3, 3])];
    let [a, b] = weights.map(|weight| net.apply(strided, &[start, weight]));
    let y = net.apply(Add, &[a, b]);
    let upstream = net.input(&[2, 4, 8 / stride, 8 / stride]);
    let gradients = net.graph.gradients(&[(y, upstream)], &[x, weights[0], weights[1]]).unwrap();
    for (i, gradient) in gradients.into_iter().enumerate() {
        net.graph.output(&format!("gradient {i}"), gradient.unwrap());
    }
    net
}

#[test]
fn sums_of_gradients_and_the_relu_gradient_after_them_are_fused_into_the_last_convolution() {
    for (relu, stride) in [(false, 1), (true, 1), (true, 2)] {
        let net = branches(relu, stride);
        let of = |fuse: bool| {
            let gpu = Target { family: Family::Gpu, fuse, ..Device::cpu_reference().target().clone() };
            let plan = Plan::new(&net.graph, &gpu).unwrap();
            let names = plan.launches.iter().map(|l| l.kernel.name);
            names.filter(|name| ["add", "relu_grad"].contains(name)).collect::<Vec<_>>()
        };
        // The forward sum is unused.
        assert_eq!(of(true), Vec::<&str>::new(), "{relu}, {stride}");
        assert_eq!(of(false), [&["add"][..], &["relu_grad"][..usize::from(relu)]].concat());
        let last = if relu { "add_relu_grad" } else { "add" };
        assert!(net.kernels().contains(&last), "{:?}", net.kernels());
        let [fused, separate] = net.both();
        compare_all(&format!("relu {relu}, stride {stride}"), &fused, &separate, 1e-6, 1.0).unwrap();
    }
}

#[test]
fn a_gradient_with_another_reader_is_not_fused() {
    let mut net = Net::new(6);
    let upstream = net.input(&[2, 4, 8, 8]);
    let weight = net.input(&[4, 3, 3, 3]);
    let other = net.input(&[2, 3, 8, 8]);
    let conv = Conv2d { padding: [1, 1], ..Default::default() };
    let op = Conv2dGradInput { conv, input_shape: vec![2, 3, 8, 8], ..Default::default() };
    let gradient = net.apply(op, &[upstream, weight]);
    let sum = net.apply(Add, &[gradient, other]);
    net.graph.output("gradient", gradient);
    net.graph.output("sum", sum);
    assert_eq!(net.kernels(), ["conv_direct_grad_input", "add"]);
    let [fused, separate] = net.both();
    compare_all("another reader", &fused, &separate, 0.0, 0.0).unwrap();
}

/// The launches of batch norm's first pass on a GPU, after a convolution whose result is reshaped.
fn moment_launches(shape: [usize; 4]) -> usize {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([4, 3, 8, 8])).unwrap();
    let w = graph.input("w", TensorType::f32([6, 3, 3, 3])).unwrap();
    let conv = Conv2d { padding: [1, 1], ..Default::default() };
    let y = graph.apply(conv, &[x, w]).unwrap()[0];
    let y = graph.apply(Reshape { shape: shape.to_vec() }, &[y]).unwrap()[0];
    let channels = TensorType::f32([shape[1]]);
    let [scale, shift] = ["scale", "shift"].map(|name| graph.input(name, channels.clone()).unwrap());
    let y = graph.apply(BatchNorm::default(), &[y, scale, shift]).unwrap()[0];
    graph.output("y", y);
    let plan = Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap();
    plan.launches.iter().filter(|launch| launch.kernel.entry == "batch_norm_partial").count()
}

#[test]
fn moments_are_fused_into_a_convolution_of_the_same_shape() {
    assert_eq!(moment_launches([4, 6, 8, 8]), 0);
    assert_eq!(moment_launches([4, 6, 64, 1]), 0, "pixels in the same order");
    assert_eq!(moment_launches([4, 12, 8, 4]), 1, "other channels");
    assert_eq!(moment_launches([2, 6, 16, 8]), 1, "other images");
}
