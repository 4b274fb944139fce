//! `striate train` as a program: what a run leaves behind, how it stops, and what it says about bad input.

#![cfg(all(feature = "cli", unix))]

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::plan::Target;
use striate::train::{Recipe, TrainConfig, Trainer, read_weights, write_weights};
use striate::{Device, Tensor, data, models};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_striate");

const FILES: [&str; 4] = ["config.json", "metrics.csv", "model.safetensors", "curves.svg"];

/// A folder with a tiny data set of MNIST's form, and room for a run.
struct Place {
    dir: TempDir,
}

impl Place {
    /// 20 training and 10 test pictures of 8 x 8, in ten classes.
    fn new() -> Self {
        Self::of(20, 10, 8)
    }

    fn of(train: u32, test: u32, side: u32) -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.path("run")
    }

    /// `striate train` on the tiny set, into `run`, on the CPU, where no Vulkan driver can be found. What is
    /// in `args` comes instead, if it is among these.
    fn train(&self, args: &[&str]) -> Command {
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
    fn trained(&self, args: &[&str]) -> String {
        let output = self.train(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{args:?}");
        text(&output.stdout)
    }

    /// Trains; it must be refused in one sentence that has all of `words`, and no run may be there.
    #[track_caller]
    fn refused(&self, args: &[&str], words: &[&str]) {
        let output = self.train(args).output().unwrap();
        assert_refused(&output, &format!("{args:?}"), words);
        assert!(!self.out().exists(), "{args:?} left {:?}", list(&self.out()));
    }
}

/// An IDX file: the magic number, the sizes, the elements.
fn idx(magic: u32, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes());
    numbers.chain(elements.iter().copied()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

/// One line on standard error that has all of `words`, and exit code 1.
#[track_caller]
fn assert_refused(output: &Output, case: &str, words: &[&str]) {
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
fn list(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All files of a folder.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    list(dir).into_iter().map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

/// The lines of `metrics.csv` by column.
fn metrics(run: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// Asserts that tags are closed in their order, and attributes quoted.
fn assert_well_formed(svg: &str) {
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
fn wait(child: &mut Child) -> ExitStatus {
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

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

// A run.

#[test]
fn a_run_leaves_what_it_promises() {
    let place = Place::new();
    let stdout = place.trained(&["--epochs", "2", "--seed", "7"]);
    assert_eq!(list(&place.out()), sorted(&FILES));

    let rows = metrics(&place.out());
    let header = std::fs::read_to_string(place.path("run/metrics.csv")).unwrap();
    assert_eq!(
        header.lines().next().unwrap(),
        "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds,pictures_per_second"
    );
    assert_eq!(rows.iter().map(|row| row["epoch"].as_str()).collect::<Vec<_>>(), ["1", "2"]);
    for (column, value) in rows.iter().flatten() {
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{column} is {value:?}"));
        assert!(value.is_finite() && value >= 0.0, "{column} is {value}");
    }

    let config: Value =
        serde_json::from_slice(&std::fs::read(place.path("run/config.json")).unwrap()).unwrap();
    assert_eq!(config["settings"]["seed"], 7);
    assert_eq!(config["settings"]["batch"], 4);
    assert_eq!(config["settings"]["model"], "resnet8");
    assert_eq!(config["model"]["name"], "resnet8");
    assert_eq!(config["device"]["adapter"], Value::Null);
    assert!(config["device"]["name"].as_str().unwrap().starts_with("CPU"));
    assert_eq!(config["versions"]["striate"], env!("CARGO_PKG_VERSION"));
    assert!(config["versions"]["wgpu"].is_string() && config["versions"]["naga"].is_string());

    let svg = std::fs::read_to_string(place.path("run/curves.svg")).unwrap();
    assert_well_formed(&svg);
    for color in ["#1F77B4", "#D6600A"] {
        let lines = svg.matches("<polyline").count();
        assert!(lines >= 4 && svg.contains(color), "{lines} lines, {color}: {svg}");
    }

    let accuracy: f64 = rows[1]["test_accuracy"].parse().unwrap();
    assert!(stdout.contains(&format!("\ntest accuracy {:.2} %\n", 100.0 * accuracy)), "{stdout}");
    assert!(stdout.contains("\nepoch 1/2  train loss "), "{stdout}");
    assert!(!stdout.contains(['\u{1b}', '\r']), "{stdout:?}");
}

#[test]
fn weights_load_back_and_score_the_same() {
    let place = Place::new();
    place.trained(&["--epochs", "2"]);
    let split = data::open("mnist", Some(&place.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    read_weights(&place.path("run/model.safetensors"), trainer.session()).unwrap();
    let score = trainer.test().unwrap();
    let row = &metrics(&place.out())[1];
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert_eq!((score.loss, score.accuracy), (number("test_loss"), number("test_accuracy")));
}

fn resnet8() -> Box<dyn models::Model> {
    models::by_name("resnet8", 1, 10).unwrap()
}

fn config(batch: usize) -> TrainConfig {
    TrainConfig {
        epochs: 1,
        batch,
        lr: 0.1,
        warmup_epochs: 0.0,
        decay: Decay::Constant,
        recipe: Recipe {
            optimizer: Optimizer::Sgd(SgdConfig::default()),
            label_smoothing: 0.0,
            clip_norm: None,
        },
        seed: 1,
        augment: None,
        drop_last: false,
        threads: 1,
    }
}

#[test]
fn the_seed_decides_every_byte() {
    let place = Place::new();
    let model = |seed: &str, out: &str| {
        let out = place.path(out);
        place.trained(&["--seed", seed, "--out", out.to_str().unwrap()]);
        std::fs::read(out.join("model.safetensors")).unwrap()
    };
    let first = model("3", "a");
    for again in ["b", "c", "d", "e"] {
        assert!(first == model("3", again), "the same seed gives other weights");
    }
    assert!(first != model("4", "f"), "another seed gives the same weights");
}

#[test]
fn metadata_of_weights_are_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    let pairs = [("model", "resnet8"), ("a \"quoted\"\nname\t\\", "\u{1}\u{e9}\u{1f600}/"), ("", "")];
    let metadata: HashMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let tensors = [("w".to_owned(), Tensor::f32([2], vec![1.0, -2.0]).unwrap())];
    for count in [0, 1] {
        write_weights(&path, &tensors[..count], metadata.clone()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (header, found) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!((header % 8, found.metadata().as_ref()), (0, Some(&metadata)));
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), count);
        assert!(bytes.ends_with(tensors[0].1.as_bytes()) || count == 0);
    }
}

#[test]
fn without_out_each_run_gets_a_folder() {
    let place = Place::new();
    for name in ["runs/resnet8-mnist", "runs/resnet8-mnist-2"] {
        let mut command = Command::new(PROGRAM);
        command.args(["train", "--dataset", "mnist", "--data", "data", "--device", "cpu", "--epochs", "1"]);
        let status = command.args(["--batch", "4"]).current_dir(place.dir.path()).output().unwrap().status;
        assert!(status.success());
        assert_eq!(list(&place.path(name)), sorted(&FILES));
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let mut command = place.train(&["--epochs", "3"]);
    let line = format!("{{ \"$0\" \"$@\"; echo $? > {}; }} | head -1", place.path("code").display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).arg(PROGRAM).args(command.get_args()).current_dir(place.dir.path());
    let output = shell.output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(std::fs::read_to_string(place.path("code")).unwrap(), "0\n");
    assert_eq!(list(&place.out()), sorted(&FILES));

    // A full disk behind standard output is worth a word, but not the run.
    command.stdout(std::fs::File::create("/dev/full").unwrap()).arg("--force");
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("standard output") && message.lines().count() == 1, "{message}");
}

// Stopping.

/// Starts a run that would last for hours, and waits for its second epoch.
fn start_long_run(place: &Place) -> (Child, BufReader<impl Read + use<>>) {
    let mut command = place.train(&["--epochs", "1000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("epoch 1/") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the run ended early");
    }
    (child, stdout)
}

fn stops_in_good_order(name: &str) {
    let place = Place::new();
    let (mut child, mut stdout) = start_long_run(&place);
    signal(&child, name);
    let status = wait(&mut child);
    assert_eq!(status.code(), Some(130), "{status}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted; writing what was learned so far\n"), "{rest}");
    assert!(!rest.contains("test accuracy"), "{rest}");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_eq!(list(&place.out()), sorted(&FILES));
    assert!(!metrics(&place.out()).is_empty());
    let settings = std::fs::read(place.path("run/config.json")).unwrap();
    assert!(serde_json::from_slice::<Value>(&settings).is_ok());
    assert_well_formed(&std::fs::read_to_string(place.path("run/curves.svg")).unwrap());
    let split = data::open("mnist", Some(&place.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    read_weights(&place.path("run/model.safetensors"), trainer.session()).unwrap();
}

#[test]
fn ctrl_c_keeps_what_was_learned() {
    stops_in_good_order("INT");
}

#[test]
fn so_does_the_systems_request_to_end() {
    stops_in_good_order("TERM");
}

#[test]
fn a_killed_run_leaves_no_torn_file() {
    let place = Place::new();
    place.trained(&[]);
    let (part, model) = (place.path("run/model.safetensors.part"), place.path("run/model.safetensors"));
    for round in 0..8 {
        let mut child = place.train(&["--force"]).stdout(Stdio::null()).spawn().unwrap();
        // Killed after some time or, every second time, in the middle of writing.
        let start = Instant::now();
        let enough = |time: Duration| match round % 2 {
            0 => part.exists() || time > Duration::from_secs(60),
            _ => time > Duration::from_millis(20 * round),
        };
        while !enough(start.elapsed()) && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if let Ok(bytes) = std::fs::read(&model) {
            safetensors::SafeTensors::deserialize(&bytes).expect("the file is whole");
        }
    }
    // What a killed run leaves does not stand in the way of the next one.
    place.trained(&["--force"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
}

// The folder of the results.

#[test]
fn an_earlier_run_stays_until_it_is_replaced() {
    let place = Place::new();
    place.trained(&[]);
    let earlier = contents(&place.out());
    assert_eq!(earlier.len(), 4);
    place.write("short/data_batch_1.bin", b"short");
    let same = |args: &[&str], words: &[&str]| {
        assert_refused(&place.train(args).output().unwrap(), &format!("{args:?}"), words);
        assert!(contents(&place.out()) == earlier, "{args:?} changed the earlier run");
    };
    same(&[], &["run", "holds an earlier run", "--force", "--out"]);
    let failures: [(&[&str], &str); 14] = [
        (&["--model", "alexnet"], "--model"),
        (&["--dataset", "imagenet"], "--dataset"),
        (&["--data", "nowhere"], "nowhere"),
        (&["--dataset", "cifar10", "--data", "short"], "short"),
        (&["--device", "gpu"], "device"),
        (&["--batch", "0"], "--batch"),
        (&["--batch", "21"], "--batch"),
        (&["--lr", "NaN"], "--lr"),
        (&["--epochs", "0"], "--epochs"),
        (&["--threads", "0"], "--threads"),
        (&["--momentum", "-1"], "--momentum"),
        (&["--label-smoothing", "2"], "--label-smoothing"),
        (&["--clip-norm", "0"], "--clip-norm"),
        (&["--image-size", "9x9"], "--image-size"),
    ];
    for (args, word) in failures {
        same(&[args, &["--force"]].concat(), &[word]);
    }
    // Not even room for the settings of the new run.
    std::os::unix::fs::symlink("/dev/full", place.path("run/config.json.part")).unwrap();
    let output = place.train(&["--force"]).output().unwrap();
    assert_refused(&output, "full disk", &["run/config.json: cannot write: No space left"]);
    assert!(contents(&place.out()) == earlier, "a full disk changed the earlier run");

    let mut usage = place.train(&["--force", "--optimizer", "magic"]);
    assert_eq!(usage.output().unwrap().status.code(), Some(2));
    assert!(contents(&place.out()) == earlier);

    place.trained(&["--force", "--seed", "2"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
    assert!(contents(&place.out())["model.safetensors"] != earlier["model.safetensors"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.write("file", b"kept");
    for out in ["file", "file/run", "file/runs/1"] {
        place.refused(&["--out", out], &["file: is a file", "--out"]);
    }
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"kept");
    if Path::new("/proc/self").exists() {
        let words = ["/proc/striate/run: the folder cannot be created", "give another --out"];
        place.refused(&["--out", "/proc/striate/run"], &words);
    }
    std::fs::create_dir_all(place.path("run/model.safetensors.part")).unwrap();
    let output = place.train(&[]).output().unwrap();
    assert_refused(&output, "a folder", &["model.safetensors.part: is a folder", "--out"]);
    assert_eq!(list(&place.out()), ["model.safetensors.part"]);
}

#[test]
fn a_full_disk_is_told_with_the_file() {
    // What is missing afterwards: the file itself, and what comes later; the weights are always tried.
    let cases: [(&str, &[&str]); 3] = [
        ("metrics.csv", &["config.json", "curves.svg", "model.safetensors"]),
        ("model.safetensors", &["config.json", "curves.svg", "metrics.csv"]),
        ("curves.svg", &["config.json", "metrics.csv", "model.safetensors"]),
    ];
    for (file, left) in cases {
        let place = Place::new();
        std::fs::create_dir(place.out()).unwrap();
        std::os::unix::fs::symlink("/dev/full", place.out().join(format!("{file}.part"))).unwrap();
        let output = place.train(&[]).output().unwrap();
        assert_refused(&output, file, &[&format!("run/{file}: cannot write: No space left")]);
        assert_eq!(list(&place.out()), left, "{file}");
    }
}

// Settings.

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let place = Place::new();
    let cases: [(&str, &str, &str); 23] = [
        ("--batch", "0", "above 0"),
        ("--batch", "21", "at most 20"),
        ("--epochs", "0", "above 0"),
        ("--threads", "0", "above 0"),
        ("--lr", "NaN", "finite number above 0"),
        ("--lr", "inf", "finite number above 0"),
        ("--lr", "0", "finite number above 0"),
        ("--lr", "-0.1", "finite number above 0"),
        ("--warmup", "-1", "from 0 on"),
        ("--warmup", "NaN", "from 0 on"),
        ("--warmup", "inf", "from 0 on"),
        ("--weight-decay", "NaN", "from 0 on"),
        ("--weight-decay", "-1", "from 0 on"),
        ("--momentum", "-0.5", "from 0 on"),
        ("--momentum", "inf", "from 0 on"),
        ("--label-smoothing", "2", "from 0 to 1"),
        ("--label-smoothing", "NaN", "from 0 to 1"),
        ("--label-smoothing", "-0.1", "from 0 to 1"),
        ("--clip-norm", "0", "above 0"),
        ("--clip-norm", "NaN", "above 0"),
        ("--clip-norm", "-1", "above 0"),
        ("--clip-norm", "inf", "above 0"),
        ("--image-size", "9x9", "leave it out"),
    ];
    for (flag, value, remedy) in cases {
        place.refused(&[flag, value], &[&format!("error: {flag}: "), remedy]);
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let place = Place::new();
    let cases: [&[&str]; 8] = [
        &["--out", ""],
        &["--data", ""],
        &["--batch", "-1"],
        &["--batch", "many"],
        &["--image-size", "64"],
        &["--schedule", "linear"],
        &["--seed", "-1"],
        &["--no-such-flag"],
    ];
    for args in cases {
        let output = place.train(args).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.starts_with("error: ") && !message.contains("panicked"), "{args:?}: {message}");
        assert!(!place.out().exists());
    }
}

#[test]
fn numbers_beyond_all_bounds_do_no_harm() {
    let place = Place::new();
    let most = usize::MAX.to_string();
    place.trained(&["--threads", &most, "--warmup", "1e30", "--seed", &most]);
    let mut command = place.train(&["--epochs", &most, "--force"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, "INT");
    let status = wait(&mut child);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    // Where the machine is busy, Ctrl-C may come before it is waited for.
    assert!(status.code().is_none_or(|code| code == 130) && errors.is_empty(), "{status}: {errors}");
}

#[test]
fn a_loss_that_explodes_says_what_to_change() {
    let place = Place::new();
    let output = place.train(&["--lr", "1e30", "--warmup", "0", "--epochs", "9"]).output().unwrap();
    assert_refused(&output, "explodes", &["error: --lr: the loss is no longer", "learning rate below"]);
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    let place = Place::new();
    for model in ["alexnet", "resnet", "resnet9", "resnet50", "resnet-8", ""] {
        place.refused(&["--model", model], &["error: --model: ", model, "resnet8"]);
    }
    place.refused(&["--dataset", "imagenet"], &["error: --dataset: ", "imagenet", "fashion-mnist", "folder"]);
    place.refused(&["--device", ""], &["error: device: ", "auto, gpu, cpu"]);
    let mut command = Command::new(PROGRAM);
    command.args(["train", "--dataset", "cifar10", "--device", "cpu", "--out"]).arg(place.out());
    let output = command.output().unwrap();
    assert_refused(&output, "no --data", &["error: --data: cifar10 needs the folder of its files"]);
    assert!(!place.out().exists());
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let place = Place::new();
    // Without a driver there is one remedy.
    for device in ["gpu", "99", "no such adapter"] {
        let words =
            ["error: device: ", device, "there is no GPU adapter", "mesa-vulkan-drivers", "--device cpu"];
        place.refused(&["--device", device], &words);
    }
    let stdout = place.trained(&["--device", "auto"]);
    assert!(stdout.starts_with("device   CPU executor"), "{stdout}");
    // With some, if this machine has any, they are listed.
    let adapters = striate::gpu::adapters();
    let Some(first) = adapters.first() else { return };
    for device in ["99", "no such adapter"] {
        let mut command = place.train(&["--device", device, "--force"]);
        let output = command.env_remove("VK_ICD_FILENAMES").env_remove("VK_DRIVER_FILES").output().unwrap();
        let message = text(&output.stderr);
        let last = message.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(last.starts_with("error: device: ") && last.contains(device), "{message}");
        assert!(last.contains(&format!("0: {}", first.name)), "{message}");
    }
}

#[test]
fn a_network_too_large_is_refused_before_anything_is_allocated() {
    let place = Place::new();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gibibytes = memory.map(|kib| kib.parse::<u64>().unwrap() >> 20);
    if gibibytes.is_some_and(|gibibytes| gibibytes < 190) {
        // It wants 198 GiB, where the program may have 8 GB in all.
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 8000000; exec \"$0\" \"$@\"", PROGRAM]);
        shell.args(["train", "--device", "cpu", "--model", "resnet602", "--batch", "6000", "--out"]);
        let output = shell.arg(place.out()).output().unwrap();
        assert_refused(&output, "too large", &["too large for the device: ", "MiB", "use a smaller batch"]);
        assert!(!place.out().exists());
    }

    let device = Device::select("cpu").unwrap();
    let small = device.with_target(Target::cpu(Some(1 << 20)));
    let split = || data::open("mnist", Some(&place.path("data")), None).unwrap();
    let error = Trainer::new(&small, &*resnet8(), split(), config(20)).err().expect("too large");
    assert!(matches!(error, striate::Error::TooLarge(_)), "{error}");
    assert!(error.to_string().contains("the device has 1.0 MiB; use a smaller batch"), "{error}");
}

#[test]
fn plans_that_fit_one_by_one_must_fit_together() {
    let place = Place::new();
    let split = || data::open("mnist", Some(&place.path("data")), None).unwrap();
    let device = |memory| Device::select("cpu").unwrap().with_target(Target::cpu(memory));
    let mut trainer = Trainer::new(&device(None), &*resnet8(), split(), config(20)).unwrap();
    let bytes = trainer.session().bytes();
    assert!(Trainer::new(&device(Some(bytes)), &*resnet8(), split(), config(20)).is_ok());
    let error = Trainer::new(&device(Some(bytes - 1)), &*resnet8(), split(), config(20)).err().unwrap();
    assert!(error.to_string().contains("the plans take"), "{error}");
}

#[test]
fn pictures_too_small_for_the_network_are_refused() {
    let place = Place::of(5, 10, 1);
    place.refused(
        &["--batch", "1"],
        &["batch_norm in bn1", "[1, 16, 1, 1]", "larger batch or larger pictures"],
    );
    place.refused(&["--batch", "4"], &["no last batch of 1", "drop_last"]);
    place.trained(&["--batch", "4", "--drop-last"]);
    place.trained(&["--batch", "5", "--force"]);
}

// Files.

#[test]
fn bad_idx_files_are_refused() {
    let images = "data/train-images-idx3-ubyte";
    let labels = "data/train-labels-idx1-ubyte";
    let good_images = idx(0x803, &[20, 8, 8], &[7; 1280]);
    let good_labels = idx(0x801, &[20], &[3; 20]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    const AGAIN: &str = "fetch the file again";
    let mut out_of_range = good_labels.clone();
    out_of_range[8 + 5] = 10;
    let mut flipped = gzip(&good_images);
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let cases: Vec<(&str, &str, Vec<u8>, &[&str])> = vec![
        ("empty", images, vec![], &["found an empty one", AGAIN]),
        ("cut in the header", images, good_images[..10].to_vec(), &["ends within the header", AGAIN]),
        ("cut", images, good_images[..900].to_vec(), &["promises 1280 bytes", "only 884", AGAIN]),
        ("too long", images, [&good_images[..], b"x"].concat(), &["but more follow", AGAIN]),
        ("promises too much", images, idx(0x803, &[u32::MAX; 3], &[]), &["more than the", AGAIN]),
        ("promises 2 GiB", images, idx(0x803, &[1 << 20, 32, 32], &[0; 9]), &["only 9 follow", AGAIN]),
        ("no pictures", images, idx(0x803, &[0, 8, 8], &[]), &["which is none", AGAIN]),
        ("labels for pictures", images, good_labels.clone(), &["magic number", "give the right file"]),
        ("not IDX", images, b"<html>404</html>".to_vec(), &["magic number", "give the right file"]),
        (
            "rubbish after gzip",
            images,
            [&gzip(&good_images)[..], b"rubbish"].concat(),
            &["more bytes after", AGAIN],
        ),
        ("gzip cut", images, gzip(&good_images)[..20].to_vec(), &["cut short", AGAIN]),
        ("gzip damaged", images, flipped, &["damaged", AGAIN]),
        (
            "fewer labels",
            labels,
            idx(0x801, &[19], &[3; 19]),
            &["expected 20 labels", "found 19", "fetch both"],
        ),
        (
            "more labels",
            labels,
            idx(0x801, &[21], &[3; 21]),
            &["expected 20 labels", "found 21", "fetch both"],
        ),
        ("label 10", labels, out_of_range, &["label 10 of picture 5", "10 classes", "give the labels"]),
        ("labels empty", labels, vec![], &["found an empty one", AGAIN]),
    ];
    for (case, file, bytes, words) in cases {
        let place = Place::new();
        place.write(file, &bytes);
        place.refused(&[], &[&[file], words].concat());
        println!("{case}: as expected");
    }
    for file in [images, labels] {
        let place = Place::new();
        std::fs::remove_file(place.path(file)).unwrap();
        let name = file.trim_start_matches("data/");
        place.refused(&[], &["data: expected one of", name, "found none; get it from"]);
    }
    let place = Place::new();
    place.write("data/t10k-images-idx3-ubyte", &idx(0x803, &[10, 9, 8], &[0; 720]));
    place.refused(&[], &["[1, 8, 8]", "[1, 9, 8]", "take both from one set"]);
    place.refused(&["--data", "nowhere"], &["nowhere: is not there; give the folder"]);
    place.refused(&["--data", "data/t10k-labels-idx1-ubyte"], &["t10k-labels-idx1-ubyte: is a file; give"]);
}

#[test]
fn bad_cifar_files_are_refused() {
    let place = Place::new();
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    let record = |label: u8| [&[label][..], &[9; 3072]].concat();
    let restore = || names.iter().for_each(|name| place.write(&format!("cifar/{name}.bin"), &record(1)));
    let refused = |words: &[&str]| place.refused(&["--dataset", "cifar10", "--data", "cifar"], words);
    let file = "cifar/data_batch_3.bin";
    let cases: [(&[u8], &[&str]); 5] = [
        (&[], &[file, "found an empty file", "fetch the file again"]),
        (&record(1)[..3072], &[file, "whole records of 3073 bytes", "fetch the file again"]),
        (&[&record(1)[..], b"x"].concat(), &[file, "1 too many", "fetch the file again"]),
        (&record(10), &[file, "record 0 has label 10", "fetch the file again"]),
        (&record(255), &[file, "record 0 has label 255", "fetch the file again"]),
    ];
    for (bytes, words) in cases {
        restore();
        place.write(file, bytes);
        refused(words);
    }
    // A file of 3 GiB, which takes no room and is not read.
    std::fs::File::create(place.path(file)).unwrap().set_len(3 << 30).unwrap();
    refused(&[file, "more than 2147483648 bytes", "fetch the file again"]);
    std::fs::remove_file(place.path(file)).unwrap();
    refused(&["cifar: expected", "found no data_batch_3.bin", "get the binary version"]);
    restore();
    place.trained(&["--dataset", "cifar10", "--data", "cifar"]);
}

#[test]
fn bad_folders_of_pictures_are_refused() {
    let place = Place::new();
    let args = ["--dataset", "folder", "--data", "pets", "--image-size", "8x8"];
    std::fs::create_dir(place.path("pets")).unwrap();
    place.refused(&args, &["pets: expected one folder of pictures for every class"]);
    for name in ["cat/1", "cat/2", "cat/3", "dog/1", "dog/2", "dog/3"] {
        let path = place.path(&format!("pets/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_fn(9, 9, |x, y| image::Rgb([x as u8, y as u8, 77])).save(path).unwrap();
    }
    let picture = std::fs::read(place.path("pets/dog/2.png")).unwrap();
    for bytes in [&b"not a picture"[..], &[], &picture[..picture.len() / 2]] {
        place.write("pets/dog/2.png", bytes);
        place.refused(&args, &["pets/dog/2.png", "cannot be decoded", "replace or remove it"]);
    }
    place.write("pets/dog/2.png", &picture);
    std::fs::create_dir(place.path("pets/cow")).unwrap();
    place.refused(&args, &["pets/cow", "found none; add some or remove the folder"]);
    std::fs::remove_dir(place.path("pets/cow")).unwrap();
    for size in ["0x8", "5000x8"] {
        let args = ["--dataset", "folder", "--data", "pets", "--image-size", size];
        place.refused(&args, &["error: --image-size: expected sides from 1 to 4096"]);
    }
    place.trained(&args);
}
