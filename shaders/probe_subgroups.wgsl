// What kernels with subgroup operations take for granted of a device, for its self-test: the subgroup size, and that each
// invocation sees the values of the others.
//
// For lane l of subgroup s in all workgroups, with i = lanes * s + l and k = 2654435761 i:
//
//   y[5 i ..] = subgroup size, lane, k of lane 3, k of lane l + 1 (modulo the lanes), k of lane l xor 2
//
// Dispatch: ceil(len / 64) workgroups; `len` is a multiple of 64.

struct ProbeSubgroups { len: u32, lanes: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: ProbeSubgroups;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn probe_subgroups(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 64u + subgroup * params.lanes + lane;
    let own = i * 2654435761u;
    let third = subgroupBroadcast(own, 3u);
    let next = subgroupShuffle(own, (lane + 1u) % params.lanes);
    let other = subgroupShuffleXor(own, 2u);
    if (i >= params.len) { return; }
    y[5u * i] = size;
    y[5u * i + 1u] = lane;
    y[5u * i + 2u] = third;
    y[5u * i + 3u] = next;
    y[5u * i + 4u] = other;
}
