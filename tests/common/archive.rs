//! Replaces the pickle of a PyTorch archive, with correct checksums.

use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The bytes of the archive's `data.pkl`.
#[allow(dead_code, reason = "not all test programs that include this need it")]
pub fn pickle(archive: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let name = archive.file_names_raw().map(|name| String::from_utf8(name.to_vec()).unwrap());
    let name = name.into_iter().find(|name| name.ends_with("data.pkl")).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The archive with `data.pkl` replaced.
#[allow(dead_code, reason = "not all test programs that include this need it")]
pub fn with_pickle(archive: &[u8], pickle: &[u8]) -> Vec<u8> {
    let mut old = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..old.len() {
        let mut entry = old.by_index(index).unwrap();
        let name = String::from_utf8(entry.name_raw().to_vec()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        new.start_file(name.as_str(), stored).unwrap();
        new.write_all(if name.ends_with("data.pkl") { pickle } else { &bytes }).unwrap();
    }
    new.finish().unwrap().into_inner()
}
