//! The one table of kernels. A row names a WGSL entry point, its parameters, its bindings and its CPU
//! twin; pipelines, bind-group layouts, labels and tests all derive from the rows.

mod params;
mod template;

pub use params::*;

use crate::cpu;
use std::fmt;

/// One compute kernel.
///
/// Binding 0 is the uniform `params`; then come `reads` read-only and `writes` read-write storage
/// buffers. Workgroups are one-dimensional, and their index is folded over x and y (see
/// `shaders/prelude.wgsl`), so a launch is a mere number of workgroups.
pub struct Kernel {
    /// Unique name, used in plans, labels and on the command line.
    pub name: &'static str,
    /// File under `shaders/`.
    pub file: &'static str,
    /// WGSL text, or a template of it; the prelude not included.
    body: &'static str,
    /// Numbers that the template is filled with.
    constants: &'static [(&'static str, u32)],
    /// Entry point in that file.
    pub entry: &'static str,
    /// Parameter struct.
    pub params: Layout,
    /// Invocations a workgroup.
    pub threads: u32,
    /// Read-only storage bindings.
    pub reads: usize,
    /// Read-write storage bindings.
    pub writes: usize,
    /// What the kernel means, written from the definition.
    pub twin: Twin,
    /// The same result by a faster way, where there is one worth having.
    pub fast: Option<Twin>,
}

/// A kernel on the CPU: parameter words and the bound buffers.
pub type Twin = fn(&[u32], Io<'_>);

impl Kernel {
    /// The whole WGSL text of the module this kernel lives in, for subgroups of so many lanes. They matter
    /// only to kernels that hand numbers from lane to lane.
    pub fn source(&self, subgroup: u32) -> String {
        let used = PIECES.iter().filter(|(name, _)| self.body.contains(&format!("// uses {name}")));
        let mut text = PRELUDE.to_owned();
        for part in used.map(|(_, piece)| *piece).chain([self.body]) {
            text += "\n";
            text += part;
        }
        match self.constants {
            [] => text,
            constants => template::fill(self.file, &text, constants, self.threads, subgroup),
        }
    }

    /// Whether the module hands numbers from lane to lane, which not every device can.
    pub fn uses_subgroups(&self) -> bool {
        self.body.contains("subgroup_invocation_id")
    }

    /// Whether a number that the template is filled with is there and not 0.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.constants.iter().any(|(n, value)| *n == name && *value != 0)
    }

    /// A number that the template is filled with.
    pub(crate) fn constant(&self, name: &str) -> u32 {
        let found = self.constants.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("the row of {} states {name}", self.name)).1
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// Texts put in front of the shaders that use them.
const PIECES: [(&str, &str); 1] = [("panels.wgsl", include_str!("../../shaders/panels.wgsl"))];
const PRELUDE: &str = include_str!("../../shaders/prelude.wgsl");

/// The buffers bound to a launch on the CPU, as 32-bit words.
pub struct Io<'a> {
    /// Read-only bindings in order.
    pub reads: Vec<&'a [u32]>,
    /// Read-write bindings in order.
    pub writes: Vec<&'a mut [u32]>,
}

impl<'a> Io<'a> {
    /// The bindings as words. A wrong number of them is a mismatch between a kernel's row and its twin.
    pub fn words<const R: usize, const W: usize>(self) -> ([&'a [u32]; R], [&'a mut [u32]; W]) {
        let reads = self.reads.try_into().expect("the kernel's row states as many reads as its twin takes");
        let writes = self.writes.try_into().map_err(|_| ());
        (reads, writes.expect("the kernel's row states as many writes as its twin takes"))
    }

    /// The bindings as floats.
    pub fn f32<const R: usize, const W: usize>(self) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
        let (reads, writes) = self.words();
        (reads.map(bytemuck::cast_slice), writes.map(bytemuck::cast_slice_mut))
    }
}

