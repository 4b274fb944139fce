//! What a view leaves behind: files, and a record that says what is seen in them.

use crate::{OutputFolder, Result, Tensor};
use image::{ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

/// What a view shows and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The view: `filters`, `occlusion`.
    pub view: String,
    /// A heading.
    pub title: String,
    /// In plain words, what is seen and how it was made, with all settings.
    pub caption: String,
    /// The files, in the order to look at them.
    pub files: Vec<RecordFile>,
}

/// A file of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordFile {
    /// Name in the folder of the record.
    pub name: String,
    /// What is in it, in plain words.
    pub about: String,
}

/// What a view writes to a folder, the record last: where that is, all is. Files are staged; the folder's
/// [`commit`](OutputFolder::commit) puts them in their places.
pub struct Album<'a> {
    folder: &'a OutputFolder,
    prefix: String,
    record: Record,
}

impl<'a> Album<'a> {
    /// Of a view that writes to a folder. `prefix` stands before the names of its files: `peaks/`, or nothing.
    pub fn new(folder: &'a OutputFolder, prefix: &str, view: &str, title: impl Into<String>) -> Self {
        let (view, title) = (view.to_owned(), title.into());
        let record = Record { view, title, caption: String::new(), files: Vec::new() };
        Self { folder, prefix: prefix.to_owned(), record }
    }

    /// Writes an image as PNG.
    ///
    /// # Errors
    ///
    /// As [`OutputFolder::stage`]; so do the others.
    pub fn png(&mut self, name: &str, about: impl Into<String>, image: &RgbImage) -> Result<()> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("PNG holds every RGB image, and memory takes it");
        self.file(name, about, bytes.get_ref())
    }

    /// Writes numbers as NumPy's `.npy`, float32 in row-major order.
    pub fn npy(&mut self, name: &str, about: impl Into<String>, tensor: &Tensor) -> Result<()> {
        self.file(name, about, &npy(tensor))
    }

    /// Writes anything as JSON.
    pub fn json(&mut self, name: &str, about: impl Into<String>, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("structs with text keys are JSON");
        self.file(name, about, format!("{text}\n").as_bytes())
    }

    /// Writes bytes.
    pub fn file(&mut self, name: &str, about: impl Into<String>, bytes: &[u8]) -> Result<()> {
        self.stage(name, bytes)?;
        self.record.files.push(RecordFile { name: name.to_owned(), about: about.into() });
        Ok(())
    }

    /// Writes the record, as `VIEW.json`.
    pub fn finish(mut self, caption: impl Into<String>) -> Result<Record> {
        self.record.caption = caption.into();
        let text = serde_json::to_string_pretty(&self.record).expect("text is JSON");
        self.stage(&format!("{}.json", self.record.view), format!("{text}\n").as_bytes())?;
        Ok(self.record)
    }

    fn stage(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.folder.stage(&format!("{}{name}", self.prefix), &|out| out.write_all(bytes))
    }
}

/// NumPy's format, version 1.0: a header padded to a multiple of 64 bytes, then the numbers. The crates for it bring some
/// twenty others, for what is one line of text.
fn npy(tensor: &Tensor) -> Vec<u8> {
    let shape: String = tensor.shape().iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    let padding = 63 - (before + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("a shape is short").to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(tensor.as_f32().iter().flat_map(|number| number.to_le_bytes()));
    bytes
}
