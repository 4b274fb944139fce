//! Points moved to cells of a grid, one each.

use crate::{Error, Result};

/// The `[row, column]` of each point in a grid of `side` x `side` cells that covers all points, y upwards: the free
/// cell nearest to it, the points nearest to the middle of their cells first. No two share one.
///
/// ```
/// use striate::see::grid;
/// assert_eq!(grid(&[[0.0, 0.0], [9.0, 9.0]], 3)?, [[2, 0], [0, 2]]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if there are more points than cells, or a coordinate is not finite.
pub fn grid(points: &[[f64; 2]], side: usize) -> Result<Vec<[usize; 2]>> {
    if side.checked_mul(side).is_none_or(|cells| cells < points.len()) {
        let problem = format!("{} points do not fit {side} x {side} cells", points.len());
        return Err(Error::argument("points", problem));
    }
    if let Some(point) = points.iter().find(|point| point.iter().any(|x| !x.is_finite())) {
        return Err(Error::argument("points", format!("{point:?} is no place")));
    }
    let bounds = |axis: usize| {
        let along = points.iter().map(|p| p[axis]);
        (along.clone().fold(f64::INFINITY, f64::min), along.fold(f64::NEG_INFINITY, f64::max))
    };
    let bounds = [bounds(0), bounds(1)];
    // In cells from the top left; a cell's middle is a whole number. Both axes share a scale, so that the map keeps
    // its proportions.
    let extent = bounds.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let scale = if extent > 0.0 { (side as f64 - 1.0) / extent } else { 0.0 };
    let middle = (side as f64 - 1.0) / 2.0;
    let place = |axis: usize, x: f64| (x - (bounds[axis].0 + bounds[axis].1) / 2.0) * scale;
    let places: Vec<[f64; 2]> =
        points.iter().map(|p| [middle - place(1, p[1]), middle + place(0, p[0])]).collect();
    let off = |place: &[f64; 2]| place.iter().map(|x| (x - x.round()).powi(2)).sum::<f64>();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| off(&places[*a]).total_cmp(&off(&places[*b])));
    let mut free: Vec<bool> = vec![true; side * side];
    let mut cells = vec![[0, 0]; points.len()];
    for point in order {
        cells[point] = nearest_free(places[point], side, &free);
        free[cells[point][0] * side + cells[point][1]] = false;
    }
    Ok(cells)
}

/// Looks at squares of cells around the place, the next larger as long as it may hold a nearer one.
fn nearest_free(place: [f64; 2], side: usize, free: &[bool]) -> [usize; 2] {
    let centre = place.map(|x| (x.round() as usize).min(side - 1));
    let distance =
        |cell: [usize; 2]| (cell[0] as f64 - place[0]).powi(2) + (cell[1] as f64 - place[1]).powi(2);
    let mut best: Option<([usize; 2], f64)> = None;
    for ring in 0..side {
        // Cells of this ring are at least as far as this.
        if best.is_some_and(|(_, d)| d.sqrt() < ring as f64 - 0.5) {
            break;
        }
        let [rows, columns] = centre.map(|c| c.saturating_sub(ring)..=(c + ring).min(side - 1));
        for row in rows {
            let edge = row.abs_diff(centre[0]) == ring;
            for column in columns.clone().filter(|column| edge || column.abs_diff(centre[1]) == ring) {
                let far = distance([row, column]);
                if free[row * side + column] && best.is_none_or(|(_, d)| far < d) {
                    best = Some(([row, column], far));
                }
            }
        }
    }
    best.expect("there are as many cells as points").0
}
