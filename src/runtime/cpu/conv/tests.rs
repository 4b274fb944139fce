use super::*;
use crate::runtime::cpu::{assert_close, noise, run, with_outputs};

/// A convolution with a `k` x `k + 1` kernel.
fn conv([k, stride, padding, dilation]: [u32; 4]) -> Conv {
    let sizes = Conv { batch: 3, in_channels: 4, in_h: 9, in_w: 12, out_channels: 6, ..Default::default() };
    with_outputs(Conv {
        kernel_h: k,
        kernel_w: k + 1,
        stride_h: stride,
        stride_w: stride,
        padding_h: padding,
        padding_w: padding,
        dilation_h: dilation,
        dilation_w: dilation,
        groups: 2,
        ..sizes
    })
}

/// Shapes, some of which have taps entirely in the padding; each complete, and as a chunk of images and rows.
fn cases() -> impl Iterator<Item = Conv> {
    let shapes =
        [[1, 1, 0, 1], [3, 1, 1, 1], [3, 2, 1, 1], [2, 3, 0, 1], [3, 1, 2, 2], [3, 2, 5, 3], [2, 1, 10, 1]];
    shapes.into_iter().flat_map(|shape| {
        let whole = conv(shape);
        let rows = (whole.out_h - 1).min(2);
        [whole, Conv { image_start: 1, images: 2, row_start: 1, rows, accumulate: 1, ..whole }]
    })
}

fn len(sizes: [u32; 4]) -> usize {
    sizes.iter().product::<u32>() as usize
}

fn x_len(p: &Conv) -> usize {
    len([p.batch, p.in_channels, p.in_h, p.in_w])
}

fn y_len(p: &Conv) -> usize {
    len([p.batch, p.out_channels, p.out_h, p.out_w])
}

fn w_len(p: &Conv) -> usize {
    len([p.out_channels, p.in_channels / p.groups, p.kernel_h, p.kernel_w])
}

fn cols_len(p: &Conv) -> usize {
    len([p.images * p.in_channels, p.kernel_h * p.kernel_w, p.rows, p.out_w])
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn fast_im2col_equals_plain() {
    for (seed, p) in cases().enumerate() {
        let x = noise(seed as u32, x_len(&p));
        let mut plain = noise(99, cols_len(&p) + 5);
        let mut fast = plain.clone();
        run(im2col, &p, &[&x], &mut plain);
        run(im2col_fast, &p, &[&x], &mut fast);
        assert_eq!(fast, plain, "seed {seed}, {p:?}");
    }
}

#[test]
fn fast_col2im_matches_plain() {
    for (seed, p) in cases().enumerate() {
        let cols = noise(seed as u32, cols_len(&p) + 5);
        let mut plain = noise(99, x_len(&p) + 5);
        let mut fast = plain.clone();
        run(col2im, &p, &[&cols], &mut plain);
        run(col2im_fast, &p, &[&cols], &mut fast);
        assert_close(&fast, &plain, 1e-5, &format!("seed {seed}, {p:?}"));
    }
}

#[test]
fn col2im_is_the_transpose_of_im2col() {
    for (seed, p) in cases().enumerate().filter(|(_, p)| p.accumulate == 0) {
        let (x, cols) = (noise(seed as u32, x_len(&p)), noise(seed as u32 + 50, cols_len(&p)));
        let (mut unfolded, mut folded) = (vec![0.0; cols.len()], vec![0.0; x.len()]);
        run(im2col, &p, &[&x], &mut unfolded);
        run(col2im, &p, &[&cols], &mut folded);
        assert_close(
            &[dot(&unfolded, &cols) as f32],
            &[dot(&x, &folded) as f32],
            1e-5,
            &format!("seed {seed}"),
        );
    }
}

#[test]
fn direct_convolution_matches_its_definition() {
    for (seed, p) in cases().enumerate().filter(|(_, p)| p.accumulate == 0) {
        let p = Conv { has_bias: 1, ..p };
        let (x, w, bias) = (noise(seed as u32, x_len(&p)), noise(7, w_len(&p)), noise(8, 6));
        let mut y = vec![0.0; y_len(&p)];
        run(conv_direct, &p, &[&x, &w, &bias], &mut y);
        let want: Vec<f32> = (0..y.len() as u32).map(|at| by_definition(&p, &x, &w, &bias, at)).collect();
        assert_close(&y, &want, 1e-5, &format!("seed {seed}, {p:?}"));
    }
}

fn by_definition(p: &Conv, x: &[f32], w: &[f32], bias: &[f32], at: u32) -> f32 {
    let (ox, oy, plane) = (at % p.out_w, at / p.out_w % p.out_h, at / (p.out_w * p.out_h));
    let (o, n, channels) = (plane % p.out_channels, plane / p.out_channels, p.in_channels / p.groups);
    let mut sum = bias[o as usize];
    for i in 0..channels * p.kernel_h * p.kernel_w {
        let (kx, ky, c) = (i % p.kernel_w, i / p.kernel_w % p.kernel_h, i / (p.kernel_w * p.kernel_h));
        let iy = i64::from(oy * p.stride_h + ky * p.dilation_h) - i64::from(p.padding_h);
        let ix = i64::from(ox * p.stride_w + kx * p.dilation_w) - i64::from(p.padding_w);
        if (0..i64::from(p.in_h)).contains(&iy) && (0..i64::from(p.in_w)).contains(&ix) {
            let channel = n * p.in_channels + o / (p.out_channels / p.groups) * channels + c;
            let pixel = (i64::from(channel) * i64::from(p.in_h) + iy) * i64::from(p.in_w) + ix;
            sum += x[pixel as usize] * w[(o * channels * p.kernel_h * p.kernel_w + i) as usize];
        }
    }
    sum
}

#[test]
fn direct_gradients_are_transposes_of_the_forward_pass() {
    for (seed, p) in cases().enumerate().filter(|(_, p)| p.accumulate == 0) {
        let (x, w, dy) = (noise(seed as u32, x_len(&p)), noise(7, w_len(&p)), noise(9, y_len(&p)));
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        run(conv_direct, &p, &[&x, &w, &[]], &mut y);
        run(conv_direct_grad_input, &p, &[&dy, &w], &mut dx);
        run(conv_direct_grad_weight, &p, &[&dy, &x], &mut dw);
        let along = dot(&y, &dy) as f32;
        assert_close(
            &[dot(&x, &dx) as f32, dot(&w, &dw) as f32],
            &[along, along],
            1e-5,
            &format!("seed {seed}"),
        );
    }
}
