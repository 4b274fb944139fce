//! ONNX Runtime against striate, if `python3` or STRIATE_PYTHON has the packages onnx, onnxruntime and pillow.

use crate::common::{Outcome, Suite, fill};
use crate::random_weights;
use crate::workspace::{PROGRAM, text};
use std::path::Path;
use std::process::Command;
use striate::export::{OnnxConfig, onnx, write_onnx};
use striate::graph::{Graph, ValueId};
use striate::infer::inference_graph;
use striate::models::{self, NAMES};
use striate::nn::{Builder, Linear, Mode};
use striate::op::{self, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, LocalResponseNorm, MaxPool2d};
use striate::plan::Plan;
use striate::{Device, Result, Session};

pub fn add(suite: &mut Suite) {
    let available = python(&["-c", "import numpy, onnx, onnxruntime, PIL"]).output();
    let available = available.is_ok_and(|output| output.status.success());
    for name in NAMES {
        suite.add_if(available, format!("onnx_runtime::{name}"), move || network(name));
    }
    suite.add_if(available, "onnx_runtime::operations", operations);
}

fn python(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("STRIATE_PYTHON").unwrap_or("python3".into()));
    command.args(args);
    command
}

/// Runs Python, which must succeed, and prints what it prints.
fn run(command: &mut Command) -> Outcome {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{}{}", text(&output.stdout), text(&output.stderr)).into());
    }
    print!("{}", text(&output.stdout));
    Ok(())
}

/// A network with random weights, through the script that also checks trained ones.
fn network(name: &str) -> Outcome {
    let model = models::by_name(name, 3, 10)?;
    let [height, width] = model.input_size();
    let graph = inference_graph(&*model, [1, 3, height, width])?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("weights.safetensors");
    striate::weights::write(&path, &random_weights(&graph, name), &Default::default())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check_onnx.py");
    let flags: &[&str] = match name {
        // It has no usual preprocessing.
        "lenet" => &["--size", "28x28", "--preprocess", "cifar10"],
        // Its usual size is that of other networks.
        "alexnet-2012" => &["--size", "227x227"],
        _ => &[],
    };
    // With 110 layers and no shortcuts, random weights amplify rounding: PyTorch in f32 differs as much from PyTorch in f64.
    let tolerance = if name == "plain110" { "1e-4" } else { "1e-5" };
    let mut command = python(&[]);
    command.arg(script).args(["--tolerance", tolerance, PROGRAM, name]).arg(path);
    run(command.args(flags).env("STRIATE_CACHE", "off"))
}

const CHECK: &str = r#"
import sys, numpy, onnx, onnxruntime
path, size, largest = sys.argv[1], int(sys.argv[2]), 0
onnx.checker.check_model(onnx.load(path + "/model.onnx"), full_check=True)
images = numpy.fromfile(path + "/images", "<f4").reshape(2, 3, size, size)
expected = numpy.fromfile(path + "/logits", "<f4")
session = onnxruntime.InferenceSession(path + "/model.onnx", providers=["CPUExecutionProvider"])
for batch in [images, images[:1]]:
    found = session.run(["logits"], {"images": batch})[0].ravel()
    wanted = expected if len(batch) == 2 else expected[:len(expected) // 2]
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert numpy.abs(found - wanted).max() <= 1e-5 * numpy.abs(wanted).max(), (found, wanted)
"#;

/// One operation on images of 3 channels.
type Build = fn(&mut Builder, ValueId) -> Result<ValueId>;

/// Operations and settings that no network of the library uses.
fn operations() -> Outcome {
    let cases: [(&str, usize, Build); 12] = [
        ("max-pooling whose last window would start in the padding", 5, |b, x| {
            let pool =
                MaxPool2d { kernel_size: [2, 2], stride: Some([3, 3]), padding: [1, 1], ceil_mode: true };
            b.max_pool2d(x, pool)
        }),
        ("average pooling, rounded up", 8, |b, x| {
            b.avg_pool2d(
                x,
                AvgPool2d {
                    kernel_size: [3, 3],
                    stride: Some([2, 2]),
                    ceil_mode: true,
                    ..Default::default()
                },
            )
        }),
        ("average pooling that counts padding", 8, |b, x| {
            b.avg_pool2d(x, AvgPool2d { kernel_size: [3, 3], padding: [1, 1], ..Default::default() })
        }),
        ("average pooling that does not", 8, |b, x| {
            let pool =
                AvgPool2d { kernel_size: [3, 2], padding: [1, 0], ceil_mode: true, ..Default::default() };
            b.avg_pool2d(x, AvgPool2d { count_include_pad: false, ..pool })
        }),
        ("adaptive windows that overlap", 7, |b, x| b.apply(AdaptiveAvgPool2d { output_size: [6, 6] }, &[x])),
        ("adaptive max-pooling", 9, |b, x| b.apply(AdaptiveMaxPool2d { output_size: [3, 1] }, &[x])),
        ("global max-pooling", 9, |b, x| b.global_max_pool2d(x)),
        ("softmax", 3, |b, x| b.apply(op::Softmax { dim: 2 }, &[x])),
        ("log-softmax", 3, |b, x| b.apply(op::LogSoftmax { dim: 1 }, &[x])),
        ("channels", 3, |b, x| {
            let slice = b.apply(op::ChannelSlice { start: 1, channels: 2 }, &[x])?;
            b.apply(op::ChannelPad { before: 1, after: 2 }, &[slice])
        }),
        ("response norm", 3, |b, x| {
            b.local_response_norm(x, LocalResponseNorm { size: 3, alpha: 0.5, beta: 0.6, k: 2.0 })
        }),
        ("linear layers and reshapes", 4, |b, x| {
            let factor = b.parameter("bias", [1], striate::graph::Init::Constant(0.0))?;
            let x = b.apply(op::Reshape { shape: vec![2, 3, 16] }, &[x])?;
            let x = b.apply(op::Scale, &[x, factor])?;
            let x = b.flatten(x)?;
            b.linear("fc", x, Linear { in_features: 48, out_features: 5, bias: false })
        }),
    ];
    for (name, size, build) in cases {
        operation(size, build).map_err(|error| format!("{name}: {}", error.message().unwrap_or("failed")))?;
    }
    Ok(())
}

fn operation(size: usize, build: Build) -> Outcome {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images([2, 3, size, size])?;
    let y = build(&mut b, images)?;
    b.graph.output(Builder::LOGITS, y);
    let weights = random_weights(&b.graph, "operation");
    let images = fill(1, 6 * size * size, 1.0);
    let logits = logits(&b.graph, &weights, &images)?;
    let dir = tempfile::tempdir()?;
    write_onnx(&dir.path().join("model.onnx"), &onnx(&b.graph, weights, &OnnxConfig::default())?)?;
    for (name, values) in [("images", images), ("logits", logits)] {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(dir.path().join(name), bytes)?;
    }
    run(python(&["-c", CHECK]).arg(dir.path()).arg(size.to_string()))
}

fn logits(graph: &Graph, weights: &[(String, striate::Tensor)], images: &[f32]) -> Result<Vec<f32>> {
    let device = Device::select("cpu")?;
    let mut session = Session::new(&device, vec![Plan::new(graph, device.target())?])?;
    weights.iter().try_for_each(|(name, tensor)| session.write(name, tensor))?;
    let outputs = session.run(0, &[(Builder::IMAGES, images.into())])?;
    Ok(outputs.get(Builder::LOGITS).expect("the graph has this output").as_f32().to_vec())
}
