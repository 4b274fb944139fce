//! Gradients against central differences, each operation in the middle of a graph: what it reads comes from
//! operations before it, what it computes goes to others after it, and the gradient that arrives is random.
//! Also graphs whose values branch and meet again.

mod common;

use common::*;
use std::process::ExitCode;
use std::sync::Arc;
use striate::graph::{Graph, ValueId};
use striate::op::*;
use striate::plan::{ConvAlgorithm, Plan, Target};
use striate::{DType, Device, Error, Result, Session, Tensor, TensorType, ops};

/// Half the distance between the two points of a difference, along a direction of -1 and 1.
const STEP: f32 = 0.02;

/// Directions for each input.
const DIRECTIONS: usize = 3;

/// Largest error, relative to the gradient's Euclidean norm, which is what a sum of its elements with
/// random signs amounts to. Rounding contributes about 1e-5 * (norm of the outputs); the first error of a
/// difference, that of the third derivative, is cancelled by a second one of half the step.
const TOLERANCE: f64 = 1e-3;

/// A graph from inputs to one output.
type Build = Arc<dyn Fn(&mut Graph, &[ValueId]) -> Result<ValueId> + Send + Sync>;

struct Case {
    name: String,
    inputs: Vec<Tensor>,
    /// Which inputs to differentiate by.
    wrt: Vec<usize>,
    build: Build,
    seed: u64,
}

/// A graph, differentiated by all float inputs.
fn graph(
    name: &str,
    inputs: impl FnOnce(&mut Random) -> Vec<Tensor>,
    build: impl Fn(&mut Graph, &[ValueId]) -> Result<ValueId> + Send + Sync + 'static,
) -> Case {
    let seed = seed_of(name);
    let inputs = inputs(&mut Random::new(seed));
    let wrt = (0..inputs.len()).filter(|i| inputs[*i].ty().dtype == DType::F32).collect();
    Case { name: name.to_owned(), inputs, wrt, build: Arc::new(build), seed }
}

/// One operation between others: each float input passes a factor before it, and so does the result after.
fn mid(name: &str, op: impl Into<Op>, inputs: impl FnOnce(&mut Random) -> Vec<Tensor>) -> Case {
    let op = op.into();
    let with_factor = |rng: &mut Random| {
        let mut all = inputs(rng);
        all.push(Tensor::f32([1], vec![1.25]).unwrap());
        all
    };
    let mut case = graph(name, with_factor, move |graph, values| {
        let (factor, inputs) = values.split_last().expect("the factor was pushed");
        let mut scaled = Vec::new();
        for x in inputs {
            let float = graph.value(*x).ty.dtype == DType::F32;
            scaled.push(if float { graph.apply(Scale, &[*x, *factor])?[0] } else { *x });
        }
        let y = graph.apply(op.clone(), &scaled)?[0];
        Ok(graph.apply(Scale, &[y, *factor])?[0])
    });
    case.wrt.pop(); // the factor
    case
}

impl Case {
    /// By some inputs only: the others are constants.
    fn by(self, wrt: &[usize]) -> Self {
        Self { wrt: wrt.to_vec(), ..self }
    }

    fn check(&self, device: &Device) -> Outcome {
        let (name, seed) = (&self.name, self.seed);
        let what = format!("{name} of {}, seed {seed:#x}, on {}", shapes(&self.inputs), device.name());
        self.differences(device, &what).map_err(text)?.map_or(Ok(()), Err)
    }

    /// What is wrong, if anything.
    fn differences(&self, device: &Device, what: &str) -> Result<Option<String>> {
        let mut forward = Graph::new();
        let inputs = self.declare(&mut forward)?;
        let y = (self.build)(&mut forward, &inputs)?;
        forward.output("y", y);
        let ty = forward.value(y).ty.clone();
        let mut session = Session::new(device, vec![Plan::new(&forward, device.target())?])?;

        let mut rng = Random::new(self.seed ^ 2);
        let upstream = rng.normal(&ty.shape);
        let gradients = self.gradients(device, &upstream)?;
        for (&i, gradient) in self.wrt.iter().zip(&gradients) {
            let norm = gradient.as_f32().iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            for k in 0..DIRECTIONS {
                let direction = rng.signs(gradient.shape());
                let pairs = gradient.as_f32().iter().zip(direction.as_f32());
                let claimed: f64 = pairs.map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let mut slope = |step: f32| -> Result<f64> {
                    let (up, above) = self.loss(&mut session, &upstream, i, &direction, step)?;
                    let (down, below) = self.loss(&mut session, &upstream, i, &direction, -step)?;
                    Ok((up - down) / (above - below))
                };
                let found = (4.0 * slope(STEP / 2.0)? - slope(STEP)?) / 3.0;
                let error = (claimed - found).abs() / norm;
                if error.is_nan() || error > TOLERANCE {
                    return Ok(Some(format!(
                        "{what}: along direction {k}, the loss changes with input {i} by {found}, but the gradient says {claimed}: an error of {error:e} of its norm {norm}, where {TOLERANCE:e} is allowed"
                    )));
                }
            }
        }
        Ok(None)
    }

