//! The one table of kernels. A row names a WGSL entry point, its parameters, its bindings and its CPU
//! twin; pipelines, bind-group layouts, labels and tests all derive from the rows.

mod params;

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
    /// WGSL text, the prelude not included.
    body: &'static str,
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
    /// The whole WGSL text of the module this kernel lives in.
    pub fn source(&self) -> String {
        let tile = if self.uses_subgroups() { TILE } else { "" };
        format!("{PRELUDE}\n{tile}\n{}", self.body)
    }

    /// Whether the module hands numbers from lane to lane, which not every device can.
    pub fn uses_subgroups(&self) -> bool {
        self.body.contains("// uses tile.wgsl")
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

const TILE: &str = include_str!("../../shaders/tile.wgsl");
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

/// Expands to one `static` a row and the list of all of them.
macro_rules! kernels {
    ($($name:ident: $file:literal, $entry:ident($params:ident), threads $threads:literal, reads $reads:literal,
       writes $writes:literal, twin $twin:path $(, fast $fast:path)?;)+) => {
        $(
            #[doc = concat!("`", stringify!($entry), "` of `shaders/", $file, "`.")]
            pub static $name: Kernel = Kernel {
                name: stringify!($entry),
                file: $file,
                body: include_str!(concat!("../../shaders/", $file)),
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

    MATMUL_TILED: "matmul_tiled.wgsl", matmul_tiled(Matmul), threads 256, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;
    MATMUL_REGISTERS: "matmul_registers.wgsl", matmul_registers(Matmul), threads 64, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;

    MATMUL_SUBGROUPS: "matmul_subgroups.wgsl", matmul_subgroups(Matmul), threads 64, reads 3, writes 1, twin cpu::matmul::matmul, fast cpu::matmul::matmul_fast;

    IM2COL: "im2col.wgsl", im2col(Conv), threads 64, reads 1, writes 1, twin cpu::conv::im2col, fast cpu::conv::im2col_fast;
    COL2IM: "im2col.wgsl", col2im(Conv), threads 64, reads 1, writes 1, twin cpu::conv::col2im, fast cpu::conv::col2im_fast;
    CONV_SUBGROUPS: "conv_subgroups.wgsl", conv_subgroups(ConvSubgroups), threads 64, reads 3, writes 1, twin cpu::conv_subgroups::conv_subgroups;
    CONV_SUBGROUPS_STRIDE2: "conv_subgroups.wgsl", conv_subgroups_stride2(ConvSubgroups), threads 64, reads 3, writes 1, twin cpu::conv_subgroups::conv_subgroups;
    CONV_SUBGROUPS_GRAD_WEIGHT: "conv_subgroups.wgsl", conv_subgroups_grad_weight(ConvSubgroups), threads 64, reads 2, writes 1, twin cpu::conv_subgroups::conv_subgroups_grad_weight;
    CONV_SUBGROUPS_STRIDE2_GRAD_WEIGHT: "conv_subgroups.wgsl", conv_subgroups_stride2_grad_weight(ConvSubgroups), threads 64, reads 2, writes 1, twin cpu::conv_subgroups::conv_subgroups_grad_weight;
    CONV_DIRECT: "conv_direct.wgsl", conv_direct(Conv), threads 64, reads 3, writes 1, twin cpu::conv::conv_direct, fast cpu::fast::conv::forward;
    CONV_DIRECT_GRAD_INPUT: "conv_direct.wgsl", conv_direct_grad_input(Conv), threads 64, reads 2, writes 1, twin cpu::conv::conv_direct_grad_input, fast cpu::fast::conv::grad_input;
    CONV_DIRECT_GRAD_WEIGHT: "conv_direct.wgsl", conv_direct_grad_weight(Conv), threads 64, reads 2, writes 1, twin cpu::conv::conv_direct_grad_weight, fast cpu::fast::conv::grad_weight;

    CHANNEL_SUM: "reduce.wgsl", channel_sum(ChannelSum), threads 64, reads 1, writes 1, twin cpu::reduce::channel_sum;
    SLICE_SUM: "reduce.wgsl", slice_sum(SliceSum), threads 64, reads 1, writes 1, twin cpu::reduce::slice_sum;

    BATCH_NORM_PARTIAL: "batch_norm.wgsl", batch_norm_partial(BatchNorm), threads 64, reads 1, writes 1, twin cpu::batch_norm::partial, fast cpu::fast::batch_norm::partial;
    BATCH_NORM_STATS: "batch_norm.wgsl", batch_norm_stats(BatchNorm), threads 64, reads 1, writes 2, twin cpu::batch_norm::stats;
    BATCH_NORM_APPLY: "batch_norm.wgsl", batch_norm_apply(BatchNorm), threads 64, reads 5, writes 1, twin cpu::batch_norm::apply, fast cpu::fast::batch_norm::apply;
    BATCH_NORM_GRAD_PARTIAL: "batch_norm.wgsl", batch_norm_grad_partial(BatchNorm), threads 64, reads 4, writes 2, twin cpu::batch_norm::grad_partial, fast cpu::fast::batch_norm::grad_partial;
    BATCH_NORM_GRAD_INPUT: "batch_norm.wgsl", batch_norm_grad_input(BatchNorm), threads 64, reads 7, writes 1, twin cpu::batch_norm::grad_input, fast cpu::fast::batch_norm::grad_input;
    BATCH_NORM_EVAL_GRAD_INPUT: "batch_norm.wgsl", batch_norm_eval_grad_input(BatchNorm), threads 64, reads 3, writes 1, twin cpu::batch_norm::eval_grad_input;

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
