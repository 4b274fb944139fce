//! Weight files and checkpoints.

use super::{MIB, OnDisk, archive, bounded};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use striate::data::{Dataset, Normalization, Split};
use striate::infer::Card;
use striate::models::LeNet;
use striate::train::{Checkpoint, TrainConfig, Trainer};
use striate::weights::{self, Weights};
use striate::{Device, Tensor};

/// A safetensors file.
pub fn safetensors(file: &[u8]) {
    // The JSON tree takes over a hundred bytes for an entry of ten.
    if let Ok(weights) = bounded(file.len(), MIB, 200, || Weights::parse(Path::new("file"), file)) {
        Card::of(&weights);
        use_weights(&weights);
    }
}

/// A `.pth` file, as a zip archive or in the format before PyTorch 1.6.
pub fn pth(file: &[u8]) {
    if let Ok(weights) = bounded(file.len(), MIB, 64, || Weights::parse(Path::new("file"), file)) {
        use_weights(&weights);
    }
}

/// The pickle of a zip archive whose checksums are correct.
pub fn pickle(pickle: &[u8]) {
    let archive = include_bytes!("../../goldens/weights/strided.pth");
    pth(&archive::with_pickle(archive, pickle));
}

/// Tensors survive writing and reading; names can be matched.
fn use_weights(weights: &Weights) {
    let _ = weights.get_as("fc.weight", ["conv1.weight", "bn1.running_mean", "fc.weight", "fc.bias"]);
    let floats = weights.names().filter_map(|name| Some((name.to_owned(), weights.get(name)?.clone())));
    let floats: Vec<(String, Tensor)> = floats.collect();
    let mut file = Vec::new();
    if let Err(error) = weights::write_to(&mut file, &floats, &BTreeMap::new()) {
        assert!(floats.iter().any(|(name, _)| name == "__metadata__"), "{error}");
        return;
    }
    let again = Weights::parse(Path::new("file"), &file).expect("a file just written");
    assert!(again.names().eq(floats.iter().map(|(name, _)| name)));
    for (name, tensor) in &floats {
        let read = again.get(name).expect("a tensor just written");
        assert_eq!((read.shape(), read.as_u32()), (tensor.shape(), tensor.as_u32()), "{name:?}");
    }
}

/// A checkpoint; also the position and the settings (the first two lines) of one with a correct checksum.
pub fn checkpoint(input: &[u8]) {
    read_checkpoint(input);
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (position, about) = (text(), text());
    let numbers = lines.next().unwrap_or_default().as_chunks().0;
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let tensor = Tensor::f32([numbers.len()], numbers).expect("a vector");
    let file = sealed(position, about, &[("weight".to_owned(), tensor)]);
    if let Some(read) = read_checkpoint(&file) {
        restore(Checkpoint { tensors: TENSORS.with_borrow(Vec::clone), ..read });
    }
}

/// A checkpoint with a correct checksum.
fn sealed(position: String, about: String, tensors: &[(String, Tensor)]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    let parts = tensors.iter().flat_map(|(name, tensor)| [name.as_bytes(), tensor.as_bytes()]);
    for part in [position.as_bytes(), about.as_bytes()].into_iter().chain(parts) {
        sum.update(&(part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    let checksum = format!("{:08x}", sum.finalize());
    let metadata =
        [("checkpoint", "1".to_owned()), ("position", position), ("about", about), ("checksum", checksum)];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let mut file = Vec::new();
    weights::write_to(&mut file, tensors, &metadata).expect("writing to memory");
    file
}

/// Reads a checkpoint; it survives writing and reading.
fn read_checkpoint(file: &[u8]) -> Option<Checkpoint> {
    let disk = OnDisk::new(file);
    let read = bounded(file.len(), MIB, 200, || Checkpoint::read(&disk.path("file"))).ok()?;
    let mut again = Vec::new();
    read.write_to(&mut again).expect("writing to memory");
    disk.write("file", &again);
    let again = Checkpoint::read(&disk.path("file")).expect("a checkpoint just written");
    assert_eq!((again.position, &again.about), (read.position, &read.about));
    for ((name, tensor), (other, expected)) in again.tensors.iter().zip(&read.tensors) {
        assert_eq!((name, tensor.shape(), tensor.as_u32()), (other, expected.shape(), expected.as_u32()));
    }
    Some(read)
}

thread_local! {
    static TRAINER: RefCell<Trainer> = RefCell::new(trainer());
    /// The tensors of its first checkpoint.
    static TENSORS: RefCell<Vec<(String, Tensor)>> = RefCell::new(TRAINER.with_borrow_mut(|trainer| {
        Checkpoint::of(trainer, &serde_json::Map::new()).expect("a trainer can be saved").tensors
    }));
}

/// A trainer takes a position completely or not at all.
fn restore(checkpoint: Checkpoint) {
    TRAINER.with_borrow_mut(|trainer| {
        let before = trainer.position();
        let restored = checkpoint.restore(Path::new("file"), trainer).is_ok();
        assert_eq!(trainer.position(), if restored { checkpoint.position } else { before });
    });
}

fn trainer() -> Trainer {
    let model = LeNet { in_channels: 1, classes: 2 };
    let classes = ["a", "b"].map(str::to_owned).to_vec();
    let images = Dataset::new("images", [1, 28, 28], vec![0; 12 * 784], vec![0; 12], classes)
        .expect("twelve black images");
    let normalization = Normalization { mean: vec![0.0], std: vec![1.0] };
    let split = Split::new(images.clone(), images, normalization).expect("equal shapes");
    let config = TrainConfig { batch: 4, epochs: 3, ..TrainConfig::default() };
    let device = Device::select("cpu").expect("the CPU executor");
    Trainer::new(&device, &model, split, config).expect("a small network fits")
}
