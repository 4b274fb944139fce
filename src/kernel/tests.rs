//! Invariants of the kernel table.

use super::{ALL, current_name, of_entry};

/// Kernels that multiply tiles are compiled without bounds checks (`src/runtime/gpu/pipeline.rs`), so their tile sizes must
/// match the number of lanes.
#[test]
fn tile_kernels_never_access_memory_outside_their_tiles() {
    for kernel in ALL.iter().filter(|kernel| kernel.multiplies_tiles()) {
        let [m, n, k, each_m, each_n] =
            ["tile_m", "tile_n", "tile_k", "each_m", "each_n"].map(|name| kernel.constant(name));
        let (lanes, name) = (kernel.threads, kernel.name);
        assert_eq!([each_m % 4, each_n % 4], [0, 0], "{name}: a lane computes whole vectors");
        assert_eq!([m % each_m, n % each_n], [0, 0], "{name}: lanes divide the tile evenly");
        assert_eq!(lanes, m / each_m * (n / each_n), "{name}: one lane per block of results");
        let [a_vectors, b_vectors] = [m, n].map(|side| side * k / 4);
        // `write_tiles` guards lanes past the end of the left tile.
        assert!(
            a_vectors < lanes || a_vectors.is_multiple_of(lanes),
            "{name}: lanes load the left tile evenly"
        );
        assert!(b_vectors.is_multiple_of(lanes), "{name}: lanes load the right tile evenly");
        assert!(lanes.is_multiple_of(k), "{name}: a lane always loads the same k");
        assert!((4 * lanes).is_multiple_of(n), "{name}: or the same column");
    }
}

/// Panels with several taps have one for each vec4 that a lane loads, so that all lanes know which.
#[test]
fn lanes_load_one_tap_at_a_time() {
    for kernel in of_entry("conv_gemm").iter().filter(|kernel| kernel.constant("taps") > 1) {
        let [n, k, taps] = ["tile_n", "tile_k", "taps"].map(|name| kernel.constant(name));
        assert_eq!(4 * kernel.threads / n, k / taps, "{kernel:?}: a vec4 of each lane covers the channels");
    }
    for kernel in of_entry("conv_gemm_grad_weight") {
        let [n, k, channels] = ["tile_n", "tile_k", "channels"].map(|name| kernel.constant(name));
        let whole = n / 4 == channels;
        let split = kernel.threads / k == channels;
        assert!(whole || split, "{kernel:?}: a block is a component of all vec4s, or of one");
    }
}

#[test]
fn earlier_kernel_names_map_to_current_ones() {
    for (old, new) in [
        ("conv_window_3x3_stride2_handed", "conv_register_tiled_3x3_stride2_shuffle"),
        ("conv_window_phases_3x3", "conv_register_tiled_polyphase_3x3"),
        ("conv_window_grad_weight_1x5_quads", "conv_register_tiled_grad_weight_1x5_vec4"),
        ("batch_norm_grad_partial_handed_quads", "batch_norm_grad_partial_subgroup_vec4"),
        ("matmul_panels_pairs", "matmul_packed_pairs"),
        ("conv_pack_3x3_turned", "conv_pack_3x3_rotated"),
        ("max_pool_grad_halves", "max_pool_grad_2x2"),
        ("max_pool_grad_apart", "max_pool_grad_non_overlapping"),
        ("conv_gemm_3x3_64x64", "conv_gemm_64x64"),
        ("conv_gemm_1x1_16x128", "conv_gemm_16x128"),
        ("conv_gemm_grad_weight_16x128", "conv_gemm_grad_weight_16x64"),
        ("matmul_tiled_16x128", "matmul_tiled_16x256"),
        ("matmul_tiled_128x128", "matmul_tiled_64x128"),
        ("conv_gemm_3x3_128x128", "conv_gemm_64x128"),
        ("conv_gemm_grad_weight_128x128", "conv_gemm_grad_weight_64x64"),
    ] {
        assert_eq!(current_name(old), new);
        assert!(ALL.iter().any(|kernel| kernel.name == new), "{new}");
    }
    assert!(ALL.iter().all(|kernel| current_name(kernel.name) == kernel.name));
}
