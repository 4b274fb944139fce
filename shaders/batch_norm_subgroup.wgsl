// The sums of batch_norm.wgsl for software adapters, where barriers are dear: a subgroup for each slice and channel, whose lanes hand
// each other what they found.
//
//   batch_norm_partial_subgroup       partial[s, c] = (count, mean, sum of squared distances from it) of slice s
//   batch_norm_grad_partial_subgroup  partial[s, c] = sums of dy, and of dy * xhat
//
// Needs subgroups of exactly {{ subgroup }} lanes. Dispatch: a subgroup for each (s, c), s outermost.

// uses batch_norm_sums.wgsl
// uses nan.wgsl
// uses relu.wgsl

@compute @workgroup_size({{ threads }})
fn batch_norm_partial_subgroup(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let which = workgroup_index(group, groups) * {{ threads // subgroup }}u + subgroup;
    if (which >= params.slices * params.channels) { return; } // the whole subgroup leaves
    var own = moments_of(share(which, lane, {{ subgroup }}u));
{%- for half in [32, 16, 8, 4, 2, 1] if half < subgroup %}
    own = merge(own, Moments(subgroupShuffleXor(own.count, {{ half }}u), subgroupShuffleXor(own.mean, {{ half }}u), subgroupShuffleXor(own.m2, {{ half }}u)));
{%- endfor %}
    if (lane == 0u) {
        partial_out[which * 3u] = own.count;
        partial_out[which * 3u + 1u] = own.mean;
        partial_out[which * 3u + 2u] = own.m2;
    }
}

@compute @workgroup_size({{ threads }})
fn batch_norm_grad_partial_subgroup(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let which = workgroup_index(group, groups) * {{ threads // subgroup }}u + subgroup;
    if (which >= params.slices * params.channels) { return; } // the whole subgroup leaves
    var own = gradient_sums(share(which, lane, {{ subgroup }}u));
{%- for half in [32, 16, 8, 4, 2, 1] if half < subgroup %}
    own += subgroupShuffleXor(own, {{ half }}u);
{%- endfor %}
    if (lane == 0u) {
        grad_partial[which * 2u] = own.x;
        grad_partial[which * 2u + 1u] = own.y;
    }
}
