//! `striate predict` and `striate eval` on the command line.

#[path = "../common/mod.rs"]
mod common;
mod output;
#[path = "../common/workspace.rs"]
mod workspace;

use common::{Outcome, Suite, named};
use image::RgbImage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use workspace::*;

/// Weights, data and images that are not part of the repository.
fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name)
}

/// A run of two epochs in `run`, images, a broken image, and a folder without images.
fn trained() -> Workspace {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "2"]);
    for (i, name) in ["one.png", "more/two.png", "more/three.jpg"].into_iter().enumerate() {
        let image =
            RgbImage::from_fn(20 + i as u32, 16, |x, y| image::Rgb([(x * 11) as u8, (y * 13) as u8, 77]));
        dir.save(name, &image);
    }
    dir.write("broken.png", b"not an image");
    dir.write("empty/readme.txt", b"no image");
    dir
}

fn predict_needs_only_a_run_folder() -> Outcome {
    let dir = trained();
    let found = json(&mut dir.striate(&["predict", "run", "one.png", "more", "--json"]));
    assert_eq!((&found["model"], &found["preprocessing"]["size"][0]), (&"resnet8".into(), &8.into()));
    let images = found["pictures"].as_array().unwrap();
    let names: Vec<&str> = images.iter().map(|p| p["picture"].as_str().unwrap()).collect();
    assert_eq!(names, ["one.png", "more/three.jpg", "more/two.png"]);
    for image in images {
        let top = image["top"].as_array().unwrap();
        let probabilities: Vec<f64> =
            top.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert!(probabilities.len() == 5 && probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
        assert!(
            probabilities[4] >= 0.0 && probabilities.iter().sum::<f64>() <= 1.0 + 1e-9,
            "{probabilities:?}"
        );
        assert_eq!(top[0]["name"], top[0]["class"].to_string(), "MNIST classes are named by their digit");
    }
    // Full batches give the same results as a padded one.
    for batch in ["1", "2"] {
        let flags = ["predict", "run", "one.png", "more", "--json", "--batch", batch];
        let again = json(&mut dir.striate(&flags));
        for (again, image) in again["pictures"].as_array().unwrap().iter().zip(images) {
            assert_eq!(again["picture"], image["picture"]);
            for (a, b) in again["top"].as_array().unwrap().iter().zip(image["top"].as_array().unwrap()) {
                // Up to rounding: the batch size decides which batch norms are folded.
                let difference = a["probability"].as_f64().unwrap() - b["probability"].as_f64().unwrap();
                assert!(a["name"] == b["name"] && difference.abs() < 1e-5, "{batch} at a time: {a} and {b}");
            }
        }
    }
    let flags = ["predict", "resnet8", "run", "one.png", "--classes", "fashion-mnist", "--top", "10"];
    let named = printed(&mut dir.striate(&flags));
    assert!(
        named.contains("Ankle boot") && named.lines().filter(|line| line.contains(" %  ")).count() == 10,
        "{named}"
    );
    Ok(())
}

fn a_broken_image_is_reported_and_skipped() -> Outcome {
    let dir = trained();
    let flags = ["predict", "run", "one.png", "broken.png", "more", "gone.png", "--json"];
    let output = dir.striate(&flags).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.contains("skipped: broken.png: ") && stderr.contains("skipped: gone.png: "), "{stderr}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["pictures"].as_array().unwrap().len(), json["skipped"].as_array().unwrap().len()),
        (3, 2)
    );
    Ok(())
}

