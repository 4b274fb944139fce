// Batch norm over x: [batch, channels, pixels], with statistics per channel.
//
//   batch_norm_partial       partial[s, c] = (count, mean, sum of squared deviations from that mean) of slice s
//   batch_norm_stats         mean[c], var[c] (biased), merged from the slices
//   batch_norm_apply         y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c], followed by `epilogue`
//                            1: max(y, 0);  2: max(y + residual, 0)
//   batch_norm_grad_partial  partial[s, c] = sums of dy and of dy * xhat, where xhat = (x - mean) / sqrt(var + eps). With
//                            epilogue 1, only dy where y > 0 or y is NaN; y is recomputed
//   batch_norm_grad_stats    grad_bias[c] and grad_weight[c], summed over the slices, and the coefficients of the next pass
//   batch_norm_grad_input    dx = weight / sqrt(var + eps) * (dy - grad_bias / count - xhat * grad_weight / count);  with `fixed`
//                            statistics (evaluation) dx = weight / sqrt(var + eps) * dy
//
// To keep the variance accurate when the mean is much larger than the deviation, each invocation sums deviations from its
// first element, and partial results are merged as in Chan, Golub and LeVeque (1979):
//   mean = (na * ma + nb * mb) / n,  M2 = M2a + M2b + (mb - ma)^2 * na * nb / n.
// Slice s covers `images_per_slice` images starting at s * images_per_slice. The 64 lanes of a workgroup process 64 / width
// images at a time, `width` lanes per image, so that small images keep all lanes busy. With `vec4` (here {{ vec4 }}), a lane
// processes four pixels at a time.
// Dispatch: the stats kernels, ceil(channels / 64) workgroups; the others, one workgroup per (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses nan.wgsl
// uses relu.wgsl

var<workgroup> moments: array<Moments, {{ threads }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    moments[lane] = moments_of(lane_work(slice_channel, lane, {{ threads }}u));
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { moments[lane] = merge(moments[lane], moments[lane + half]); }
    }
    if (lane == 0u) {
        partial_out[slice_channel * 3u] = moments[0].count;
        partial_out[slice_channel * 3u + 1u] = moments[0].mean;
        partial_out[slice_channel * 3u + 2u] = moments[0].m2;
    }
}

@group(0) @binding(1) var<storage, read> slices_in: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(3) var<storage, read_write> var_out: array<f32>;

@compute @workgroup_size({{ threads }})
fn batch_norm_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups, params.first_workgroup) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    var merged = Moments(0.0, 0.0, 0.0);
    for (var s = 0u; s < params.slices; s++) {
        let at = (s * params.channels + c) * 3u;
        merged = merge(merged, Moments(slices_in[at], slices_in[at + 1u], slices_in[at + 2u]));
    }
    mean_out[c] = merged.mean;
    var_out[c] = merged.m2 / merged.count;
}

@group(0) @binding(6) var<storage, read> residual: array<{{ value }}>;
@group(0) @binding(7) var<storage, read_write> y: array<{{ value }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; }
    let work = lane_work(slice_channel, lane, {{ threads }}u);
    let k = affine_of(work.c);
    for (var n = work.start; n < work.end; n += work.step) {
        let plane = (n * params.channels + work.c) * work.columns;
        for (var p = work.column; p < work.columns; p += params.width) {
            var value = normalized(x[plane + p], k.mean, k.scale, k.shift);
            if (params.epilogue == 2u) { value += residual[plane + p]; }
            if (params.epilogue > 0u) { value = relu_forward(value); }
            y[plane + p] = value;
        }
    }
}

var<workgroup> sums: array<vec2f, {{ threads }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    sums[lane] = gradient_sums(lane_work(slice_channel, lane, {{ threads }}u));
    for (var half = {{ threads // 2 }}u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { sums[lane] += sums[lane + half]; }
    }
    if (lane == 0u) {
        grad_partial[slice_channel * 2u] = sums[0].x;
        grad_partial[slice_channel * 2u + 1u] = sums[0].y;
    }
}

// Per channel: mean, weight / sqrt(var + eps), bias, grad_bias / count, and grad_weight / count / sqrt(var + eps).
struct Coefficients { mean: f32, scale: f32, shift: f32, dy_mean: f32, slope: f32 }

@group(0) @binding(6) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_bias: array<f32>;
@group(0) @binding(8) var<storage, read_write> coefficients_out: array<Coefficients>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups, params.first_workgroup) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    var sum = vec2f(0.0);
    for (var s = 0u; s < params.slices; s++) {
        let at = (s * params.channels + c) * 2u;
        sum += vec2f(slices_in[at], slices_in[at + 1u]);
    }
    grad_bias[c] = sum.x;
    grad_weight[c] = sum.y;
    let k = affine_of(c);
    let count = f32(params.batch) * f32(params.pixels);
    // Fixed statistics do not depend on x.
    let means = select(sum / count, vec2f(0.0), params.fixed == 1u);
    coefficients_out[c] = Coefficients(k.mean, k.scale, k.shift, means.x, means.y * k.inv_std);
}

@group(0) @binding(2) var<storage, read> grad_output: array<{{ value }}>;
@group(0) @binding(3) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(4) var<storage, read_write> dx: array<{{ value }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; }
    let work = lane_work(slice_channel, lane, {{ threads }}u);
    let k = coefficients[work.c];
    for (var n = work.start; n < work.end; n += work.step) {
        let plane = (n * params.channels + work.c) * work.columns;
        for (var p = work.column; p < work.columns; p += params.width) {
            let value = x[plane + p];
            var upstream = grad_output[plane + p];
            if (params.epilogue == 1u) { upstream = relu_backward(upstream, normalized(value, k.mean, k.scale, k.shift)); }
            dx[plane + p] = k.scale * (upstream - k.dy_mean - (value - k.mean) * k.slope);
        }
    }
}
