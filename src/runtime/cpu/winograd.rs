//! Twins of `winograd.wgsl`: each transform as its matrix products, in `f64`.

use super::Io;
use crate::kernel::{WinogradFilters, WinogradTiles};

/// A matrix in row-major order.
type Matrix = Vec<Vec<f64>>;

fn matrix(rows: &[&[f64]]) -> Matrix {
    rows.iter().map(|row| row.to_vec()).collect()
}

/// B^T, which transforms a patch of pixels.
fn input_matrix(tile: u32) -> Matrix {
    match tile {
        2 => matrix(&[&[1., 0., -1., 0.], &[0., 1., 1., 0.], &[0., -1., 1., 0.], &[0., 1., 0., -1.]]),
        _ => matrix(&[
            &[4., 0., -5., 0., 1., 0.],
            &[0., -4., -4., 1., 1., 0.],
            &[0., 4., -4., -1., 1., 0.],
            &[0., -2., -1., 2., 1., 0.],
            &[0., 2., -1., -2., 1., 0.],
            &[0., 4., 0., -5., 0., 1.],
        ]),
    }
}

/// G, which transforms a filter.
fn filter_matrix(tile: u32) -> Matrix {
    match tile {
        2 => matrix(&[&[1., 0., 0.], &[0.5, 0.5, 0.5], &[0.5, -0.5, 0.5], &[0., 0., 1.]]),
        _ => matrix(&[
            &[1. / 4., 0., 0.],
            &[-1. / 6., -1. / 6., -1. / 6.],
            &[-1. / 6., 1. / 6., -1. / 6.],
            &[1. / 24., 1. / 12., 1. / 6.],
            &[1. / 24., -1. / 12., 1. / 6.],
            &[0., 0., 1.],
        ]),
    }
}

/// A^T, which transforms products into a tile of results.
fn output_matrix(tile: u32) -> Matrix {
    match tile {
        2 => matrix(&[&[1., 1., 1., 0.], &[0., 1., -1., -1.]]),
        _ => matrix(&[
            &[1., 1., 1., 1., 1., 0.],
            &[0., 1., -1., 2., -2., 0.],
            &[0., 1., 1., 4., 4., 0.],
            &[0., 1., -1., 8., -8., 1.],
        ]),
    }
}

fn transposed(m: &Matrix) -> Matrix {
    (0..m[0].len()).map(|j| m.iter().map(|row| row[j]).collect()).collect()
}

/// t x. Like the shader, leaves out what `t` multiplies by zero, which may be NaN.
fn product(t: &Matrix, x: &Matrix) -> Matrix {
    let columns = transposed(x);
    let dot = |row: &[f64], column: &[f64]| {
        row.iter().zip(column).filter(|(factor, _)| **factor != 0.0).map(|(factor, x)| factor * x).sum()
    };
    t.iter().map(|row| columns.iter().map(|column| dot(row, column)).collect()).collect()
}

/// t x t^T.
fn sandwich(t: &Matrix, x: &Matrix) -> Matrix {
    transposed(&product(t, &transposed(&product(t, x))))
}

/// The square matrix of a function of row and column.
fn square(side: u32, element: impl Fn(u32, u32) -> f64) -> Matrix {
    (0..side).map(|r| (0..side).map(|s| element(r, s)).collect()).collect()
}

/// Packs an operand of the matrix products. `of(i, k)` is its element, `None` for padding.
fn operand(
    [tile, panels, depth, width, count]: [u32; 5],
    out: &mut [f32],
    of: impl Fn(u32, u32) -> Option<Matrix>,
) {
    let side = tile + 2;
    for (k, i) in (0..depth).flat_map(|k| (0..count.next_multiple_of(4)).map(move |i| (k, i))) {
        let element = of(i, k).unwrap_or_else(|| square(side, |_, _| 0.0));
        for (e, value) in (0..).zip(element.into_iter().flatten()) {
            let at = ((e * panels + i / width) * depth + k) * width + i % width;
            out[at as usize] = value as f32;
        }
    }
}

