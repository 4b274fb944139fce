//! Bad settings, devices and networks are refused.

use crate::workspace::*;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use striate::plan::Target;
use striate::train::Trainer;
use striate::{Device, data};

#[test]
fn invalid_numbers_are_refused_with_a_remedy() {
    let dir = Workspace::new();
    let cases: [(&str, &str, &str); 28] = [
        ("--batch", "0", "positive"),
        ("--batch", "21", "at most 20"),
        ("--epochs", "0", "positive"),
        ("--threads", "0", "positive"),
        ("--lr", "NaN", "positive and finite"),
        ("--lr", "inf", "positive and finite"),
        ("--lr", "0", "positive and finite"),
        ("--lr", "-0.1", "positive and finite"),
        ("--warmup", "-1", "not negative"),
        ("--warmup", "NaN", "not negative"),
        ("--warmup", "inf", "not negative"),
        ("--weight-decay", "NaN", "at least 0"),
        ("--weight-decay", "-1", "at least 0"),
        ("--momentum", "-0.5", "at least 0"),
        ("--momentum", "inf", "at least 0"),
        ("--label-smoothing", "2", "between 0 and 1"),
        ("--label-smoothing", "NaN", "between 0 and 1"),
        ("--label-smoothing", "-0.1", "between 0 and 1"),
        ("--clip-norm", "0", "positive and finite"),
        ("--clip-norm", "NaN", "positive and finite"),
        ("--clip-norm", "-1", "positive and finite"),
        ("--clip-norm", "inf", "positive and finite"),
        ("--image-size", "9x9", "leave it out"),
        ("--eta-min", "1", "between 0 and the learning rate"),
        ("--eta-min", "NaN", "between 0 and the learning rate"),
        ("--start-factor", "0", "above 0"),
        ("--power", "2", "--schedule polynomial"),
        ("--gamma", "0.5", "--schedule steps"),
    ];
    for (flag, value, remedy) in cases {
        dir.refused(&[flag, value], &[&format!("error: {flag}: "), remedy]);
    }
}

#[test]
fn an_augmentation_must_fit_the_images() {
    let dir = Workspace::new();
    dir.refused(
        &["--augment", "crop=40"],
        &["error: --augment: a crop padding of 40 could shift an image of"],
    );
    dir.refused(&["--show-augment", "sheet.png"], &["error: --show-augment: ", "give --augment too"]);
}

#[test]
fn a_sheet_shows_augmentation_without_training() {
    let dir = Workspace::new();
    let output = dir.trained(&["--augment", "rotation,erasing", "--show-augment", "sheet.png"]);
    assert_eq!(output, "written  sheet.png\n");
    assert!(!dir.run().exists());
    let image = image::open(dir.path("sheet.png")).unwrap();
    // Nine columns of 28 x 28 pixels, scaled by 8, with gaps of 6.
    assert_eq!(image.width(), 9 * (28 * 8 + 6) + 6);
}

#[test]
fn usage_errors_exit_with_2() {
    let dir = Workspace::new();
    let cases: [&[&str]; 10] = [
        &["--augment", "mirror"],
        &["--augment", "flip,rotation=200"],
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
        let output = dir.train(args).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.starts_with("error: ") && !message.contains("panicked"), "{args:?}: {message}");
        assert!(!dir.run().exists());
    }
}

