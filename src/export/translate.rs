//! From a graph to the messages of ONNX.

use super::operator::operator;
use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, Size, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::state::State;
use crate::data::Normalization;
use crate::graph::{Graph, Node, Role, ValueId};
use crate::weights::half_bytes;
use crate::{DType, Error, Result, Tensor};
use std::collections::{BTreeSet, HashMap};

/// The symbolic size of the first axis.
const BATCH: &str = "batch";

/// A graph on its way to ONNX.
pub struct Translation<'g> {
    graph: &'g Graph,
    half: bool,
    /// Names of the outputs.
    outputs: HashMap<ValueId, String>,
    /// Names of the values translated so far.
    names: HashMap<ValueId, String>,
    /// All names of values and nodes.
    taken: BTreeSet<String>,
    out: GraphProto,
}

impl<'g> Translation<'g> {
    /// Starts with inputs and outputs. Weights are stored in half precision if `half`.
    pub fn new(graph: &'g Graph, half: bool) -> Result<Self> {
        let (outputs, names, taken) = Default::default();
        let mut new = Self { graph, half, outputs, names, taken, out: GraphProto::default() };
        for (value, input) in graph.values().filter(|(_, value)| value.role == Role::Input) {
            new.claim(&input.name)?;
            new.names.insert(value, input.name.clone());
            new.out.input.push(new.described(&input.name, value)?);
        }
        for (name, value) in graph.outputs() {
            new.claim(name)?;
            new.out.output.push(new.described(name, *value)?);
            let computed = graph.nodes().iter().any(|node| node.outputs[0] == *value);
            if !computed || new.outputs.insert(*value, name.clone()).is_some() {
                let problem = "must be the first output of an operation, and only one output; change the network to export it";
                return Err(Error::argument(name, problem));
            }
        }
        Ok(new)
    }

    /// Takes a name, or fails if it is in use.
    fn claim(&mut self, name: &str) -> Result<()> {
        match self.taken.insert(name.to_owned()) {
            true => Ok(()),
            false => {
                Err(Error::argument(name, "is the name of two values; rename one to export the network"))
            }
        }
    }

    /// A name that starts with `wanted` and is not in use.
    fn fresh(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = [wanted.to_owned()].into_iter().chain(numbered);
        let name = names.find(|name| !self.taken.contains(name)).expect("there are infinitely many");
        self.taken.insert(name.clone());
        name
    }

