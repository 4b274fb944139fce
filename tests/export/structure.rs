//! Every network of the library, decoded from its file.

use crate::common::{Outcome, Suite, named};
use crate::random_weights;
use std::collections::{BTreeMap, BTreeSet};
use striate::Tensor;
use striate::data::Normalization;
use striate::export::proto::{
    AttributeProto, Message, ModelProto, NodeProto, Size, TensorProto, ValueInfoProto,
};
use striate::export::{OPSET, OnnxConfig, onnx, write_onnx};
use striate::graph::Graph;
use striate::infer::inference_graph;
use striate::models::{self, NAMES};
use striate::nn::{BatchNorm2d, Builder, Conv2d, Mode};

pub fn add(suite: &mut Suite) {
    for name in NAMES {
        suite.add(format!("structure::{name}"), move || structure(name));
    }
    suite.add_all(named![
        folded_weights_give_the_same_result,
        only_convolutions_that_nothing_else_reads_are_folded,
        nodes_are_named_after_layers,
        files_of_the_onnx_package_have_the_same_fields,
    ]);
}

/// Exports, writes and reads.
pub fn exported(
    graph: &Graph,
    weights: Vec<(String, Tensor)>,
    config: &OnnxConfig,
) -> striate::Result<ModelProto> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    write_onnx(&path, &onnx(graph, weights, config)?)?;
    Ok(ModelProto::decode(&std::fs::read(path).unwrap()[..]).unwrap())
}

fn structure(name: &str) -> Outcome {
    let model = models::by_name(name, 3, 10)?;
    let [height, width] = model.input_size();
    let graph = inference_graph(&*model, [1, 3, height, width])?;
    let weights = random_weights(&graph, name);
    let layers = |op: &str| graph.nodes().iter().filter(|node| node.op.name() == op).count();

    let plain = OnnxConfig { name: name.to_owned(), ..Default::default() };
    let file = exported(&graph, weights.clone(), &plain)?;
    assert_eq!((file.ir_version, file.opset_import[0].version), (8, OPSET));
    assert_eq!((&*file.producer_name, &*file.producer_version), ("striate", env!("CARGO_PKG_VERSION")));
    let onnx = file.graph.unwrap();
    assert_eq!(onnx.name, name);
    assert_eq!(shape(&onnx.input, "images"), ["batch", "3", &height.to_string(), &width.to_string()]);
    assert_eq!(shape(&onnx.output, "logits"), ["batch", "10"]);
    assert_eq!(onnx.node.len(), graph.nodes().len());
    let constants = well_formed(&onnx.node, &onnx.initializer);
    for (name, tensor) in &weights {
        let stored = constants[&name[..]];
        assert!(stored.data_type == TensorProto::FLOAT && stored.raw_data == tensor.as_bytes(), "{name}");
        assert_eq!(stored.dims, tensor.shape().iter().map(|size| *size as i64).collect::<Vec<_>>(), "{name}");
    }

    let (mean, std) = (vec![0.5; 3], vec![0.25; 3]);
    let normalization = Some(Normalization { mean, std });
    let folded = OnnxConfig { fold_batch_norm: true, normalization, half: true, ..plain };
    let onnx = exported(&graph, weights, &folded)?.graph.unwrap();
    let constants = well_formed(&onnx.node, &onnx.initializer);
    let count = |op: &str| onnx.node.iter().filter(|node| node.op_type == op).count();
    assert_eq!((count("BatchNormalization"), count("Conv")), (0, layers("conv2d")));
    assert_eq!((count("Sub"), count("Div")), (1, 1));
    let matrices = constants.values().filter(|tensor| tensor.data_type == TensorProto::FLOAT16);
    assert_eq!(matrices.count(), layers("conv2d") + layers("matmul"));
    assert_eq!(count("Cast"), layers("conv2d") + layers("matmul"));
    assert!(onnx.node.iter().all(|node| node.op_type != "Conv" || node.input.len() == 3));
    Ok(())
}

/// The sizes of the only value in a list, which must have this name.
fn shape(values: &[ValueInfoProto], name: &str) -> Vec<String> {
    let [value] = values else { panic!("expected {name} only, found {values:?}") };
    assert_eq!(value.name, name);
    let ty = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(ty.elem_type, TensorProto::FLOAT);
    let sizes = ty.shape.as_ref().unwrap().dim.iter().map(|dim| match dim.value.as_ref().unwrap() {
        Size::Fixed(size) => size.to_string(),
        Size::Symbolic(name) => name.clone(),
    });
    sizes.collect()
}

/// Asserts that nodes are in topological order, that names are unique, and that constants are complete and used; returns the constants.
fn well_formed<'a>(nodes: &[NodeProto], constants: &'a [TensorProto]) -> BTreeMap<&'a str, &'a TensorProto> {
    let by_name: BTreeMap<&str, &TensorProto> =
        constants.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    assert_eq!(by_name.len(), constants.len());
    let mut known: BTreeSet<&str> = by_name.keys().copied().chain(["images"]).collect();
    let (mut names, mut used) = (BTreeSet::new(), BTreeSet::new());
    for node in nodes {
        assert!(!node.name.is_empty() && names.insert(&node.name), "{node:?}");
        for input in &node.input {
            assert!(known.contains(&input[..]), "{node:?} reads {input}");
            used.insert(&input[..]);
        }
        let [output] = &node.output[..] else { panic!("{node:?}") };
        assert!(known.insert(output), "{output} is computed twice");
    }
    assert!(known.contains("logits"));
    for tensor in constants {
        let size = match tensor.data_type {
            TensorProto::FLOAT16 => 2,
            TensorProto::FLOAT => 4,
            TensorProto::INT64 => 8,
            other => panic!("{} has type {other}", tensor.name),
        };
        let elements: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data.len() as i64, size * elements, "{}", tensor.name);
        assert!(used.contains(&tensor.name[..]), "{} is not used", tensor.name);
    }
    by_name
}

