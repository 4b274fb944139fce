// Pooling of `planes` (batch x channels) planes, [in_h, in_w] to [out_h, out_w].
//
//   max_pool        y = the window's maximum, index = its position in the plane (the first of equals; NaN wins)
//   max_pool_grad   dx[i] = sum of dy over the windows whose index is i
//   avg_pool        y = sum of the window / divisor
//   avg_pool_grad   dx[i] = sum of dy / divisor over the windows that contain i
//
// Window o along an axis is [o * stride - padding, + kernel), clipped to the image, or, if `adaptive` (here {{ adaptive }}),
// [floor(o * in / out), ceil((o + 1) * in / out)). `non_overlapping` (here {{ non_overlapping }}) requires that windows do not overlap. The
// divisor of an average is the number of pixels in the window; with count_include_pad, padding counts too, up to in + padding.
// Dispatch: ceil(results / 64) workgroups, one invocation per result (in gradients, per input pixel).

// uses pool_params.wgsl
// uses nan.wgsl

alias Value = f32;
alias Bits = u32;
alias Flags = bool;

@group(0) @binding(0) var<uniform> params: Pool;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> index_out: array<u32>;

// a / b by float division, which software adapters vectorize, unlike integer division. For quotients below 2^22, the limit on
// image sides, the estimate is off by at most one, which is then corrected.
fn quotient(a: u32, b: u32) -> u32 {
    let q = u32(f32(a) / f32(b));
    let rest = i32(a) - i32(q * b);
    return select(select(q, q + 1u, rest >= i32(b)), q - 1u, rest < 0);
}

// The half-open range of a window's pixels, and its extent including padding.
struct Window { start: u32, end: u32, padded: u32 }

fn window(o: u32, size: u32, outs: u32, kernel: u32, stride: u32, padding: u32) -> Window {
{%- if adaptive %}
    let start = quotient(o * size, outs);
    let end = quotient((o + 1u) * size + outs - 1u, outs);
    return Window(start, end, end - start);
{%- else %}
    let start = i32(o * stride) - i32(padding);
    let end = min(start + i32(kernel), i32(size + padding));
    return Window(u32(max(start, 0)), u32(clamp(end, 0, i32(size))), u32(end - start));
{%- endif %}
}

fn window_y(o: u32) -> Window {
    return window(o, params.in_h, params.out_h, params.kernel_h, params.stride_h, params.padding_h);
}

fn window_x(o: u32) -> Window {
    return window(o, params.in_w, params.out_w, params.kernel_w, params.stride_w, params.padding_w);
}

// The range of outputs whose windows may contain pixel i. It is a superset; callers test each one.
fn reach(i: u32, size: u32, outs: u32, kernel: u32, stride: u32, padding: u32) -> vec2u {
{%- if adaptive %}
    return vec2u(quotient(i * outs, size), min(quotient((i + 1u) * outs + size - 1u, size), outs));
{%- else %}
    // Finds the first window that ends past i by counting down from the last one that starts at or before i, because division
    // is expensive.
    let last = quotient(i + padding, stride);
    var first = last;
    while (first > 0u && (first - 1u) * stride + kernel > i + padding) { first--; }
    return vec2u(first, min(last + 1u, outs));
{%- endif %}
}

fn divisor(wy: Window, wx: Window) -> f32 {
    if (params.count_include_pad == 1u) { return f32(wy.padded * wx.padded); }
    return f32((wy.end - wy.start) * (wx.end - wx.start));
}

@compute @workgroup_size(64)
fn max_pool(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.out_h * params.out_w) { return; }
    let plane_index = at / (params.out_h * params.out_w);
    let pixel = at - plane_index * params.out_h * params.out_w;
    let oy = quotient(pixel, params.out_w);
    let wy = window_y(oy);
    let wx = window_x(pixel - oy * params.out_w);
    let plane = plane_index * params.in_h * params.in_w;
    var best_at = wy.start * params.in_w + wx.start;
    var best = x[plane + best_at];
    for (var iy = wy.start; iy < wy.end; iy++) {
        for (var ix = wx.start; ix < wx.end; ix++) {
            let value = x[plane + iy * params.in_w + ix];
            if (!is_nan(best) && (is_nan(value) || value > best)) {
                best = value;
                best_at = iy * params.in_w + ix;
            }
        }
    }
    y[at] = best;
    index_out[at] = best_at;
}

@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn max_pool_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.in_h * params.in_w) { return; }
    let plane_index = at / (params.in_h * params.in_w);
    let pixel = at - plane_index * params.in_h * params.in_w;
    let iy = quotient(pixel, params.in_w);
    let ix = pixel - iy * params.in_w;
    let plane = plane_index * params.out_h * params.out_w;
{%- if non_overlapping %}
    let oy = quotient(iy + params.padding_h, params.stride_h);
    let ox = quotient(ix + params.padding_w, params.stride_w);
    let o = plane + min(oy, params.out_h - 1u) * params.out_w + min(ox, params.out_w - 1u);
    dx[at] = select(0.0, x[o], index[o] == pixel && oy < params.out_h && ox < params.out_w);
{%- else %}
    let rows = reach(iy, params.in_h, params.out_h, params.kernel_h, params.stride_h, params.padding_h);
    let cols = reach(ix, params.in_w, params.out_w, params.kernel_w, params.stride_w, params.padding_w);
    var sum = 0.0;
    for (var oy = rows.x; oy < rows.y; oy++) {
        for (var ox = cols.x; ox < cols.y; ox++) {
            let o = plane + oy * params.out_w + ox;
            if (index[o] == pixel) { sum += x[o]; }
        }
    }
    dx[at] = sum;
{%- endif %}
}

@compute @workgroup_size(64)
fn avg_pool(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.out_h * params.out_w) { return; }
    let plane_index = at / (params.out_h * params.out_w);
    let pixel = at - plane_index * params.out_h * params.out_w;
    let oy = quotient(pixel, params.out_w);
    let wy = window_y(oy);
    let wx = window_x(pixel - oy * params.out_w);
    let plane = plane_index * params.in_h * params.in_w;
    var sum = 0.0;
    for (var iy = wy.start; iy < wy.end; iy++) {
        for (var ix = wx.start; ix < wx.end; ix++) { sum += x[plane + iy * params.in_w + ix]; }
    }
    y[at] = sum / divisor(wy, wx);
}

@compute @workgroup_size(64)
fn avg_pool_grad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    if (at >= params.planes * params.in_h * params.in_w) { return; }
    let plane_index = at / (params.in_h * params.in_w);
    let pixel = at - plane_index * params.in_h * params.in_w;
    let iy = quotient(pixel, params.in_w);
    let ix = pixel - iy * params.in_w;
    let plane = plane_index * params.out_h * params.out_w;
    let rows = reach(iy, params.in_h, params.out_h, params.kernel_h, params.stride_h, params.padding_h);
    let cols = reach(ix, params.in_w, params.out_w, params.kernel_w, params.stride_w, params.padding_w);
    var sum = 0.0;
    for (var oy = rows.x; oy < rows.y; oy++) {
        let wy = window_y(oy);
        if (iy < wy.start || iy >= wy.end) { continue; }
        for (var ox = cols.x; ox < cols.y; ox++) {
            let wx = window_x(ox);
            if (ix < wx.start || ix >= wx.end) { continue; }
            sum += x[plane + oy * params.out_w + ox] / divisor(wy, wx);
        }
    }
    y[at] = sum;
}
