//! The table of kernels. A row names a WGSL entry point, its parameters and its bindings; pipelines, bind-group
//! layouts, labels, CPU twins and tests all derive from the rows.

use super::params::*;
use super::{Kernel, Params};

/// Expands to one `static` per row and the list of all of them. Rows are grouped by file and entry point; where a plan chooses
/// among the kernels of an entry point, earlier rows win ties. If the file is a template, the parentheses name its variables, and
/// each row gives their values in brackets.
macro_rules! kernels {
    ($($file:literal $variables:tt {
        $($entry:ident($params:ident), reads $reads:literal, writes $writes:literal {
            $($name:ident = $label:literal, threads $threads:literal $values:tt;)+
        })+
    })+) => {
        $($($(
            #[doc = concat!("`", stringify!($entry), "` of `shaders/", $file, "`.")]
            pub static $name: Kernel = Kernel {
                name: $label,
                file: $file,
                body: include_str!(concat!("../../shaders/", $file)),
                constants: kernels!(@constants $variables $values),
                entry: stringify!($entry),
                params: <$params as Params>::LAYOUT,
                threads: $threads,
                reads: $reads,
                writes: $writes,
            };
        )+)+)+
        /// Every kernel.
        pub static ALL: &[&Kernel] = &[$($($(&$name),+),+),+];
        /// The kernels of each entry point.
        static BY_ENTRY: &[&[&Kernel]] = &[$($(&[$(&$name),+]),+),+];
    };
    (@constants ($($name:ident),*) [$($value:literal),*]) => { &[$((stringify!($name), $value)),*] };
}

/// The kernels of an entry point, in the order of the table.
pub(crate) fn of_entry(entry: &str) -> &'static [&'static Kernel] {
    BY_ENTRY
        .iter()
        .find(|kernels| kernels[0].entry == entry)
        .expect("the table has a row for each entry point")
}

