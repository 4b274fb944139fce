//! Receptive fields: which input pixels a value can depend on.

use super::{Graph, Node, Role, ValueId};
use crate::op::Footprint;
use std::ops::Range;

/// The receptive field of a value's elements along one axis: element `o` depends at most on the pixels from
/// `start + o * stride` to `start + o * stride + size - 1`, some of which may be in the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReceptiveField {
    /// Pixels that an element depends on.
    pub size: usize,
    /// Pixels between the fields of adjacent elements.
    pub stride: usize,
    /// First pixel of the first element's field; negative if in the padding.
    pub start: isize,
}

impl ReceptiveField {
    /// The field of a pixel itself.
    const PIXEL: Self = Self { size: 1, stride: 1, start: 0 };

    /// Center of the first element's field, in pixels from the center of the image's first pixel.
    pub fn center(&self) -> f64 {
        self.start as f64 + (self.size as f64 - 1.0) / 2.0
    }

    /// The pixels that element `index` can depend on; those below 0 or past the image are in the padding.
    pub fn pixels(&self, index: usize) -> Range<isize> {
        let start = self.start + (index * self.stride) as isize;
        start..start + self.size as isize
    }

    /// The field after a sliding window over this value.
    fn window(self, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            size: self.size + (kernel - 1) * self.stride,
            stride: self.stride * stride,
            start: self.start - (padding * self.stride) as isize,
        }
    }

    /// The smallest field that contains both.
    fn union(self, other: Self) -> Self {
        let end = |a: Self| a.start + a.size as isize;
        let start = self.start.min(other.start);
        let size = (end(self).max(end(other)) - start) as usize;
        Self { size, stride: self.stride.max(other.stride), start }
    }
}

impl Graph {
    /// For each value its receptive field on `input`, vertically and horizontally; `None` if it does not depend on the input.
    ///
    /// Sizes, strides and starts are propagated from layer to layer as in Araujo et al. 2019, "Computing receptive fields of
    /// convolutional neural networks"; where branches meet, the field covers all of them. An operation over a whole image,
    /// such as global pooling, covers the fields of all its pixels. Dependencies without a spatial extent, such as batch
    /// statistics, are ignored.
    ///
    /// ```
    /// use striate::infer::inference_graph;
    /// use striate::models::LeNet;
    /// use striate::nn::Builder;
    ///
    /// let graph = inference_graph(&LeNet { in_channels: 1, classes: 10 }, [1, 1, 28, 28])?;
    /// let (images, _) = graph.values().find(|(_, value)| value.name == Builder::IMAGES).unwrap();
    /// let fields = graph.receptive_fields(images);
    /// let [vertical, _] = fields[graph.nodes()[0].outputs[0].index()].unwrap();
    /// assert_eq!((vertical.size, vertical.stride), (5, 1)); // the first convolution is 5 x 5
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn receptive_fields(&self, input: ValueId) -> Vec<Option<[ReceptiveField; 2]>> {
        let mut fields = vec![None; self.values.len()];
        fields[input.index()] = Some([ReceptiveField::PIXEL; 2]);
        for node in &self.nodes {
            let seen = node.inputs.iter().filter_map(|v| self.through(node, *v, fields[v.index()]?));
            let field = seen.reduce(|a, b| [a[0].union(b[0]), a[1].union(b[1])]);
            for output in &node.outputs {
                fields[output.index()] = field;
            }
        }
        fields
    }

    /// The field of a node's outputs through one of its inputs.
    fn through(
        &self,
        node: &Node,
        value: ValueId,
        field: [ReceptiveField; 2],
    ) -> Option<[ReceptiveField; 2]> {
        // Running statistics do not depend on the image.
        if matches!(self.value(value).role, Role::Persistent(_)) {
            return None;
        }
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|v| self.shape(*v)).collect();
        let axis = |i: usize, kernel, stride, padding| field[i].window(kernel, stride, padding);
        let sizes = |i: usize| self.shape(value).get(2 + i).copied().unwrap_or(1);
        Some(match node.op.footprint(&shapes) {
            Footprint::Element => field,
            Footprint::Window { extent, stride, padding } => {
                [0, 1].map(|i| axis(i, extent[i], stride[i], padding[i]))
            }
            // One window that covers the whole image.
            Footprint::Image => [0, 1].map(|i| axis(i, sizes(i), 1, 0)),
        })
    }
}
