// Batch norm over x: [batch, channels, pixels], statistics per channel.
//
//   batch_norm_partial       partial[s, c] = (count, mean, sum of squared distances from it) of slice s
//   batch_norm_stats         mean[c], var[c] (biased) from the slices
//   batch_norm_apply         y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c];  then what `epilogue` says:
//                            1: max(y, 0);  2: max(y + residual, 0)
//   batch_norm_grad_partial  partial[s, c] = sums of dy, and of dy * xhat;  xhat = (x - mean) / sqrt(var + eps). With epilogue 1, dy
//                            counts only where y > 0 or NaN, which is computed again
//   batch_norm_grad_stats    grad_bias[c], grad_weight[c] from the slices, and what the next pass needs of each channel
//   batch_norm_grad_input    dx = weight / sqrt(var + eps) * (dy - grad_bias / count - xhat * grad_weight / count);  with `fixed`
//                            statistics (evaluation) dx = weight / sqrt(var + eps) * dy
//
// The variance must survive a mean far larger than the deviation. So each invocation sums distances from
// its own first element, and partial results merge by Chan, Golub and LeVeque (1979):
//   mean = (na * ma + nb * mb) / n,  M2 = M2a + M2b + (mb - ma)^2 * na * nb / n.
// Slice s has images s * images_per_slice and on. A workgroup's 64 lanes are `width` lanes for each of 64 / width images at
// a time, so that small images keep all of them busy. With `vec4` (here {{ vec4 }}), four pixels at a time.
// Dispatch: the stats kernels, ceil(channels / 64); the others, a workgroup for each (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses nan.wgsl
// uses relu.wgsl

var<workgroup> moments: array<Moments, {{ threads }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    if (which >= params.slices * params.channels) { return; } // uniform: the whole workgroup leaves
    moments[lane] = moments_of(share(which, lane, {{ threads }}u));
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { moments[lane] = merge(moments[lane], moments[lane + half]); }
    }
    if (lane == 0u) {
        partial_out[which * 3u] = moments[0].count;
        partial_out[which * 3u + 1u] = moments[0].mean;
        partial_out[which * 3u + 2u] = moments[0].m2;
    }
}

@group(0) @binding(1) var<storage, read> slices_in: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(3) var<storage, read_write> var_out: array<f32>;

@compute @workgroup_size({{ threads }})
fn batch_norm_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    var all = Moments(0.0, 0.0, 0.0);
    for (var s = 0u; s < params.slices; s++) {
        let at = (s * params.channels + c) * 3u;
        all = merge(all, Moments(slices_in[at], slices_in[at + 1u], slices_in[at + 2u]));
    }
    mean_out[c] = all.mean;
    var_out[c] = all.m2 / all.count;
}

@group(0) @binding(6) var<storage, read> residual: array<{{ value }}>;
@group(0) @binding(7) var<storage, read_write> y: array<{{ value }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    if (which >= params.slices * params.channels) { return; }
    let own = share(which, lane, {{ threads }}u);
    let m = mean[own.c];
    let scale = weight[own.c] * inverse_deviation(own.c);
    let shift = bias[own.c];
    for (var n = own.start; n < own.end; n += own.step) {
        let plane = (n * params.channels + own.c) * own.columns;
        for (var p = own.column; p < own.columns; p += params.width) {
            var value = normalised(x[plane + p], m, scale, shift);
            if (params.epilogue == 2u) { value += residual[plane + p]; }
            if (params.epilogue > 0u) { value = rectified(value); }
            y[plane + p] = value;
        }
    }
}

var<workgroup> sums: array<vec2f, {{ threads }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    if (which >= params.slices * params.channels) { return; } // uniform: the whole workgroup leaves
    sums[lane] = gradient_sums(share(which, lane, {{ threads }}u));
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    if (lane == 0u) {
        grad_partial[which * 2u] = sums[0].x;
        grad_partial[which * 2u + 1u] = sums[0].y;
    }
}

// Of each channel: mean, weight / sqrt(var + eps), bias, grad_bias / count, xhat's factor of grad_weight / count.
struct Coefficients { mean: f32, scale: f32, shift: f32, dy_mean: f32, slope: f32 }

@group(0) @binding(6) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_bias: array<f32>;
@group(0) @binding(8) var<storage, read_write> coefficients_out: array<Coefficients>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    var sum = vec2f();
    for (var s = 0u; s < params.slices; s++) {
        let at = (s * params.channels + c) * 2u;
        sum += vec2f(slices_in[at], slices_in[at + 1u]);
    }
    grad_bias[c] = sum.x;
    grad_weight[c] = sum.y;
    let inv_std = inverse_deviation(c);
    let count = f32(params.batch) * f32(params.pixels);
    let through = select(sum / count, vec2f(), params.fixed == 1u);
    coefficients_out[c] = Coefficients(mean[c], weight[c] * inv_std, bias[c], through.x, through.y * inv_std);
}

@group(0) @binding(2) var<storage, read> grad_output: array<{{ value }}>;
@group(0) @binding(3) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(4) var<storage, read_write> dx: array<{{ value }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let which = workgroup_index(group, groups);
    if (which >= params.slices * params.channels) { return; }
    let own = share(which, lane, {{ threads }}u);
    let k = coefficients[own.c];
    for (var n = own.start; n < own.end; n += own.step) {
        let plane = (n * params.channels + own.c) * own.columns;
        for (var p = own.column; p < own.columns; p += params.width) {
            let value = x[plane + p];
            var up = grad_output[plane + p];
            if (params.epilogue == 1u) { up = through_relu(up, normalised(value, k.mean, k.scale, k.shift)); }
            dx[plane + p] = k.scale * (up - k.dy_mean - (value - k.mean) * k.slope);
        }
    }
}