/// Expands to one `static` a row and the list of all of them. A row is named after its entry point, unless it
/// fills a template, when `as` names it.
macro_rules! kernels {
    ($($name:ident: $file:literal, $entry:ident($params:ident)
       $(as $label:literal { $($constant:ident: $value:literal),+ })?,
       threads $threads:literal, reads $reads:literal, writes $writes:literal,
       twin $twin:path $(, fast $fast:path)?;)+) => {
        $(
            #[doc = concat!("`", stringify!($entry), "` of `shaders/", $file, "`.")]
            pub static $name: Kernel = Kernel {
                name: kernels!(@name $entry $($label)?),
                file: $file,
                body: include_str!(concat!("../../shaders/", $file)),
                constants: &[$($((stringify!($constant), $value)),+)?],
                entry: stringify!($entry),
                params: <$params as Params>::LAYOUT,
                threads: $threads,
                reads: $reads,
                writes: $writes,
                twin: |params, io| $twin(cast::<$params>(params), io),
                fast: kernels!(@fast $params $($fast)?),
            };
        )+
        /// Every kernel there is.
        pub static ALL: &[&Kernel] = &[$(&$name),+];
    };
    (@name $entry:ident) => { stringify!($entry) };
    (@name $entry:ident $label:literal) => { $label };
    (@fast $params:ident) => { None };
    (@fast $params:ident $fast:path) => { Some(|params, io| $fast(cast::<$params>(params), io)) };
}

fn cast<P: Params>(words: &[u32]) -> &P {
    bytemuck::from_bytes(bytemuck::cast_slice(words))
}

