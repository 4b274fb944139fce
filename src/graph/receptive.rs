//! Receptive fields: which pixels of an input a value can depend on.

use super::{Graph, Node, Role, ValueId};
use crate::op::{Footprint, Operation};
use std::ops::Range;

/// Where the elements of a value look on an input, along one axis: element `o` depends on nothing but the
/// pixels from `start + o * stride` to `start + o * stride + size - 1`, of which some may lie in the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Axis {
    /// Pixels that an element depends on.
    pub size: usize,
    /// Pixels between the fields of two neighbours.
    pub stride: usize,
    /// First pixel of the first element's field; negative in the padding.
    pub start: isize,
}

impl Axis {
    /// A pixel's own field.
    const PIXEL: Self = Self { size: 1, stride: 1, start: 0 };

    /// Centre of the first element's field, in pixels from the middle of the image's first pixel.
    pub fn centre(&self) -> f64 {
        self.start as f64 + (self.size as f64 - 1.0) / 2.0
    }

    /// The pixels that element `index` depends on; those below 0, and past the image, lie in the padding.
    pub fn field(&self, index: usize) -> Range<isize> {
        let start = self.start + (index * self.stride) as isize;
        start..start + self.size as isize
    }

    /// The field of windows of `kernel` pixels in steps of `stride`, from `padding` ahead.
    fn window(self, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            size: self.size + (kernel - 1) * self.stride,
            stride: self.stride * stride,
            start: self.start - (padding * self.stride) as isize,
        }
    }

    /// What either sees.
    fn union(self, other: Self) -> Self {
        let end = |a: Self| a.start + a.size as isize;
        let start = self.start.min(other.start);
        let size = (end(self).max(end(other)) - start) as usize;
        Self { size, stride: self.stride.max(other.stride), start }
    }
}

impl Graph {
    /// By value: its receptive field on `input`, vertically and horizontally; `None` where nothing of the input
    /// goes in.
    ///
    /// Sizes, strides and starts follow from layer to layer as in Araujo et al. 2019, "Computing receptive
    /// fields of convolutional neural networks"; where branches meet, their fields are united. A value
    /// without height and width sees whatever any of its pixels saw. What depends on the input in ways
    /// that are no field, such as a batch's statistics, is left out.
    pub fn receptive_fields(&self, input: ValueId) -> Vec<Option<[Axis; 2]>> {
        let mut fields = vec![None; self.values.len()];
        fields[input.index()] = Some([Axis::PIXEL; 2]);
        for node in &self.nodes {
            let seen = node.inputs.iter().filter_map(|v| self.through(node, *v, fields[v.index()]?));
            let field = seen.reduce(|a, b| [a[0].union(b[0]), a[1].union(b[1])]);
            for output in &node.outputs {
                fields[output.index()] = field;
            }
        }
        fields
    }

    /// What a node's outputs see of the input by way of one of its inputs.
    fn through(&self, node: &Node, value: ValueId, field: [Axis; 2]) -> Option<[Axis; 2]> {
        // Running statistics are not the image's.
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
            // One window as large as the image.
            Footprint::Image => [0, 1].map(|i| axis(i, sizes(i), 1, 0)),
        })
    }
}
