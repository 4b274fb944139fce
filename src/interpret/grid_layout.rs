//! Snaps points to distinct cells of a grid.

use crate::{Error, Result};

/// The `[row, column]` of each point in a `side` x `side` grid over all points, y pointing up. Points take the nearest free
/// cell, those closest to a cell's center first, so no two share one.
///
/// ```
/// use striate::interpret::snap_to_grid;
/// assert_eq!(snap_to_grid(&[[0.0, 0.0], [9.0, 9.0]], 3)?, [[2, 0], [0, 2]]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if there are more points than cells, or a coordinate is not finite.
pub fn snap_to_grid(points: &[[f64; 2]], side: usize) -> Result<Vec<[usize; 2]>> {
    if side.checked_mul(side).is_none_or(|cells| cells < points.len()) {
        let problem = format!("{} points do not fit {side} x {side} cells", points.len());
        return Err(Error::argument("points", problem));
    }
    if let Some(point) = points.iter().find(|point| point.iter().any(|x| !x.is_finite())) {
        return Err(Error::argument("points", format!("{point:?} is not finite")));
    }
    let bounds = |axis: usize| {
        let along = points.iter().map(|p| p[axis]);
        (along.clone().fold(f64::INFINITY, f64::min), along.fold(f64::NEG_INFINITY, f64::max))
    };
    let bounds = [bounds(0), bounds(1)];
    // Coordinates in cells from the upper-left corner, where cell centers are integers. Both axes share a scale to keep the
    // aspect ratio.
    let extent = bounds.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let scale = if extent > 0.0 { (side as f64 - 1.0) / extent } else { 0.0 };
    let middle = (side as f64 - 1.0) / 2.0;
    let offset = |axis: usize, x: f64| (x - (bounds[axis].0 + bounds[axis].1) / 2.0) * scale;
    let targets: Vec<[f64; 2]> =
        points.iter().map(|p| [middle - offset(1, p[1]), middle + offset(0, p[0])]).collect();
    let distance_to_cell = |point: &[f64; 2]| point.iter().map(|x| (x - x.round()).powi(2)).sum::<f64>();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| distance_to_cell(&targets[*a]).total_cmp(&distance_to_cell(&targets[*b])));
    let mut free: Vec<bool> = vec![true; side * side];
    let mut cells = vec![[0, 0]; points.len()];
    for point in order {
        cells[point] = nearest_free(targets[point], side, &free);
        free[cells[point][0] * side + cells[point][1]] = false;
    }
    Ok(cells)
}

/// Searches growing square rings around the point until no farther ring can hold a nearer cell.
fn nearest_free(point: [f64; 2], side: usize, free: &[bool]) -> [usize; 2] {
    let center = point.map(|x| (x.round() as usize).min(side - 1));
    let distance =
        |cell: [usize; 2]| (cell[0] as f64 - point[0]).powi(2) + (cell[1] as f64 - point[1]).powi(2);
    let mut best: Option<([usize; 2], f64)> = None;
    for ring in 0..side {
        // No cell in this ring is nearer than this.
        if best.is_some_and(|(_, d)| d.sqrt() < ring as f64 - 0.5) {
            break;
        }
        let [rows, columns] = center.map(|c| c.saturating_sub(ring)..=(c + ring).min(side - 1));
        for row in rows {
            let edge = row.abs_diff(center[0]) == ring;
            for column in columns.clone().filter(|column| edge || column.abs_diff(center[1]) == ring) {
                let far = distance([row, column]);
                if free[row * side + column] && best.is_none_or(|(_, d)| far < d) {
                    best = Some(([row, column], far));
                }
            }
        }
    }
    best.expect("the grid has at least as many cells as points").0
}
