//! What the table's rows have to keep to.

use super::ALL;

/// Bounds are not checked where panels are multiplied (`src/runtime/gpu/pipelines.rs`), so sizes of tiles must fit each other.
#[test]
fn lanes_stay_inside_the_panels() {
    for kernel in ALL.iter().filter(|kernel| kernel.multiplies_panels()) {
        let [m, n, k, each_m, each_n] =
            ["tile_m", "tile_n", "tile_k", "each_m", "each_n"].map(|name| kernel.constant(name));
        let (lanes, name) = (kernel.threads, kernel.name);
        assert_eq!([each_m % 4, each_n % 4], [0, 0], "{name}: results of a lane are whole fours");
        assert_eq!([m % each_m, n % each_n], [0, 0], "{name}: a tile is whole lanes");
        assert_eq!(lanes, m / each_m * (n / each_n), "{name}: a lane for each part of the tile");
        let [a_fours, b_fours] = [m, n].map(|side| side * k / 4);
        // `write_panels` guards the left panel's lanes where there are too many for it.
        assert!(a_fours < lanes || a_fours.is_multiple_of(lanes), "{name}: the left panel");
        assert!(b_fours.is_multiple_of(lanes), "{name}: the right panel");
        assert!(lanes.is_multiple_of(k), "{name}: a lane loads one line of the panels");
    }
}
