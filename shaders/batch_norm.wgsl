// Batch norm over x: [batch, channels, pixels], with statistics per channel.
//
//   batch_norm_partial       partial[c, s] = (count, mean, sum of squared deviations from that mean) of slice s
//   batch_norm_stats         mean[c], var[c] (biased), merged from the slices
//   batch_norm_apply         y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c], followed by `epilogue`
//                            1: max(y, 0);  2: max(y + residual, 0)
//   batch_norm_grad_partial  partial[c, s] = sums of dy and of dy * xhat, where xhat = (x - mean) / sqrt(var + eps), followed by
//                            four coefficients of each channel (`Affine`). With epilogue 1, only dy where y > 0 or y is NaN; y is
//                            recomputed
//   batch_norm_grad_stats    grad_bias[c] and grad_weight[c], summed over the slices, and the coefficients of the next pass
//   batch_norm_grad_input    dx = weight / sqrt(var + eps) * (dy - grad_bias / count - xhat * grad_weight / count);  with `fixed`
//                            statistics (evaluation) dx = weight / sqrt(var + eps) * dy
//
// GPUs replace the last two of each three by one: batch_norm_merge.wgsl.
//
// To keep the variance accurate when the mean is much larger than the deviation, each invocation sums deviations from its
// first element, and partial results are merged as in Chan, Golub and LeVeque (1979):
//   mean = (na * ma + nb * mb) / n,  M2 = M2a + M2b + (mb - ma)^2 * na * nb / n.
// Slice s covers `images_per_slice` images starting at s * images_per_slice. The 64 lanes of a workgroup process 64 / width
// images at a time, `width` lanes per image, so that small images keep all lanes busy. With `vec4` (here {{ vec4 }}), a lane
// processes four pixels at a time, and it loads {{ at_once }} such elements before it uses them.
// Dispatch: the stats kernels, ceil(channels / 64) workgroups; the others, one workgroup per (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses batch_norm_passes.wgsl
// uses nan.wgsl
// uses relu.wgsl

@compute @workgroup_size({{ threads }})
fn batch_norm_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    merge_lanes(lane, moments_of(lane_work(slice_channel, lane, {{ threads }}u)));
    if (lane == 0u) {
        let at = partial_index(slice_channel) * 3u;
        partial_out[at] = moments[0].count;
        partial_out[at + 1u] = moments[0].mean;
        partial_out[at + 2u] = moments[0].m2;
    }
}

@group(0) @binding(1) var<storage, read> slices_in: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(3) var<storage, read_write> var_out: array<f32>;

@compute @workgroup_size({{ threads }})
fn batch_norm_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups, params.first_workgroup) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    let merged = merge_slices(c, 0u, 1u);
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
    write_y(work, affine(work.c, mean[work.c], variance[work.c]));
}

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_partial(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    add_lanes(lane, gradient_sums(lane_work(slice_channel, lane, {{ threads }}u)));
    if (lane == 0u) { write_gradient_sums(slice_channel, sums[0]); }
}

@group(0) @binding(2) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> coefficients_out: array<Coefficients>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_stats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = workgroup_index(group, groups, params.first_workgroup) * {{ threads }}u + lane;
    if (c >= params.channels) { return; }
    let sum = add_slices(c, 0u, 1u);
    grad_bias[c] = sum.x;
    grad_weight[c] = sum.y;
    coefficients_out[c] = coefficients_of(c, sum);
}

@group(0) @binding(2) var<storage, read> grad_output: array<{{ value }}>;
@group(0) @binding(3) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(4) var<storage, read_write> dx: array<{{ value }}>;

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; }
    let work = lane_work(slice_channel, lane, {{ threads }}u);
    write_dx(work, coefficients[work.c]);
}
