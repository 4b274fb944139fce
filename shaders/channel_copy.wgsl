// Copies a block of channels between two tensors: concatenation along channels, slicing in its backward pass, zero-padding.
//
//   channel_copy   dst[o * dst_stride + dst_offset + j] = src[o * src_stride + src_offset + j]   for j < width
//   channel_pad    the same, with zeros in the rest of dst
//
// Both tensors are [outer, channels, pixels], flattened to rows of stride = channels * pixels elements; `width` is
// channels * pixels of the block.
// Dispatch: ceil(len / 256) workgroups, where len is the number of elements written: outer * width, or outer * dst_stride by
// channel_pad.

struct ChannelCopy { len: u32, width: u32, src_stride: u32, src_offset: u32, dst_stride: u32, dst_offset: u32, first_workgroup: u32 }

@group(0) @binding(0) var<uniform> params: ChannelCopy;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

@compute @workgroup_size(256)
fn channel_copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= params.len) { return; }
    let o = i / params.width;
    let j = i - o * params.width;
    dst[o * params.dst_stride + params.dst_offset + j] = src[o * params.src_stride + params.src_offset + j];
}

@compute @workgroup_size(256)
fn channel_pad(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = workgroup_index(group, groups, params.first_workgroup) * 256u + lane;
    if (i >= params.len) { return; }
    let o = i / params.dst_stride;
    // Before the block, this wraps around to at least `width`.
    let j = i - o * params.dst_stride - params.dst_offset;
    if (j < params.width) {
        dst[i] = src[o * params.src_stride + params.src_offset + j];
    } else {
        dst[i] = 0.0;
    }
}
