//! The file of an adapter's self-test: which kernels failed on it, by driver and version of the kernels.

use super::cache;
use super::gpu::AdapterSummary;
use crate::Result;
use crate::kernel::{self, Kernel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How much a self-test covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// One check of each kernel that plans for the device contain by default.
    Short,
    /// Every kernel on every case.
    Full,
}

/// The stored result of a self-test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// How much was tested.
    pub extent: Extent,
    /// The kernels that failed, and what was wrong.
    pub failed: BTreeMap<String, String>,
}

impl Verdicts {
    /// The kernels that failed.
    pub fn excluded(&self) -> Vec<&'static Kernel> {
        kernel::ALL.iter().copied().filter(|kernel| self.failed.contains_key(kernel.name)).collect()
    }
}

/// The JSON format. Increment [`VERSION`] with every change.
#[derive(PartialEq, Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    about: About,
    #[serde(flatten)]
    verdicts: Verdicts,
}

/// What the result is for.
#[derive(PartialEq, Serialize, Deserialize)]
struct About {
    version: u32,
    /// Version of this program.
    striate: String,
    /// Checksum of the kernels.
    kernels: u32,
    adapter: String,
    driver: String,
}

const VERSION: u32 = 1;

impl About {
    fn of(adapter: &AdapterSummary) -> Self {
        Self {
            version: VERSION,
            striate: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: kernel::checksum(),
            adapter: adapter.name.clone(),
            driver: adapter.driver.clone(),
        }
    }
}

fn path(adapter: &AdapterSummary) -> Option<PathBuf> {
    adapter.cache_file("selftest")
}

/// Whether results can be stored.
pub fn can_be_stored() -> bool {
    cache::folder().is_some()
}

/// The result for an adapter. `None` if there is none of this version for its driver: an old or damaged file only means that the
/// adapter should be tested again.
pub fn load(adapter: &AdapterSummary) -> Option<Verdicts> {
    let bytes = cache::read(&path(adapter)?).ok()?;
    let file: File = serde_json::from_slice(&bytes).ok()?;
    (file.about == About::of(adapter)).then_some(file.verdicts)
}

/// Writes the file and returns its path; `None` without a cache folder.
pub fn save(adapter: &AdapterSummary, verdicts: &Verdicts) -> Result<Option<PathBuf>> {
    let Some(path) = path(adapter) else { return Ok(None) };
    let file = File { about: About::of(adapter), verdicts: verdicts.clone() };
    let text =
        serde_json::to_string_pretty(&file).expect("plain strings and numbers always serialize") + "\n";
    cache::write(&path, text.as_bytes())?;
    Ok(Some(path))
}