    fn declare(&self, graph: &mut Graph) -> Result<Vec<ValueId>> {
        let inputs = self.inputs.iter().enumerate();
        inputs.map(|(i, t)| graph.input(&format!("input {i}"), t.ty().clone())).collect()
    }

    fn gradients(&self, device: &Device, upstream: &Tensor) -> Result<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = self.inputs.iter().chain([upstream]).collect();
        ops::evaluate(device, &inputs, |graph, values| {
            let (upstream, inputs) = values.split_last().expect("the upstream gradient was pushed");
            let y = (self.build)(graph, inputs)?;
            let wrt: Vec<ValueId> = self.wrt.iter().map(|i| inputs[*i]).collect();
            let gradients = graph.gradients(&[(y, *upstream)], &wrt)?;
            Ok(gradients.into_iter().map(|g| g.expect("each input has influence")).collect())
        })
    }

    /// Sum of upstream * y with input `i` moved along a direction, and how far it was moved in f32.
    fn loss(
        &self,
        session: &mut Session,
        upstream: &Tensor,
        i: usize,
        direction: &Tensor,
        step: f32,
    ) -> Result<(f64, f64)> {
        let x = self.inputs[i].as_f32();
        let moved: Vec<f32> = x.iter().zip(direction.as_f32()).map(|(x, d)| x + step * d).collect();
        // Rounding moves each element a little more or less; on average that is:
        let way = moved.iter().zip(x).zip(direction.as_f32());
        let way = way.map(|((m, x), d)| (f64::from(*m) - f64::from(*x)) * f64::from(*d)).sum::<f64>();
        let moved = Tensor::f32(direction.shape(), moved)?;
        let names: Vec<String> = (0..self.inputs.len()).map(|i| format!("input {i}")).collect();
        let tensors = self.inputs.iter().enumerate().map(|(j, t)| if j == i { &moved } else { t });
        let feed: Vec<(&str, &[u8])> =
            names.iter().map(String::as_str).zip(tensors.map(Tensor::as_bytes)).collect();
        let outputs = session.run(0, &feed)?;
        let y = outputs.get("y").expect("the only output").as_f32();
        let loss = y.iter().zip(upstream.as_f32()).map(|(y, u)| f64::from(*y) * f64::from(*u)).sum();
        Ok((loss, way / x.len() as f64))
    }
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let cases: Vec<Arc<Case>> = operations().into_iter().chain(graphs()).map(Arc::new).collect();
    for case in cases {
        let own = case.clone();
        suite.add(format!("{}::reference", case.name), move || own.check(&Device::cpu_reference()));
        let own = case.clone();
        suite.add(format!("{}::cpu", case.name), move || own.check(&Device::select("cpu").map_err(text)?));
        let own = case.clone();
        suite.add_gpu(format!("{}::gpu", case.name), move |gpu| own.check(gpu));
        if case.name.starts_with("conv2d") {
            suite.add_gpu(format!("{}::gpu_direct", case.name), move |gpu| {
                let target = Target { conv: ConvAlgorithm::Direct, ..gpu.target().clone() };
                case.check(&gpu.clone().with_target(target))
            });
        }
    }
    rules(&mut suite);
    suite.run()
}

