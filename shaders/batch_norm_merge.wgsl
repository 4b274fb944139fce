// The last pass of batch norm on GPUs, which begins with the merge of the partial results of batch_norm.wgsl, so that no launch of
// a single workgroup comes between.
//
//   batch_norm_merge_apply       mean[c] and var[c] from the partial results, then y as batch_norm_apply
//   batch_norm_merge_grad_input  grad_bias[c] and grad_weight[c] from the partial sums, then dx as batch_norm_grad_input
//
// Every workgroup of a channel merges all partial results of that channel in the same order, so all get the same bits: each lane
// the results lane, lane + 64, ..., then a tree over the lanes. The workgroup of slice 0 also writes the merged results.
// Formulas, layouts and slices are those of batch_norm.wgsl, here with vec4 {{ vec4 }} and {{ at_once }} loads at once.
// Dispatch: one workgroup per (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses batch_norm_passes.wgsl
// uses nan.wgsl
// uses relu.wgsl

@group(0) @binding(2) var<storage, read> slices_in: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<{{ value }}>;
@group(0) @binding(6) var<storage, read_write> y: array<{{ value }}>;
@group(0) @binding(7) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> var_out: array<f32>;

// Mean and variance, rounded to what the backward pass reads: a compiler may fuse the division into the next addition.
var<workgroup> statistics: vec2f;

@compute @workgroup_size({{ threads }})
fn batch_norm_merge_apply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    let work = lane_work(slice_channel, lane, {{ threads }}u);
    merge_lanes(lane, merge_slices(work.c, lane, {{ threads }}u));
    if (lane == 0u) { statistics = vec2f(moments[0].mean, moments[0].m2 / moments[0].count); }
    workgroupBarrier();
    if (lane == 0u && slice_channel < params.channels) {
        mean_out[work.c] = statistics.x;
        var_out[work.c] = statistics.y;
    }
    write_y(work, affine(work.c, statistics.x, statistics.y));
}

@group(0) @binding(3) var<storage, read> grad_output: array<{{ value }}>;
@group(0) @binding(4) var<storage, read_write> dx: array<{{ value }}>;
@group(0) @binding(5) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(6) var<storage, read_write> grad_bias: array<f32>;

@compute @workgroup_size({{ threads }})
fn batch_norm_merge_grad_input(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup);
    if (slice_channel >= params.slices * params.channels) { return; } // uniform: the whole workgroup returns
    let work = lane_work(slice_channel, lane, {{ threads }}u);
    add_lanes(lane, add_slices(work.c, lane, {{ threads }}u));
    workgroupBarrier();
    let sum = sums[0];
    if (lane == 0u && slice_channel < params.channels) {
        grad_bias[work.c] = sum.x;
        grad_weight[work.c] = sum.y;
    }
    write_dx(work, coefficients_of(work.c, sum));
}
