// What one invocation of batch_norm.wgsl or batch_norm_subgroup.wgsl has of x and sums up: slice s has images s * images_per_slice
// and on, of which `lanes` lanes, `width` for each image, take turns. The formulas are those of batch_norm.wgsl.
// Put in front of the shaders that use it; it has no entry point and so no dispatch of its own.

struct BatchNorm { batch: u32, channels: u32, pixels: u32, slices: u32, images_per_slice: u32, width: u32, eps: f32, epilogue: u32, fixed: u32 }

{%- set value = 'vec4f' if vec4 else 'f32' %}
alias Value = {{ value }};
alias Bits = {{ 'vec4u' if vec4 else 'u32' }};
alias Flags = {{ 'vec4<bool>' if vec4 else 'bool' }};
@group(0) @binding(0) var<uniform> params: BatchNorm;
@group(0) @binding(1) var<storage, read> x: array<{{ value }}>;
@group(0) @binding(2) var<storage, read_write> partial_out: array<f32>;

// What a workgroup and a lane are for.
struct Share { c: u32, first: u32, end: u32, start: u32, step: u32, column: u32, columns: u32 }

fn share(which: u32, lane: u32, lanes: u32) -> Share {
    let s = which / params.channels;
    let first = s * params.images_per_slice;
    return Share(
        which - s * params.channels,
        first,
        min(first + params.images_per_slice, params.batch),
        first + lane / params.width,
        lanes / params.width,
        lane % params.width,
        params.pixels{{ ' / 4u' if vec4 }},
    );
}

fn total(v: {{ value }}) -> f32 {
    return {{ 'v.x + v.y + v.z + v.w' if vec4 else 'v' }};
}

struct Moments { count: f32, mean: f32, m2: f32 }

fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    if (count == 0.0) { return a; }
    let part = b.count / count;
    let apart = b.mean - a.mean;
    return Moments(count, a.mean + apart * part, a.m2 + b.m2 + apart * apart * a.count * part);
}

// The moments of a lane's share.
fn moments_of(own: Share) -> Moments {
    var count = 0.0;
    var sum = {{ value }}();
    var squares = {{ value }}();
    var shift = 0.0;
    if (own.start < own.end && own.column < own.columns) {
        shift = x[(own.start * params.channels + own.c) * own.columns + own.column]{{ '.x' if vec4 }};
    }
    for (var n = own.start; n < own.end; n += own.step) {
        let plane = (n * params.channels + own.c) * own.columns;
        for (var p = own.column; p < own.columns; p += params.width) {
            let d = x[plane + p] - shift;
            count += {{ '4.0' if vec4 else '1.0' }};
            sum += d;
            squares = fma(d, d, squares);
        }
    }
    let all = total(sum);
    let off = all / max(count, 1.0);
    return Moments(count, shift + off, max(total(squares) - all * off, 0.0));
}

@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<{{ value }}>;
@group(0) @binding(7) var<storage, read_write> grad_partial: array<f32>;

fn inverse_deviation(c: u32) -> f32 {
    return 1.0 / sqrt(variance[c] + params.eps);
}

// Forward and backward must agree on which results are above 0, so each computes them in the same words.
fn normalised(x: {{ value }}, m: f32, scale: f32, shift: f32) -> {{ value }} {
    return fma(x - m, {{ value }}(scale), {{ value }}(shift));
}

// Of a lane's share, the sums of dy, and of dy * xhat.
fn gradient_sums(own: Share) -> vec2f {
    let m = mean[own.c];
    let inv_std = inverse_deviation(own.c);
    let scale = weight[own.c] * inv_std;
    let shift = bias[own.c];
    var of_dy = {{ value }}();
    var of_product = {{ value }}();
    for (var n = own.start; n < own.end; n += own.step) {
        let plane = (n * params.channels + own.c) * own.columns;
        for (var p = own.column; p < own.columns; p += params.width) {
            let value = x[plane + p];
            var up = dy[plane + p];
            if (params.epilogue == 1u) { up = through_relu(up, normalised(value, m, scale, shift)); }
            of_dy += up;
            of_product = fma(up, value - m, of_product);
        }
    }
    return vec2f(total(of_dy), total(of_product) * inv_std);
}