fn operations() -> Vec<Case> {
    let conv = |name: &str, x: [usize; 4], w: [usize; 4], op: Conv2d| {
        mid(name, op, |rng| vec![rng.normal(&x), rng.normal(&w), rng.normal(&w[..1])])
    };
    let plain = Conv2d::default();
    let product = |name: &str, a: &[usize], b: &[usize], bias: usize, op: Matmul| {
        mid(name, op, |rng| {
            let mut inputs = vec![rng.normal(a), rng.normal(b)];
            if bias > 0 {
                inputs.push(rng.normal(&[bias]));
            }
            inputs
        })
    };
    let flags = |transpose_a, transpose_b| Matmul { transpose_a, transpose_b };
    let sliding =
        |kernel_size, stride, padding, ceil_mode| Window::Sliding { kernel_size, stride, padding, ceil_mode };
    let windows = [
        ("plain", sliding([2, 2], [2, 2], [0, 0], false)),
        ("overlapping", sliding([3, 2], [2, 1], [1, 1], false)),
        ("ceil", sliding([3, 3], [2, 2], [0, 0], true)),
        ("sparse", sliding([2, 1], [3, 2], [0, 0], false)),
        ("adaptive", Window::Adaptive { output_size: [3, 2] }),
        ("global", Window::Adaptive { output_size: [1, 1] }),
    ];
    let mut cases = vec![
        conv("conv2d::padded", [2, 3, 6, 5], [4, 3, 3, 3], Conv2d { padding: [1, 1], ..plain }),
        conv("conv2d::strided", [2, 2, 9, 8], [3, 2, 3, 2], Conv2d { stride: [2, 3], ..plain }),
        conv("conv2d::dilated", [1, 2, 9, 7], [3, 2, 3, 3], Conv2d { dilation: [3, 2], ..plain }),
        conv("conv2d::pointwise", [3, 5, 4, 3], [2, 5, 1, 1], plain),
        conv("conv2d::grouped", [2, 6, 5, 5], [4, 3, 3, 3], Conv2d { groups: 2, padding: [1, 0], ..plain }),
        conv("conv2d::depthwise", [2, 4, 6, 6], [8, 1, 3, 3], Conv2d { groups: 4, stride: [2, 2], ..plain }),
        conv("conv2d::many_pictures", [35, 2, 4, 4], [3, 2, 3, 3], Conv2d { padding: [1, 1], ..plain }),
        product("matmul::nn", &[5, 7], &[7, 3], 3, flags(false, false)),
        product("matmul::tn", &[7, 5], &[7, 3], 3, flags(true, false)),
        product("matmul::nt", &[5, 7], &[3, 7], 3, flags(false, true)),
        product("matmul::tt", &[7, 5], &[3, 7], 0, flags(true, true)),
        product("matmul::batched_nn", &[3, 5, 4], &[3, 4, 6], 6, flags(false, false)),
        product("matmul::batched_tn", &[3, 4, 5], &[3, 4, 6], 0, flags(true, false)),
        product("matmul::batched_nt", &[3, 5, 4], &[3, 6, 4], 6, flags(false, true)),
        product("matmul::batched_tt", &[3, 4, 5], &[3, 6, 4], 0, flags(true, true)),
        mid("add", Add, |rng| vec![rng.normal(&[3, 5]), rng.normal(&[3, 5])]),
        mid("relu", Relu, |rng| vec![rng.spaced(&[2, 3, 5, 7], 0.2)]),
        mid("reshape", Reshape { shape: vec![15, 2] }, |rng| vec![rng.normal(&[2, 3, 5])]),
        mid("concat", Concat, |rng| [2, 1, 4].map(|c| rng.normal(&[3, c, 2, 5])).to_vec()),
        mid("scale", Scale, |rng| vec![rng.normal(&[70]), rng.normal(&[1])]).by(&[0]),
        mid("dropout", Dropout { p: 0.4, stream: 3 }, |rng| {
            vec![rng.normal(&[5, 60]), Tensor::u32([2], vec![7, 1234]).unwrap()]
        })
        .by(&[0]),
        mid("cross_entropy::plain", CrossEntropy::default(), |rng| {
            vec![rng.normal(&[6, 10]), rng.labels(6, 10)]
        })
        .by(&[0]),
        mid("cross_entropy::smoothed", CrossEntropy { label_smoothing: 0.2 }, |rng| {
            vec![rng.normal(&[6, 10]), rng.labels(6, 10)]
        })
        .by(&[0]),
    ];
    for (name, window) in windows {
        let spaced = |rng: &mut Random| vec![rng.spaced(&[2, 3, 7, 9], 0.2)];
        cases.push(mid(&format!("max_pool2d::{name}"), MaxPool { window }, spaced));
        for (suffix, count_include_pad) in [("", false), ("_pad_counts", true)] {
            let op = AvgPool { window, count_include_pad };
            cases
                .push(mid(&format!("avg_pool2d::{name}{suffix}"), op, |rng| vec![rng.normal(&[2, 3, 7, 9])]));
        }
    }
    for (name, shape) in [
        ("pictures", vec![4, 3, 5, 3]),
        ("rows", vec![9, 5]),
        ("slices", vec![70, 2, 8, 8]),
        ("batch1", vec![1, 3, 4, 4]),
    ] {
        let c = shape[1];
        let inputs =
            |rng: &mut Random| vec![rng.normal(&shape), rng.uniform(&[c], 0.5, 1.5), rng.normal(&[c])];
        cases.push(mid(&format!("batch_norm::{name}"), BatchNorm::default(), inputs));
        let inputs = |rng: &mut Random| {
            let [weight, bias, mean] = [0; 3].map(|_| rng.normal(&[c]));
            vec![rng.normal(&shape), weight, bias, mean, rng.uniform(&[c], 0.5, 2.0)]
        };
        let op = BatchNormEval { eps: 1e-3, ..Default::default() };
        cases.push(mid(&format!("batch_norm_eval::{name}"), op, inputs).by(&[0, 1, 2]));
    }
    for (name, shape, dim) in [
        ("rows", vec![5, 10], 1),
        ("pictures", vec![2, 5, 3, 4], 1),
        ("first", vec![6, 4], 0),
        ("last", vec![2, 3, 7], 2),
    ] {
        cases.push(mid(&format!("softmax::{name}"), Softmax { dim }, |rng| vec![rng.normal(&shape)]));
        cases.push(mid(&format!("log_softmax::{name}"), LogSoftmax { dim }, |rng| vec![rng.normal(&shape)]));
    }
    cases
}