    /// An input or output, whose first axis is the batch.
    fn described(&self, name: &str, value: ValueId) -> Result<ValueInfoProto> {
        let ty = &self.graph.value(value).ty;
        if ty.dtype != DType::F32 {
            let problem = format!(
                "is {}, expected f32; export a network that was built for evaluation (Mode::Eval)",
                ty.dtype.name()
            );
            return Err(Error::argument(name, problem));
        }
        let sizes = ty.shape.iter().enumerate().map(|(axis, size)| match axis {
            0 => Size::Symbolic(BATCH.to_owned()),
            _ => Size::Fixed(*size as i64),
        });
        let dim = sizes.map(|size| DimensionProto { value: Some(size) }).collect();
        let tensor = TensorTypeProto { elem_type: TensorProto::FLOAT, shape: Some(TensorShapeProto { dim }) };
        let r#type = Some(TypeProto { tensor_type: Some(tensor) });
        Ok(ValueInfoProto { name: name.to_owned(), r#type, doc_string: String::new() })
    }

    /// Normalizes the only input, which then has values from 0 to 255.
    pub fn normalize(&mut self, normalization: &Normalization) -> Result<()> {
        let inputs = self.graph.values().filter(|(_, value)| value.role == Role::Input);
        let [(input, value)] = inputs.collect::<Vec<_>>()[..] else {
            return Err(Error::argument("normalization", "needs a network with a single input"));
        };
        let channels = normalization.mean.len();
        if value.ty.shape.get(1) != Some(&channels) || normalization.std.len() != channels {
            let problem = format!("has {channels} channels, but the input has shape {:?}", value.ty.shape);
            return Err(Error::argument("normalization", problem));
        }
        let per_channel: Vec<usize> =
            value.ty.shape.iter().enumerate().map(|(axis, size)| if axis == 1 { *size } else { 1 }).collect();
        let mut x = value.name.clone();
        for (op_type, what, values) in
            [("Sub", "mean", &normalization.mean), ("Div", "std", &normalization.std)]
        {
            let bytes = values.iter().map(|value| (f64::from(*value) * 255.0) as f32).collect();
            let constant = self.fresh(&format!("preprocessing.{what}"));
            self.initializer(&constant, &Tensor::f32(&per_channel[..], bytes)?)?;
            x = self.push(&format!("preprocessing/{what}"), op_type, vec![x, constant], Vec::new());
        }
        self.names.insert(input, x);
        Ok(())
    }

    /// Adds all weights that nodes read.
    pub fn weights(&mut self, state: &mut State) -> Result<()> {
        let read: BTreeSet<ValueId> =
            self.graph.nodes().iter().flat_map(|node| node.inputs.clone()).collect();
        for (value, weight) in self.graph.values().filter(|(value, _)| read.contains(value)) {
            if !matches!(weight.role, Role::Persistent(_)) {
                continue;
            }
            let tensor = state.take(&weight.name)?;
            if *tensor.ty() != weight.ty {
                let problem = format!("has shape {:?}, expected {:?}", tensor.shape(), weight.ty.shape);
                return Err(Error::argument(&weight.name, problem));
            }
            self.claim(&weight.name)?;
            let name = self.weight(&weight.name, &tensor)?;
            self.names.insert(value, name);
        }
        Ok(())
    }

    /// Adds a weight; returns the name of its value in single precision.
    fn weight(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        let half = if self.half { half_bytes(name, tensor)? } else { None };
        let Some(raw_data) = half else {
            self.initializer(name, tensor)?;
            return Ok(name.to_owned());
        };
        self.constant(name, tensor.shape(), TensorProto::FLOAT16, raw_data);
        let to = AttributeProto {
            name: "to".to_owned(),
            i: Some(TensorProto::FLOAT.into()),
            r#type: AttributeProto::INT,
            ..Default::default()
        };
        Ok(self.push(&format!("{name}/cast"), "Cast", vec![name.to_owned()], vec![to]))
    }

    fn initializer(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let bytes = tensor.as_f32().iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, tensor.shape(), TensorProto::FLOAT, bytes);
        Ok(())
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|size| *size as i64).collect();
        self.out.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
    }

    /// Adds a node whose output has its name; returns the name.
    fn push(
        &mut self,
        wanted: &str,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        let name = self.fresh(wanted);
        self.push_as(&name, &name, op_type, input, attribute);
        name
    }

    fn push_as(
        &mut self,
        name: &str,
        output: &str,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        let (name, output, op_type) = (name.to_owned(), vec![output.to_owned()], op_type.to_owned());
        self.out.node.push(NodeProto { input, output, name, op_type, attribute });
    }

    /// Translates all nodes.
    pub fn nodes(&mut self) -> Result<()> {
        let mut in_scope: HashMap<&str, usize> = HashMap::new();
        self.graph.nodes().iter().for_each(|node| *in_scope.entry(&node.scope).or_default() += 1);
        for node in self.graph.nodes() {
            let name = match &*node.scope {
                "" => node.op.name().to_owned(),
                scope if in_scope[scope] == 1 => scope.to_owned(),
                scope => format!("{scope}/{}", node.op.name()),
            };
            self.node(&name, node).map_err(|problem| Error::Shape {
                op: node.op.name().to_owned(),
                scope: node.scope.to_string(),
                problem,
            })?;
        }
        Ok(())
    }

    fn node(&mut self, wanted: &str, node: &Node) -> Result<(), String> {
        let operator = operator(self.graph, node)?;
        let named = |value: &ValueId| {
            let known = self.names.get(value).cloned();
            known.ok_or_else(|| {
                format!("reads {}, which has no counterpart in ONNX", self.graph.value(*value).name)
            })
        };
        let mut input = node.inputs.iter().map(named).collect::<Result<Vec<String>, String>>()?;
        for (what, values) in operator.constants {
            let constant = self.fresh(&format!("{wanted}/{what}"));
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.constant(&constant, &[values.len()], TensorProto::INT64, bytes);
            input.push(constant);
        }
        let name = self.fresh(wanted);
        let output = self.outputs.get(&node.outputs[0]).cloned().unwrap_or_else(|| name.clone());
        self.push_as(&name, &output, operator.op_type, input, operator.attributes);
        self.names.insert(node.outputs[0], output);
        Ok(())
    }

    /// The translated graph.
    pub fn finish(mut self, name: &str) -> GraphProto {
        self.out.name = name.to_owned();
        self.out
    }
}