/// Transforms the patches of `side` x `side` pixels of images.
fn patches(p: &WinogradTiles, side: u32, t: &Matrix, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    let tiles = p.images * p.down * p.across;
    let count = if p.by_channel == 1 { p.channels } else { tiles };
    operand([p.tile, p.panels, p.depth, p.panel_width, count], out, |i, k| {
        let (c, at) = if p.by_channel == 1 { (i, k) } else { (k, i) };
        let (n, down, across) = (at / (p.down * p.across), at / p.across % p.down, at % p.across);
        let plane = (p.image_start + n) * p.channels + c;
        let pixel = |r: u32, s: u32| {
            let row = (down * p.tile + r).wrapping_sub(p.padding_h);
            let column = (across * p.tile + s).wrapping_sub(p.padding_w);
            match row < p.height && column < p.width {
                true => f64::from(x[((plane * p.height + row) * p.width + column) as usize]),
                false => 0.0,
            }
        };
        (c < p.channels && at < tiles).then(|| sandwich(t, &square(side, pixel)))
    });
}

/// V = B^T d B.
pub fn winograd_input(p: &WinogradTiles, io: Io<'_>) {
    patches(p, p.tile + 2, &input_matrix(p.tile), io);
}

/// N = A dy A^T.
pub fn winograd_upstream(p: &WinogradTiles, io: Io<'_>) {
    patches(p, p.tile, &transposed(&output_matrix(p.tile)), io);
}

/// The products for one row and column of a result with `columns` columns.
fn products(tile: u32, m: &[f32], [rows, columns]: [u32; 2], [row, column]: [u32; 2]) -> Matrix {
    let side = tile + 2;
    let columns = columns.next_multiple_of(4);
    square(side, |r, s| f64::from(m[(((r * side + s) * rows + row) * columns + column) as usize]))
}

/// y = A^T M A + bias.
pub fn winograd_output(p: &WinogradTiles, io: Io<'_>) {
    let ([m, bias], [y]) = io.f32();
    let tiles = p.images * p.down * p.across;
    for (o, at) in (0..p.channels).flat_map(|o| (0..tiles).map(move |at| (o, at))) {
        let results = sandwich(&output_matrix(p.tile), &products(p.tile, m, [p.channels, tiles], [o, at]));
        let shift = if p.has_bias == 1 { f64::from(bias[o as usize]) } else { 0.0 };
        let (n, down, across) = (at / (p.down * p.across), at / p.across % p.down, at % p.across);
        let plane = (p.image_start + n) * p.channels + o;
        for (row, results) in (down * p.tile..p.height).zip(results) {
            for (column, result) in (across * p.tile..p.width).zip(results) {
                y[((plane * p.height + row) * p.width + column) as usize] = (result + shift) as f32;
            }
        }
    }
}

/// U = G g G^T.
pub fn winograd_filter(p: &WinogradFilters, io: Io<'_>) {
    let ([w], [out]) = io.f32();
    operand([p.tile, p.panels, p.depth, p.panel_width, p.outs], out, |o, c| {
        let filter = |r: u32, s: u32| {
            let fixed = i64::from(o * p.w_out + c * p.w_in + p.w_start);
            let steps =
                i64::from(r) * i64::from(p.w_down as i32) + i64::from(s) * i64::from(p.w_right as i32);
            f64::from(w[(fixed + steps) as usize])
        };
        (o < p.outs && c < p.ins).then(|| sandwich(&filter_matrix(p.tile), &square(3, filter)))
    });
}

/// dg = G^T dU G.
pub fn winograd_filter_grad(p: &WinogradFilters, io: Io<'_>) {
    let ([m], [grad]) = io.f32();
    let t = transposed(&filter_matrix(p.tile));
    for (o, c) in (0..p.outs).flat_map(|o| (0..p.ins).map(move |c| (o, c))) {
        let filter = sandwich(&t, &products(p.tile, m, [p.outs, p.ins], [o, c]));
        let taps = grad[((o * p.ins + c) * 9) as usize..].iter_mut();
        taps.zip(filter.into_iter().flatten()).for_each(|(to, tap)| *to = tap as f32);
    }
}
