//! The parameter structs, which each kernel reads from the uniform at binding 0. Their WGSL has one more member, the first
//! workgroup of a dispatch ([`Launch::uniform`](crate::plan::Launch::uniform)).
//!
//! [`params!`] declares each struct once and derives its reflection, which a test compares with the struct of the same name
//! in the shader.

use super::layout::{Field, Layout, Params, first_workgroup, params, uniform_size};

params! {
    /// Element-wise kernels: `len` elements and up to two constant factors.
    Elementwise { len: u32, alpha: f32, beta: f32 }

    /// Copy of a block of channels between two tensors; see `shaders/channel_copy.wgsl`.
    ChannelCopy {
        /// Elements to copy, or to write when padding.
        len: u32,
        /// Elements to copy per row.
        width: u32,
        /// Elements from one row of the source to the next.
        src_stride: u32,
        src_offset: u32,
        /// Elements from one row of the destination to the next.
        dst_stride: u32,
        dst_offset: u32,
    }

    /// Counter-based dropout.
    Dropout {
        len: u32,
        /// Index of the dropout layer, so that layers draw different masks.
        stream: u32,
        /// Probability of zeroing an element.
        p: f32,
        /// 1 / (1 - p).
        scale: f32,
    }

    /// Strided, batched matrix product; see `shaders/matmul_tiled.wgsl`.
    Matmul {
        m: u32,
        n: u32,
        k: u32,
        /// Number of products summed into each result, `a_reduce` and `b_reduce` elements apart.
        reduce: u32,
        /// Batches: index = outer * `inner` + inner index.
        batches: u32,
        inner: u32,
        a_offset: u32,
        a_row: u32,
        a_col: u32,
        a_reduce: u32,
        a_outer: u32,
        a_inner: u32,
        b_offset: u32,
        b_row: u32,
        b_col: u32,
        b_reduce: u32,
        b_outer: u32,
        b_inner: u32,
        c_offset: u32,
        c_row: u32,
        c_outer: u32,
        c_inner: u32,
        /// 0: none; 1: one per column; 2: one per row, `m` for each inner batch.
        bias: u32,
        /// Products in total: the last slice may have fewer than `reduce`.
        reduce_total: u32,
    }

    /// Packing of a matrix product's operand into panels; see `shaders/matmul_pack.wgsl`.
    MatmulPack {
        batches: u32,
        inner: u32,
        panels: u32,
        /// Rows of a, or columns of b, per panel.
        width: u32,
        /// Length of the reduction over all summed products, rounded up to an even number.
        depth: u32,
        /// Rows of a, or columns of b.
        count: u32,
        /// Length of the reduction of one product.
        size: u32,
        reduce: u32,
        reduce_total: u32,
        offset: u32,
        step: u32,
        k_step: u32,
        reduce_step: u32,
        outer: u32,
        inner_step: u32,
    }

    /// Product of two packed operands; see `shaders/matmul_packed.wgsl`.
    MatmulPacked {
        m: u32,
        n: u32,
        depth: u32,
        batches: u32,
        inner: u32,
        c_offset: u32,
        c_row: u32,
        c_outer: u32,
        c_inner: u32,
        bias: u32,
        /// Columns per panel of b.
        width: u32,
    }

    /// Sizes of a convolution, and the part of it that one launch covers.
    Conv {
        batch: u32,
        in_channels: u32,
        in_h: u32,
        in_w: u32,
        out_channels: u32,
        out_h: u32,
        out_w: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        padding_h: u32,
        padding_w: u32,
        dilation_h: u32,
        dilation_w: u32,
        groups: u32,
        /// First image of this launch.
        image_start: u32,
        images: u32,
        /// First output row of this launch.
        row_start: u32,
        rows: u32,
        /// 1: add to the result instead of replacing it.
        accumulate: u32,
        has_bias: u32,
    }

    /// A convolution with horizontal dilation 1 and horizontal stride 1 or 2, or its transpose; see
    /// `shaders/conv_register_tiled.wgsl`. Channels are per group.
    ConvRegisterTiled {
        batch: u32,
        in_channels: u32,
        in_h: u32,
        in_w: u32,
        out_channels: u32,
        out_h: u32,
        out_w: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        dilation_h: u32,
        /// Paddings may be negative, in two's complement.
        padding_h: u32,
        padding_w: u32,
        groups: u32,
        /// Address of a result: elements per plane, a start, and the strides of rows and columns.
        y_plane: u32,
        y_start: u32,
        y_down: u32,
        y_right: u32,
        /// Tiles of four columns per row.
        across: u32,
        /// Elements per line of packed weights. A line has `channels` output channels for each of `taps_h` x `taps_w` taps.
        line: u32,
        channels: u32,
        taps_h: u32,
        taps_w: u32,
        has_bias: u32,
        /// 0: none; 1: ReLU; 2: add a residual, then ReLU.
        epilogue: u32,
        /// Images summed into one partial weight gradient.
        images_per_slice: u32,
    }

    /// Image tiles of a Winograd convolution; see `shaders/winograd.wgsl`.
    WinogradTiles {
        /// Side of a tile: 2 or 4.
        tile: u32,
        images: u32,
        image_start: u32,
        channels: u32,
        height: u32,
        width: u32,
        /// Pixels by which the first patch starts above and left of the image; may be negative, in two's complement.
        padding_h: u32,
        padding_w: u32,
        /// Tiles per column and per row of an image.
        down: u32,
        across: u32,
        has_bias: u32,
        /// 1: panels run along the channels and the depth along the tiles; 0: the reverse.
        by_channel: u32,
        /// Layout of the packed operand.
        panels: u32,
        depth: u32,
        panel_width: u32,
    }

    /// Filters of a Winograd convolution; see `shaders/winograd.wgsl`.
    WinogradFilters {
        tile: u32,
        outs: u32,
        ins: u32,
        /// Address of a weight: strides of output and input channels, a start, and the strides of the filter's rows and columns.
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
        panels: u32,
        depth: u32,
        panel_width: u32,
    }

    /// A convolution, or its transpose, with explicit strides; see `shaders/conv_gemm.wgsl`. Channels are per group.
    ConvGemm {
        /// Up to three more phases of an input gradient that the launch computes: out_h, out_w, kernel_h, kernel_w, padding_h, padding_w,
        /// w_start and y_start of each.
        more_phases: [[u32; 4]; 6],
        batch: u32,
        in_channels: u32,
        in_h: u32,
        in_w: u32,
        out_channels: u32,
        out_h: u32,
        out_w: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        dilation_h: u32,
        dilation_w: u32,
        /// Paddings may be negative, in two's complement.
        padding_h: u32,
        padding_w: u32,
        groups: u32,
        /// Address of a weight: strides of groups, output and input channels, a start, and the strides of the filter's rows and
        /// columns.
        w_group: u32,
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
        /// Address of a result: elements per plane, a start, and the strides of rows and columns.
        y_plane: u32,
        y_start: u32,
        y_down: u32,
        y_right: u32,
        has_bias: u32,
        /// As in [`ConvRegisterTiled`].
        epilogue: u32,
        /// Number of phases, the first one included.
        phases: u32,
        /// Pixels per slice: those summed into one partial weight gradient, or into partial moments.
        pixels_per_slice: u32,
    }

    /// Packing of weights for `shaders/conv_register_tiled.wgsl`; see `shaders/conv_pack.wgsl`.
    ConvPack {
        /// Lines to write: one per group, block of output channels, input channel and window of taps.
        lines: u32,
        in_channels: u32,
        out_channels: u32,
        kernel_h: u32,
        kernel_w: u32,
        taps_h: u32,
        taps_w: u32,
        channels: u32,
        line: u32,
        /// Address of a weight: strides of groups, output and input channels, a start, and the strides of the filter's rows and
        /// columns.
        w_group: u32,
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
    }

    /// Pooling over `planes` (batch x channels) planes.
    Pool {
        planes: u32,
        in_h: u32,
        in_w: u32,
        out_h: u32,
        out_w: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride_h: u32,
        stride_w: u32,
        padding_h: u32,
        padding_w: u32,
        /// 1: windows divide the image evenly; kernel, stride and padding are ignored.
        adaptive: u32,
        /// 1: padding counts toward an average's divisor.
        count_include_pad: u32,
    }

    /// Batch norm over `[batch, channels, pixels]`.
    BatchNorm {
        batch: u32,
        channels: u32,
        pixels: u32,
        slices: u32,
        images_per_slice: u32,
        /// Partial moments per channel: one per slice, or one per column of tiles of the convolution that computed them.
        partials: u32,
        /// Lanes per image.
        width: u32,
        eps: f32,
        /// 0: none; 1: ReLU; 2: add a residual, then ReLU.
        epilogue: u32,
        /// 1: mean and variance are constants with no gradient.
        fixed: u32,
    }

    /// Batch norm folded into a weight of `len` elements, `per_channel` for each output channel.
    FoldBatchNorm { len: u32, per_channel: u32, eps: f32, has_bias: u32 }

    /// Per-channel sums over `[batch, channels, pixels]`; only the first `len` elements exist.
    ChannelSum {
        batch: u32,
        channels: u32,
        pixels: u32,
        images_per_slice: u32,
    }

    /// Sum of `slices` arrays of `len` elements.
    SliceSum {
        len: u32,
        slices: u32,
        scale: f32,
        /// 1: add to the result instead of replacing it.
        accumulate: u32,
    }

    /// Local response normalization over `[batch, channels, pixels]`, `len` elements.
    LocalResponseNorm {
        len: u32,
        channels: u32,
        pixels: u32,
        /// Channels per window.
        size: u32,
        /// Factor of the sum of squares: alpha / size in PyTorch's terms.
        alpha: f32,
        beta: f32,
        k: f32,
    }

    /// Softmax along the middle axis of `[outer, classes, inner]`.
    Softmax { outer: u32, classes: u32, inner: u32 }

    /// Losses and metrics of `rows` rows of logits.
    Loss {
        rows: u32,
        classes: u32,
        label_smoothing: f32,
        /// Factor of the gradients: 1 / rows for a mean over equally weighted rows, else 1.
        scale: f32,
        /// k of the top-k accuracy.
        top: u32,
        /// 1: rows labeled `ignored` do not count.
        ignores: u32,
        /// Label of the rows to ignore, if `ignores`.
        ignored: u32,
        /// 1: classes have weights.
        weighted: u32,
        /// 1: results are divided by the total weight of all labels.
        normalized: u32,
        /// 1: one upstream gradient per row; 0: one for all rows.
        by_row: u32,
    }

    /// SGD with momentum.
    Sgd {
        len: u32,
        lr_scale: f32,
        momentum: f32,
        weight_decay: f32,
        nesterov: u32,
    }

    /// Adam and AdamW.
    Adam {
        len: u32,
        lr_scale: f32,
        beta1: f32,
        beta2: f32,
        eps: f32,
        weight_decay: f32,
        /// 1: decoupled weight decay (AdamW).
        decoupled: u32,
    }

    /// A reduction of seven arrays.
    Arrays {
        /// Number of workgroups.
        groups: u32,
        /// 1: add to the results instead of replacing them.
        keep: u32,
        len0: u32,
        len1: u32,
        len2: u32,
        len3: u32,
        len4: u32,
        len5: u32,
        len6: u32,
    }

    /// A reduction of up to 64 ranges of an array.
    Ranges {
        /// Starts, in vectors of four elements, and numbers of elements, two pairs per vector.
        ranges: [[u32; 4]; 32],
        /// Number of ranges.
        count: u32,
        /// Number of workgroups.
        groups: u32,
        /// 1: add to the results instead of replacing them.
        keep: u32,
    }

    /// Sums over the slices of up to seven arrays, which are written to ranges of one.
    SliceSums {
        /// Of each array: length, number of slices, offset in the result, and nothing.
        arrays: [[u32; 4]; 7],
    }

    /// Gradient clipping by global norm.
    Clip {
        /// Number of partial sums.
        groups: u32,
        max_norm: f32,
    }

    /// Probes of `len` cases.
    Probe { len: u32 }

    /// Probe of subgroup operations.
    ProbeSubgroups { len: u32, lanes: u32 }
}

impl Arrays {
    /// Of up to seven arrays of these lengths.
    pub fn new([groups, keep]: [u32; 2], lens: impl Iterator<Item = u32>) -> Self {
        let mut all = [0; 7];
        all.iter_mut().zip(lens).for_each(|(own, len)| *own = len);
        let [len0, len1, len2, len3, len4, len5, len6] = all;
        Self { groups, keep, len0, len1, len2, len3, len4, len5, len6 }
    }

    /// The lengths of all arrays.
    pub fn lens(&self) -> [u32; 7] {
        [self.len0, self.len1, self.len2, self.len3, self.len4, self.len5, self.len6]
    }
}
