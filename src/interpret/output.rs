//! Output of a view: its files, and a manifest that explains them.

use crate::{OutputFolder, Result, Tensor};
use image::{ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

/// What a view shows and how it was made; written as `VIEW.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the view, such as `filters` or `occlusion`.
    pub view: String,
    /// Heading.
    pub title: String,
    /// What the figures show and how they were made, with all settings, in plain words.
    pub caption: String,
    /// Files in reading order.
    pub files: Vec<ManifestFile>,
}

/// A file written by a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Name, relative to the manifest.
    pub name: String,
    /// What it contains, in plain words.
    pub about: String,
}

/// Writes the files of a view, then its manifest. Files are named `VIEW-NAME.EXTENSION`, or `VIEW.EXTENSION` for an empty name.
/// They are staged, and appear when the folder is [committed](OutputFolder::commit).
pub struct ViewWriter<'a> {
    folder: &'a OutputFolder,
    prefix: String,
    manifest: Manifest,
}

impl<'a> ViewWriter<'a> {
    /// Starts a view in a folder. `prefix` is put before each file name: a subfolder such as `classes/`, or nothing.
    pub fn new(folder: &'a OutputFolder, prefix: &str, view: &str, title: impl Into<String>) -> Self {
        let (view, title) = (view.to_owned(), title.into());
        let manifest = Manifest { view, title, caption: String::new(), files: Vec::new() };
        Self { folder, prefix: prefix.to_owned(), manifest }
    }

    /// Writes a PNG image as `VIEW-NAME.png`.
    ///
    /// # Errors
    ///
    /// As [`OutputFolder::stage`]; this holds for the other methods too.
    pub fn png(&mut self, name: &str, about: impl Into<String>, image: &RgbImage) -> Result<()> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("PNG can encode any RGB image in memory");
        self.file(name, "png", about, bytes.get_ref())
    }

    /// Writes a tensor in NumPy's `.npy` format, float32 in row-major order.
    pub fn npy(&mut self, name: &str, about: impl Into<String>, tensor: &Tensor) -> Result<()> {
        self.file(name, "npy", about, &npy(tensor))
    }

    /// Writes a value as JSON.
    pub fn json(&mut self, name: &str, about: impl Into<String>, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("structs with string keys serialize");
        self.file(name, "json", about, format!("{text}\n").as_bytes())
    }

    /// Writes a file with any extension.
    pub fn file(
        &mut self,
        name: &str,
        extension: &str,
        about: impl Into<String>,
        bytes: &[u8],
    ) -> Result<()> {
        let separator = if name.is_empty() { "" } else { "-" };
        let name = format!("{}{separator}{name}.{extension}", self.manifest.view);
        self.stage(&name, bytes)?;
        self.manifest.files.push(ManifestFile { name, about: about.into() });
        Ok(())
    }

    /// Writes the manifest as `VIEW.json`.
    pub fn finish(mut self, caption: impl Into<String>) -> Result<Manifest> {
        self.manifest.caption = caption.into();
        let text = serde_json::to_string_pretty(&self.manifest).expect("strings serialize");
        self.stage(&format!("{}.json", self.manifest.view), format!("{text}\n").as_bytes())?;
        Ok(self.manifest)
    }

    fn stage(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.folder.stage(&format!("{}{name}", self.prefix), &|out| out.write_all(bytes))
    }
}

/// NumPy format 1.0: a header padded to a multiple of 64 bytes, then the data. Crates for it bring in some twenty others to
/// write one line of text.
fn npy(tensor: &Tensor) -> Vec<u8> {
    let shape: String = tensor.shape().iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    let padding = 63 - (before + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("headers are short").to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(tensor.as_f32().iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