/// A convolution with a bias, a batch norm, and whatever `more` adds to both.
fn conv_and_norm(
    more: impl FnOnce(&mut Builder, [striate::graph::ValueId; 2]) -> striate::Result<()>,
) -> Graph {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images([1, 1, 1, 1]).unwrap();
    let x = b.conv2d("conv", images, Conv2d::default()).unwrap();
    let y = b.batch_norm2d("bn", x, BatchNorm2d { eps: 0.5, ..Default::default() }).unwrap();
    b.graph.output(Builder::LOGITS, y);
    more(&mut b, [x, y]).unwrap();
    b.graph
}

fn one(name: &str, shape: &[usize], value: f32) -> (String, Tensor) {
    (name.to_owned(), Tensor::f32(shape, vec![value]).unwrap())
}

fn conv_and_norm_weights() -> Vec<(String, Tensor)> {
    let norm = [("weight", 3.0), ("bias", 0.25), ("running_mean", 1.5), ("running_var", 3.5)];
    let norm = norm.map(|(name, value)| one(&format!("bn.{name}"), &[1], value));
    [one("conv.weight", &[1, 1, 1, 1], 2.0), one("conv.bias", &[1], 0.5)].into_iter().chain(norm).collect()
}

fn folded_weights_give_the_same_result() -> Outcome {
    let config = OnnxConfig { fold_batch_norm: true, ..Default::default() };
    let graph = exported(&conv_and_norm(|_, _| Ok(())), conv_and_norm_weights(), &config)?.graph.unwrap();
    let [conv] = &graph.node[..] else { panic!("{:?}", graph.node) };
    assert_eq!(
        (&*conv.op_type, &conv.input[1..]),
        ("Conv", &["conv.weight".to_owned(), "conv.bias".into()][..])
    );
    let value = |at: usize| f32::from_le_bytes(graph.initializer[at].raw_data[..].try_into().unwrap());
    // (2 x + 0.5 - 1.5) / sqrt(3.5 + 0.5) * 3 + 0.25
    assert_eq!((value(0), value(1)), (3.0, -1.25));
    Ok(())
}

fn only_convolutions_that_nothing_else_reads_are_folded() -> Outcome {
    let config = OnnxConfig { fold_batch_norm: true, ..Default::default() };
    let twice = conv_and_norm(|b, [x, y]| {
        let sum = b.add(x, y)?;
        b.graph.output("sum", sum);
        Ok(())
    });
    let before = conv_and_norm(|b, [x, _]| {
        b.graph.output("before", x);
        Ok(())
    });
    for graph in [twice, before] {
        let nodes = exported(&graph, conv_and_norm_weights(), &config)?.graph.unwrap().node;
        assert_eq!((&*nodes[0].op_type, &*nodes[1].op_type), ("Conv", "BatchNormalization"));
    }
    Ok(())
}

fn nodes_are_named_after_layers() -> Outcome {
    let model = models::by_name("resnet20-a", 3, 10)?;
    let graph = inference_graph(&*model, [1, 3, 32, 32])?;
    let onnx = exported(&graph, random_weights(&graph, "names"), &OnnxConfig::default())?.graph.unwrap();
    let operator = |name: &str| &*onnx.node.iter().find(|node| node.name == name).expect(name).op_type;
    for (name, op_type) in [
        ("conv1", "Conv"),
        ("layer1.0.bn2", "BatchNormalization"),
        ("layer2.0/channel_pad", "Pad"),
        ("layer2.0/add", "Add"),
        ("avgpool", "GlobalAveragePool"),
        ("fc", "Gemm"),
    ] {
        assert_eq!(operator(name), op_type, "{name}");
    }
    Ok(())
}

/// A file with every field that striate writes, encoded by another implementation, decodes and encodes to the same bytes.
fn files_of_the_onnx_package_have_the_same_fields() -> Outcome {
    let bytes: &[u8] = include_bytes!("../goldens/fields.onnx");
    let model = ModelProto::decode(bytes)?;
    assert_eq!(model.encode_to_vec(), bytes);
    let graph = model.graph.unwrap();
    let attribute = |at: usize| -> &AttributeProto { &graph.node[0].attribute[at] };
    assert_eq!(graph.node[0].attribute.len(), 3);
    assert_eq!(
        (attribute(0).f, attribute(1).i, &attribute(2).ints[..]),
        (Some(0.0), Some(0), &[0, 1, 300][..])
    );
    assert_eq!(graph.initializer.iter().map(|tensor| tensor.data_type).collect::<Vec<_>>(), [1, 10, 7]);
    assert_eq!(shape(&graph.input, "images"), ["batch", "3"]);
    assert_eq!(model.metadata_props[0].value, "text");
    Ok(())
}
