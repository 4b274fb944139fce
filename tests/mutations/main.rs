//! Mutation tests of every file reader, with ten thousand damaged files each (`STRIATE_MUTATIONS=100000` for more): no panic, no
//! hang, and memory in proportion to the size of the file, both at peak and in total. A failure prints the number of the file;
//! `STRIATE_MUTATION=NUMBER` runs only that one.

mod linear;
mod png;
mod watch;

#[path = "../common/archive.rs"]
mod archive;
#[path = "../common/files.rs"]
mod files;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/pickles.rs"]
mod pickles;

use files::{damaged, gzip, idx};
use image::{ImageFormat, RgbImage};
use safetensors::tensor::TensorView;
use std::io::Cursor;
use std::path::Path;
use striate::Result;
use striate::data::{self, Preprocessing};
use striate::infer::Card;
use striate::kernel;
use striate::plan::{Pass, ShapeClass, Tuned};
use striate::rng::SplitMix64;
use striate::weights::Weights;
use watch::Watch;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// Default number of damaged inputs per reader.
const INPUTS: u64 = 10_000;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, got {text:?}")))
}

/// Allowance for memory that does not depend on the file: decompression tables, messages.
const MIB: usize = 1 << 20;

/// Damages the files in turn and reads each; `limit` gives the allowed memory for a file length.
fn survive<T>(name: &str, files: &[Vec<u8>], limit: fn(usize) -> usize, read: impl Fn(&[u8]) -> Result<T>) {
    survive_all(name, files, damaged, limit, read);
}

/// Like [`survive`], with a given kind of damage.
fn survive_all<T>(
    name: &str,
    files: &[Vec<u8>],
    damage: impl Fn(&[u8], &mut SplitMix64) -> Vec<u8>,
    limit: fn(usize) -> usize,
    read: impl Fn(&[u8]) -> Result<T>,
) {
    for file in files {
        read(file).unwrap_or_else(|error| panic!("{name}: an undamaged file is rejected: {error}"));
    }
    let (only, inputs) = (setting("STRIATE_MUTATION"), setting("STRIATE_MUTATIONS").unwrap_or(INPUTS));
    let watch = Watch::new(name);
    let mut refused = 0;
    for number in (0..inputs).filter(|number| only.is_none_or(|only| only == *number)) {
        let mut rng = SplitMix64::keyed(20_261_125, &[number]);
        let file = damage(&files[number as usize % files.len()], &mut rng);
        refused += usize::from(watch.run(number, limit(file.len()), || read(&file)).is_err());
    }
    // Most damage is detected; otherwise the readers have probably not read these files.
    assert!(
        only.is_some() || refused as u64 > inputs / 10,
        "{name}: only {refused} of {inputs} were refused"
    );
}

/// Like [`survive`], for readers that take a path.
fn survive_on_disk<T>(
    name: &str,
    files: &[Vec<u8>],
    limit: fn(usize) -> usize,
    read: impl Fn(&Path) -> Result<T>,
) {
    survive_on_disk_all(name, files, damaged, limit, read);
}

/// Like [`survive_all`], for readers that take a path.
fn survive_on_disk_all<T>(
    name: &str,
    files: &[Vec<u8>],
    damage: impl Fn(&[u8], &mut SplitMix64) -> Vec<u8>,
    limit: fn(usize) -> usize,
    read: impl Fn(&Path) -> Result<T>,
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    survive_all(name, files, damage, limit, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let read = read(&path);
        // Overwriting an existing file would flush it to disk, which takes longer than reading it.
        std::fs::remove_file(&path).unwrap();
        read
    });
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/weights").join(name)).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Weights> {
    Weights::parse(Path::new("file"), bytes)
}

#[test]
fn safetensors() {
    // The JSON tree takes over a hundred bytes for an entry of ten.
    survive(
        "safetensors",
        &["written.safetensors", "f16.safetensors"].map(golden),
        |len| MIB + 200 * len,
        parse,
    );
}

#[test]
fn pth_archives() {
    survive(
        "pth archives",
        &["plain.pth", "checkpoint_f16.pth", "protocol4.pth", "strided.pth"].map(golden),
        |len| MIB + 64 * len,
        parse,
    );
}

#[test]
fn legacy_pth_files() {
    survive(
        "legacy pth files",
        &["legacy.pth", "legacy_checkpoint.pth", "legacy_2017.pth"].map(golden),
        |len| MIB + 64 * len,
        parse,
    );
}

/// Damages the bytes or the opcodes of the pickle only, with a correct checksum.
#[test]
fn pickles() {
    let archives = ["plain.pth", "checkpoint_f16.pth", "protocol4.pth", "strided.pth"].map(golden);
    for (archive, name) in archives.iter().zip(["plain", "checkpoint", "protocol 4", "strided"]) {
        let whole = [archive::pickle(archive)];
        let read = |pickle: &[u8]| parse(&archive::with_pickle(archive, pickle));
        survive(&format!("pickle, {name}"), &whole, |len| MIB + 64 * len, read);
        survive_all(
            &format!("instructions, {name}"),
            &whole,
            pickles::rearranged,
            |len| MIB + 64 * len,
            read,
        );
    }
}