fn predict_refuses_wrong_arguments() -> Outcome {
    let dir = trained();
    rewrite(&dir, "bare", str::to_owned, &[]);
    dir.write("names.txt", b"cat\ndog\n");
    dir.write("nothing.txt", b"\n");
    let cases: [(&[&str], &[&str]); 17] = [
        (&["alexnot", "run", "one.png"], &["alexnot", "did you mean alexnet"]),
        (&["resnext50.a1_in1k", "run", "one.png"], &["resnext50", "available: lenet"]),
        (&["resnet50.a9_in1k", "bare", "one.png"], &["the tags of resnet50 are a1_in1k, "]),
        (&["resnet8", "nowhere", "one.png"], &["nowhere: cannot read"]),
        (&["no/where", "one.png"], &["no/where: does not exist"]),
        (&["more", "one.png"], &["more: is a folder without best.safetensors or model.safetensors"]),
        (&["one.png", "one.png"], &["one.png: is neither a safetensors nor a .pth file"]),
        (&["run", "empty"], &["empty: is a folder without images", "1 .txt (empty/readme.txt)"]),
        (&["resnet8", "run"], &["images: none given"]),
        (&["run", "broken.png"], &["none of the 1 images could be read", "broken.png"]),
        (&["run", "one.png", "--classes", "gone.txt"], &["gone.txt: cannot read"]),
        (&["run", "one.png", "--classes", "nothing.txt"], &["nothing.txt: has no class names"]),
        (&["run", "one.png", "--classes", "names.txt"], &["--classes: expected 10 names", "found 2"]),
        (&["run", "one.png", "--preprocess", "mine"], &["--preprocess", "imagenet, googlenet, bvlc"]),
        (&["run", "one.png", "--mean", "0.1,0.2"], &["--mean", "found 2"]),
        (&["run", "one.png", "--size", "0x9"], &["0 x 9"]),
        (&["run", "one.png", "--device", "gpu"], &["needs a GPU adapter", "--device cpu"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut dir.striate(&[&["predict"], args].concat()), words);
    }
    Ok(())
}

fn flags_can_come_between_arguments() -> Outcome {
    let dir = trained();
    let among = |args: &[&str]| printed(&mut dir.striate(args));
    let plain = among(&["predict", "resnet8", "run", "one.png", "more", "--top", "2"]);
    assert_eq!(plain, among(&["predict", "resnet8", "--top", "2", "run", "--batch", "1", "one.png", "more"]));
    let plain = among(&["eval", "resnet8", "run", "--batch", "3"]);
    assert_eq!(plain, among(&["eval", "resnet8", "--batch", "3", "run"]));
    let plain = among(&["see", "layers", "resnet8", "run"]);
    assert_eq!(plain, among(&["see", "layers", "resnet8", "--batch", "1", "run"]));
    Ok(())
}

fn eval_agrees_with_training() -> Outcome {
    let dir = trained();
    let data = ["eval", "run", "--dataset", "mnist", "--data", "data"];
    let args = [&data[..], &["--batch", "3", "--confusion", "confusion.svg"]].concat();
    let json = json(&mut dir.striate(&[&args[..], &["--json"]].concat()));
    // The best epoch: of equal accuracies, the smallest loss.
    let rank = |row: &BTreeMap<String, String>| {
        ["test_accuracy", "test_loss"].map(|column| row[column].parse::<f64>().unwrap())
    };
    let rows = metrics(&dir.run());
    let better = |a: &[f64; 2], b: &[f64; 2]| a[0].total_cmp(&b[0]).then(b[1].total_cmp(&a[1]));
    let row = rows.iter().max_by(|a, b| better(&rank(a), &rank(b))).unwrap();
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert_eq!(json["top1"].as_f64().unwrap(), number("test_accuracy"));
    assert!((json["loss"].as_f64().unwrap() - number("test_loss")).abs() < 1e-5, "{json}, {row:?}");
    let confusion: Vec<Vec<u64>> = serde_json::from_value(json["confusion"].clone()).unwrap();
    let right: u64 = (0..10).map(|class| confusion[class][class]).sum();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 10);
    assert_eq!(right as f64 / 10.0, json["top1"].as_f64().unwrap());
    let svg = dir.read_text("confusion.svg");
    assert_well_formed(&svg);
    assert!(svg.matches("<rect").count() >= 100 && svg.contains("#440154"), "viridis starts at this purple");
    let table = printed(&mut dir.striate(&args));
    assert!(table.contains(&format!("top-1 {:.2} %, top-5 ", 100.0 * number("test_accuracy"))), "{table}");
    Ok(())
}

