// The parameters of conv_gemm.wgsl and conv_gemm_grad_weight.wgsl: a convolution or its transpose with explicit strides.
// Channels are per group; paddings and steps may be negative, in two's complement.
// Prepended to the shaders that use it.

struct ConvGemm {
    more_phases: array<vec4u, 6>,
    batch: u32, in_channels: u32, in_h: u32, in_w: u32, out_channels: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, dilation_h: u32, dilation_w: u32, padding_h: u32, padding_w: u32, groups: u32,
    w_group: u32, w_out: u32, w_in: u32, w_start: u32, w_down: u32, w_right: u32,
    y_plane: u32, y_start: u32, y_down: u32, y_right: u32,
    has_bias: u32, epilogue: u32, phases: u32, pixels_per_slice: u32,
    first_workgroup: u32,
}