#[test]
fn huge_numbers_are_accepted() {
    let dir = Workspace::new();
    let most = usize::MAX.to_string();
    dir.trained(&["--threads", &most, "--warmup", "1e30", "--seed", &most]);
    let mut command = dir.train(&["--epochs", &most, "--force"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("\nepoch 1/") {
        assert!(stdout.read_line(&mut lines).unwrap() > 0, "the run ended early: {lines}");
    }
    signal(&child, "INT");
    stdout.read_to_string(&mut lines).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    let status = wait(&mut child);
    assert_eq!((status.code(), &errors[..]), (Some(130), ""), "{status}: {lines}");
}

/// They are not rounded to infinity or zero.
#[test]
fn numbers_out_of_the_range_of_f32_are_refused() {
    let dir = Workspace::new();
    for (flag, value, range) in [
        ("--lr", "1e300", "must be from -3.4028235e38 to 3.4028235e38"),
        ("--weight-decay", "1e39", "3.4028235e38"),
        ("--warmup", "-1e300", "-3.4028235e38"),
        ("--lr", "1e-300", "must be 0 or at least 1e-45"),
    ] {
        let output = dir.train(&[flag, value]).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {message}");
        for word in [flag, value, range] {
            assert!(message.contains(word), "{flag} {value}: {message}");
        }
        assert!(!dir.run().exists());
    }
}

#[test]
fn a_diverging_loss_says_what_to_change() {
    let dir = Workspace::new();
    let mut command = dir.train(&["--lr", "1e30", "--warmup", "0", "--epochs", "9"]);
    assert_refused(&mut command, &["error: --lr: the loss is no longer", "learning rate below"]);
    for optimizer in ["sgd", "adam", "adamw"] {
        let flags = ["--weight-decay", "1e38", "--optimizer", optimizer, "--epochs", "9", "--force"];
        let words = ["error: --weight-decay: ", "no longer", "weight decay below"];
        assert_refused(&mut dir.train(&flags), &words);
    }
}

#[test]
fn unknown_names_are_refused_with_a_list_of_known_ones() {
    let dir = Workspace::new();
    for model in ["alexnot", "resnet", "resnet9", "resnet-8", ""] {
        dir.refused(&["--model", model], &["error: --model: ", model, "resnet8"]);
    }
    dir.refused(&["--dataset", "imagenet"], &["error: --dataset: ", "imagenet", "fashion-mnist", "folder"]);
    dir.refused(&["--device", ""], &["error: device: ", "auto, gpu, cpu"]);
    let mut command = dir.striate(&["train", "--dataset", "cifar10", "--device", "cpu", "--out", "run"]);
    assert_refused(&mut command, &["error: --data: cifar10 needs a folder with its files"]);
    assert!(!dir.run().exists());
}

#[test]
fn missing_devices_are_refused() {
    let dir = Workspace::new();
    // Without a driver, the error says what to install.
    for device in ["gpu", "99", "no such adapter"] {
        let words = ["error: device: ", device, "needs a GPU adapter", "mesa-vulkan-drivers", "--device cpu"];
        dir.refused(&["--device", device], &words);
    }
    let stdout = dir.trained(&["--device", "auto"]);
    assert!(stdout.starts_with("device   CPU executor"), "{stdout}");
    // With drivers, if this machine has any, it lists the adapters.
    let adapters = striate::gpu::adapters();
    let Some(first) = adapters.first() else { return };
    for device in ["99", "no such adapter"] {
        let mut command = dir.train(&["--device", device, "--force"]);
        let output = command.env_remove("VK_ICD_FILENAMES").env_remove("VK_DRIVER_FILES").output().unwrap();
        let message = text(&output.stderr);
        let last = message.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(last.starts_with("error: device: ") && last.contains(device), "{message}");
        assert!(last.contains(&format!("0: {}", first.name)), "{message}");
    }
}

#[test]
fn a_network_that_is_too_large_is_refused_before_anything_is_allocated() {
    let dir = Workspace::new();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gibibytes = memory.map(|kib| kib.parse::<u64>().unwrap() >> 20);
    if gibibytes.is_some_and(|gibibytes| gibibytes < 190) {
        // It needs 198 GiB; the process is limited to 8 GB.
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 8000000; exec \"$0\" \"$@\"", PROGRAM]);
        shell.args(["train", "--device", "cpu", "--model", "resnet602", "--batch", "6000", "--out"]);
        let words = ["too large for the device: ", "MiB", "use a smaller batch"];
        assert_refused(shell.arg(dir.run()), &words);
        assert!(!dir.run().exists());
    }

    let device = Device::select("cpu").unwrap();
    let small = device.with_target(Target::cpu(Some(1 << 20)));
    let split = || data::open("mnist", Some(&dir.path("data")), None).unwrap();
    let error = Trainer::new(&small, &*resnet8(), split(), config(20)).err().expect("too large");
    assert!(matches!(error, striate::Error::TooLarge(_)), "{error}");
    assert!(error.to_string().contains("the device has 1.0 MiB; use a smaller batch"), "{error}");
}

#[test]
fn plans_must_fit_into_memory_together() {
    let dir = Workspace::new();
    let split = || data::open("mnist", Some(&dir.path("data")), None).unwrap();
    let device = |memory| Device::select("cpu").unwrap().with_target(Target::cpu(memory));
    let mut trainer = Trainer::new(&device(None), &*resnet8(), split(), config(20)).unwrap();
    let bytes = trainer.session().bytes();
    assert!(Trainer::new(&device(Some(bytes)), &*resnet8(), split(), config(20)).is_ok());
    let error = Trainer::new(&device(Some(bytes - 1)), &*resnet8(), split(), config(20)).err().unwrap();
    assert!(error.to_string().contains("the plans take"), "{error}");
}

#[test]
fn images_too_small_for_the_network_are_refused() {
    let dir = Workspace::with_images(5, 10, 1);
    dir.refused(&["--batch", "1"], &["batch_norm in bn1", "[1, 16, 1, 1]", "larger batch or larger images"]);
    dir.refused(&["--batch", "4"], &["leave a last batch of 1", "drop_last"]);
    dir.trained(&["--batch", "4", "--drop-last"]);
    dir.trained(&["--batch", "5", "--force"]);
}
