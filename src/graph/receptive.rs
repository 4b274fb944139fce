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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;
    use crate::nn::{Builder, Conv2d, Mode};
    use crate::op::MaxPool2d;

    /// The field of a network's last value that still has pixels, and its start.
    fn before_pooling(name: &str) -> Axis {
        let model = models::by_name(name, 3, 10).unwrap();
        let mut b = Builder::new(Mode::Eval);
        let [h, w] = model.input_size();
        let images = b.images([1, 3, h, w]).unwrap();
        model.forward(&mut b, images).unwrap();
        let fields = b.graph.receptive_fields(images);
        let with_pixels = |n: &&Node| b.graph.shape(n.outputs[0]).len() == 4 && n.op.name() != "avg_pool2d";
        let last = b.graph.nodes().iter().rev().find(with_pixels).unwrap();
        let [vertical, horizontal] = fields[last.outputs[0].index()].unwrap();
        assert_eq!(vertical, horizontal);
        vertical
    }

    #[test]
    fn known_networks_see_what_is_known_of_them() {
        // Araujo et al. 2019, table 1: AlexNet 195, stride 32, padding 64.
        assert_eq!(before_pooling("alexnet-2012"), Axis { size: 195, stride: 32, start: -64 });
        // The paper's ResNets have the stride in each stage's last block; with it in the first, as in
        // torchvision, 18, 34 and 50 layers see 435, 899 and 427 pixels.
        assert_eq!(before_pooling("resnet18"), Axis { size: 435, stride: 32, start: -217 });
        assert_eq!(before_pooling("resnet34"), Axis { size: 899, stride: 32, start: -449 });
        assert_eq!(before_pooling("resnet50"), Axis { size: 427, stride: 32, start: -213 });
    }

    #[test]
    fn resnet50_with_its_strides_last_is_the_tables() {
        // Araujo et al. 2019, table 1: ResNet-v1-50 483, stride 32, padding 239.
        let mut b = Builder::new(Mode::Eval);
        let images = b.images([1, 1, 224, 224]).unwrap();
        let conv = |b: &mut Builder, name: &str, x, kernel: usize, stride| {
            let (kernel_size, stride, padding) = ([kernel; 2], [stride; 2], [kernel / 2; 2]);
            b.conv2d(name, x, Conv2d { kernel_size, stride, padding, ..Default::default() }).unwrap()
        };
        let mut x = conv(&mut b, "conv1", images, 7, 2);
        // TensorFlow pads an even image behind alone.
        let pool =
            MaxPool2d { kernel_size: [3, 3], stride: Some([2, 2]), ceil_mode: true, ..Default::default() };
        x = b.max_pool2d(x, pool).unwrap();
        for (stage, (blocks, stride)) in [(3, 2), (4, 2), (6, 2), (3, 1)].into_iter().enumerate() {
            for block in 0..blocks {
                let stride = if block == blocks - 1 { stride } else { 1 };
                let y = conv(&mut b, &format!("{stage}.{block}"), x, 3, stride);
                let shortcut = conv(&mut b, &format!("{stage}.{block}.shortcut"), x, 1, stride);
                x = b.add(y, shortcut).unwrap();
            }
        }
        let field = b.graph.receptive_fields(images)[x.index()].unwrap()[0];
        assert_eq!(field, Axis { size: 483, stride: 32, start: -239 });
    }

    #[test]
    fn branches_unite_and_a_classifier_sees_everything() {
        let mut b = Builder::new(Mode::Eval);
        let images = b.images([1, 1, 9, 7]).unwrap();
        let conv =
            |kernel: [usize; 2], padding| Conv2d { kernel_size: kernel, padding, ..Default::default() };
        let tall = b.conv2d("tall", images, conv([5, 1], [2, 0])).unwrap();
        let wide = b.conv2d("wide", images, conv([1, 3], [0, 1])).unwrap();
        let both = b.concat(&[tall, wide]).unwrap();
        let flat = b.flatten(both).unwrap();
        let fields = b.graph.receptive_fields(images);
        let axis = |size, start| Axis { size, stride: 1, start };
        assert_eq!(fields[both.index()], Some([axis(5, -2), axis(3, -1)]));
        assert_eq!(fields[flat.index()], Some([axis(13, -2), axis(9, -1)]));
        assert_eq!(fields[both.index()].unwrap()[0].centre(), 0.0);
    }

    #[test]
    fn adaptive_windows_lie_within_their_fields() {
        for (size, outs) in [(12, 6), (13, 6), (7, 6), (5, 6), (1, 6), (9, 1)] {
            let mut b = Builder::new(Mode::Eval);
            let images = b.images([1, 1, size, size]).unwrap();
            let pooled = b.adaptive_avg_pool2d(images, [outs, outs]).unwrap();
            let field = b.graph.receptive_fields(images)[pooled.index()].unwrap()[0];
            for o in 0..outs {
                let window = o * size / outs..((o + 1) * size).div_ceil(outs);
                let seen = field.field(o);
                let within = seen.start <= window.start as isize && window.end as isize <= seen.end;
                assert!(within, "{size} to {outs}: {window:?} is not in {seen:?}");
            }
            // Where all windows are alike, they are their fields.
            if size % outs == 0 {
                assert_eq!((field.size, field.stride), (size / outs, size / outs));
            }
        }
    }
}
