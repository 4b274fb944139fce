//! JSON and lists of names.

use super::{MIB, OnDisk, bounded};
use std::collections::BTreeMap;
use std::path::Path;
use striate::data::{Preprocessing, read_class_names};
use striate::infer::Card;
use striate::plan::Tuned;
use striate::weights::{self, Weights};

/// Metadata of weights: each text as the model's name, its classes, and its preprocessing, which may also be a file.
pub fn metadata(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let metadata =
        ["model", "classes", "preprocessing"].map(|key| (key.to_owned(), text.clone().into_owned()));
    let card = bounded(text.len(), MIB, 200, || read_card(&metadata.into()));
    assert_eq!(read_card(&card.metadata()), Card { ignored: Vec::new(), ..card.clone() });
    let read = bounded(text.len(), MIB, 200, || Preprocessing::from_json(&text)).ok();
    assert_eq!(read, card.preprocessing);
    if let Some(preprocessing) = read {
        use_preprocessing(&preprocessing);
    }
}

fn read_card(metadata: &BTreeMap<String, String>) -> Card {
    let mut file = Vec::new();
    weights::write_to(&mut file, &[], metadata).expect("writing to memory");
    Card::of(&Weights::parse(Path::new("file"), &file).expect("a file just written"))
}

/// A GIF of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Reads an image, unless a large result would take long.
fn use_preprocessing(preprocessing: &Preprocessing) {
    assert!(!preprocessing.to_string().is_empty());
    let [height, width] = preprocessing.size;
    if height.max(width) > 64 {
        return;
    }
    let disk = OnDisk::new(PIXEL);
    let values = preprocessing.read(&disk.path("file")).expect("a valid preprocessing of a valid image");
    assert_eq!(values.len(), preprocessing.channels() * height * width);
    assert!(values.iter().all(|value| value.is_finite()));
}

/// The file of tuned choices.
pub fn tuned(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Ok(tuned) = bounded(text.len(), MIB, 200, || Tuned::from_json(&text, "adapter", "driver")) {
        assert_eq!(Tuned::from_json(&tuned.to_json("adapter", "driver"), "adapter", "driver"), Ok(tuned));
    }
}

/// A file of class names.
pub fn class_names(file: &[u8]) {
    let disk = OnDisk::new(file);
    let read = || bounded(file.len(), MIB, 64, || read_class_names(&disk.path("file")));
    let Ok(names) = read() else { return };
    assert!(!names.is_empty() && names.iter().all(|name| !name.is_empty() && name.trim() == name));
    // A byte order mark selects the encoding, also before the first name.
    disk.write("file", format!("\u{feff}{}", names.join("\n")).as_bytes());
    assert_eq!(read_class_names(&disk.path("file")).expect("names just written"), names);
}
