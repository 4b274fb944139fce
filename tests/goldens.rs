//! Outputs and gradients of every case in `goldens/ops.json`, and learning rates, against PyTorch's on every executor.

mod common;
#[path = "goldens/schedules.rs"]
mod schedules;

use common::*;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use striate::op::*;
use striate::{Device, Tensor, eager};

/// Terms of a sum, for the tolerance: expected values were computed in f64, ours in f32.
const TERMS: usize = 400;

/// Operations that must have cases, so that none is lost when the goldens are regenerated.
const OPERATIONS: [&str; 21] = [
    "adam",
    "adamw",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "avg_pool2d",
    "batch_norm",
    "clip_grad_norm",
    "concat",
    "conv2d",
    "cross_entropy",
    "flatten",
    "linear",
    "local_response_norm",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "relu",
    "sgd",
    "softmax",
    "topk_accuracy",
];

static TENSORS: LazyLock<HashMap<String, Tensor>> = LazyLock::new(|| {
    let bytes = include_bytes!("goldens/ops.safetensors");
    let file = SafeTensors::deserialize(bytes).expect("the goldens are a safetensors file");
    file.tensors().into_iter().map(|(name, view)| (name, tensor(&view))).collect()
});

fn tensor(view: &safetensors::tensor::TensorView<'_>) -> Tensor {
    let words: Vec<u32> =
        view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    match view.dtype() {
        Dtype::F32 => Tensor::f32(view.shape(), words.into_iter().map(f32::from_bits).collect()),
        Dtype::U32 => Tensor::u32(view.shape(), words),
        other => panic!("the goldens hold {other:?}, expected f32 and u32"),
    }
    .expect("safetensors checked the sizes")
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let index: Value =
        serde_json::from_str(include_str!("goldens/ops.json")).expect("the goldens' index is JSON");
    let rows = index["cases"].as_array().expect("the index lists cases").clone();
    let found: std::collections::BTreeSet<String> = rows.iter().map(|r| string(&r["op"])).collect();
    suite.add("every_operation_has_a_case", move || {
        let missing: Vec<_> = OPERATIONS.iter().filter(|f| !found.contains(**f)).collect();
        assert!(missing.is_empty(), "ops.json has no case of {missing:?}");
        Ok(())
    });
    schedules::add(&mut suite);
    for row in rows.into_iter().map(|row| Arc::new(Row(row))) {
        let name = string(&row.0["name"]).replace('/', "::");
        suite.add_on(ALL_EXECUTORS, name, move |device| row.check(device));
    }
    suite.run()
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// A row of the index.
struct Row(Value);

impl Row {
    /// The tensor of this name in one of the row's maps.
    fn get(&self, map: &str, name: &str) -> &'static Tensor {
        let key = self.0[map][name].as_str().unwrap_or_else(|| panic!("no {name} among {map}"));
        &TENSORS[key]
    }

    /// Names in a map, in order.
    fn names(&self, map: &str) -> Vec<String> {
        self.0[map].as_object().map(|m| m.keys().cloned().collect()).unwrap_or_default()
    }

    fn all(&self, map: &str) -> Vec<&'static Tensor> {
        self.names(map).iter().map(|name| self.get(map, name)).collect()
    }

    fn number(&self, key: &str) -> f32 {
        self.0["config"][key].as_f64().unwrap_or_else(|| panic!("no number {key}")) as f32
    }

    fn size(&self, key: &str) -> usize {
        self.0["config"][key].as_u64().unwrap_or_else(|| panic!("no size {key}")) as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.0["config"][key].as_bool().unwrap_or_else(|| panic!("no flag {key}"))
    }

    fn pair(&self, key: &str) -> [usize; 2] {
        [0, 1].map(|i| self.0["config"][key][i].as_u64().unwrap_or_else(|| panic!("no pair {key}")) as usize)
    }

    /// f32 represents a mean of 1e4 only to 5e-4, which shifts the normalized values by as much of a deviation.
    fn tolerance(&self) -> f64 {
        if string(&self.0["name"]).ends_with("mean1e4") { 1e-3 } else { tolerance(TERMS) }
    }

    fn check(&self, device: &Device) -> Outcome {
        let what = format!(
            "{} {} of {:?} on {}, tensors of seed 20261123",
            string(&self.0["name"]),
            self.0["config"],
            self.all("inputs").iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>(),
            device.name()
        );
        let op = string(&self.0["op"]);
        match op.as_str() {
            "sgd" | "adam" | "adamw" => self.check_steps(&what, &op, device),
            "clip_grad_norm" => self.check_clip(&what, device),
            _ => self.check_op(&what, &op, device),
        }
        .map_err(|e| match e.message() {
            Some(message) if !message.starts_with(&what) => format!("{what}: {message}").into(),
            _ => e,
        })
    }

    /// An operation's outputs and gradients.
    fn check_op(&self, what: &str, name: &str, device: &Device) -> Outcome {
        let inputs = self.all("inputs");
        let op = self.operation(name);
        // Running statistics are inputs of training, but not of the operation.
        let training = name == "batch_norm" && self.flag("training");
        let (outputs, operands) = if training {
            let pair = |a: &str, b: &str| [self.get("inputs", a), self.get("inputs", b)];
            let norm = BatchNorm { eps: self.number("eps"), ..Default::default() };
            let running = pair("running_mean", "running_var");
            let out = eager::batch_norm(
                device,
                inputs[0],
                pair("weight", "bias"),
                running,
                self.number("momentum"),
                norm,
            )?;
            (vec![out.y, out.running_mean, out.running_var], inputs[..3].to_vec())
        } else {
            (eager::apply(device, op.clone(), &inputs)?, inputs)
        };
        for (name, got) in self.names("outputs").iter().zip(&outputs) {
            compare(
                &format!("{what}, output {name}"),
                got,
                self.get("outputs", name),
                self.tolerance(),
                0.0,
            )?;
        }
        let upstreams = self.all("upstream");
        let Some(upstream) = upstreams.first() else { return Ok(()) };
        let grads = eager::gradients(device, op, &operands, upstream)?;
        let named: HashMap<String, Option<Tensor>> = self.names("inputs").into_iter().zip(grads).collect();
        for name in self.names("grads") {
            let got = named[&name].as_ref().ok_or_else(|| format!("{what}: no gradient of {name}"))?;
            compare(
                &format!("{what}, gradient of {name}"),
                got,
                self.get("grads", &name),
                self.tolerance(),
                0.0,
            )?;
        }
        Ok(())
    }

    fn operation(&self, name: &str) -> Op {
        let input_shape = || self.all("inputs")[0].shape().to_vec();
        match name {
            "conv2d" => Conv2d {
                stride: self.pair("stride"),
                padding: self.pair("padding"),
                dilation: self.pair("dilation"),
                groups: self.size("groups"),
                ..Default::default()
            }
            .into(),
            "matmul" => {
                Matmul { transpose_a: self.flag("transpose_a"), transpose_b: self.flag("transpose_b") }.into()
            }
            "linear" => Matmul { transpose_a: false, transpose_b: true }.into(),
            "max_pool2d" => MaxPool2d {
                kernel_size: self.pair("kernel_size"),
                stride: Some(self.pair("stride")),
                padding: self.pair("padding"),
                ceil_mode: self.flag("ceil_mode"),
            }
            .into(),
            "avg_pool2d" => AvgPool2d {
                kernel_size: self.pair("kernel_size"),
                stride: Some(self.pair("stride")),
                padding: self.pair("padding"),
                ceil_mode: self.flag("ceil_mode"),
                count_include_pad: self.flag("count_include_pad"),
            }
            .into(),
            "adaptive_avg_pool2d" => AdaptiveAvgPool2d { output_size: self.pair("output_size") }.into(),
            "adaptive_max_pool2d" => AdaptiveMaxPool2d { output_size: self.pair("output_size") }.into(),
            "relu" => Relu.into(),
            "batch_norm" if self.flag("training") => {
                BatchNorm { eps: self.number("eps"), ..Default::default() }.into()
            }
            "batch_norm" => BatchNormEval { eps: self.number("eps"), ..Default::default() }.into(),
            "add" => Add.into(),
            "concat" => {
                assert_eq!(self.size("dim"), 1, "concat joins along the channels");
                Concat.into()
            }
            "flatten" => {
                assert_eq!(self.size("start_dim"), 1, "flatten keeps the batch");
                let shape = input_shape();
                Reshape { shape: vec![shape[0], shape[1..].iter().product()] }.into()
            }
            "local_response_norm" => LocalResponseNorm {
                size: self.size("size"),
                alpha: self.number("alpha"),
                beta: self.number("beta"),
                k: self.number("k"),
            }
            .into(),
            "softmax" => Softmax { dim: self.size("dim") }.into(),
            "log_softmax" => LogSoftmax { dim: self.size("dim") }.into(),
            "cross_entropy" => CrossEntropy {
                label_smoothing: self.number("label_smoothing"),
                ignore_index: self.0["config"]["ignore_index"].as_u64().map(|index| index as u32),
                reduction: match self.0["config"]["reduction"].as_str() {
                    None | Some("mean") => Reduction::Mean,
                    Some("sum") => Reduction::Sum,
                    Some("none") => Reduction::None,
                    Some(other) => panic!("no reduction {other}"),
                },
            }
            .into(),
            "topk_accuracy" => TopK { k: self.size("k"), ..Default::default() }.into(),
            other => {
                panic!("ops.json has the operation {other}, which this test does not support; add an arm")
            }
        }
    }

    /// The parameter after each of several optimizer steps.
    fn check_steps(&self, what: &str, name: &str, device: &Device) -> Outcome {
        let (grads, want) = (self.get("inputs", "grads"), self.get("outputs", "param"));
        let mut param = self.get("inputs", "param").clone();
        let part = |all: &Tensor, step: usize| {
            let shape = &all.shape()[1..];
            let len: usize = shape.iter().product();
            Tensor::f32(shape, all.as_f32()[step * len..][..len].to_vec()).expect("a step's part")
        };
        let [mut first, mut second] = [0; 2].map(|_| Tensor::zeros(param.shape()));
        let (lr, weight_decay) = (self.number("lr"), self.number("weight_decay"));
        assert_eq!(self.size("steps"), grads.shape()[0]);
        for step in 0..self.size("steps") {
            let grad = part(grads, step);
            if name == "sgd" {
                let (momentum, nesterov) = (self.number("momentum"), self.flag("nesterov"));
                let sgd = Sgd { momentum, weight_decay, nesterov, lr_scale: 1.0 };
                (param, first) = eager::sgd(device, &param, &grad, &first, lr, sgd)?;
            } else {
                let adam = Adam {
                    beta1: self.number("beta1"),
                    beta2: self.number("beta2"),
                    eps: self.number("eps"),
                    weight_decay,
                    decoupled: name == "adamw",
                    lr_scale: 1.0,
                };
                let moments = [&first, &second];
                [param, first, second] = eager::adam(device, &param, &grad, moments, lr, step, adam)?;
            }
            compare(&format!("{what}, step {}", step + 1), &param, &part(want, step), self.tolerance(), 0.0)?;
        }
        Ok(())
    }

    fn check_clip(&self, what: &str, device: &Device) -> Outcome {
        let grads = self.all("inputs");
        let (clipped, norm) = eager::clip_grad_norm(device, &grads, self.number("max_norm"))?;
        let norm = Tensor::f32([1], vec![norm]).expect("one element");
        let mut got: HashMap<String, Tensor> = self.names("inputs").into_iter().zip(clipped).collect();
        got.insert("total_norm".into(), norm);
        for name in self.names("outputs") {
            compare(
                &format!("{what}, {name}"),
                &got[&name],
                self.get("outputs", &name),
                self.tolerance(),
                0.0,
            )?;
        }
        Ok(())
    }
}
