//! ReLU's gradient where its input is NaN: the upstream gradient passes, as in PyTorch, since the forward pass keeps the NaN. On its
//! own and in each fused operation.

use crate::REFERENCE;
use crate::common::{CPU_AND_GPU, Outcome, Suite, compare};
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op::*;
use striate::plan::{Plan, Target};
use striate::{Device, Session, Tensor};

type Net = fn(&mut Graph, ValueId) -> striate::Result<Vec<ValueId>>;

/// A network that ends with a ReLU or pools one, its input, and the gradient for an upstream gradient of 1, 2, 3, ...
struct Row {
    name: &'static str,
    net: Net,
    shape: [usize; 4],
    x: Vec<f32>,
    /// The gradient to compare: 0 for the input's, n for that of the n-th parameter.
    wrt: usize,
    want: Vec<f32>,
}

const NAN: f32 = f32::NAN;

fn rows() -> Vec<Row> {
    let relu: Net = |g, x| g.apply(Relu, &[x]);
    let pooled: Net = |g, x| {
        let y = g.apply(Relu, &[x])?[0];
        g.apply(MaxPool2d::default(), &[y])
    };
    let normed: Net = |g, x| {
        let channels = g.shape(x)[1];
        let [weight, bias] = ["weight", "bias"].map(|name| {
            let ty = striate::TensorType::f32([channels]);
            g.persistent(name, ty, PersistentKind::Parameter, Init::Constant(1.0))
        });
        let y = g.apply(BatchNorm::default(), &[x, weight?, bias?])?[0];
        g.apply(Relu, &[y])
    };
    vec![
        Row {
            name: "relu",
            net: relu,
            shape: [1, 1, 1, 5],
            x: vec![NAN, -1.0, 0.0, 2.0, -NAN],
            wrt: 0,
            want: vec![1.0, 0.0, 0.0, 4.0, 5.0],
        },
        // A NaN is its window's maximum.
        Row {
            name: "relu_before_max_pool",
            net: pooled,
            shape: [1, 1, 2, 4],
            x: vec![1.0, NAN, -1.0, -2.0, 3.0, 4.0, -3.0, -4.0],
            wrt: 0,
            want: vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        },
        // A single NaN makes its whole channel NaN after batch norm, so the gradient of the bias sums the whole channel.
        Row {
            name: "batch_norm",
            net: normed,
            shape: [1, 2, 1, 4],
            x: vec![NAN, 1.0, 2.0, 3.0, -9.0, 1.0, 2.0, 3.0],
            wrt: 2,
            want: vec![10.0, 21.0],
        },
        Row {
            name: "batch_norm_of_an_odd_size",
            net: normed,
            shape: [1, 1, 1, 3],
            x: vec![NAN, 1.0, 2.0],
            wrt: 2,
            want: vec![6.0],
        },
    ]
}

fn agrees(row: &Row, device: &Device, fuse: bool) -> Outcome {
    let run = || -> striate::Result<Tensor> {
        let mut g = Graph::new();
        let x = g.input("x", striate::TensorType::f32(row.shape))?;
        let y = (row.net)(&mut g, x)?[0];
        let upstream = g.input("upstream", g.value(y).ty.clone())?;
        let wrt = [&[x], &g.parameters()[..]].concat()[row.wrt];
        let gradient = g.gradients(&[(y, upstream)], &[wrt])?[0].expect("the network depends on it");
        g.output("gradient", gradient);
        let len: usize = g.shape(upstream).iter().product();
        let up: Vec<f32> = (1..=len).map(|i| i as f32).collect();
        let plan = Plan::new(&g, &Target { fuse, ..device.target().clone() })?;
        let mut session = Session::new(device, vec![plan])?;
        session.initialize(1)?;
        let feed = [("x", (&row.x).into()), ("upstream", (&up).into())];
        Ok(session.run(0, &feed)?.into_tensors().swap_remove(0))
    };
    let got = run()?;
    let want = Tensor::f32(got.shape(), row.want.clone())?;
    compare(&format!("{} on {}, fuse {fuse}", row.name, device.name()), &got, &want, 0.0, 0.0)
}

/// A NaN or infinity in a channel shows in the mean and variance of that channel, and in no other.
fn statistics_are_not_finite(device: &Device) -> Outcome {
    for (width, bad) in [(4, NAN), (4, f32::INFINITY), (3, NAN), (3, f32::NEG_INFINITY)] {
        let mut g = Graph::new();
        let x = g.input("x", striate::TensorType::f32([2, 2, 1, width]))?;
        let [weight, bias] = ["weight", "bias"].map(|name| g.input(name, striate::TensorType::f32([2])));
        let outputs = g.apply(BatchNorm::default(), &[x, weight?, bias?])?;
        g.output("mean", outputs[1]);
        g.output("variance", outputs[2]);
        let mut session = Session::new(device, vec![Plan::new(&g, device.target())?])?;
        let mut values = vec![1.0; 4 * width];
        values[1] = bad;
        let (values, ones) = (values, [1.0; 2]);
        let feed = [("x", (&values).into()), ("weight", (&ones).into()), ("bias", (&ones).into())];
        for statistic in session.run(0, &feed)?.into_tensors() {
            let found = statistic.as_f32();
            assert!(!found[0].is_finite() && found[1].is_finite(), "{bad} of {width} columns: {found:?}");
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add_on(CPU_AND_GPU, "nan::batch_norm_statistics", statistics_are_not_finite);
    suite.add("nan::batch_norm_statistics::reference", || statistics_are_not_finite(&REFERENCE));
    for row in rows().into_iter().map(std::sync::Arc::new) {
        for fuse in [false, true] {
            let name = format!("nan::{}::{}", row.name, if fuse { "fused" } else { "not_fused" });
            let own = row.clone();
            suite.add_on(CPU_AND_GPU, &name, move |device| agrees(&own, device, fuse));
            let own = row.clone();
            suite.add(format!("{name}::reference"), move || agrees(&own, &REFERENCE, fuse));
        }
    }
}
