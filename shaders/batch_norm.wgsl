// Batch norm over x: [batch, channels, pixels], statistics per channel.
//
//   batch_norm_partial     partial[s, c] = (count, mean, sum of squared distances from it) of slice s
//   batch_norm_stats       mean[c], var[c] (biased) from the slices
//   batch_norm_apply       y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]
//   batch_norm_grad_partial   by slice: sum of dy, and of dy * xhat;  xhat = (x - mean) / sqrt(var + eps)
//   batch_norm_grad_input  dx = weight / sqrt(var + eps) * (dy - grad_bias / count - xhat * grad_weight / count)
//   batch_norm_eval_grad_input   dx = dy * weight / sqrt(var + eps)       (mean and var are constants)
//
// The variance must survive a mean far larger than the deviation. So each invocation sums distances from
// its own first element, and partial results merge by Chan, Golub and LeVeque (1979):
//   mean = (na * ma + nb * mb) / n,  M2 = M2a + M2b + (mb - ma)^2 * na * nb / n.
// Slice s has pictures s * images_per_slice and on. Dispatch: partial kernels, a workgroup for each (s, c),
// s outermost; stats, ceil(channels / 64); the others, a workgroup for each (n, c).

struct BatchNorm { batch: u32, channels: u32, pixels: u32, slices: u32, images_per_slice: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: BatchNorm;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial_out: array<f32>;

struct Moments { count: f32, mean: f32, m2: f32 }

fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    if (count == 0.0) { return a; }
    let share = b.count / count;
    let apart = b.mean - a.mean;
    return Moments(count, a.mean + apart * share, a.m2 + b.m2 + apart * apart * a.count * share);
}

var<workgroup> moments: array<Moments, 64>;

@compute @workgroup_size(64)
fn batch_norm_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    let s = which / params.channels;
    let c = which - s * params.channels;
    if (s >= params.slices) { return; } // uniform: the whole workgroup leaves
    let first = s * params.images_per_slice;
    let end = min(first + params.images_per_slice, params.batch);
    var count = 0.0;
    var sum = 0.0;
    var squares = 0.0;
    var shift = 0.0;
    if (lane < params.pixels) { shift = x[(first * params.channels + c) * params.pixels + lane]; }
    for (var n = first; n < end; n++) {
        let plane = (n * params.channels + c) * params.pixels;
        for (var p = lane; p < params.pixels; p += 64u) {
            let d = x[plane + p] - shift;
            count += 1.0;
            sum += d;
            squares = fma(d, d, squares);
        }
    }
    let off = sum / max(count, 1.0);
    moments[lane] = Moments(count, shift + off, max(squares - sum * off, 0.0));
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { moments[lane] = merge(moments[lane], moments[lane + half]); }
    }
    if (lane == 0u) {
        partial_out[which * 3u] = moments[0].count;
        partial_out[which * 3u + 1u] = moments[0].mean;
        partial_out[which * 3u + 2u] = moments[0].m2;
    }
}

@group(0) @binding(2) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(3) var<storage, read_write> var_out: array<f32>;

@compute @workgroup_size(64)
fn batch_norm_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups) * 64u + lane;
    if (c >= params.channels) { return; }
    var all = Moments(0.0, 0.0, 0.0);
    for (var s = 0u; s < params.slices; s++) {
        let at = (s * params.channels + c) * 3u;
        all = merge(all, Moments(x[at], x[at + 1u], x[at + 2u]));
    }
    mean_out[c] = all.mean;
    var_out[c] = all.m2 / all.count;
}

@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn batch_norm_apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let plane = workgroup_index(group, groups);
    if (plane >= params.batch * params.channels) { return; }
    let c = plane % params.channels;
    let m = mean[c];
    let scale = weight[c] / sqrt(variance[c] + params.eps);
    let shift = bias[c];
    for (var p = lane; p < params.pixels; p += 64u) {
        let at = plane * params.pixels + p;
        y[at] = fma(x[at] - m, scale, shift);
    }
}

@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> bias_partial: array<f32>;
@group(0) @binding(6) var<storage, read_write> weight_partial: array<f32>;

var<workgroup> sums: array<vec2f, 64>;

@compute @workgroup_size(64)
fn batch_norm_grad_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    let s = which / params.channels;
    let c = which - s * params.channels;
    if (s >= params.slices) { return; } // uniform: the whole workgroup leaves
    let m = mean[c];
    let inv_std = 1.0 / sqrt(variance[c] + params.eps);
    let first = s * params.images_per_slice;
    var sum = vec2f();
    for (var n = first; n < min(first + params.images_per_slice, params.batch); n++) {
        let plane = (n * params.channels + c) * params.pixels;
        for (var p = lane; p < params.pixels; p += 64u) {
            let up = dy[plane + p];
            sum += vec2f(up, up * (x[plane + p] - m) * inv_std);
        }
    }
    sums[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    if (lane == 0u) {
        bias_partial[which] = sums[0].x;
        weight_partial[which] = sums[0].y;
    }
}

@group(0) @binding(5) var<storage, read> gamma: array<f32>;
@group(0) @binding(6) var<storage, read> grad_weight: array<f32>;
@group(0) @binding(7) var<storage, read> grad_bias: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn batch_norm_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let plane = workgroup_index(group, groups);
    if (plane >= params.batch * params.channels) { return; }
    let c = plane % params.channels;
    let m = mean[c];
    let inv_std = 1.0 / sqrt(variance[c] + params.eps);
    let count = f32(params.batch) * f32(params.pixels);
    let dy_mean = grad_bias[c] / count;
    let slope = inv_std * grad_weight[c] / count;
    let scale = gamma[c] * inv_std;
    for (var p = lane; p < params.pixels; p += 64u) {
        let at = plane * params.pixels + p;
        dx[at] = scale * (dy[at] - dy_mean - (x[at] - m) * slope);
    }
}

@group(0) @binding(4) var<storage, read_write> eval_dx: array<f32>;

@compute @workgroup_size(64)
fn batch_norm_eval_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    // Bindings: x holds dy, `mean` the weight, `variance` the running variance.
    let plane = workgroup_index(group, groups);
    if (plane >= params.batch * params.channels) { return; }
    let c = plane % params.channels;
    let scale = mean[c] / sqrt(variance[c] + params.eps);
    for (var p = lane; p < params.pixels; p += 64u) {
        let at = plane * params.pixels + p;
        eval_dx[at] = x[at] * scale;
    }
}