fn one(graph: &mut Graph, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
    Ok(graph.apply(op, inputs)?[0])
}

fn graphs() -> Vec<Case> {
    let same3x3 = Conv2d { padding: [1, 1], ..Default::default() };
    let max3x3 = MaxPool2d { kernel_size: [3, 3], stride: Some([1, 1]), padding: [1, 1], ceil_mode: false };
    vec![
        graph(
            "graph::residual",
            |rng| vec![rng.spaced(&[2, 3, 5, 5], 0.1), rng.normal(&[3, 3, 3, 3]), rng.normal(&[3])],
            move |graph, v| {
                let h = one(graph, Relu, &v[..1])?;
                let h = one(graph, same3x3, &[h, v[1], v[2]])?;
                one(graph, Add, &[h, v[0]])
            },
        ),
        graph(
            "graph::a_value_used_three_times",
            |rng| vec![rng.normal(&[6, 6]), rng.normal(&[6, 6])],
            |graph, v| {
                let h = one(graph, Matmul::default(), &[v[0], v[1]])?;
                let square = one(graph, Matmul::default(), &[h, h])?;
                let soft = one(graph, Softmax::default(), &[h])?;
                one(graph, Add, &[square, soft])
            },
        ),
        graph(
            "graph::a_value_added_to_itself",
            |rng| vec![rng.normal(&[70])],
            |graph, v| {
                let twice = one(graph, Add, &[v[0], v[0]])?;
                let thrice = one(graph, Add, &[twice, v[0]])?;
                one(graph, Add, &[thrice, twice])
            },
        ),
        graph(
            "graph::a_branch_concatenated_with_itself",
            |rng| vec![rng.normal(&[2, 3, 4, 4]), rng.normal(&[2, 3, 1, 1])],
            |graph, v| {
                let h = one(graph, Conv2d::default(), v)?;
                let soft = one(graph, Softmax::default(), &[h])?;
                one(graph, Concat, &[h, soft, h])
            },
        ),
        graph(
            "graph::inception",
            |rng| {
                vec![
                    rng.spaced(&[2, 3, 6, 6], 0.2),
                    rng.normal(&[2, 3, 1, 1]),
                    rng.normal(&[4, 3, 3, 3]),
                    rng.normal(&[1, 3, 1, 1]),
                ]
            },
            move |graph, v| {
                let narrow = one(graph, Conv2d::default(), &[v[0], v[1]])?;
                let wide = one(graph, same3x3, &[v[0], v[2]])?;
                let pooled = one(graph, max3x3, &v[..1])?;
                let pooled = one(graph, Conv2d::default(), &[pooled, v[3]])?;
                one(graph, Concat, &[narrow, wide, pooled])
            },
        ),
        graph(
            "graph::classifier",
            |rng| {
                let scale = |t: Tensor| {
                    let shape = t.shape().to_vec();
                    Tensor::f32(shape, t.into_f32().into_iter().map(|v| 0.3 * v).collect()).unwrap()
                };
                let mut inputs = vec![rng.normal(&[6, 2, 6, 6]), rng.labels(6, 5)];
                inputs.extend([&[4, 2, 3, 3][..], &[4, 4, 3, 3], &[5, 4]].map(|s| scale(rng.normal(s))));
                inputs.extend([rng.uniform(&[4], 0.5, 1.5), rng.normal(&[4])]);
                inputs
            },
            move |graph, v| {
                let [x, labels, w1, w2, fc, gamma, beta] = v[..] else { unreachable!("seven inputs") };
                let h = one(graph, same3x3, &[x, w1])?;
                let h = one(graph, BatchNorm::default(), &[h, gamma, beta])?;
                let branch = one(graph, same3x3, &[h, w2])?;
                let branch = one(graph, Softmax::default(), &[branch])?;
                let h = one(graph, Add, &[h, branch])?;
                let h = one(graph, AdaptiveAvgPool2d { output_size: [1, 1] }, &[h])?;
                let h = one(graph, Reshape { shape: vec![6, 4] }, &[h])?;
                let logits = one(graph, Matmul { transpose_a: false, transpose_b: true }, &[h, fc])?;
                one(graph, CrossEntropy::default(), &[logits, labels])
            },
        ),
    ]
}

