// Local response normalization across channels (Krizhevsky et al. 2012, section 3.3), [batch, channels, pixels]:
//
//   scale[c] = k + alpha * sum of x[j]^2 over the `size` channels j starting at c - size / 2, clamped to valid channels
//   y = x scale^-beta
//   backward: dx[c] = dy scale^-beta - 2 alpha beta x * sum of dy[j] y[j] / scale[j] over the channels j whose window contains c
//
// `alpha` is already divided by `size`, as in PyTorch's definition. Channel c is in the windows of the `size`
// channels starting at c - (size - 1) / 2: the mirrored window.
// Dispatch: ceil(len / 64) workgroups, one invocation per element.

struct LocalResponseNorm { len: u32, channels: u32, pixels: u32, size: u32, alpha: f32, beta: f32, k: f32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: LocalResponseNorm;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y_in: array<f32>;
@group(0) @binding(3) var<storage, read> scale_in: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

// s^-beta. sqrt is accurate on every GPU, pow is not, and every published network uses beta = 3/4.
fn power(s: f32) -> f32 {
    if (params.beta == 0.75) {
        let root = sqrt(s);
        return 1.0 / (root * sqrt(root));
    }
    return pow(s, -params.beta);
}

// The window of `size` channels that starts `before` channels ahead of element `at`: a half-open range of addresses, to be
// visited in steps of `pixels`.
fn window(at: u32, before: u32) -> vec2u {
    let c = (at / params.pixels) % params.channels;
    let start = max(c, before) - before;
    let end = min(c + params.size - before, params.channels);
    let first = at - c * params.pixels;
    return vec2u(first + start * params.pixels, first + end * params.pixels);
}

@compute @workgroup_size(64)
fn local_response_norm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.len) { return; }
    let range = window(at, params.size / 2u);
    var squares = 0.0;
    for (var j = range.x; j < range.y; j += params.pixels) { squares += x[j] * x[j]; }
    let s = params.k + params.alpha * squares;
    scale[at] = s;
    y[at] = x[at] * power(s);
}

@compute @workgroup_size(64)
fn local_response_norm_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.len) { return; }
    let range = window(at, (params.size - 1u) / 2u);
    var sum = 0.0;
    for (var j = range.x; j < range.y; j += params.pixels) { sum += dy[j] * y_in[j] / scale_in[j]; }
    dx[at] = dy[at] * power(scale_in[at]) - 2.0 * params.alpha * params.beta * x[at] * sum;
}
