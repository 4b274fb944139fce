//! The ONNX operator of each operation.

use super::proto::AttributeProto;
use crate::graph::{Graph, Node};
use crate::op::{self, Epilogue, Op, PaddedWindow, Window};

/// An ONNX operator for a node, which takes the node's inputs and then the constants.
pub struct Operator {
    pub op_type: &'static str,
    pub attributes: Vec<AttributeProto>,
    /// Lists of integers with their names. Some settings are inputs in ONNX.
    pub constants: Vec<(&'static str, Vec<i64>)>,
}

/// The operator of a node, or why there is none. Only the first output of a node can be used.
pub fn operator(graph: &Graph, node: &Node) -> Result<Operator, String> {
    let shape = |input: usize| graph.shape(node.inputs[input]);
    let output = graph.shape(node.outputs[0]);
    match &node.op {
        Op::Add(_) => new("Add", []),
        Op::Relu(_) => new("Relu", []),
        Op::Mul(_) | Op::Scale(_) => new("Mul", []),
        Op::Concat(_) => new("Concat", [int("axis", 1)]),
        Op::Softmax(softmax) => new("Softmax", [int("axis", softmax.dim as i64)]),
        Op::LogSoftmax(softmax) => new("LogSoftmax", [int("axis", softmax.dim as i64)]),
        Op::Conv2d(conv) => convolution(conv, shape(1)),
        Op::Matmul(product) => matrix_product(product, shape(0)),
        Op::BatchNormEval(norm) => match norm.epilogue {
            Epilogue::None => new("BatchNormalization", [float("epsilon", norm.eps)]),
            _ => Err(FUSED.to_owned()),
        },
        Op::LocalResponseNorm(norm) => response_norm(norm),
        Op::MaxPool(pool) => match pool.window {
            Window::Adaptive { output_size: [1, 1] } => new("GlobalMaxPool", []),
            window => new("MaxPool", windows(&window.padded(pixels(shape(0))?)?)),
        },
        Op::AvgPool(pool) => average_pooling(pool, pixels(shape(0))?),
        Op::Reshape(_) => reshape(shape(0), output),
        Op::ChannelSlice(slice) => {
            let end = slice.start + slice.channels;
            let bounds = [("starts", slice.start), ("ends", end), ("axes", 1)];
            with_constants("Slice", bounds.map(|(name, value)| (name, vec![value as i64])))
        }
        Op::ChannelPad(pad) => {
            let mut pads = vec![0; 2 * output.len()];
            (pads[1], pads[output.len() + 1]) = (pad.before as i64, pad.after as i64);
            with_constants("Pad", [("pads", pads)])
        }
        Op::BatchNorm(_) | Op::Dropout(_) => {
            Err("is for training; build the network for evaluation (Mode::Eval)".to_owned())
        }
        _ => Err("has no counterpart in ONNX; export a network without it".to_owned()),
    }
}

const FUSED: &str = "was fused by a plan; export the graph of the network";

fn new(
    op_type: &'static str,
    attributes: impl IntoIterator<Item = AttributeProto>,
) -> Result<Operator, String> {
    Ok(Operator { op_type, attributes: attributes.into_iter().collect(), constants: Vec::new() })
}

fn with_constants(
    op_type: &'static str,
    constants: impl IntoIterator<Item = (&'static str, Vec<i64>)>,
) -> Result<Operator, String> {
    Ok(Operator { op_type, attributes: Vec::new(), constants: constants.into_iter().collect() })
}

fn convolution(conv: &op::Conv2d, weight: &[usize]) -> Result<Operator, String> {
    if conv.epilogue != Epilogue::None {
        return Err(FUSED.to_owned());
    }
    new(
        "Conv",
        [
            ints("dilations", &conv.dilation),
            int("group", conv.groups as i64),
            ints("kernel_shape", &weight[2..]),
            ints("pads", [conv.padding, conv.padding].as_flattened()),
            ints("strides", &conv.stride),
        ],
    )
}

fn matrix_product(product: &op::Matmul, a: &[usize]) -> Result<Operator, String> {
    match a.len() {
        2 => new(
            "Gemm",
            [int("transA", product.transpose_a.into()), int("transB", product.transpose_b.into())],
        ),
        _ => Err(format!("is exported for two axes only, found {a:?}")),
    }
}

fn response_norm(norm: &op::LocalResponseNorm) -> Result<Operator, String> {
    match norm.size % 2 {
        1 => new(
            "LRN",
            [
                float("alpha", norm.alpha),
                float("beta", norm.beta),
                float("bias", norm.k),
                int("size", norm.size as i64),
            ],
        ),
        _ => Err(format!(
            "is exported for an odd size only, found {}: ONNX centers even windows differently",
            norm.size
        )),
    }
}

fn average_pooling(pool: &op::AvgPool, image: [usize; 2]) -> Result<Operator, String> {
    if let Window::Adaptive { output_size: [1, 1] } = pool.window {
        return new("GlobalAveragePool", []);
    }
    let padded = pool.window.padded(image)?;
    let (_, _, padding) = pool.window.sliding();
    // Pixels that rounding up adds never count, but ONNX would count all padding or none.
    let counts = pool.count_include_pad && padding != [0, 0];
    if counts && padded.padding[1] != padding {
        return Err("counts padding and rounds its output size up, which ONNX cannot express; set one of \
            count_include_pad and ceil_mode to false"
            .to_owned());
    }
    let counted = int("count_include_pad", counts.into());
    new("AveragePool", windows(&padded).into_iter().chain([counted]))
}

fn windows(window: &PaddedWindow) -> [AttributeProto; 3] {
    [
        ints("kernel_shape", &window.kernel_size),
        ints("pads", window.padding.as_flattened()),
        ints("strides", &window.stride),
    ]
}

/// Height and width of images.
fn pixels(shape: &[usize]) -> Result<[usize; 2], String> {
    match *shape {
        [_, _, height, width] => Ok([height, width]),
        _ => Err(format!("expected [batch, channels, height, width], found {shape:?}")),
    }
}

/// The batch, which may have any size, must stay the first axis.
fn reshape(from: &[usize], to: &[usize]) -> Result<Operator, String> {
    match (from, to) {
        ([batch, ..], [same, _]) if batch == same => new("Flatten", [int("axis", 1)]),
        ([batch, ..], [same, rest @ ..]) if batch == same => {
            // 0 keeps the size of an axis.
            let shape = [0].into_iter().chain(rest.iter().map(|size| *size as i64));
            with_constants("Reshape", [("shape", shape.collect())])
        }
        _ => Err(format!("is exported only if the batch stays the first axis, found {from:?} and {to:?}")),
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), r#type: AttributeProto::FLOAT, ..named(name) }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), r#type: AttributeProto::INT, ..named(name) }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|value| *value as i64).collect();
    AttributeProto { ints, r#type: AttributeProto::INTS, ..named(name) }
}

fn named(name: &str) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ..Default::default() }
}
