// The partial sums of batch_norm.wgsl for software adapters, where barriers are expensive: one subgroup per slice and
// channel, reduced by subgroup shuffles.
//
//   batch_norm_partial_subgroup       partial[c, s] = (count, mean, sum of squared deviations from that mean) of slice s
//   batch_norm_grad_partial_subgroup  partial[c, s] = sums of dy and of dy * xhat, followed by the coefficients of each channel
//
// Requires subgroups of exactly {{ subgroup }} lanes. Dispatch: one subgroup per (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses nan.wgsl
// uses relu.wgsl

@compute @workgroup_size({{ threads }})
fn batch_norm_partial_subgroup(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup) * {{ threads // subgroup }}u + subgroup;
    if (slice_channel >= params.slices * params.channels) { return; } // the whole subgroup returns
    var moments = moments_of(lane_work(slice_channel, lane, {{ subgroup }}u));
{%- for half in [32, 16, 8, 4, 2, 1] if half < subgroup %}
    moments = merge(moments, Moments(subgroupShuffleXor(moments.count, {{ half }}u), subgroupShuffleXor(moments.mean, {{ half }}u), subgroupShuffleXor(moments.m2, {{ half }}u)));
{%- endfor %}
    if (lane == 0u) {
        let at = partial_index(slice_channel) * 3u;
        partial_out[at] = moments.count;
        partial_out[at + 1u] = moments.mean;
        partial_out[at + 2u] = moments.m2;
    }
}

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_partial_subgroup(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let slice_channel = workgroup_index(group, groups, params.first_workgroup) * {{ threads // subgroup }}u + subgroup;
    if (slice_channel >= params.slices * params.channels) { return; } // the whole subgroup returns
    var sums = gradient_sums(lane_work(slice_channel, lane, {{ subgroup }}u));
{%- for half in [32, 16, 8, 4, 2, 1] if half < subgroup %}
    sums += subgroupShuffleXor(sums, {{ half }}u);
{%- endfor %}
    if (lane == 0u) { write_gradient_sums(slice_channel, sums); }
}
