// Sums in a fixed order, so that the same input always gives the same bits.
//
//   channel_sum   out[s, c] = sum over the images n of slice s and all pixels p of  x[n, c, p]
//   slice_sum     out[i]    = scale * sum over s < slices of  x[s, i]                 (+ out[i])
//
// channel_sum: x is [batch, channels, pixels]. Slice s covers `images_per_slice` images starting at s * images_per_slice.
// Dispatch: one workgroup per (s, c), s outermost; each lane sums strided pixels, then a tree reduction combines the lanes.
// slice_sum: x is [slices, len]. Dispatch: ceil(len / 64) workgroups, one invocation per result. slice_sum_vec4 computes four
// results per invocation, for a len that is a multiple of four. slice_sum_tree does the same for many slices, with 16
// invocations per four results, combined by a tree reduction. Dispatch: ceil(len / 64) workgroups.

struct ChannelSum { batch: u32, channels: u32, pixels: u32, images_per_slice: u32, first_workgroup: u32 }
struct SliceSum { len: u32, slices: u32, scale: f32, accumulate: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> channel_params: ChannelSum;
@group(0) @binding(0) var<uniform> slice_params: SliceSum;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x_vec4: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out_vec4: array<vec4f>;

var<workgroup> lanes: array<f32, 64>;

@compute @workgroup_size(64)
fn channel_sum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slice_channel = workgroup_index(group, groups, channel_params.first_workgroup);
    let s = slice_channel / channel_params.channels;
    let c = slice_channel - s * channel_params.channels;
    let first = s * channel_params.images_per_slice;
    if (first >= channel_params.batch) { return; } // uniform: the whole workgroup returns
    var sum = 0.0;
    for (var n = first; n < min(first + channel_params.images_per_slice, channel_params.batch); n++) {
        let plane = (n * channel_params.channels + c) * channel_params.pixels;
        for (var p = lane; p < channel_params.pixels; p += 64u) { sum += x[plane + p]; }
    }
    lanes[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { lanes[lane] += lanes[lane + half]; }
    }
    if (lane == 0u) { out[slice_channel] = lanes[0]; }
}

@compute @workgroup_size(64)
fn slice_sum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, slice_params.first_workgroup) * 64u + lane;
    if (i >= slice_params.len) { return; }
    var sum = 0.0;
    for (var s = 0u; s < slice_params.slices; s++) { sum += x[s * slice_params.len + i]; }
    sum *= slice_params.scale;
    if (slice_params.accumulate == 1u) { sum += out[i]; }
    out[i] = sum;
}

@compute @workgroup_size(64)
fn slice_sum_vec4(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, slice_params.first_workgroup) * 64u + lane;
    let vectors = slice_params.len / 4u;
    if (i >= vectors) { return; }
    var sum = vec4f(0.0);
    for (var s = 0u; s < slice_params.slices; s++) { sum += x_vec4[s * vectors + i]; }
    sum *= slice_params.scale;
    if (slice_params.accumulate == 1u) { sum += out_vec4[i]; }
    out_vec4[i] = sum;
}

var<workgroup> rows: array<vec4f, 256>;

@compute @workgroup_size(256)
fn slice_sum_tree(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, slice_params.first_workgroup) * 16u + lane % 16u;
    let vectors = slice_params.len / 4u;
    var sum = vec4f(0.0);
    if (i < vectors) {
        for (var s = lane / 16u; s < slice_params.slices; s += 16u) { sum += x_vec4[s * vectors + i]; }
    }
    rows[lane] = sum;
    for (var half = 128u; half >= 16u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { rows[lane] += rows[lane + half]; }
    }
    if (lane >= 16u || i >= vectors) { return; }
    sum = rows[lane] * slice_params.scale;
    if (slice_params.accumulate == 1u) { sum += out_vec4[i]; }
    out_vec4[i] = sum;
}
