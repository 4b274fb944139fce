// The weights of a convolution, or of its transpose, in the order that conv_window.wgsl reads them.
//
//   packed[g, c, window, block, t, o] = w(g, block * channels + o, c, ky, kx), zeros past the filter's edges and the last channel
//
// where tap t = (ky, kx) of a window of taps_h x taps_w, windows count row by row over the kernel, and each (t, o) line is
// padded to `line` numbers. w(g, o, c, ky, kx) lies at g * w_group + o * w_out + c * w_in + w_start + ky * w_down + kx * w_right: with
// channels exchanged and negative steps, that is the filter turned around.
// Dispatch: ceil(len / 64) workgroups, one invocation a number.

struct ConvPack {
    len: u32, in_channels: u32, out_channels: u32, kernel_h: u32, kernel_w: u32,
    taps_h: u32, taps_w: u32, channels: u32, line: u32,
    w_group: u32, w_out: u32, w_in: u32, w_start: u32, w_down: u32, w_right: u32,
}

@group(0) @binding(0) var<uniform> params: ConvPack;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn conv_pack(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup_index(group, groups) * 64u + lane;
    if (index >= params.len) { return; }
    let blocks = (params.out_channels + params.channels - 1u) / params.channels;
    let windows_h = (params.kernel_h + params.taps_h - 1u) / params.taps_h;
    let windows_w = (params.kernel_w + params.taps_w - 1u) / params.taps_w;
    let at = index % params.line;
    let t = at / params.channels;
    let block = index / params.line % blocks;
    let window = index / (params.line * blocks) % (windows_h * windows_w);
    let c = index / (params.line * blocks * windows_h * windows_w) % params.in_channels;
    let g = index / (params.line * blocks * windows_h * windows_w * params.in_channels);
    let o = block * params.channels + at % params.channels;
    let ky = window / windows_w * params.taps_h + t / params.taps_w;
    let kx = window % windows_w * params.taps_w + t % params.taps_w;
    var value = 0.0;
    if (t < params.taps_h * params.taps_w && o < params.out_channels && ky < params.kernel_h && kx < params.kernel_w) {
        value = w[g * params.w_group + o * params.w_out + c * params.w_in + params.w_start + ky * params.w_down + kx * params.w_right];
    }
    packed[index] = value;
}
