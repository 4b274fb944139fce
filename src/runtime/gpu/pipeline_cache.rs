//! The driver's compiled pipelines, kept between runs: Vulkan's pipeline cache.
//!
//! Drivers may trust this data, so files carry a checksum, and damaged ones are discarded.

use crate::runtime::cache;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A pipeline cache and its file.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Checksum of the data in the file.
    saved: Mutex<Option<u32>>,
}

impl PipelineCache {
    /// Opens the cache of this adapter and driver; `None` if the driver has none or there is no cache folder.
    pub fn open(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let info = adapter.get_info();
        let key = wgpu::util::pipeline_cache_key(&info)?;
        let name = cache::file_name(&["pipelines", &key, &info.driver, &info.driver_info], "bin");
        let path = cache::folder()?.join(name);
        let file = cache::read(&path).ok();
        let data = file.as_deref().and_then(unseal);
        if file.is_some() && data.is_none() {
            log::debug!("{} is damaged and will be replaced", path.display());
        }
        let description = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data, fallback: true };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        // SAFETY: the checksum shows that the data is intact and that `save` wrote it. wgpu checks that it is this driver's.
        let cache = unsafe { device.create_pipeline_cache(&description) };
        match pollster::block_on(scope.pop()) {
            None => Some(Self { cache, path, saved: Mutex::new(data.map(crc32fast::hash)) }),
            Some(error) => {
                log::debug!("the pipeline cache is not used: {error}");
                None
            }
        }
    }

    pub fn get(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the pipelines to the file unless they are unchanged.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let sum = crc32fast::hash(&data);
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.replace(sum) == Some(sum) {
            return;
        }
        match cache::write(&self.path, &seal(&data)) {
            Ok(()) => log::debug!("{} bytes of pipelines written to {}", data.len(), self.path.display()),
            Err(error) => log::debug!("the pipeline cache is not used: {error}"),
        }
    }
}

/// Magic bytes, with the version of the format.
const MAGIC: [u8; 8] = *b"striate1";

fn seal(data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &crc32fast::hash(data).to_le_bytes(), data].concat()
}

/// The data of a file; `None` if it is damaged or of another format.
fn unseal(file: &[u8]) -> Option<&[u8]> {
    let (sum, data) = file.strip_prefix(&MAGIC)?.split_first_chunk()?;
    (u32::from_le_bytes(*sum) == crc32fast::hash(data)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_and_foreign_files_are_rejected() {
        let data = b"pipelines";
        let file = seal(data);
        assert_eq!(unseal(&file), Some(&data[..]));
        for end in 0..file.len() {
            assert_eq!(unseal(&file[..end]), None, "cut off after {end} bytes");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 4;
            assert_eq!(unseal(&damaged), None, "byte {at}");
        }
        assert_eq!(unseal(data), None);
        assert_eq!(unseal(&[&file[..], b" and more"].concat()), None);
    }
}
