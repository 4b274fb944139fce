//! Summary of a network: the output, parameters, cost and receptive field of each operation.

use super::report::{aligned, format_bytes, format_count, format_shape};
use crate::graph::{Graph, Node, PersistentKind, Phase, ReceptiveField, Role, ValueId};
use crate::op::Op;
use std::fmt;

/// The forward operations of a graph, computed without a plan.
///
/// ```
/// use striate::nn::{Builder, Conv2d, Mode};
/// use striate::plan::Summary;
///
/// // The first layer of AlexNet, with shared weights and with separate weights for every output pixel.
/// let mut b = Builder::new(Mode::Eval);
/// let images = b.images([1, 3, 227, 227])?;
/// let conv = Conv2d { in_channels: 3, out_channels: 96, kernel_size: [11, 11], stride: [4, 4], ..Default::default() };
/// b.conv2d("conv1", images, conv)?;
/// let summary = Summary::of(&b.graph);
/// assert_eq!(summary.layers[0].output, [1, 96, 55, 55]);
/// assert_eq!((summary.parameters, summary.unshared_parameters), (34_944, 105_705_600));
/// assert_eq!(summary.layers[0].receptive_field.unwrap()[0].size, 11);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Summary {
    /// Operations in order, without views.
    pub layers: Vec<LayerSummary>,
    /// Number of learned values.
    pub parameters: u64,
    /// Number of learned values if every output pixel had its own weights.
    pub unshared_parameters: u64,
    /// Multiply-adds of convolutions and linear layers, for one image.
    pub macs: u64,
    /// Bytes of all activations, for one image.
    pub activation_bytes: u64,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct LayerSummary {
    /// The layer, `layer1.0.conv1`; empty outside of any.
    pub layer: String,
    /// The operation's name.
    pub operation: &'static str,
    /// Shape of its result, including the batch.
    pub output: Vec<usize>,
    /// Number of learned values.
    pub parameters: u64,
    /// Number of learned values if every output pixel had its own weights.
    pub unshared_parameters: u64,
    /// Multiply-adds of a convolution or matrix product, for one image.
    pub macs: u64,
    /// Bytes of its results, for one image.
    pub activation_bytes: u64,
    /// Receptive field of the output elements, vertical and horizontal.
    pub receptive_field: Option<[ReceptiveField; 2]>,
}

impl Summary {
    /// Summarizes a graph whose first input is the images.
    pub fn of(graph: &Graph) -> Self {
        let images = graph.values().find(|(_, v)| v.role == Role::Input).map(|(id, _)| id);
        let fields = images.map(|images| graph.receptive_fields(images)).unwrap_or_default();
        let layers: Vec<LayerSummary> = graph
            .nodes()
            .iter()
            .filter(|node| node.phase == Phase::Forward && !node.op.is_view())
            .map(|node| {
                let receptive_field = fields.get(node.outputs[0].index()).copied().flatten();
                LayerSummary { receptive_field, ..LayerSummary::of(graph, node) }
            })
            .collect();
        let sum = |of: fn(&LayerSummary) -> u64| layers.iter().map(of).sum();
        Self {
            parameters: graph.parameters().iter().map(|v| graph.value(*v).ty.len() as u64).sum(),
            unshared_parameters: sum(|l| l.unshared_parameters),
            macs: sum(|l| l.macs),
            activation_bytes: sum(|l| l.activation_bytes),
            layers,
        }
    }
}

impl LayerSummary {
    fn of(graph: &Graph, node: &Node) -> Self {
        let output = graph.shape(node.outputs[0]);
        let batch = output[0] as u64;
        let learned = |v: &&ValueId| matches!(&graph.value(**v).role, Role::Persistent(p) if p.kind == PersistentKind::Parameter);
        let parameters = node.inputs.iter().filter(learned).map(|v| graph.value(*v).ty.len() as u64).sum();
        // All pixels share the same parameters.
        let pixels: u64 = output.iter().skip(2).map(|n| *n as u64).product();
        let elements: u64 = output.iter().map(|n| *n as u64).product();
        // Products that are summed for each output element.
        let terms: usize = match node.op {
            Op::Conv2d(_) => graph.shape(node.inputs[1])[1..].iter().product(),
            Op::Matmul(_) => graph.shape(node.inputs[0]).iter().skip(1).product(),
            _ => 0,
        };
        Self {
            layer: node.scope.to_string(),
            operation: node.op.name(),
            output: output.to_vec(),
            parameters,
            unshared_parameters: parameters * pixels,
            macs: elements * terms as u64 / batch,
            activation_bytes: node.outputs.iter().map(|v| graph.value(*v).ty.bytes()).sum::<u64>() / batch,
            receptive_field: None,
        }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let layer = if self.layer.is_empty() { "-" } else { &self.layer };
        let both = |of: fn(&ReceptiveField) -> String| {
            self.receptive_field.map_or("-".to_owned(), |[v, h]| match (of(&v), of(&h)) {
                (v, h) if v == h => v,
                (v, h) => format!("{v} x {h}"),
            })
        };
        [
            layer.into(),
            self.operation.into(),
            format_shape(&self.output[1..]),
            thousands(self.parameters),
            thousands(self.unshared_parameters),
            format_count(self.macs),
            both(|axis| axis.size.to_string()),
            both(|axis| axis.stride.to_string()),
            both(|axis| axis.center().to_string()),
            format_bytes(self.activation_bytes),
        ]
    }
}

/// Number of table columns.
const COLUMNS: usize = 10;

const HEADER: [&str; COLUMNS] = [
    "layer",
    "operation",
    "output",
    "parameters",
    "unshared",
    "MACs",
    "field",
    "stride",
    "center",
    "activations",
];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEADER.map(str::to_owned)];
        rows.extend(self.layers.iter().map(LayerSummary::cells));
        let mut total = [const { String::new() }; COLUMNS];
        total[0] = "total".into();
        total[3..6].clone_from_slice(&[
            thousands(self.parameters),
            thousands(self.unshared_parameters),
            format_count(self.macs),
        ]);
        total[9] = format_bytes(self.activation_bytes);
        rows.push(total);
        aligned(&rows, 3).iter().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

/// `105,705,600`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_separated_by_commas() {
        assert_eq!([0, 999, 1000, 105_705_600].map(thousands), ["0", "999", "1,000", "105,705,600"]);
    }
}