#[test]
fn weight_metadata() {
    let card = Card {
        model: Some("resnet8".into()),
        classes: Some(["cat", "dog"].map(str::to_owned).into()),
        preprocessing: Some(Preprocessing::named("imagenet").unwrap()),
        ignored: Vec::new(),
    };
    let texts = ["classes", "preprocessing"].map(|key| (key, card.metadata()[key].clone()));
    for (key, text) in texts {
        survive(
            &format!("metadata, {key}"),
            &[text.into_bytes()],
            |len| MIB + 200 * len,
            |text| {
                let metadata = [(key.to_owned(), String::from_utf8_lossy(text).into_owned())];
                let none: [(&str, TensorView); 0] = [];
                let card = Card::of(&parse(&safetensors::serialize(none, Some(metadata.into())).unwrap())?);
                match card.ignored.first() {
                    Some(problem) => Err(striate::Error::data("file", problem.clone())),
                    None => Ok(card),
                }
            },
        );
    }
}

#[test]
fn tuned_choices() {
    let mut tuned = Tuned::default();
    for shape in ["3x3", "1x1"] {
        tuned.set(ShapeClass { pass: Pass::Forward, shape: shape.to_owned() }, Some(&kernel::IM2COL));
    }
    let text = tuned.to_json("adapter", "driver").into_bytes();
    survive(
        "tuned choices",
        &[text],
        |len| MIB + 200 * len,
        |text| {
            let wrong = |problem| striate::Error::data("file", problem);
            Tuned::from_json(&String::from_utf8_lossy(text), "adapter", "driver").map_err(wrong)
        },
    );
}

#[test]
fn idx_files() {
    let plain = idx(0x803, &[3, 4, 5], &(0..60).collect::<Vec<u8>>());
    let labels = idx(0x801, &[8], &[0, 1, 2, 3, 4, 5, 6, 7]);
    // Deflate compresses up to a thousandfold.
    survive_on_disk("idx images", &[gzip(&plain), plain], |len| MIB + 2048 * len, data::read_idx_images);
    survive_on_disk("idx labels", &[gzip(&labels), labels], |len| MIB + 2048 * len, data::read_idx_labels);
    // Damage under a correct checksum.
    let compressed = |file: &[u8], rng: &mut SplitMix64| gzip(&damaged(file, rng));
    let plain = idx(0x803, &[3, 4, 5], &(0..60).collect::<Vec<u8>>());
    survive_on_disk_all(
        "idx, compressed",
        &[plain],
        compressed,
        |len| MIB + 2048 * len,
        data::read_idx_images,
    );
}

#[test]
fn cifar_files() {
    let dir = tempfile::tempdir().unwrap();
    let record: Vec<u8> = [3, 7].into_iter().chain((0..3072u32).map(|i| (i % 251) as u8)).collect();
    std::fs::write(dir.path().join("test.bin"), &record).unwrap();
    survive(
        "cifar100",
        &[[record.clone(), record].concat()],
        |len| MIB + 32 * len,
        |bytes| {
            std::fs::write(dir.path().join("train.bin"), bytes).unwrap();
            data::cifar100(dir.path())
        },
    );
}

fn survive_images(format: ImageFormat, damage: impl Fn(&[u8], &mut SplitMix64) -> Vec<u8>) {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 37) as u8, (y * 91) as u8, (x * y * 13) as u8]);
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_fn(19, 13, pixel).write_to(&mut file, format).unwrap();
    let mut preprocessing = Preprocessing::named("imagenet").unwrap();
    preprocessing.size = [8, 8];
    preprocessing.resize = Some(9);
    // The largest image that a small file may claim, plus the decoder's tables.
    let limit = |len| 96 * MIB + 16 * len;
    let read = |path: &Path| preprocessing.read(path);
    survive_on_disk_all(&format!("{format:?}"), &[file.into_inner()], damage, limit, read);
}

#[test]
fn png_images() {
    survive_images(ImageFormat::Png, damaged);
}

/// Damage under correct checksums.
#[test]
fn png_images_with_rearranged_chunks() {
    survive_images(ImageFormat::Png, png::rearranged);
}

#[test]
fn jpeg_images() {
    survive_images(ImageFormat::Jpeg, damaged);
}

#[test]
fn gif_images() {
    survive_images(ImageFormat::Gif, damaged);
}

#[test]
fn bmp_images() {
    survive_images(ImageFormat::Bmp, damaged);
}

#[test]
fn webp_images() {
    survive_images(ImageFormat::WebP, damaged);
}
