//! Receptive fields: published ones, joining branches, and adaptive windows.

use striate::graph::{Node, ReceptiveField};
use striate::models;
use striate::nn::{Builder, Conv2d, Mode};
use striate::op::MaxPool2d;

/// The receptive field before global pooling.
fn before_pooling(name: &str) -> ReceptiveField {
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
fn known_networks_have_the_published_fields() {
    // Araujo et al. 2019, table 1: AlexNet 195, stride 32, padding 64.
    assert_eq!(before_pooling("alexnet-2012"), ReceptiveField { size: 195, stride: 32, start: -64 });
    // The paper's ResNets have the stride in the last block of each stage; torchvision's, in the first, have other fields.
    assert_eq!(before_pooling("resnet18"), ReceptiveField { size: 435, stride: 32, start: -217 });
    assert_eq!(before_pooling("resnet34"), ReceptiveField { size: 899, stride: 32, start: -449 });
    assert_eq!(before_pooling("resnet50"), ReceptiveField { size: 427, stride: 32, start: -213 });
}

#[test]
fn resnet50_with_strides_in_the_last_block_matches_the_paper() {
    // Araujo et al. 2019, table 1: ResNet-v1-50 483, stride 32, padding 239.
    let mut b = Builder::new(Mode::Eval);
    let images = b.images([1, 1, 224, 224]).unwrap();
    let conv = |b: &mut Builder, name: &str, x, kernel: usize, stride| {
        let (kernel_size, stride, padding) = ([kernel; 2], [stride; 2], [kernel / 2; 2]);
        b.conv2d(name, x, Conv2d { kernel_size, stride, padding, ..Default::default() }).unwrap()
    };
    let mut x = conv(&mut b, "conv1", images, 7, 2);
    // TensorFlow pads even images at the end only.
    let pool = MaxPool2d { kernel_size: [3, 3], stride: Some([2, 2]), ceil_mode: true, ..Default::default() };
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
    assert_eq!(field, ReceptiveField { size: 483, stride: 32, start: -239 });
}

#[test]
fn branches_are_united_and_linear_layers_see_the_whole_image() {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images([1, 1, 9, 7]).unwrap();
    let conv = |kernel: [usize; 2], padding| Conv2d { kernel_size: kernel, padding, ..Default::default() };
    let tall = b.conv2d("tall", images, conv([5, 1], [2, 0])).unwrap();
    let wide = b.conv2d("wide", images, conv([1, 3], [0, 1])).unwrap();
    let both = b.concat(&[tall, wide]).unwrap();
    let flat = b.flatten(both).unwrap();
    let fields = b.graph.receptive_fields(images);
    let axis = |size, start| ReceptiveField { size, stride: 1, start };
    assert_eq!(fields[both.index()], Some([axis(5, -2), axis(3, -1)]));
    assert_eq!(fields[flat.index()], Some([axis(13, -2), axis(9, -1)]));
    assert_eq!(fields[both.index()].unwrap()[0].center(), 0.0);
}

#[test]
fn adaptive_windows_are_inside_their_fields() {
    for (size, outs) in [(12, 6), (13, 6), (7, 6), (5, 6), (1, 6), (9, 1)] {
        let mut b = Builder::new(Mode::Eval);
        let images = b.images([1, 1, size, size]).unwrap();
        let pooled = b.adaptive_avg_pool2d(images, [outs, outs]).unwrap();
        let field = b.graph.receptive_fields(images)[pooled.index()].unwrap()[0];
        for o in 0..outs {
            let window = o * size / outs..((o + 1) * size).div_ceil(outs);
            let seen = field.pixels(o);
            let within = seen.start <= window.start as isize && window.end as isize <= seen.end;
            assert!(within, "{size} to {outs}: {window:?} is not in {seen:?}");
        }
        // If all windows have the same size, fields are exact.
        if size % outs == 0 {
            assert_eq!((field.size, field.stride), (size / outs, size / outs));
        }
    }
}
