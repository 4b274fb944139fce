// The parameters of conv_pack.wgsl and conv_pack_vec4.wgsl: the strides of the weights by group, channel and tap, and the
// packed order.
// Prepended to the shaders that use it.

struct ConvPack {
    lines: u32, in_channels: u32, out_channels: u32, kernel_h: u32, kernel_w: u32,
    taps_h: u32, taps_w: u32, channels: u32, line: u32,
    w_group: u32, w_out: u32, w_in: u32, w_start: u32, w_down: u32, w_right: u32,
    first_workgroup: u32,
}
