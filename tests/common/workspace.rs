//! A folder to run `striate` in, and checks of what a run leaves there.

#![allow(dead_code, unused_imports, reason = "no test program uses everything")]

#[path = "files.rs"]
mod files;
#[path = "program.rs"]
mod program;

pub use files::*;
pub use program::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use striate::models;
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use tempfile::TempDir;

/// Files and folders of a finished run.
pub const FILES: [&str; 8] = [
    ".striate.json",
    "best.safetensors",
    "checkpoints",
    "config.json",
    "curves.svg",
    "metrics.csv",
    "model.safetensors",
    "steps.csv",
];

/// A temporary folder with a tiny data set in MNIST's format, in `data`. Runs go to `run`.
pub struct Workspace(TempDir);

impl Workspace {
    /// 20 training and 10 test images of 8 x 8 pixels, in ten classes.
    pub fn new() -> Self {
        Self::with_images(20, 10, 8)
    }

    pub fn with_images(train: u32, test: u32, side: u32) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for (part, count) in [("train", train), ("t10k", test)] {
            let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
            dir.write(&format!("data/{part}-labels-idx1-ubyte"), &idx(0x801, &[count], &labels));
            let pixel = |i: u32| (i * 37 + i / (side * side) % 10 * 20) as u8;
            let pixels: Vec<u8> = (0..count * side * side).map(pixel).collect();
            let sizes = [count, side, side];
            dir.write(&format!("data/{part}-images-idx3-ubyte"), &idx(0x803, &sizes, &pixels));
        }
        dir
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn read_text(&self, name: &str) -> String {
        text(&self.read(name))
    }

    pub fn read_json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Saves an image, creating its folder.
    pub fn save(&self, name: &str, image: &image::RgbImage) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(path).unwrap();
    }

    pub fn run(&self) -> PathBuf {
        self.path("run")
    }

    /// `striate` in this folder, where no Vulkan driver can be found.
    pub fn striate(&self, args: &[&str]) -> Command {
        let mut command = without_gpu(args);
        command.current_dir(self.root());
        command
    }

    /// `striate train` on the tiny data set, into `run`, on the CPU; flags in `args` take precedence.
    pub fn train(&self, args: &[&str]) -> Command {
        let defaults = [
            ("--dataset", "mnist".into()),
            ("--data", self.path("data")),
            ("--device", "cpu".into()),
            ("--epochs", "1".into()),
            ("--batch", "4".into()),
            ("--out", self.run()),
        ];
        let mut command = self.striate(&["train"]);
        for (flag, value) in defaults.iter().filter(|(flag, _)| !args.contains(flag)) {
            command.arg(flag).arg(value);
        }
        command.args(args);
        command
    }

    /// Trains, which must succeed without a word on standard error, and returns standard output.
    #[track_caller]
    pub fn trained(&self, args: &[&str]) -> String {
        printed(&mut self.train(args))
    }

    /// Trains, which must be refused with all of `words`, without leaving a run behind.
    #[track_caller]
    pub fn refused(&self, args: &[&str], words: &[&str]) {
        assert_refused(&mut self.train(args), words);
        assert!(!self.run().exists(), "{args:?} left {:?}", list(&self.run()));
    }

    /// `striate train --resume` on `run`.
    pub fn resume(&self, args: &[&str]) -> Command {
        let mut command = self.striate(&["train", "--resume"]);
        command.arg(self.run()).args(args);
        command
    }
}

/// Names of the entries of a folder, sorted.
pub fn list(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Files of a folder, not of its subfolders.
pub fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = list(dir).into_iter().filter(|name| dir.join(name).is_file());
    files.map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
}

/// Rows of `metrics.csv`, by column.
pub fn metrics(run: &Path) -> Vec<BTreeMap<String, String>> {
    table(&run.join("metrics.csv"))
}

/// Rows of a table, by column.
pub fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// Asserts that tags are nested and closed, and attributes quoted.
pub fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a stray > in {:?}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag:?}");
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        match tag {
            _ if tag.starts_with(['?', '!']) || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag:?}"),
            _ => open.push(name),
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, [""; 0]);
}

/// Waits for a process to exit.
pub fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("the program did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Creates a named pipe in place of a file, if there is one.
pub fn make_pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

pub fn resnet8() -> Box<dyn models::Model> {
    models::by_name("resnet8", 1, 10).unwrap()
}

pub fn config(batch: usize) -> TrainConfig {
    TrainConfig {
        epochs: 1,
        batch,
        lr: 0.1,
        warmup_epochs: 0.0,
        decay: Decay::Constant,
        recipe: Recipe { optimizer: Optimizer::Sgd(SgdConfig::HE_2015), ..Default::default() },
        threads: 1,
        ..Default::default()
    }
}
