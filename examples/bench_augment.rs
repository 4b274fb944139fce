//! Images per second that one loader thread augments and normalizes; `scripts/bench_augment.py` compares them with torchvision.
//!
//! ```sh
//! cargo run --release --example bench_augment -- large resized-crop,flip
//! ```
//!
//! `large` are images of 224 x 224 with originals of 500 x 375, in memory; `small` are images of 32 x 32.

use std::sync::Arc;
use std::time::Instant;
use striate::data::{Augment, Dataset, Loader, LoaderConfig, Normalization, Original};
use striate::{Error, Result};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (size, original, count) = match args.first().map(String::as_str) {
        Some("large") => ([224, 224], Some([375, 500]), 256),
        Some("small") => ([32, 32], None, 8192),
        _ => return Err(Error::argument("size", "expected large or small, then a list for --augment")),
    };
    let names = args.get(1).map_or("none", String::as_str);
    let augment = Some(Augment::named(names, size)?);
    let images = (0..count).flat_map(|_| pattern(size)).collect();
    let mut data =
        Dataset::new("pattern", [3, size[0], size[1]], images, vec![0; count], vec!["one".into()])?;
    if let Some(size) = original {
        data = data.with_originals(vec![Original { size, bytes: pattern(size) }; count])?;
    }
    let normalization = Normalization::measure(&data);
    let config = LoaderConfig { batch_size: 32, augment, threads: 1, prefetch: 2, ..Default::default() };
    let mut loader = Loader::new(Arc::new(data), &normalization, config)?;
    let start = Instant::now();
    while let Some(batch) = loader.next() {
        loader.recycle(batch);
    }
    println!("{:.0}", count as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// The pattern of `scripts/bench_augment.py`, CHW.
fn pattern([height, width]: [usize; 2]) -> Vec<u8> {
    let value = |c: usize, y: usize, x: usize| ((x * (c + 1) + y * 2 + x * y / 64) % 256) as u8;
    let rows = |c| (0..height).flat_map(move |y| (0..width).map(move |x| value(c, y, x)));
    (0..3).flat_map(rows).collect()
}
