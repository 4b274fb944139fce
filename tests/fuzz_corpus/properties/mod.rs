//! What must hold when striate reads a file, whatever its content: one property per reader.
//!
//! The fuzz targets search for inputs that violate a property; the test checks all of them on known inputs.

mod data;
mod folders;
mod text;
mod weights;

#[path = "../../common/archive.rs"]
pub mod archive;
#[path = "../../common/files.rs"]
pub mod files;
#[path = "../../common/memory.rs"]
mod memory;

use std::path::PathBuf;
use tempfile::TempDir;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// A property: panics if it does not hold for the input.
pub type Property = fn(&[u8]);

/// The properties by the names of their fuzz targets.
pub const PROPERTIES: [(&str, Property); 11] = [
    ("safetensors", weights::safetensors),
    ("pth", weights::pth),
    ("pickle", weights::pickle),
    ("checkpoint", weights::checkpoint),
    ("idx", data::idx),
    ("cifar", data::cifar),
    ("image", data::image),
    ("metadata", text::metadata),
    ("tuned", text::tuned),
    ("class_names", text::class_names),
    ("manifest", folders::manifest),
];

/// Checks the property of this name.
pub fn check(name: &str, input: &[u8]) {
    let (_, property) = PROPERTIES.iter().find(|(known, _)| *known == name).expect("the name of a property");
    property(input);
}

const MIB: usize = 1 << 20;

/// Reads an input of `len` bytes, and checks that it takes at most `base` bytes of memory and `factor` for each byte.
fn bounded<T>(len: usize, base: usize, factor: usize, read: impl FnOnce() -> T) -> T {
    let (read, taken) = memory::measure(read);
    let limit = base + factor * len;
    assert!(taken.peak <= limit, "{len} bytes take {} bytes of memory, {limit} are allowed", taken.peak);
    assert!(taken.all <= 16 * limit, "{len} bytes take {} bytes of memory in total", taken.all);
    read
}

/// A temporary folder with a file named `file`.
struct OnDisk {
    dir: TempDir,
}

impl OnDisk {
    fn new(content: &[u8]) -> Self {
        let on_disk = Self { dir: tempfile::tempdir().expect("the folder for temporary files is writable") };
        on_disk.write("file", content);
        on_disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).expect("the folder is writable");
    }
}