/// What gradients promise beyond their numbers.
fn rules(suite: &mut Suite) {
    suite.add("rules::of_a_value_in_between", || {
        let device = Device::cpu_reference();
        let mut rng = Random::new(11);
        let [x, a, b] = [0; 3].map(|_| rng.normal(&[5, 5]));
        let upstream = rng.normal(&[5, 5]);
        let in_between = ops::evaluate(&device, &[&x, &a, &b, &upstream], |graph, v| {
            let h = one(graph, Matmul::default(), &[v[0], v[1]])?;
            let y = one(graph, Softmax::default(), &[h])?;
            let y = one(graph, Matmul::default(), &[y, v[2]])?;
            let wrt = graph.gradients(&[(y, v[3])], &[h, v[0]])?;
            Ok(vec![wrt[0].unwrap(), wrt[1].unwrap(), h])
        })
        .map_err(text)?;
        // The same value as an input, and the chain rule to x: grad_x = grad_h a^T.
        let apart = ops::evaluate(&device, &[&in_between[2], &b, &upstream], |graph, v| {
            let y = one(graph, Softmax::default(), &v[..1])?;
            let y = one(graph, Matmul::default(), &[y, v[1]])?;
            Ok(vec![graph.gradients(&[(y, v[2])], &v[..1])?[0].unwrap()])
        })
        .map_err(text)?;
        compare("of a value in between, seed 11", &in_between[0], &apart[0], 0.0, 0.0)?;
        let back =
            ops::matmul(&device, &apart[0], &a, None, Matmul { transpose_a: false, transpose_b: true });
        compare("beyond it, seed 11", &in_between[1], &back.map_err(text)?, 0.0, 0.0)
    });
    suite.add("rules::two_upstream_gradients_add_up", || {
        let device = Device::cpu_reference();
        let mut rng = Random::new(12);
        let [x, u, v] = [0; 3].map(|_| rng.normal(&[3, 4]));
        // y = softmax(x) and z = y + x both have one; y gets its own and what passes through z.
        let both = ops::evaluate(&device, &[&x, &u, &v], |graph, t| {
            let y = one(graph, Softmax::default(), &t[..1])?;
            let z = one(graph, Add, &[y, t[0]])?;
            Ok(vec![graph.gradients(&[(y, t[1]), (z, t[2])], &t[..1])?[0].unwrap()])
        })
        .map_err(text)?;
        let sum = ops::add(&device, &u, &v).map_err(text)?;
        let through_y = ops::gradients(&device, Softmax::default(), &[&x], &sum).map_err(text)?;
        let want = ops::add(&device, through_y[0].as_ref().unwrap(), &v).map_err(text)?;
        compare("two upstream gradients, seed 12", &both[0], &want, tolerance(4), 0.0)
    });
    suite.add("rules::none_where_there_is_no_influence", || {
        let mut graph = Graph::new();
        let ty = TensorType::f32([2, 3]);
        let [x, other, upstream] =
            ["x", "other", "upstream"].map(|n| graph.input(n, ty.clone()).expect("new names"));
        let y = one(&mut graph, Relu, &[x]).map_err(text)?;
        let aside = one(&mut graph, Relu, &[other]).map_err(text)?;
        let gradients = graph.gradients(&[(y, upstream)], &[x, other, aside, y]).map_err(text)?;
        let some: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        if some != [true, false, false, true] || gradients[3] != Some(upstream) {
            return Err(format!("gradients of x, another input, its relu, and y: {gradients:?}"));
        }
        Ok(())
    });
    suite.add("rules::a_wrong_upstream_shape_is_refused", || {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2, 3])).map_err(text)?;
        let upstream = graph.input("upstream", TensorType::f32([3, 2])).map_err(text)?;
        let y = one(&mut graph, Relu, &[x]).map_err(text)?;
        match graph.gradients(&[(y, upstream)], &[x]) {
            Err(Error::Shape { problem, .. }) if problem.contains("[2, 3]") && problem.contains("[3, 2]") => {
                Ok(())
            }
            other => Err(format!("expected a shape error with both shapes, found {other:?}")),
        }
    });
    let f32 = |shape: &[usize]| TensorType::f32(shape);
    let without: Vec<(Op, Vec<TensorType>)> = vec![
        (Blend { keep: 0.9, take: 0.1 }.into(), vec![f32(&[4]), f32(&[4])]),
        (TopK::default().into(), vec![f32(&[2, 3]), TensorType::u32([2])]),
        (SumSquares.into(), vec![f32(&[4])]),
        (ChannelSum.into(), vec![f32(&[2, 3])]),
        (ChannelSlice { start: 0, channels: 1 }.into(), vec![f32(&[2, 3])]),
        (ClipCoefficient { max_norm: 1.0 }.into(), vec![f32(&[1])]),
        (ReluGrad.into(), vec![f32(&[4]), f32(&[4])]),
        (Scale.into(), vec![f32(&[4]), f32(&[1])]),
        (Sgd::default().into(), vec![f32(&[4]), f32(&[4]), f32(&[4]), f32(&[3])]),
    ];
    for (op, types) in without {
        suite.add(format!("rules::{}_has_no_gradient_and_says_so", op.name()), move || {
            let mut graph = Graph::new();
            let inputs: Vec<ValueId> = types
                .iter()
                .enumerate()
                .map(|(i, ty)| graph.input(&format!("input {i}"), ty.clone()))
                .collect::<Result<_>>()
                .map_err(text)?;
            let name = op.name();
            let y = graph.scoped("layer1.0", |graph| one(graph, op, &inputs)).map_err(text)?;
            let upstream = graph.input("upstream", graph.value(y).ty.clone()).map_err(text)?;
            match graph.gradients(&[(y, upstream)], &inputs) {
                Err(Error::Shape { op, scope, .. }) if op == name && scope == "layer1.0" => Ok(()),
                other => Err(format!("expected an error that names {name} in layer1.0, found {other:?}")),
            }
        });
    }
    suite.add("rules::statistics_of_batch_norm_pass_no_gradient", move || {
        let mut graph = Graph::new();
        let x = graph.input("x", f32(&[4, 3])).map_err(text)?;
        let [weight, bias, upstream] =
            ["weight", "bias", "upstream"].map(|n| graph.input(n, TensorType::f32([3])).expect("new names"));
        let outputs = graph.apply(BatchNorm::default(), &[x, weight, bias]).map_err(text)?;
        match graph.gradients(&[(outputs[1], upstream)], &[x]) {
            Err(Error::Shape { op, .. }) if op == "batch_norm" => Ok(()),
            other => Err(format!("expected an error that names batch_norm, found {other:?}")),
        }
    });
}
