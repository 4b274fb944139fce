//! Parameter structs: the uniform that each kernel reads at binding 0.
//!
//! [`params!`] writes each struct down once and derives its reflection, which a test compares with
//! the struct of the same name in the shader.

/// One member of a parameter struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The member's name, the same in WGSL.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Its WGSL type: `u32`, `i32` or `f32`.
    pub ty: &'static str,
}

/// Name and members of a parameter struct.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The struct's name, the same in WGSL.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Members in order.
    pub fields: &'static [Field],
}

/// A parameter struct that knows its own layout.
pub trait Params: bytemuck::Pod {
    /// Name, size and members.
    const LAYOUT: Layout;
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),+ }

        impl Params for $name {
            const LAYOUT: Layout = Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$(Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    ty: stringify!($ty),
                }),+],
            };
        }
    )+};
}

params! {
    /// Element-wise kernels: `len` elements and up to two constants.
    Elementwise { len: u32, alpha: f32, beta: f32 }

    /// A block of channels copied between two tensors of `outer` rows.
    ChannelCopy {
        /// Elements copied in all.
        len: u32,
        /// Elements copied a row.
        width: u32,
        /// Elements between two rows of the source.
        src_stride: u32,
        src_offset: u32,
        /// Elements between two rows of the destination.
        dst_stride: u32,
        dst_offset: u32,
    }

    /// Counter-based dropout.
    Dropout {
        len: u32,
        /// Which dropout of the network this is.
        stream: u32,
        /// Probability of a zero.
        p: f32,
        /// 1 / (1 - p).
        scale: f32,
    }

    /// Strided, batched matrix product; see `shaders/matmul_tiled.wgsl`.
    Matmul {
        m: u32,
        n: u32,
        k: u32,
        /// Products added up in each result, `a_reduce` and `b_reduce` apart.
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
        /// 0: none; 1: one a column; 2: one a row, `m` apart for each inner batch.
        bias: u32,
        /// Number of `a_reduce` steps beyond which there is no data: the last slice may be short.
        reduce_total: u32,
    }

    /// An operand of a matrix product put into panels; see `shaders/matmul_pack.wgsl`.
    MatmulPack {
        batches: u32,
        inner: u32,
        panels: u32,
        /// Rows of a, or columns of b, that a panel has.
        width: u32,
        /// Numbers along the sum: of all products added up, and even.
        depth: u32,
        /// Rows of a, or columns of b.
        count: u32,
        /// Numbers along the sum of one product.
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

    /// The product of two operands in panels; see `shaders/matmul_packed.wgsl`.
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
        /// Columns of a panel of b.
        width: u32,
    }

    /// Geometry of a convolution, and the part of it one launch covers.
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

    /// A convolution of dilation 1 and stride 1 or 2 along rows, or its transpose; see `shaders/conv_register_tiled.wgsl`.
    /// Channels are those of one group.
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
        /// Where a result lies: elements a plane, a start, and steps by row and by column.
        y_plane: u32,
        y_start: u32,
        y_down: u32,
        y_right: u32,
        /// Tiles of four columns a row.
        across: u32,
        /// Packed weights: numbers a line, of so many channels and the taps of one window.
        line: u32,
        channels: u32,
        taps_h: u32,
        taps_w: u32,
        has_bias: u32,
        /// What comes after: 0, nothing; 1, ReLU; 2, the sum with a residual, then ReLU.
        epilogue: u32,
        /// Images that one partial weight gradient sums up.
        images_per_slice: u32,
    }

    /// Tiles of images for a convolution by fewer multiplications; see `shaders/winograd.wgsl`.
    WinogradTiles {
        /// Rows and columns of a tile: 2 or 4.
        tile: u32,
        images: u32,
        image_start: u32,
        channels: u32,
        height: u32,
        width: u32,
        /// Where the first patch begins above and left of the image; may be negative, in two's complement.
        padding_h: u32,
        padding_w: u32,
        /// Tiles of an image.
        down: u32,
        across: u32,
        has_bias: u32,
        /// 1: channels lie along the panels, and tiles along the depth.
        by_channel: u32,
        /// Order of the operand that is made.
        panels: u32,
        depth: u32,
        panel_width: u32,
    }

    /// Filters for the same.
    WinogradFilters {
        tile: u32,
        outs: u32,
        ins: u32,
        /// Where a tap lies: strides by output and input channel, a start, and steps by tap.
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
        panels: u32,
        depth: u32,
        panel_width: u32,
    }

    /// A convolution, or its transpose, described in full; see `shaders/conv_gemm.wgsl`. Channels are those of one
    /// group.
    ConvGemm {
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
        /// Where a weight lies: strides by group, output and input channel, a start, and steps by tap.
        w_group: u32,
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
        /// Where a result lies: elements a plane, a start, and steps by row and by column.
        y_plane: u32,
        y_start: u32,
        y_down: u32,
        y_right: u32,
        has_bias: u32,
        /// What comes after, as in [`ConvRegisterTiled`].
        epilogue: u32,
        /// Pixels that one partial weight gradient sums up.
        k_per_slice: u32,
    }

    /// Weights put into the order of `shaders/conv_register_tiled.wgsl`; see `shaders/conv_pack.wgsl`.
    ConvPack {
        /// Lines to write: of each group, input channel, window and block of output channels.
        lines: u32,
        in_channels: u32,
        out_channels: u32,
        kernel_h: u32,
        kernel_w: u32,
        taps_h: u32,
        taps_w: u32,
        channels: u32,
        line: u32,
        /// Where a weight lies: strides by group, output and input channel, a start, and steps by tap.
        w_group: u32,
        w_out: u32,
        w_in: u32,
        w_start: u32,
        w_down: u32,
        w_right: u32,
    }

    /// Pooling windows over `planes` (batch x channels) planes.
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
        /// 1: windows divide the image evenly, kernel, stride and padding do not count.
        adaptive: u32,
        /// 1: padding counts in an average's divisor.
        count_include_pad: u32,
    }

    /// Batch norm over `[batch, channels, pixels]`.
    BatchNorm {
        batch: u32,
        channels: u32,
        pixels: u32,
        slices: u32,
        images_per_slice: u32,
        /// Lanes that share an image.
        width: u32,
        eps: f32,
        /// What comes after: 0, nothing; 1, ReLU; 2, the sum with a residual, then ReLU.
        epilogue: u32,
        /// 1: mean and variance are constants.
        fixed: u32,
    }

    /// A batch norm put into a weight of `len` numbers, so many `per_channel`.
    FoldBatchNorm { len: u32, per_channel: u32, eps: f32, has_bias: u32 }

    /// Sums over `[batch, channels, pixels]`, of which `len` elements exist.
    ChannelSum {
        len: u32,
        batch: u32,
        channels: u32,
        pixels: u32,
        images_per_slice: u32,
        /// 1: sum squares.
        square: u32,
    }

    /// Sum of `slices` arrays of `len` elements.
    SliceSum {
        len: u32,
        slices: u32,
        scale: f32,
        /// 1: add to the result instead of replacing it.
        accumulate: u32,
    }

    /// Local response normalisation over `[batch, channels, pixels]`, `len` elements.
    LocalResponseNorm {
        len: u32,
        channels: u32,
        pixels: u32,
        /// Channels that count.
        size: u32,
        /// Weight of a square: alpha / size in PyTorch's terms.
        alpha: f32,
        beta: f32,
        k: f32,
    }

    /// Softmax along the middle of `[outer, classes, inner]`.
    Softmax { outer: u32, classes: u32, inner: u32 }

    /// Losses and metrics of `rows` rows of logits.
    Loss {
        rows: u32,
        classes: u32,
        label_smoothing: f32,
        /// Of gradients: 1 / rows for the mean of a batch whose rows count alike, else 1.
        scale: f32,
        /// Top-k accuracy: how many guesses count.
        top: u32,
        /// 1: rows of the label `ignored` do not count.
        ignores: u32,
        /// The label of rows that do not count, if `ignores`.
        ignored: u32,
        /// 1: classes have weights.
        weighted: u32,
        /// 1: results are divided by what all labels weigh together.
        normalized: u32,
        /// 1: each row has an upstream gradient of its own.
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

    /// Gradient clipping by global norm.
    Clip { max_norm: f32 }
}
