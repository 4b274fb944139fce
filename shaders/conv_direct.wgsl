// Direct convolution, one result per invocation. Used where a group has too few channels for a matrix product to pay off, as in
// depthwise convolution.
//
//   y[n, o, oy, ox]   = bias[o] + sum over c, ky, kx of  x[n, g(o) + c, iy, ix] * w[o, c, ky, kx]
//   dx[n, c, iy, ix]  = sum over the o, ky, kx, oy, ox that read this pixel of  dy[n, o, oy, ox] * w[o, c, ky, kx]
//   dw[o, c, ky, kx]  = sum over n, oy, ox of  dy[n, o, oy, ox] * x[n, g(o) + c, iy, ix]
//
// with iy = oy * stride_h - padding_h + ky * dilation_h (ix likewise), zeros outside the image, and g(o) the first input
// channel of o's group. x: [batch, in_channels, in_h, in_w]; w: [out_channels, in_channels / groups, kernel_h, kernel_w];
// y: [batch, out_channels, out_h, out_w].
// Dispatch: ceil(results / 64) workgroups.

// uses conv_params.wgsl

@group(0) @binding(0) var<uniform> params: Conv;
@group(0) @binding(1) var<storage, read> a: array<f32>; // x forward, else dy
@group(0) @binding(2) var<storage, read> b: array<f32>; // w; for dw, x
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;

@compute @workgroup_size(64)
fn conv_direct(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.batch * params.out_channels * params.out_h * params.out_w) { return; }
    let ox = at % params.out_w;
    let oy = at / params.out_w % params.out_h;
    let plane = at / (params.out_w * params.out_h);
    let o = plane % params.out_channels;
    let n = plane / params.out_channels;
    let channels = params.in_channels / params.groups;
    let first = o / (params.out_channels / params.groups) * channels;
    var sum = 0.0;
    if (params.has_bias == 1u) { sum = bias[o]; }
    for (var c = 0u; c < channels; c++) {
        let image = (n * params.in_channels + first + c) * params.in_h;
        let filter_row = (o * channels + c) * params.kernel_h;
        for (var ky = 0u; ky < params.kernel_h; ky++) {
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            if (iy >= params.in_h) { continue; }
            for (var kx = 0u; kx < params.kernel_w; kx++) {
                let ix = ox * params.stride_w + kx * params.dilation_w - params.padding_w;
                if (ix >= params.in_w) { continue; }
                sum = fma(a[(image + iy) * params.in_w + ix], b[(filter_row + ky) * params.kernel_w + kx], sum);
            }
        }
    }
    y[at] = sum;
}

@compute @workgroup_size(64)
fn conv_direct_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.batch * params.in_channels * params.in_h * params.in_w) { return; }
    let ix = at % params.in_w;
    let iy = at / params.in_w % params.in_h;
    let plane = at / (params.in_w * params.in_h);
    let channel = plane % params.in_channels;
    let n = plane / params.in_channels;
    let channels = params.in_channels / params.groups;
    let outs = params.out_channels / params.groups;
    let g = channel / channels;
    let c = channel - g * channels;
    var sum = 0.0;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        let top = iy + params.padding_h - ky * params.dilation_h;
        let oy = top / params.stride_h;
        if (oy * params.stride_h != top || oy >= params.out_h) { continue; }
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let left = ix + params.padding_w - kx * params.dilation_w;
            let ox = left / params.stride_w;
            if (ox * params.stride_w != left || ox >= params.out_w) { continue; }
            for (var o = g * outs; o < (g + 1u) * outs; o++) {
                let dy = a[((n * params.out_channels + o) * params.out_h + oy) * params.out_w + ox];
                sum = fma(dy, b[((o * channels + c) * params.kernel_h + ky) * params.kernel_w + kx], sum);
            }
        }
    }
    grad[at] = sum;
}

@compute @workgroup_size(64)
fn conv_direct_grad_weight(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    let channels = params.in_channels / params.groups;
    if (at >= params.out_channels * channels * params.kernel_h * params.kernel_w) { return; }
    let kx = at % params.kernel_w;
    let ky = at / params.kernel_w % params.kernel_h;
    let c = at / (params.kernel_w * params.kernel_h) % channels;
    let o = at / (params.kernel_w * params.kernel_h * channels);
    let channel = o / (params.out_channels / params.groups) * channels + c;
    var sum = 0.0;
    for (var n = 0u; n < params.batch; n++) {
        let dy = (n * params.out_channels + o) * params.out_h;
        let x = (n * params.in_channels + channel) * params.in_h;
        for (var oy = 0u; oy < params.out_h; oy++) {
            let iy = oy * params.stride_h + ky * params.dilation_h - params.padding_h;
            if (iy >= params.in_h) { continue; }
            // One partial sum per row keeps the rounding error of long sums small.
            var row = 0.0;
            for (var ox = 0u; ox < params.out_w; ox++) {
                let ix = ox * params.stride_w + kx * params.dilation_w - params.padding_w;
                if (ix < params.in_w) { row = fma(a[(dy + oy) * params.out_w + ox], b[(x + iy) * params.in_w + ix], row); }
            }
            sum += row;
        }
    }
    grad[at] = sum;
}