kernels! {
    "elementwise.wgsl" () {
        copy(Elementwise), reads 1, writes 1 { COPY = "copy", threads 256 []; }
        add(Elementwise), reads 2, writes 1 { ADD = "add", threads 256 []; }
        add_relu(Elementwise), reads 2, writes 1 { ADD_RELU = "add_relu", threads 256 []; }
        blend(Elementwise), reads 1, writes 1 { BLEND = "blend", threads 256 []; }
        guarded_blend(Elementwise), reads 2, writes 1 { GUARDED_BLEND = "guarded_blend", threads 256 []; }
        scale(Elementwise), reads 2, writes 1 { SCALE = "scale", threads 256 []; }
        mul(Elementwise), reads 2, writes 1 { MUL = "mul", threads 256 []; }
        stabilized_div(Elementwise), reads 2, writes 1 { STABILIZED_DIV = "stabilized_div", threads 256 []; }
        relu(Elementwise), reads 1, writes 1 { RELU = "relu", threads 256 []; }
        relu_grad(Elementwise), reads 2, writes 1 { RELU_GRAD = "relu_grad", threads 256 []; }
        add_relu_grad(Elementwise), reads 3, writes 1 { ADD_RELU_GRAD = "add_relu_grad", threads 256 []; }
    }
    "channel_copy.wgsl" () {
        channel_copy(ChannelCopy), reads 1, writes 1 { CHANNEL_COPY = "channel_copy", threads 256 []; }
        channel_pad(ChannelCopy), reads 1, writes 1 { CHANNEL_PAD = "channel_pad", threads 256 []; }
    }
    "dropout.wgsl" () { dropout(Dropout), reads 2, writes 1 { DROPOUT = "dropout", threads 256 []; } }
    "matmul_tiled.wgsl" (tile_m, tile_n, tile_k, each_m, each_n) {
        matmul_tiled(Matmul), reads 3, writes 1 {
            MATMUL_TILED_64X128 = "matmul_tiled_64x128", threads 128 [64, 128, 8, 8, 8];
            MATMUL_TILED_64X64 = "matmul_tiled_64x64", threads 128 [64, 64, 16, 8, 4];
            MATMUL_TILED_32X128 = "matmul_tiled_32x128", threads 128 [32, 128, 16, 8, 4];
            MATMUL_TILED_16X256 = "matmul_tiled_16x256", threads 128 [16, 256, 8, 8, 4];
        }
    }
    "matmul_registers.wgsl" (rows) {
        matmul_registers(Matmul), reads 3, writes 1 { MATMUL_REGISTERS = "matmul_registers", threads 64 [16]; }
    }
    "matmul_pack.wgsl" () { matmul_pack(MatmulPack), reads 1, writes 1 { MATMUL_PACK = "matmul_pack", threads 64 []; } }
    "matmul_packed.wgsl" (rows, high, vec4) {
        matmul_packed(MatmulPacked), reads 3, writes 1 {
            MATMUL_PACKED_PAIRS = "matmul_packed_pairs", threads 64 [16, 2, 1];
            MATMUL_PACKED_VEC4 = "matmul_packed_vec4", threads 64 [16, 1, 1];
            MATMUL_PACKED = "matmul_packed", threads 64 [16, 1, 0];
        }
    }
    "im2col.wgsl" () {
        im2col(Conv), reads 1, writes 1 { IM2COL = "im2col", threads 64 []; }
        col2im(Conv), reads 1, writes 1 { COL2IM = "col2im", threads 64 []; }
    }
    "conv_pack.wgsl" () { conv_pack(ConvPack), reads 1, writes 1 { CONV_PACK = "conv_pack", threads 64 []; } }
    "conv_pack_vec4.wgsl" (taps, rotated) {
        conv_pack_vec4(ConvPack), reads 1, writes 1 {
            CONV_PACK_3X3 = "conv_pack_3x3", threads 64 [9, 0];
            CONV_PACK_3X3_ROTATED = "conv_pack_3x3_rotated", threads 64 [9, 1];
            CONV_PACK_1X1 = "conv_pack_1x1", threads 64 [1, 0];
            CONV_PACK_1X1_ROTATED = "conv_pack_1x1_rotated", threads 64 [1, 1];
        }
    }
    "conv_register_tiled.wgsl" (taps_h, taps_w, stride, rows, channels, vec4, shuffle) {
        conv_register_tiled(ConvRegisterTiled), reads 4, writes 1 {
            CONV_REGISTER_TILED_3X3_SHUFFLE = "conv_register_tiled_3x3_shuffle", threads 64 [3, 3, 1, 2, 16, 1, 1];
            CONV_REGISTER_TILED_3X3_VEC4 = "conv_register_tiled_3x3_vec4", threads 64 [3, 3, 1, 2, 16, 1, 0];
            CONV_REGISTER_TILED_3X3 = "conv_register_tiled_3x3", threads 64 [3, 3, 1, 2, 16, 0, 0];
            CONV_REGISTER_TILED_3X3_STRIDE2_SHUFFLE = "conv_register_tiled_3x3_stride2_shuffle", threads 64 [3, 3, 2, 2, 16, 1, 1];
            CONV_REGISTER_TILED_3X3_STRIDE2_VEC4 = "conv_register_tiled_3x3_stride2_vec4", threads 64 [3, 3, 2, 2, 16, 1, 0];
            CONV_REGISTER_TILED_3X3_STRIDE2 = "conv_register_tiled_3x3_stride2", threads 64 [3, 3, 2, 2, 16, 0, 0];
            CONV_REGISTER_TILED_1X1_VEC4 = "conv_register_tiled_1x1_vec4", threads 64 [1, 1, 1, 2, 32, 1, 0];
            CONV_REGISTER_TILED_1X1 = "conv_register_tiled_1x1", threads 64 [1, 1, 1, 2, 16, 0, 0];
            CONV_REGISTER_TILED_1X1_STRIDE2 = "conv_register_tiled_1x1_stride2", threads 64 [1, 1, 2, 2, 16, 0, 0];
            CONV_REGISTER_TILED_1X5_VEC4 = "conv_register_tiled_1x5_vec4", threads 64 [1, 5, 1, 2, 16, 1, 0];
            CONV_REGISTER_TILED_1X5 = "conv_register_tiled_1x5", threads 64 [1, 5, 1, 2, 16, 0, 0];
            CONV_REGISTER_TILED_1X3 = "conv_register_tiled_1x3", threads 64 [1, 3, 1, 2, 16, 0, 0];
            CONV_REGISTER_TILED_1X3_STRIDE2 = "conv_register_tiled_1x3_stride2", threads 64 [1, 3, 2, 2, 16, 0, 0];
        }
    }
    "conv_register_tiled_polyphase.wgsl" (taps_h, taps_w, stride, rows, channels, vec4, shuffle) {
        conv_register_tiled_polyphase(ConvRegisterTiled), reads 2, writes 1 { CONV_REGISTER_TILED_POLYPHASE_3X3 = "conv_register_tiled_polyphase_3x3", threads 64 [3, 3, 2, 1, 8, 1, 1]; }
    }
    "conv_register_tiled_grad_weight.wgsl" (taps_h, taps_w, stride, rows, channels, vec4) {
        conv_register_tiled_grad_weight(ConvRegisterTiled), reads 2, writes 1 {
            CONV_REGISTER_TILED_GRAD_WEIGHT_3X3_VEC4 = "conv_register_tiled_grad_weight_3x3_vec4", threads 64 [3, 3, 1, 2, 16, 1];
            CONV_REGISTER_TILED_GRAD_WEIGHT_3X3 = "conv_register_tiled_grad_weight_3x3", threads 64 [3, 3, 1, 2, 16, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_3X3_STRIDE2_VEC4 = "conv_register_tiled_grad_weight_3x3_stride2_vec4", threads 64 [3, 3, 2, 2, 16, 1];
            CONV_REGISTER_TILED_GRAD_WEIGHT_3X3_STRIDE2 = "conv_register_tiled_grad_weight_3x3_stride2", threads 64 [3, 3, 2, 2, 16, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X1_VEC4 = "conv_register_tiled_grad_weight_1x1_vec4", threads 64 [1, 1, 1, 2, 32, 1];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X1 = "conv_register_tiled_grad_weight_1x1", threads 64 [1, 1, 1, 2, 32, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X1_STRIDE2 = "conv_register_tiled_grad_weight_1x1_stride2", threads 64 [1, 1, 2, 2, 32, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X5_VEC4 = "conv_register_tiled_grad_weight_1x5_vec4", threads 64 [1, 5, 1, 2, 16, 1];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X5 = "conv_register_tiled_grad_weight_1x5", threads 64 [1, 5, 1, 2, 16, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X3 = "conv_register_tiled_grad_weight_1x3", threads 64 [1, 3, 1, 2, 16, 0];
            CONV_REGISTER_TILED_GRAD_WEIGHT_1X3_STRIDE2 = "conv_register_tiled_grad_weight_1x3_stride2", threads 64 [1, 3, 2, 2, 16, 0];
        }
    }
    "conv_gemm.wgsl" (tile_m, tile_n, tile_k, each_m, each_n, taps, moments) {
        conv_gemm(ConvGemm), reads 4, writes 1 {
            CONV_GEMM_64X128 = "conv_gemm_64x128", threads 256 [64, 128, 16, 8, 4, 1, 0];
            CONV_GEMM_64X64 = "conv_gemm_64x64", threads 128 [64, 64, 16, 8, 4, 1, 0];
            CONV_GEMM_32X128 = "conv_gemm_32x128", threads 128 [32, 128, 16, 8, 4, 1, 0];
            CONV_GEMM_32X64 = "conv_gemm_32x64", threads 128 [32, 64, 16, 4, 4, 1, 0];
            CONV_GEMM_16X256 = "conv_gemm_16x256", threads 128 [16, 256, 8, 8, 4, 1, 0];
            CONV_GEMM_16X128 = "conv_gemm_16x128", threads 128 [16, 128, 16, 4, 4, 1, 0];
            CONV_GEMM_STEM = "conv_gemm_stem", threads 128 [32, 128, 16, 8, 4, 4, 0];
        }
        conv_gemm_moments(ConvGemm), reads 4, writes 2 {
            CONV_GEMM_64X128_MOMENTS = "conv_gemm_64x128_moments", threads 256 [64, 128, 16, 8, 4, 1, 1];
            CONV_GEMM_64X64_MOMENTS = "conv_gemm_64x64_moments", threads 128 [64, 64, 16, 8, 4, 1, 1];
            CONV_GEMM_32X128_MOMENTS = "conv_gemm_32x128_moments", threads 128 [32, 128, 16, 8, 4, 1, 1];
            CONV_GEMM_32X64_MOMENTS = "conv_gemm_32x64_moments", threads 128 [32, 64, 16, 4, 4, 1, 1];
            CONV_GEMM_16X256_MOMENTS = "conv_gemm_16x256_moments", threads 128 [16, 256, 8, 8, 4, 1, 1];
            CONV_GEMM_16X128_MOMENTS = "conv_gemm_16x128_moments", threads 128 [16, 128, 16, 4, 4, 1, 1];
            CONV_GEMM_STEM_MOMENTS = "conv_gemm_stem_moments", threads 128 [32, 128, 16, 8, 4, 4, 1];
        }
    }
    "conv_gemm_grad_weight.wgsl" (tile_m, tile_n, tile_k, each_m, each_n, channels) {
        conv_gemm_grad_weight(ConvGemm), reads 2, writes 1 {
            CONV_GEMM_GRAD_WEIGHT_64X64 = "conv_gemm_grad_weight_64x64", threads 128 [64, 64, 16, 8, 4, 16];
            CONV_GEMM_GRAD_WEIGHT_32X64 = "conv_gemm_grad_weight_32x64", threads 128 [32, 64, 16, 4, 4, 16];
            CONV_GEMM_GRAD_WEIGHT_16X64 = "conv_gemm_grad_weight_16x64", threads 64 [16, 64, 16, 4, 4, 16];
            CONV_GEMM_GRAD_WEIGHT_STEM = "conv_gemm_grad_weight_stem", threads 64 [32, 64, 16, 8, 4, 4];
        }
    }
    "winograd.wgsl" (tile, vec4) {
        winograd_input(WinogradTiles), reads 1, writes 1 {
            WINOGRAD_INPUT_2X2 = "winograd_input_2x2", threads 64 [2, 0];
            WINOGRAD_INPUT_4X4 = "winograd_input_4x4", threads 64 [4, 0];
            WINOGRAD_INPUT_4X4_VEC4 = "winograd_input_4x4_vec4", threads 64 [4, 1];
        }
        winograd_upstream(WinogradTiles), reads 1, writes 1 {
            WINOGRAD_UPSTREAM_2X2 = "winograd_upstream_2x2", threads 64 [2, 0];
            WINOGRAD_UPSTREAM_4X4 = "winograd_upstream_4x4", threads 64 [4, 0];
            WINOGRAD_UPSTREAM_4X4_VEC4 = "winograd_upstream_4x4_vec4", threads 64 [4, 1];
        }
        winograd_output(WinogradTiles), reads 2, writes 1 {
            WINOGRAD_OUTPUT_2X2 = "winograd_output_2x2", threads 64 [2, 0];
            WINOGRAD_OUTPUT_4X4 = "winograd_output_4x4", threads 64 [4, 0];
            WINOGRAD_OUTPUT_4X4_VEC4 = "winograd_output_4x4_vec4", threads 64 [4, 1];
        }
        winograd_filter(WinogradFilters), reads 1, writes 1 {
            WINOGRAD_FILTER_4X4 = "winograd_filter_4x4", threads 64 [4, 0];
            WINOGRAD_FILTER_2X2 = "winograd_filter_2x2", threads 64 [2, 0];
        }
        winograd_filter_grad(WinogradFilters), reads 1, writes 1 {
            WINOGRAD_FILTER_GRAD_4X4 = "winograd_filter_grad_4x4", threads 64 [4, 0];
            WINOGRAD_FILTER_GRAD_2X2 = "winograd_filter_grad_2x2", threads 64 [2, 0];
        }
    }
    "conv_direct.wgsl" () {
        conv_direct(Conv), reads 3, writes 1 { CONV_DIRECT = "conv_direct", threads 64 []; }
        conv_direct_grad_input(Conv), reads 2, writes 1 { CONV_DIRECT_GRAD_INPUT = "conv_direct_grad_input", threads 64 []; }
        conv_direct_grad_weight(Conv), reads 2, writes 1 { CONV_DIRECT_GRAD_WEIGHT = "conv_direct_grad_weight", threads 64 []; }
    }
    "reduce.wgsl" () {
        channel_sum(ChannelSum), reads 1, writes 1 { CHANNEL_SUM = "channel_sum", threads 64 []; }
        slice_sum(SliceSum), reads 1, writes 1 { SLICE_SUM = "slice_sum", threads 64 []; }
        slice_sum_vec4(SliceSum), reads 1, writes 1 { SLICE_SUM_VEC4 = "slice_sum_vec4", threads 64 []; }
        slice_sum_tree(SliceSum), reads 1, writes 1 { SLICE_SUM_TREE = "slice_sum_tree", threads 256 []; }
    }
    "slice_sums.wgsl" (arrays, at_once) { slice_sums(SliceSums), reads 7, writes 1 { SLICE_SUMS = "slice_sums", threads 256 [7, 4]; } }
    "batch_norm.wgsl" (vec4, at_once) {
        batch_norm_partial(BatchNorm), reads 1, writes 1 {
            BATCH_NORM_PARTIAL = "batch_norm_partial", threads 64 [0, 4];
            BATCH_NORM_PARTIAL_VEC4 = "batch_norm_partial_vec4", threads 64 [1, 4];
        }
        batch_norm_stats(BatchNorm), reads 1, writes 2 { BATCH_NORM_STATS = "batch_norm_stats", threads 64 [0, 1]; }
        batch_norm_apply(BatchNorm), reads 6, writes 1 {
            BATCH_NORM_APPLY = "batch_norm_apply", threads 64 [0, 1];
            BATCH_NORM_APPLY_VEC4 = "batch_norm_apply_vec4", threads 64 [1, 1];
        }
        batch_norm_grad_partial(BatchNorm), reads 6, writes 1 {
            BATCH_NORM_GRAD_PARTIAL = "batch_norm_grad_partial", threads 64 [0, 4];
            BATCH_NORM_GRAD_PARTIAL_VEC4 = "batch_norm_grad_partial_vec4", threads 64 [1, 4];
        }
        batch_norm_grad_stats(BatchNorm), reads 1, writes 3 { BATCH_NORM_GRAD_STATS = "batch_norm_grad_stats", threads 64 [0, 1]; }
        batch_norm_grad_input(BatchNorm), reads 3, writes 1 {
            BATCH_NORM_GRAD_INPUT = "batch_norm_grad_input", threads 64 [0, 1];
            BATCH_NORM_GRAD_INPUT_VEC4 = "batch_norm_grad_input_vec4", threads 64 [1, 1];
        }
    }
    "batch_norm_merge.wgsl" (vec4, at_once) {
        batch_norm_merge_apply(BatchNorm), reads 5, writes 3 {
            BATCH_NORM_MERGE_APPLY = "batch_norm_merge_apply", threads 64 [0, 4];
            BATCH_NORM_MERGE_APPLY_VEC4 = "batch_norm_merge_apply_vec4", threads 64 [1, 4];
        }
        batch_norm_merge_grad_input(BatchNorm), reads 3, writes 3 {
            BATCH_NORM_MERGE_GRAD_INPUT = "batch_norm_merge_grad_input", threads 64 [0, 4];
            BATCH_NORM_MERGE_GRAD_INPUT_VEC4 = "batch_norm_merge_grad_input_vec4", threads 64 [1, 4];
        }
    }
    "batch_norm_subgroup.wgsl" (vec4, at_once) {
        batch_norm_partial_subgroup(BatchNorm), reads 1, writes 1 {
            BATCH_NORM_PARTIAL_SUBGROUP = "batch_norm_partial_subgroup", threads 64 [0, 1];
            BATCH_NORM_PARTIAL_SUBGROUP_VEC4 = "batch_norm_partial_subgroup_vec4", threads 64 [1, 1];
        }
        batch_norm_grad_partial_subgroup(BatchNorm), reads 6, writes 1 {
            BATCH_NORM_GRAD_PARTIAL_SUBGROUP = "batch_norm_grad_partial_subgroup", threads 64 [0, 1];
            BATCH_NORM_GRAD_PARTIAL_SUBGROUP_VEC4 = "batch_norm_grad_partial_subgroup_vec4", threads 64 [1, 1];
        }
    }
    "fold_batch_norm.wgsl" () {
        fold_batch_norm(FoldBatchNorm), reads 6, writes 2 { FOLD_BATCH_NORM = "fold_batch_norm", threads 64 []; }
    }
    "pool_2x2.wgsl" () {
        max_pool_2x2(Pool), reads 1, writes 2 { MAX_POOL_2X2 = "max_pool_2x2", threads 64 []; }
        max_pool_grad_2x2(Pool), reads 2, writes 1 { MAX_POOL_GRAD_2X2 = "max_pool_grad_2x2", threads 64 []; }
    }
    "pool.wgsl" (adaptive, non_overlapping) {
        max_pool(Pool), reads 1, writes 2 {
            MAX_POOL = "max_pool", threads 64 [0, 0];
            ADAPTIVE_MAX_POOL = "adaptive_max_pool", threads 64 [1, 0];
        }
        max_pool_grad(Pool), reads 2, writes 1 {
            MAX_POOL_GRAD = "max_pool_grad", threads 64 [0, 0];
            MAX_POOL_GRAD_NON_OVERLAPPING = "max_pool_grad_non_overlapping", threads 64 [0, 1];
            ADAPTIVE_MAX_POOL_GRAD = "adaptive_max_pool_grad", threads 64 [1, 0];
        }
        avg_pool(Pool), reads 1, writes 1 {
            AVG_POOL = "avg_pool", threads 64 [0, 0];
            ADAPTIVE_AVG_POOL = "adaptive_avg_pool", threads 64 [1, 0];
        }
        avg_pool_grad(Pool), reads 1, writes 1 {
            AVG_POOL_GRAD = "avg_pool_grad", threads 64 [0, 0];
            ADAPTIVE_AVG_POOL_GRAD = "adaptive_avg_pool_grad", threads 64 [1, 0];
        }
    }
    "local_response_norm.wgsl" () {
        local_response_norm(LocalResponseNorm), reads 1, writes 2 { LOCAL_RESPONSE_NORM = "local_response_norm", threads 64 []; }
        local_response_norm_grad(LocalResponseNorm), reads 4, writes 1 { LOCAL_RESPONSE_NORM_GRAD = "local_response_norm_grad", threads 64 []; }
    }
    "softmax.wgsl" () {
        softmax(Softmax), reads 1, writes 1 { SOFTMAX = "softmax", threads 64 []; }
        log_softmax(Softmax), reads 1, writes 1 { LOG_SOFTMAX = "log_softmax", threads 64 []; }
        softmax_grad(Softmax), reads 2, writes 1 { SOFTMAX_GRAD = "softmax_grad", threads 64 []; }
        log_softmax_grad(Softmax), reads 2, writes 1 { LOG_SOFTMAX_GRAD = "log_softmax_grad", threads 64 []; }
    }
    "loss.wgsl" () {
        cross_entropy(Loss), reads 4, writes 1 { CROSS_ENTROPY = "cross_entropy", threads 64 []; }
        label_total(Loss), reads 2, writes 1 { LABEL_TOTAL = "label_total", threads 64 []; }
        cross_entropy_grad(Loss), reads 5, writes 1 { CROSS_ENTROPY_GRAD = "cross_entropy_grad", threads 64 []; }
        top_k(Loss), reads 2, writes 1 { TOP_K = "top_k", threads 64 []; }
    }
    "optimizer.wgsl" () {
        sgd(Sgd), reads 3, writes 2 { SGD = "sgd", threads 256 []; }
        adam(Adam), reads 3, writes 3 { ADAM = "adam", threads 256 []; }
    }
    "non_finite.wgsl" (arrays, ranges) {
        non_finite(Arrays), reads 7, writes 1 { NON_FINITE = "non_finite", threads 256 [7, 0]; }
        non_finite_ranges(Ranges), reads 1, writes 1 { NON_FINITE_RANGES = "non_finite_ranges", threads 256 [1, 1]; }
    }
    "sum_squares.wgsl" (arrays, ranges) {
        sum_squares(Arrays), reads 7, writes 1 { SUM_SQUARES = "sum_squares", threads 256 [7, 0]; }
        sum_squares_ranges(Ranges), reads 1, writes 1 { SUM_SQUARES_RANGES = "sum_squares_ranges", threads 256 [1, 1]; }
    }
    "clip.wgsl" () { clip_coefficient(Clip), reads 1, writes 2 { CLIP_COEFFICIENT = "clip_coefficient", threads 256 []; } }
    "probes.wgsl" () {
        probe_integers(Probe), reads 1, writes 1 { PROBE_INTEGERS = "probe_integers", threads 64 []; }
        probe_floats(Probe), reads 1, writes 1 { PROBE_FLOATS = "probe_floats", threads 64 []; }
        probe_ieee(Probe), reads 1, writes 1 { PROBE_IEEE = "probe_ieee", threads 64 []; }
        probe_barriers(Probe), reads 1, writes 1 { PROBE_BARRIERS = "probe_barriers", threads 64 []; }
    }
    "probe_subgroups.wgsl" () {
        probe_subgroups(ProbeSubgroups), reads 0, writes 1 { PROBE_SUBGROUPS = "probe_subgroups", threads 64 []; }
    }
}
