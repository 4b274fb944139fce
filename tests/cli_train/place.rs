//! A place to train in, and what is asked of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};
use striate::models;
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_striate");

pub const FILES: [&str; 7] = [
    ".striate.json",
    "config.json",
    "metrics.csv",
    "model.safetensors",
    "best.safetensors",
    "checkpoints",
    "curves.svg",
];

/// A folder with a tiny data set of MNIST's form, and room for a run.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    /// 20 training and 10 test images of 8 x 8, in ten classes.
    pub fn new() -> Self {
        Self::of(20, 10, 8)
    }

    pub fn of(train: u32, test: u32, side: u32) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        for (part, count) in [("train", train), ("t10k", test)] {
            let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
            place.write(&format!("data/{part}-labels-idx1-ubyte"), &idx(0x801, &[count], &labels));
            let pixel = |i: u32| (i * 37 + i / (side * side) % 10 * 20) as u8;
            let pixels: Vec<u8> = (0..count * side * side).map(pixel).collect();
            let sizes = [count, side, side];
            place.write(&format!("data/{part}-images-idx3-ubyte"), &idx(0x803, &sizes, &pixels));
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn out(&self) -> PathBuf {
        self.path("run")
    }

    /// `striate train` on the tiny set, into `run`, on the CPU, where no Vulkan driver can be found. What is
    /// in `args` comes instead, if it is among these.
    pub fn train(&self, args: &[&str]) -> Command {
        let defaults = [
            ("--dataset", "mnist".into()),
            ("--data", self.path("data")),
            ("--device", "cpu".into()),
            ("--epochs", "1".into()),
            ("--batch", "4".into()),
            ("--out", self.out()),
        ];
        let mut command = Command::new(PROGRAM);
        command.arg("train").current_dir(self.dir.path());
        for (flag, value) in defaults.iter().filter(|(flag, _)| !args.contains(flag)) {
            command.arg(flag).arg(value);
        }
        // Both names of the setting: the old one and the one that replaced it.
        command.env("VK_ICD_FILENAMES", "/dev/null").env("VK_DRIVER_FILES", "/dev/null");
        command.env_remove("RUST_LOG").args(args);
        command
    }

    /// Trains; it must work.
    pub fn trained(&self, args: &[&str]) -> String {
        let output = self.train(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{args:?}");
        text(&output.stdout)
    }

    /// Trains; it must be refused in one sentence that has all of `words`, and no run may be there.
    #[track_caller]
    pub fn refused(&self, args: &[&str], words: &[&str]) {
        let output = self.train(args).output().unwrap();
        assert_refused(&output, &format!("{args:?}"), words);
        assert!(!self.out().exists(), "{args:?} left {:?}", list(&self.out()));
    }
}

/// An IDX file: the magic number, the sizes, the elements.
pub fn idx(magic: u32, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes());
    numbers.chain(elements.iter().copied()).collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

/// One line on standard error that has all of `words`, and exit code 1.
#[track_caller]
pub fn assert_refused(output: &Output, case: &str, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{case}: {message}");
    assert!(message.starts_with("error: ") && message.ends_with('\n'), "{case}: {message:?}");
    assert_eq!(message.lines().count(), 1, "{case}: {message}");
    for word in ["panicked", "RUST_BACKTRACE", "unwrap", "\u{1b}"] {
        assert!(!message.contains(word), "{case}: {message}");
    }
    for word in words {
        assert!(message.contains(word), "{case}: {message:?} does not say {word:?}");
    }
}

/// Names of what a folder holds, sorted.
pub fn list(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All files of a folder.
pub fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = list(dir).into_iter().filter(|name| dir.join(name).is_file());
    files.map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
}

pub fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

/// The lines of `metrics.csv` by column.
pub fn metrics(run: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// Asserts that tags are closed in their order, and attributes quoted.
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

/// Waits for a process that must end by itself.
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
