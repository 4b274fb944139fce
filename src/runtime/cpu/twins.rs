//! The table of twins: the CPU function that computes the same as each shader entry point.

use super::{Io, arrays, matmul, matmul_packed, optimizer, pool, probes, reduce, softmax, winograd};
use super::{
    batch_norm, conv, conv_gemm, conv_register_tiled, dropout, elementwise, fast, local_response_norm, loss,
};
use crate::kernel::{Kernel, Layout, Params};

/// A kernel on the CPU, called with parameter words and bound buffers.
pub(super) type Twin = fn(&[u32], Io<'_>);

/// A twin and its entry points.
struct Row {
    entries: &'static [&'static str],
    /// The twin's parameter struct.
    params: Layout,
    /// Written from the definition.
    plain: Twin,
    /// Faster, with the same result up to rounding.
    fast: Option<Twin>,
}

impl Row {
    fn is_of(&self, kernel: &Kernel) -> bool {
        self.entries.contains(&kernel.entry) && self.params.name == kernel.params.name
    }
}

/// The twin of a kernel: the fast one if there is one and `reference` is false, else the plain one.
pub(super) fn twin(kernel: &Kernel, reference: bool) -> Twin {
    let row = TWINS.iter().find(|row| row.is_of(kernel)).expect("every kernel has a twin, as a test checks");
    match row.fast {
        Some(fast) if !reference => fast,
        _ => row.plain,
    }
}

macro_rules! twins {
    ($($($entry:ident),+ => $plain:path $(, fast $fast:path)?;)+) => {
        static TWINS: &[Row] = &[$(Row {
            entries: &[$(stringify!($entry)),+],
            params: layout_of($plain),
            plain: |params, io| $plain(cast(params), io),
            fast: twins!(@fast $($fast)?),
        }),+];
    };
    (@fast) => { None };
    (@fast $fast:path) => { Some(|params, io| $fast(cast(params), io)) };
}

const fn layout_of<P: Params>(_: fn(&P, Io<'_>)) -> Layout {
    P::LAYOUT
}

fn cast<P: Params>(words: &[u32]) -> &P {
    bytemuck::from_bytes(bytemuck::cast_slice(words))
}

twins! {
    copy => elementwise::copy;
    add => elementwise::add;
    add_relu => elementwise::add_relu;
    blend => elementwise::blend;
    guarded_blend => elementwise::guarded_blend;
    scale => elementwise::scale;
    mul => elementwise::mul;
    stabilized_div => elementwise::stabilized_div;
    relu => elementwise::relu, fast fast::elementwise::relu;
    relu_grad => elementwise::relu_grad;
    add_relu_grad => elementwise::add_relu_grad;
    channel_copy => elementwise::channel_copy;
    channel_pad => elementwise::channel_pad;
    dropout => dropout::dropout;
    matmul_tiled, matmul_registers => matmul::matmul, fast matmul::matmul_fast;
    matmul_pack => matmul_packed::matmul_pack;
    matmul_packed => matmul_packed::matmul_packed;
    im2col => conv::im2col, fast conv::im2col_fast;
    col2im => conv::col2im, fast conv::col2im_fast;
    conv_pack, conv_pack_vec4 => conv_register_tiled::conv_pack;
    conv_register_tiled => conv_register_tiled::conv_register_tiled;
    conv_register_tiled_polyphase => conv_register_tiled::conv_register_tiled_polyphase;
    conv_register_tiled_grad_weight => conv_register_tiled::conv_register_tiled_grad_weight;
    conv_gemm => conv_gemm::conv_gemm;
    conv_gemm_moments => conv_gemm::conv_gemm_moments;
    conv_gemm_grad_weight => conv_gemm::conv_gemm_grad_weight;
    winograd_input => winograd::winograd_input;
    winograd_upstream => winograd::winograd_upstream;
    winograd_output => winograd::winograd_output;
    winograd_filter => winograd::winograd_filter;
    winograd_filter_grad => winograd::winograd_filter_grad;
    conv_direct => conv::conv_direct, fast fast::conv::forward;
    conv_direct_grad_input => conv::conv_direct_grad_input, fast fast::conv::grad_input;
    conv_direct_grad_weight => conv::conv_direct_grad_weight, fast fast::grad_weight::grad_weight;
    channel_sum => reduce::channel_sum;
    slice_sum, slice_sum_vec4, slice_sum_tree => reduce::slice_sum;
    slice_sums => reduce::slice_sums;
    batch_norm_partial, batch_norm_partial_subgroup => batch_norm::partial, fast fast::batch_norm::partial;
    batch_norm_stats => batch_norm::stats;
    batch_norm_apply => batch_norm::apply, fast fast::batch_norm::apply;
    batch_norm_grad_partial, batch_norm_grad_partial_subgroup => batch_norm::grad_partial, fast fast::batch_norm::grad_partial;
    batch_norm_grad_stats => batch_norm::grad_stats;
    batch_norm_grad_input => batch_norm::grad_input, fast fast::batch_norm::grad_input;
    batch_norm_merge_apply => batch_norm::merge_apply;
    batch_norm_merge_grad_input => batch_norm::merge_grad_input;
    fold_batch_norm => batch_norm::fold;
    max_pool_2x2, max_pool => pool::max_pool, fast fast::pool::max_pool;
    max_pool_grad_2x2, max_pool_grad => pool::max_pool_grad;
    avg_pool => pool::avg_pool;
    avg_pool_grad => pool::avg_pool_grad;
    local_response_norm => local_response_norm::local_response_norm, fast fast::local_response_norm::local_response_norm;
    local_response_norm_grad => local_response_norm::local_response_norm_grad, fast fast::local_response_norm::local_response_norm_grad;
    softmax => softmax::softmax;
    log_softmax => softmax::log_softmax;
    softmax_grad => softmax::softmax_grad;
    log_softmax_grad => softmax::log_softmax_grad;
    cross_entropy => loss::cross_entropy;
    label_total => loss::label_total;
    cross_entropy_grad => loss::cross_entropy_grad;
    top_k => loss::top_k;
    sgd => optimizer::sgd;
    adam => optimizer::adam;
    non_finite => arrays::non_finite;
    non_finite_ranges => arrays::non_finite_ranges;
    sum_squares => arrays::sum_squares;
    sum_squares_ranges => arrays::sum_squares_ranges;
    clip_coefficient => optimizer::clip_coefficient;
    probe_integers => probes::integers;
    probe_floats => probes::floats;
    probe_ieee => probes::ieee;
    probe_barriers => probes::barriers;
    probe_subgroups => probes::subgroups;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ALL;

    #[test]
    fn every_kernel_has_one_twin_that_takes_its_parameters() {
        for kernel in ALL {
            let twins = TWINS.iter().filter(|row| row.is_of(kernel)).count();
            assert_eq!(twins, 1, "{}: twins of `{}` with {}", kernel.name, kernel.entry, kernel.params.name);
        }
    }

    #[test]
    fn every_twin_belongs_to_a_kernel() {
        for entry in TWINS.iter().flat_map(|row| row.entries) {
            assert!(ALL.iter().any(|kernel| kernel.entry == *entry), "there is no entry point `{entry}`");
        }
    }
}
