//! What the table's rows have to keep to.

use super::{ALL, current_name};

/// Bounds are not checked where tiles are multiplied (`src/runtime/gpu/pipelines.rs`), so sizes of tiles must fit each other.
#[test]
fn lanes_stay_inside_the_tiles() {
    for kernel in ALL.iter().filter(|kernel| kernel.multiplies_tiles()) {
        let [m, n, k, each_m, each_n] =
            ["tile_m", "tile_n", "tile_k", "each_m", "each_n"].map(|name| kernel.constant(name));
        let (lanes, name) = (kernel.threads, kernel.name);
        assert_eq!([each_m % 4, each_n % 4], [0, 0], "{name}: results of a lane are whole fours");
        assert_eq!([m % each_m, n % each_n], [0, 0], "{name}: a tile is whole lanes");
        assert_eq!(lanes, m / each_m * (n / each_n), "{name}: a lane for each part of the tile");
        let [a_fours, b_fours] = [m, n].map(|side| side * k / 4);
        // `write_tiles` guards lanes past the left tile.
        assert!(a_fours < lanes || a_fours.is_multiple_of(lanes), "{name}: the left tile");
        assert!(b_fours.is_multiple_of(lanes), "{name}: the right tile");
        assert!(lanes.is_multiple_of(k), "{name}: a lane loads one row of the tiles");
    }
}

#[test]
fn earlier_names_of_kernels_are_known() {
    for (old, new) in [
        ("conv_register_tiled_3x3_stride2_shuffle", "conv_register_tiled_3x3_stride2_shuffle"),
        ("conv_register_tiled_polyphase_3x3", "conv_register_tiled_polyphase_3x3"),
        ("conv_register_tiled_grad_weight_1x5_vec4", "conv_register_tiled_grad_weight_1x5_vec4"),
        ("batch_norm_grad_partial_subgroup_vec4", "batch_norm_grad_partial_subgroup_vec4"),
        ("matmul_packed_pairs", "matmul_packed_pairs"),
        ("conv_pack_3x3_rotated", "conv_pack_3x3_rotated"),
        ("max_pool_grad_2x2", "max_pool_grad_2x2"),
        ("max_pool_grad_non_overlapping", "max_pool_grad_non_overlapping"),
    ] {
        assert_eq!(current_name(old), new);
        assert!(ALL.iter().any(|kernel| kernel.name == new), "{new}");
    }
    assert!(ALL.iter().all(|kernel| current_name(kernel.name) == kernel.name));
}
