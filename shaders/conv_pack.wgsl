// Packs the weights of a convolution, or of its transpose, into the order that conv_register_tiled.wgsl reads them.
//
//   packed[g, block, c, window, t, o] = w(g, block * channels + o, c, ky, kx), zeros past the filter's edges and the last channel
//
// where t = (ky, kx) is a tap of a window of taps_h x taps_w, windows count row by row over the filter, and each (t, o) line
// is padded to `line` elements. w(g, o, c, ky, kx) is stored at g * w_group + o * w_out + c * w_in + w_start + ky * w_down +
// kx * w_right: with the channel roles swapped and negative steps, the filter is rotated by 180 degrees. The padding of a
// line is never written because no result depends on it.
// Dispatch: ceil(lines * channels / 64) workgroups, one invocation for all taps of a window of one channel pair.

// uses conv_pack_params.wgsl

@group(0) @binding(0) var<uniform> params: ConvPack;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn conv_pack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups, params.first_workgroup) * 64u + lane;
    let line = index / params.channels;
    if (line >= params.lines) { return; }
    let blocks = (params.out_channels + params.channels - 1u) / params.channels;
    let windows_h = (params.kernel_h + params.taps_h - 1u) / params.taps_h;
    let windows_w = (params.kernel_w + params.taps_w - 1u) / params.taps_w;
    let windows = windows_h * windows_w;
    let window = line % windows;
    let c = line / windows % params.in_channels;
    let block = line / (windows * params.in_channels) % blocks;
    let g = line / (windows * params.in_channels * blocks);
    let o = block * params.channels + index % params.channels;
    let top = window / windows_w * params.taps_h;
    let left = window % windows_w * params.taps_w;
    let base = g * params.w_group + o * params.w_out + c * params.w_in + params.w_start;
    var to = line * params.line + index % params.channels;
    for (var ky = top; ky < top + params.taps_h; ky++) {
        for (var kx = left; kx < left + params.taps_w; kx++) {
            var value = 0.0;
            if (o < params.out_channels && ky < params.kernel_h && kx < params.kernel_w) {
                value = w[base + ky * params.w_down + kx * params.w_right];
            }
            packed[to] = value;
            to += params.channels;
        }
    }
}
