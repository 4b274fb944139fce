//! Images per second that one loader thread augments and normalizes, or that one core reads from files;
//! `scripts/bench_augment.py` compares them with torchvision.
//!
//! ```sh
//! cargo run --release --example bench_augment -- large resized-crop,flip
//! cargo run --release --example bench_augment -- files DIR
//! ```
//!
//! `large` are images of 224 x 224 with originals of 500 x 375, in memory; `small` are images of 32 x 32. `files` decodes the
//! images in a folder, and scales and crops each to 224 x 224.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use striate::data::{self, Augment, Dataset, Loader, LoaderConfig, Normalization, Original};
use striate::{Error, Result};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rate = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["large", names] => augment(names, [224, 224], Some([375, 500]), 256)?,
        ["small", names] => augment(names, [32, 32], None, 8192)?,
        ["files", dir] => read(Path::new(dir))?,
        _ => {
            let usage = "expected large or small and a list for --augment, or files and a folder";
            return Err(Error::argument("arguments", usage));
        }
    };
    println!("{rate:.0}");
    Ok(())
}

fn read(dir: &Path) -> Result<f64> {
    let files = data::images(dir)?.images;
    let start = Instant::now();
    for file in &files {
        data::read_image(file, [224, 224])?;
    }
    Ok(files.len() as f64 / start.elapsed().as_secs_f64())
}

fn augment(names: &str, size: [usize; 2], original: Option<[usize; 2]>, count: usize) -> Result<f64> {
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
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// The pattern of `scripts/bench_augment.py`, CHW.
fn pattern([height, width]: [usize; 2]) -> Vec<u8> {
    let value = |c: usize, y: usize, x: usize| ((x * (c + 1) + y * 2 + x * y / 64) % 256) as u8;
    let rows = |c| (0..height).flat_map(move |y| (0..width).map(move |x| value(c, y, x)));
    (0..3).flat_map(rows).collect()
}
