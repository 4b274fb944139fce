//! What the maps that explain an answer agree on.

use crate::cli::see::view::{Evidence, Figure};
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma};

/// The fraction of an image that a map is compared by: what it finds strongest.
const STRONGEST: f64 = 0.1;

/// The pixels that a method finds strongest.
struct Strongest {
    method: &'static str,
    marked: Vec<bool>,
    count: usize,
}

/// How much the maps of an image of this height and width have in common, in words; `None` for fewer than two maps.
pub fn sentence(figures: &[&Figure], size: [usize; 2]) -> Option<String> {
    let maps = figures.iter().filter_map(|figure| figure.evidence.as_ref());
    let maps: Vec<Strongest> = maps.map(|evidence| strongest(evidence, size)).collect();
    let pairs =
        maps.iter().enumerate().flat_map(|(i, a)| maps[..i].iter().map(move |b| (b, a, overlap(a, b))));
    let pairs: Vec<(&Strongest, &Strongest, f64)> = pairs.collect();
    let mean = pairs.iter().map(|pair| pair.2).sum::<f64>() / pairs.len() as f64;
    let most = pairs.iter().copied().reduce(|best, next| if next.2 > best.2 { next } else { best })?;
    let percent = |fraction: f64| format!("{:.0} %", 100.0 * fraction);
    let first = format!(
        "Mark the strongest tenth of the pixels in each of these {} maps. Two maps then have {} of the marked pixels in common \
         on average (10 % by chance), and {} and {} the most, {}.",
        maps.len(),
        percent(mean),
        most.0.method,
        most.1.method,
        percent(most.2)
    );
    let agreed: Vec<usize> = (0..size[0] * size[1])
        .filter(|pixel| 2 * maps.iter().filter(|map| map.marked[*pixel]).count() > maps.len())
        .collect();
    let second = match agreed.is_empty() {
        true => "No part of the image is marked in most maps: do not rely on a single one.".to_owned(),
        false => format!(
            "Most maps agree on {} of the image, around {}.",
            percent((agreed.len() as f64 / (size[0] * size[1]) as f64).max(0.01)),
            place(&agreed, size)
        ),
    };
    Some(format!("{first} {second}"))
}

/// The pixels with the largest values, a tenth of all; those that are not above 0 do not count.
fn strongest(evidence: &Evidence, [height, width]: [usize; 2]) -> Strongest {
    let Evidence { method, values, width: cells } = evidence;
    let rows = values.len() / cells;
    let map: ImageBuffer<Luma<f32>, Vec<f32>> =
        ImageBuffer::from_vec(*cells as u32, rows as u32, values.clone()).expect("rows are complete");
    let pixels = imageops::resize(&map, width as u32, height as u32, FilterType::Triangle).into_vec();
    let mut ranked: Vec<usize> = (0..pixels.len()).filter(|pixel| pixels[*pixel] > 0.0).collect();
    ranked.sort_by(|a, b| pixels[*b].total_cmp(&pixels[*a]));
    ranked.truncate((STRONGEST * pixels.len() as f64).ceil() as usize);
    let mut marked = vec![false; pixels.len()];
    ranked.iter().for_each(|pixel| marked[*pixel] = true);
    Strongest { method, marked, count: ranked.len() }
}

/// The part of the larger set that is in both.
fn overlap(a: &Strongest, b: &Strongest) -> f64 {
    let both = a.marked.iter().zip(&b.marked).filter(|(a, b)| **a && **b).count();
    both as f64 / a.count.max(b.count).max(1) as f64
}

/// Where the middle of these pixels is, by thirds of the image.
fn place(pixels: &[usize], [height, width]: [usize; 2]) -> &'static str {
    let third = |coordinate: fn(usize, usize) -> usize, side: usize| {
        let sum: f64 = pixels.iter().map(|pixel| coordinate(*pixel, width) as f64 + 0.5).sum();
        (3.0 * sum / (pixels.len() * side) as f64) as usize
    };
    match (third(|pixel, width| pixel / width, height), third(|pixel, width| pixel % width, width)) {
        (0, 0) => "the upper left",
        (0, 1) => "the upper middle",
        (0, _) => "the upper right",
        (1, 0) => "the left",
        (1, 1) => "the middle",
        (1, _) => "the right",
        (_, 0) => "the lower left",
        (_, 1) => "the lower middle",
        (_, _) => "the lower right",
    }
}

#[cfg(test)]
mod tests {
    use super::{place, sentence};
    use crate::cli::see::view::{Figure, Subject};
    use image::RgbImage;

    /// A map of 10 x 10 cells that are strong in these columns of the first rows.
    fn map(method: &'static str, strong: impl Fn(usize) -> bool) -> Figure {
        let values = (0..100).map(|cell| if strong(cell) { 100.0 - cell as f32 } else { -1.0 }).collect();
        Figure::new(Subject::Image(0), "", RgbImage::new(1, 1), "").with_evidence(method, values, 10)
    }

    #[test]
    fn the_strongest_tenths_are_compared() {
        // Ten cells each: the first row; its first half and the half of the second row below; the last row.
        let maps = [
            map("a", |cell| cell < 10),
            map("b", |cell| cell < 5 || (10..15).contains(&cell)),
            map("c", |cell| cell >= 90),
        ];
        let said = sentence(&maps.each_ref(), [10, 10]).unwrap();
        assert!(
            said.contains(
                "each of these 3 maps. Two maps then have 17 % of the marked pixels in common on average"
            ),
            "{said}"
        );
        assert!(said.contains("and a and b the most, 50 %"), "{said}");
        assert!(said.contains("Most maps agree on 5 % of the image, around the upper left."), "{said}");
        let said = sentence(&[&maps[0], &maps[2]], [10, 10]).unwrap();
        assert!(said.contains("have 0 % of the marked") && said.contains("No part of the image"), "{said}");
        assert_eq!(sentence(&[&maps[0]], [10, 10]), None);
    }

    #[test]
    fn coarse_maps_are_compared_with_fine_ones() {
        let coarse = Figure::new(Subject::Image(0), "", RgbImage::new(1, 1), "");
        let coarse = coarse.with_evidence("coarse", vec![1.0, 0.0, 0.0, 0.0], 2);
        let said = sentence(&[&coarse, &map("fine", |cell| cell % 10 < 3 && cell < 33)], [10, 10]).unwrap();
        assert!(said.contains("coarse and fine the most") && said.contains("the upper left"), "{said}");
    }

    #[test]
    fn places_are_thirds() {
        assert_eq!(place(&[0], [9, 9]), "the upper left");
        assert_eq!(place(&[40], [9, 9]), "the middle");
        assert_eq!(place(&[80, 79], [9, 9]), "the lower right");
        assert_eq!(place(&[2, 8], [3, 9]), "the upper middle");
    }
}
