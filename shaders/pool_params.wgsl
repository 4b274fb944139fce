// The parameters of pool.wgsl and pool_2x2.wgsl: `planes` (batch x channels) planes of [in_h, in_w] become [out_h, out_w], by
// sliding windows or, if `adaptive`, by evenly spaced ones.
// Prepended to the shaders that use it.

struct Pool {
    planes: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
    adaptive: u32, count_include_pad: u32,
    first_workgroup: u32,
}