kernels! {
    COPY: "elementwise.wgsl", copy(Elementwise), threads 256, reads 1, writes 1, twin cpu::elementwise::copy;
    ADD: "elementwise.wgsl", add(Elementwise), threads 256, reads 2, writes 1, twin cpu::elementwise::add;
    BLEND: "elementwise.wgsl", blend(Elementwise), threads 256, reads 1, writes 1, twin cpu::elementwise::blend;
    SCALE: "elementwise.wgsl", scale(Elementwise), threads 256, reads 2, writes 1, twin cpu::elementwise::scale;
    RELU: "elementwise.wgsl", relu(Elementwise), threads 256, reads 1, writes 1, twin cpu::elementwise::relu;
    RELU_GRAD: "elementwise.wgsl", relu_grad(Elementwise), threads 256, reads 2, writes 1, twin cpu::elementwise::relu_grad;
    CHANNEL_COPY: "channel_copy.wgsl", channel_copy(ChannelCopy), threads 256, reads 1, writes 1, twin cpu::elementwise::channel_copy;
    DROPOUT: "dropout.wgsl", dropout(Dropout), threads 256, reads 2, writes 1, twin cpu::dropout::dropout;

    MATMUL_TILED_128X128: "matmul_tiled.wgsl", matmul_tiled(Matmul) as "matmul_tiled_128x128" { tile_m: 128, tile_n: 128, tile_k: 8, each_m: 8, each_n: 8 }, threads 256, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;
    MATMUL_TILED_64X64: "matmul_tiled.wgsl", matmul_tiled(Matmul) as "matmul_tiled_64x64" { tile_m: 64, tile_n: 64, tile_k: 16, each_m: 4, each_n: 4 }, threads 256, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;
    MATMUL_TILED_32X128: "matmul_tiled.wgsl", matmul_tiled(Matmul) as "matmul_tiled_32x128" { tile_m: 32, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4 }, threads 256, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;
    MATMUL_TILED_16X128: "matmul_tiled.wgsl", matmul_tiled(Matmul) as "matmul_tiled_16x128" { tile_m: 16, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4 }, threads 128, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;
    MATMUL_REGISTERS: "matmul_registers.wgsl", matmul_registers(Matmul), threads 64, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;

    MATMUL_PACK: "matmul_pack.wgsl", matmul_pack(MatmulPack), threads 64, reads 1, writes 1, twin cpu::matmul_panels::matmul_pack;
    MATMUL_PANELS: "matmul_panels.wgsl", matmul_panels(MatmulPanels) as "matmul_panels" { rows: 16 }, threads 64, reads 3, writes 1, twin cpu::matmul_panels::matmul_panels;

    IM2COL: "im2col.wgsl", im2col(Conv), threads 64, reads 1, writes 1, twin cpu::conv::im2col, fast cpu::conv::im2col_fast;
    COL2IM: "im2col.wgsl", col2im(Conv), threads 64, reads 1, writes 1, twin cpu::conv::col2im, fast cpu::conv::col2im_fast;
    CONV_PACK: "conv_pack.wgsl", conv_pack(ConvPack), threads 64, reads 1, writes 1, twin cpu::conv_window::conv_pack;
    CONV_WINDOW_3X3_HANDED: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3_handed" { taps_h: 3, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 1, handed: 1 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_3X3_QUADS: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3_quads" { taps_h: 3, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 1, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_3X3: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3" { taps_h: 3, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_3X3_STRIDE2_HANDED: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3_stride2_handed" { taps_h: 3, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 1, handed: 1 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_3X3_STRIDE2_QUADS: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3_stride2_quads" { taps_h: 3, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 1, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_3X3_STRIDE2: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_3x3_stride2" { taps_h: 3, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X1_QUADS: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x1_quads" { taps_h: 1, taps_w: 1, stride: 1, rows: 2, channels: 32, quads: 1, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X1: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x1" { taps_h: 1, taps_w: 1, stride: 1, rows: 2, channels: 32, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X1_STRIDE2: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x1_stride2" { taps_h: 1, taps_w: 1, stride: 2, rows: 2, channels: 32, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X5: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x5" { taps_h: 1, taps_w: 5, stride: 1, rows: 2, channels: 16, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X3: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x3" { taps_h: 1, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_WINDOW_1X3_STRIDE2: "conv_window.wgsl", conv_window(ConvWindow) as "conv_window_1x3_stride2" { taps_h: 1, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 0, handed: 0 }, threads 64, reads 3, writes 1, twin cpu::conv_window::conv_window;
    CONV_GRAD_WEIGHT_3X3_QUADS: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_3x3_quads" { taps_h: 3, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 1 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_3X3: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_3x3" { taps_h: 3, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_3X3_STRIDE2_QUADS: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_3x3_stride2_quads" { taps_h: 3, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 1 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_3X3_STRIDE2: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_3x3_stride2" { taps_h: 3, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X1_QUADS: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x1_quads" { taps_h: 1, taps_w: 1, stride: 1, rows: 2, channels: 32, quads: 1 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X1: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x1" { taps_h: 1, taps_w: 1, stride: 1, rows: 2, channels: 32, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X1_STRIDE2: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x1_stride2" { taps_h: 1, taps_w: 1, stride: 2, rows: 2, channels: 32, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X5: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x5" { taps_h: 1, taps_w: 5, stride: 1, rows: 2, channels: 16, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X3: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x3" { taps_h: 1, taps_w: 3, stride: 1, rows: 2, channels: 16, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GRAD_WEIGHT_1X3_STRIDE2: "conv_window_grad_weight.wgsl", conv_window_grad_weight(ConvWindow) as "conv_window_grad_weight_1x3_stride2" { taps_h: 1, taps_w: 3, stride: 2, rows: 2, channels: 16, quads: 0 }, threads 64, reads 2, writes 1, twin cpu::conv_window::conv_window_grad_weight;
    CONV_GEMM_3X3_128X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_3x3_128x128" { tile_m: 128, tile_n: 128, tile_k: 8, each_m: 8, each_n: 8, taps_h: 3, taps_w: 3 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_3X3_64X64: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_3x3_64x64" { tile_m: 64, tile_n: 64, tile_k: 16, each_m: 4, each_n: 4, taps_h: 3, taps_w: 3 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_3X3_32X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_3x3_32x128" { tile_m: 32, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 3, taps_w: 3 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_3X3_16X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_3x3_16x128" { tile_m: 16, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 3, taps_w: 3 }, threads 128, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_1X1_128X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_1x1_128x128" { tile_m: 128, tile_n: 128, tile_k: 8, each_m: 8, each_n: 8, taps_h: 1, taps_w: 1 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_1X1_64X64: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_1x1_64x64" { tile_m: 64, tile_n: 64, tile_k: 16, each_m: 4, each_n: 4, taps_h: 1, taps_w: 1 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_1X1_32X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_1x1_32x128" { tile_m: 32, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 1, taps_w: 1 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_1X1_16X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_1x1_16x128" { tile_m: 16, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 1, taps_w: 1 }, threads 128, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_128X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_128x128" { tile_m: 128, tile_n: 128, tile_k: 8, each_m: 8, each_n: 8, taps_h: 0, taps_w: 0 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_64X64: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_64x64" { tile_m: 64, tile_n: 64, tile_k: 16, each_m: 4, each_n: 4, taps_h: 0, taps_w: 0 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_32X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_32x128" { tile_m: 32, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 0, taps_w: 0 }, threads 256, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_16X128: "conv_gemm.wgsl", conv_gemm(ConvGemm) as "conv_gemm_16x128" { tile_m: 16, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4, taps_h: 0, taps_w: 0 }, threads 128, reads 3, writes 1, twin cpu::conv_gemm::conv_gemm;
    CONV_GEMM_GRAD_WEIGHT_128X128: "conv_gemm_grad_weight.wgsl", conv_gemm_grad_weight(ConvGemm) as "conv_gemm_grad_weight_128x128" { tile_m: 128, tile_n: 128, tile_k: 8, each_m: 8, each_n: 8 }, threads 256, reads 2, writes 1, twin cpu::conv_gemm::conv_gemm_grad_weight;
    CONV_GEMM_GRAD_WEIGHT_64X64: "conv_gemm_grad_weight.wgsl", conv_gemm_grad_weight(ConvGemm) as "conv_gemm_grad_weight_64x64" { tile_m: 64, tile_n: 64, tile_k: 16, each_m: 4, each_n: 4 }, threads 256, reads 2, writes 1, twin cpu::conv_gemm::conv_gemm_grad_weight;
    CONV_GEMM_GRAD_WEIGHT_32X128: "conv_gemm_grad_weight.wgsl", conv_gemm_grad_weight(ConvGemm) as "conv_gemm_grad_weight_32x128" { tile_m: 32, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4 }, threads 256, reads 2, writes 1, twin cpu::conv_gemm::conv_gemm_grad_weight;
    CONV_GEMM_GRAD_WEIGHT_16X128: "conv_gemm_grad_weight.wgsl", conv_gemm_grad_weight(ConvGemm) as "conv_gemm_grad_weight_16x128" { tile_m: 16, tile_n: 128, tile_k: 16, each_m: 4, each_n: 4 }, threads 128, reads 2, writes 1, twin cpu::conv_gemm::conv_gemm_grad_weight;
    CONV_DIRECT: "conv_direct.wgsl", conv_direct(Conv), threads 64, reads 3, writes 1, twin cpu::conv::conv_direct, fast cpu::fast::conv::forward;
    CONV_DIRECT_GRAD_INPUT: "conv_direct.wgsl", conv_direct_grad_input(Conv), threads 64, reads 2, writes 1, twin cpu::conv::conv_direct_grad_input, fast cpu::fast::conv::grad_input;
    CONV_DIRECT_GRAD_WEIGHT: "conv_direct.wgsl", conv_direct_grad_weight(Conv), threads 64, reads 2, writes 1, twin cpu::conv::conv_direct_grad_weight, fast cpu::fast::conv::grad_weight;

    CHANNEL_SUM: "reduce.wgsl", channel_sum(ChannelSum), threads 64, reads 1, writes 1, twin cpu::reduce::channel_sum;
    SLICE_SUM: "reduce.wgsl", slice_sum(SliceSum), threads 64, reads 1, writes 1, twin cpu::reduce::slice_sum;
    SLICE_SUM_QUADS: "reduce.wgsl", slice_sum_quads(SliceSum), threads 64, reads 1, writes 1, twin cpu::reduce::slice_sum;

    BATCH_NORM_PARTIAL: "batch_norm.wgsl", batch_norm_partial(BatchNorm) as "batch_norm_partial" { quads: 0 }, threads 64, reads 1, writes 1, twin cpu::batch_norm::partial, fast cpu::fast::batch_norm::partial;
    BATCH_NORM_PARTIAL_QUADS: "batch_norm.wgsl", batch_norm_partial(BatchNorm) as "batch_norm_partial_quads" { quads: 1 }, threads 64, reads 1, writes 1, twin cpu::batch_norm::partial, fast cpu::fast::batch_norm::partial;
    BATCH_NORM_STATS: "batch_norm.wgsl", batch_norm_stats(BatchNorm) as "batch_norm_stats" { quads: 0 }, threads 64, reads 1, writes 2, twin cpu::batch_norm::stats;
    BATCH_NORM_APPLY: "batch_norm.wgsl", batch_norm_apply(BatchNorm) as "batch_norm_apply" { quads: 0 }, threads 64, reads 6, writes 1, twin cpu::batch_norm::apply, fast cpu::fast::batch_norm::apply;
    BATCH_NORM_APPLY_QUADS: "batch_norm.wgsl", batch_norm_apply(BatchNorm) as "batch_norm_apply_quads" { quads: 1 }, threads 64, reads 6, writes 1, twin cpu::batch_norm::apply, fast cpu::fast::batch_norm::apply;
    BATCH_NORM_GRAD_PARTIAL: "batch_norm.wgsl", batch_norm_grad_partial(BatchNorm) as "batch_norm_grad_partial" { quads: 0 }, threads 64, reads 6, writes 1, twin cpu::batch_norm::grad_partial, fast cpu::fast::batch_norm::grad_partial;
    BATCH_NORM_GRAD_PARTIAL_QUADS: "batch_norm.wgsl", batch_norm_grad_partial(BatchNorm) as "batch_norm_grad_partial_quads" { quads: 1 }, threads 64, reads 6, writes 1, twin cpu::batch_norm::grad_partial, fast cpu::fast::batch_norm::grad_partial;
    BATCH_NORM_GRAD_STATS: "batch_norm.wgsl", batch_norm_grad_stats(BatchNorm) as "batch_norm_grad_stats" { quads: 0 }, threads 64, reads 5, writes 3, twin cpu::batch_norm::grad_stats;
    BATCH_NORM_GRAD_INPUT: "batch_norm.wgsl", batch_norm_grad_input(BatchNorm) as "batch_norm_grad_input" { quads: 0 }, threads 64, reads 3, writes 1, twin cpu::batch_norm::grad_input, fast cpu::fast::batch_norm::grad_input;
    BATCH_NORM_GRAD_INPUT_QUADS: "batch_norm.wgsl", batch_norm_grad_input(BatchNorm) as "batch_norm_grad_input_quads" { quads: 1 }, threads 64, reads 3, writes 1, twin cpu::batch_norm::grad_input, fast cpu::fast::batch_norm::grad_input;

    MAX_POOL: "pool.wgsl", max_pool(Pool), threads 64, reads 1, writes 2, twin cpu::pool::max_pool;
    MAX_POOL_GRAD: "pool.wgsl", max_pool_grad(Pool), threads 64, reads 2, writes 1, twin cpu::pool::max_pool_grad;
    AVG_POOL: "pool.wgsl", avg_pool(Pool), threads 64, reads 1, writes 1, twin cpu::pool::avg_pool;
    AVG_POOL_GRAD: "pool.wgsl", avg_pool_grad(Pool), threads 64, reads 1, writes 1, twin cpu::pool::avg_pool_grad;

    SOFTMAX: "softmax.wgsl", softmax(Softmax), threads 64, reads 1, writes 1, twin cpu::softmax::softmax;
    LOG_SOFTMAX: "softmax.wgsl", log_softmax(Softmax), threads 64, reads 1, writes 1, twin cpu::softmax::log_softmax;
    SOFTMAX_GRAD: "softmax.wgsl", softmax_grad(Softmax), threads 64, reads 2, writes 1, twin cpu::softmax::softmax_grad;
    LOG_SOFTMAX_GRAD: "softmax.wgsl", log_softmax_grad(Softmax), threads 64, reads 2, writes 1, twin cpu::softmax::log_softmax_grad;

    CROSS_ENTROPY: "loss.wgsl", cross_entropy(Loss), threads 64, reads 2, writes 1, twin cpu::loss::cross_entropy;
    CROSS_ENTROPY_GRAD: "loss.wgsl", cross_entropy_grad(Loss), threads 64, reads 3, writes 1, twin cpu::loss::cross_entropy_grad;
    TOP_K: "loss.wgsl", top_k(Loss), threads 64, reads 2, writes 1, twin cpu::loss::top_k;

    SGD: "optimizer.wgsl", sgd(Sgd), threads 256, reads 2, writes 2, twin cpu::optimizer::sgd;
    ADAM: "optimizer.wgsl", adam(Adam), threads 256, reads 2, writes 3, twin cpu::optimizer::adam;
    CLIP_COEFFICIENT: "clip.wgsl", clip_coefficient(Clip), threads 1, reads 1, writes 1, twin cpu::optimizer::clip_coefficient;
}
