//! Output folders.

use super::{MIB, OnDisk, bounded};
use serde_json::Value;
use std::path::Path;
use striate::OutputFolder;

/// Files that exist beside the manifest.
const FILES: [&str; 3] = ["out/a", "out/b/c", "outside/kept"];

/// The manifest of an output folder: only files that it lists are removed, and none outside the folder.
pub fn manifest(manifest: &[u8]) {
    let disk = OnDisk::new(&[]);
    let out = disk.path("out");
    for folder in ["out", "out/b", "outside"] {
        std::fs::create_dir(disk.path(folder)).expect("the folder is writable");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("../outside", out.join("link")).expect("the folder is writable");
    FILES.iter().for_each(|name| disk.write(name, b"content"));
    disk.write("out/.striate.json", manifest);

    let opened = bounded(manifest.len(), MIB, 200, || OutputFolder::open(&out, "run"));
    let is_valid = opened.is_ok();
    if let Ok(folder) = opened {
        folder.files();
        // Each may fail, if the names are in use.
        let _ = folder.check(&["a", "b/", "link/kept"]);
        let _ = folder.stage("d/e", &|out| out.write_all(b"new"));
        let _ = folder.replace();
        let _ = folder.remove(&folder.files());
    }
    let listed = serde_json::from_slice::<Value>(manifest).unwrap_or_default();
    let is_listed = |name: &str| {
        let files = listed["files"].as_object().into_iter().flatten();
        files.map(|(listed, _)| listed).any(|listed| Path::new("out").join(listed) == Path::new(name))
    };
    for name in FILES {
        let content = std::fs::read(disk.path(name)).ok();
        assert!(content.as_deref() == Some(b"content") || is_valid && is_listed(name), "{name} was removed");
    }
    if !is_valid {
        assert_eq!(std::fs::read(disk.path("out/.striate.json")).ok().as_deref(), Some(manifest));
    }
}