fn eval_refuses_wrong_arguments() -> Outcome {
    let dir = trained();
    dir.write("cifar/test.bin", &[0; 3074]);
    dir.write("cifar/train.bin", &[0; 3074]);
    let cases: [(&[&str], &[&str]); 6] = [
        (&["alexnot", "run"], &["alexnot", "did you mean alexnet"]),
        (&["resnet8"], &["resnet8: is a model; add its weights"]),
        (&["run", "run"], &["run: is unexpected"]),
        (&["run", "--dataset", "cifar100", "--data", "cifar"], &["--dataset", "3 channels", "expect 1"]),
        (&["run", "--dataset", "imagenet"], &["--dataset", "fashion-mnist"]),
        (&["run", "--dataset", "mnist", "--data", "data", "--batch", "0"], &["--batch"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut dir.striate(&[&["eval"], args].concat()), words);
    }
    Ok(())
}

fn partial_loading_reports_what_is_missing() -> Outcome {
    let dir = trained();
    let file = dir.path("run/best.safetensors");
    let weights = striate::weights::Weights::read(&file).unwrap();
    let kept = weights.names().filter(|name| *name != "conv1.weight");
    let kept: Vec<_> = kept.map(|name| (name.to_owned(), weights.get(name).unwrap().clone())).collect();
    let metadata = striate::infer::Card::of(&weights).metadata();
    striate::weights::write(&file, &kept, &metadata).unwrap();
    let args = ["predict", "run", "one.png"];
    assert_refused(&mut dir.striate(&args), &["1 missing from the file (conv1.weight)", "--partial"]);
    let output = dir.striate(&[&args[..], &["--partial"]].concat()).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(
        output.status.success() && stderr.starts_with("note: ") && stderr.contains("conv1.weight"),
        "{stderr}"
    );
    Ok(())
}

/// Writes the run's weights to `file` with other names and metadata.
fn rewrite(dir: &Workspace, file: &str, rename: impl Fn(&str) -> String, metadata: &[(&str, &str)]) {
    let weights = striate::weights::Weights::read(&dir.path("run/best.safetensors")).unwrap();
    let tensors = weights.names().map(|name| (rename(name), weights.get(name).unwrap().clone()));
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    striate::weights::write(&dir.path(file), &tensors.collect::<Vec<_>>(), &metadata.collect()).unwrap();
}

fn foreign_names_and_metadata_are_accepted() -> Outcome {
    let dir = trained();
    dir.write("names.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let flags = ["one.png", "--preprocess", "mnist", "--classes", "names.txt"];
    let want = printed(&mut dir.striate(&[&["predict", "resnet8", "run"], &flags[..]].concat()));
    let assert_same = |what: &[&str], note: &str| {
        let output = dir.striate(&[&["predict"], what, &flags].concat()).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success() && stderr.contains(note), "{what:?}: {stderr}");
        assert_eq!(stderr.is_empty(), note.is_empty(), "{what:?}: {stderr}");
        assert_eq!(text(&output.stdout), want, "{what:?}");
    };
    rewrite(
        &dir,
        "wrapped.safetensors",
        |name| format!("module._orig_mod.{}", name.replace("fc.", "linear.")),
        &[],
    );
    assert_same(
        &["resnet8", "wrapped.safetensors"],
        "dropped \"_orig_mod.\", dropped \"module.\", linear -> fc",
    );
    rewrite(&dir, "lightning.safetensors", |name| format!("model.{name}"), &[]);
    assert_same(&["resnet8", "lightning.safetensors"], "dropped \"model.\"");
    let free =
        [("model", "my best one"), ("classes", "cat,dog"), ("preprocessing", "none"), ("author", "me")];
    rewrite(&dir, "free.safetensors", str::to_owned, &free);
    assert_same(&["resnet8", "free.safetensors"], "ignored invalid metadata: model (");
    let few = [("model", "resnet20"), ("classes", "[\"cat\", \"dog\"]")];
    rewrite(&dir, "few.safetensors", str::to_owned, &few);
    assert_same(
        &["resnet8", "few.safetensors"],
        "contains resnet20 according to its metadata; loading it as resnet8",
    );
    // Rejecting this name must not build a network of that many layers.
    rewrite(&dir, "deep.safetensors", str::to_owned, &[("model", "resnet60002")]);
    assert_same(&["resnet8", "deep.safetensors"], "resnet60002");
    let output = dir.striate(&["predict", "deep.safetensors", "one.png"]).output().unwrap();
    assert!(text(&output.stderr).contains("does not name its model"), "{output:?}");
    Ok(())
}

fn weights_without_a_last_layer_are_explained() -> Outcome {
    let dir = trained();
    rewrite(&dir, "headless.safetensors", |name| name.replace("fc.", "other."), &[]);
    let args = ["predict", "resnet8", "headless.safetensors", "one.png", "--preprocess", "mnist"];
    let words = ["has no fc.weight, the last layer of resnet8", "bn1.bias, ", "other.weight", "--partial"];
    assert_refused(&mut dir.striate(&args), &words);
    Ok(())
}

fn preprocessing_flags_are_applied_and_printed() -> Outcome {
    let dir = trained();
    dir.write("timm.json", br#"{"input_size": [1, 8, 8], "crop_pct": 0.5, "interpolation": "bicubic", "mean": [0.5], "std": [0.25]}"#);
    let line = |flags: &[&str]| {
        let text = printed(&mut dir.striate(&[&["predict", "run", "one.png"], flags].concat()));
        text.lines().find(|line| line.starts_with("images ")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert!(line(&[]).starts_with("images   center 8x8, bilinear, mean ["), "{}", line(&[]));
    assert!(line(&[]).ends_with("(stored with the weights)"), "{}", line(&[]));
    let printed = line(&["--preprocess", "timm.json"]);
    assert_eq!(printed, "images   shorter side 16, bicubic, center 8x8, mean [0.5], std [0.25] (timm.json)");
    let flags = [
        "--crop-pct",
        "0.8",
        "--interpolation",
        "bicubic",
        "--no-exif-rotation",
        "--mean",
        "0.1",
        "--std",
        "0.2",
    ];
    assert_eq!(
        line(&flags),
        "images   no EXIF rotation, shorter side 10, bicubic, center 8x8, mean [0.1], std [0.2] (stored with the weights)"
    );
    let refused: [(&[&str], &[&str]); 3] = [
        (&["--crop-pct", "1.5"], &["--crop-pct", "at most 1"]),
        (&["--transform-input"], &["--transform-input", "3 channels"]),
        (&["--preprocess", "gone.json"], &["gone.json: cannot read"]),
    ];
    for (flags, words) in refused {
        assert_refused(&mut dir.striate(&[&["predict", "run", "one.png"], flags].concat()), words);
    }
    Ok(())
}

/// Writes CIFAR-10 to `cifar`, from its test images tiled into one large image. The training files, which no test reads, hold the
/// same images.
fn write_cifar10(dir: &Workspace) {
    let tiled = image::open(shared("data/cifar10/test_batch.webp")).unwrap().into_rgb8();
    let labels = std::fs::read(shared("data/cifar10/test_batch.labels")).unwrap();
    let mut records = Vec::new();
    for (i, label) in (0..).zip(labels) {
        let image = image::imageops::crop_imm(&tiled, i % 100 * 32, i / 100 * 32, 32, 32).to_image();
        records.push(label);
        (0..3).for_each(|channel| records.extend(image.pixels().map(|pixel| pixel.0[channel])));
    }
    let train = (1..=5).map(|n| format!("data_batch_{n}"));
    for name in train.chain(["test_batch".to_owned()]) {
        dir.write(&format!("cifar/{name}.bin"), &records);
    }
}

fn resnet20_reaches_its_published_accuracy(device: &str) -> Outcome {
    let dir = Workspace::new();
    write_cifar10(&dir);
    let weights = shared("models/resnet20_cifar10.safetensors");
    let mut command = striate(&["eval", "resnet20-a"]);
    command.arg(weights).args(["--dataset", "cifar10", "--json", "--device", device, "--data"]);
    let found = json(command.arg(dir.path("cifar")));
    let correct = (found["top1"].as_f64().unwrap() * 10_000.0).round() as u64;
    // Rounding may decide an image whose top two classes are nearly tied.
    assert!(found["pictures"] == 10_000 && correct.abs_diff(9173) <= 1, "{correct} of {}", found["pictures"]);
    Ok(())
}

/// The correct class is among the top five for most images.
fn googlenet_recognizes_images_of_imagenet_classes() -> Outcome {
    let mut command = striate(&["predict", "googlenet-original"]);
    command.arg(shared("models/googlenet_bvlc.safetensors")).arg(shared("pictures"));
    command.arg("--classes").arg(shared("models/imagenet_classes.txt"));
    let found = json(command.args(["--device", "cpu", "--json"]));
    let images = found["pictures"].as_array().unwrap();
    let class = |image: &Value| {
        let name = Path::new(image["picture"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap();
        name.split_once('_').unwrap().1.to_owned()
    };
    let among = |image: &&Value| image["top"].as_array().unwrap().iter().any(|c| c["name"] == class(image));
    let missed: Vec<String> = images.iter().filter(|p| !among(p)).map(class).collect();
    assert!(images.len() == 23 && missed.len() <= 3, "missed: {missed:?}");
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add_all(named![
        predict_needs_only_a_run_folder,
        a_broken_image_is_reported_and_skipped,
        predict_refuses_wrong_arguments,
        flags_can_come_between_arguments,
        eval_agrees_with_training,
        eval_refuses_wrong_arguments,
        partial_loading_reports_what_is_missing,
        foreign_names_and_metadata_are_accepted,
        weights_without_a_last_layer_are_explained,
        preprocessing_flags_are_applied_and_printed,
    ]);
    output::add(&mut suite);
    let available = shared("models").is_dir();
    suite.add_if(
        available,
        "googlenet_recognizes_images_of_imagenet_classes",
        googlenet_recognizes_images_of_imagenet_classes,
    );
    for (device, available) in [("cpu", available), ("gpu", available && common::gpu().is_ok())] {
        suite.add_if(available, format!("resnet20_reaches_its_published_accuracy::{device}"), move || {
            resnet20_reaches_its_published_accuracy(device)
        });
    }
    suite.run()
}
