// The parameters of conv_direct.wgsl and im2col.wgsl: the sizes of a convolution, and the images and rows that one launch
// covers.
// Prepended to the shaders that use it.

struct Conv {
    batch: u32, in_channels: u32, in_h: u32, in_w: u32, out_channels: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
    dilation_h: u32, dilation_w: u32, groups: u32,
    image_start: u32, images: u32, row_start: u32, rows: u32, accumulate: u32, has_bias: u32,
    first_workgroup: u32,
}
