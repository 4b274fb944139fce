//! `striate predict` and `striate eval` on the command line.

#![cfg(feature = "cli")]

mod common;
#[path = "cli_train/place.rs"]
#[allow(dead_code, reason = "shared with the tests of `striate train`")]
mod place;

use common::{Outcome, Suite};
use image::{ImageFormat, RgbImage};
use place::{PROGRAM, Place, assert_refused, assert_well_formed, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

/// Real weights, data and images that are not part of the repository.
fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name)
}

/// A run of two epochs on the tiny data set, in the folder `run`.
fn trained() -> Place {
    let place = Place::new();
    place.trained(&["--epochs", "2"]);
    for (i, name) in ["one.png", "more/two.png", "more/three.jpg"].into_iter().enumerate() {
        let image =
            RgbImage::from_fn(20 + i as u32, 16, |x, y| image::Rgb([(x * 11) as u8, (y * 13) as u8, 77]));
        let path = place.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save_with_format(path, ImageFormat::from_path(name).unwrap()).unwrap();
    }
    place.write("broken.png", b"not an image");
    place.write("empty/readme.txt", b"no image");
    place
}

/// Runs the program in the test's folder, hiding all Vulkan drivers.
fn striate(place: &Place, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(place.dir.path()).args(args).env_remove("RUST_LOG");
    command.env("VK_ICD_FILENAMES", "/dev/null").env("VK_DRIVER_FILES", "/dev/null");
    command.output().unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn a_run_folder_is_all_that_predict_needs() -> Outcome {
    let place = trained();
    let output = striate(&place, &["predict", "run", "one.png", "more", "--json"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let json = answer(&output);
    assert_eq!(
        (json["model"].as_str(), json["preprocessing"]["size"][0].as_u64()),
        (Some("resnet8"), Some(8))
    );
    let images = json["pictures"].as_array().unwrap();
    let names: Vec<&str> = images.iter().map(|p| p["picture"].as_str().unwrap()).collect();
    assert_eq!(names, ["one.png", "more/three.jpg", "more/two.png"]);
    for image in images {
        let top = image["top"].as_array().unwrap();
        let shares: Vec<f64> = top.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert!(shares.len() == 5 && shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
        assert!(shares[4] >= 0.0 && shares.iter().sum::<f64>() <= 1.0 + 1e-9, "{shares:?}");
        assert_eq!(top[0]["name"], top[0]["class"].to_string(), "MNIST classes are named by their digit");
    }
    // Batches of one give the same as a padded batch.
    for batch in ["1", "2"] {
        let again =
            answer(&striate(&place, &["predict", "run", "one.png", "more", "--json", "--batch", batch]));
        for (again, image) in again["pictures"].as_array().unwrap().iter().zip(images) {
            assert_eq!(again["picture"], image["picture"]);
            for (a, b) in again["top"].as_array().unwrap().iter().zip(image["top"].as_array().unwrap()) {
                // Up to rounding: the batch size decides which batch norms are folded.
                let apart = a["probability"].as_f64().unwrap() - b["probability"].as_f64().unwrap();
                assert!(a["name"] == b["name"] && apart.abs() < 1e-5, "{batch} at a time: {a} and {b}");
            }
        }
    }
    let named = striate(
        &place,
        &["predict", "resnet8", "run", "one.png", "--classes", "fashion-mnist", "--top", "10"],
    );
    let named = text(&named.stdout);
    assert!(
        named.contains("Ankle boot") && named.lines().filter(|line| line.contains(" %  ")).count() == 10,
        "{named}"
    );
    Ok(())
}

fn a_broken_image_is_reported_and_skipped() -> Outcome {
    let place = trained();
    let output = striate(&place, &["predict", "run", "one.png", "broken.png", "more", "gone.png", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.contains("skipped: broken.png: ") && stderr.contains("skipped: gone.png: "), "{stderr}");
    let json = answer(&output);
    assert_eq!(
        (json["pictures"].as_array().unwrap().len(), json["skipped"].as_array().unwrap().len()),
        (3, 2)
    );
    Ok(())
}

fn predict_refuses_wrong_arguments() -> Outcome {
    let place = trained();
    rewrite(&place, "bare", str::to_owned, &[]);
    place.write("names.txt", b"cat\ndog\n");
    place.write("nothing.txt", b"\n");
    let cases: [(&[&str], &[&str]); 17] = [
        (&["alexnot", "run", "one.png"], &["alexnot", "did you mean alexnet"]),
        (&["resnext50.a1_in1k", "run", "one.png"], &["resnext50", "available: lenet"]),
        (&["resnet50.a9_in1k", "bare", "one.png"], &["the tags of resnet50 are a1_in1k, "]),
        (&["resnet8", "nowhere", "one.png"], &["nowhere: cannot read"]),
        (&["no/where", "one.png"], &["no/where: is not there"]),
        (&["more", "one.png"], &["more: is a folder without model.safetensors"]),
        (&["one.png", "one.png"], &["one.png: is neither a safetensors nor a .pth file"]),
        (&["run", "empty"], &["empty: is a folder without images", "1 .txt (empty/readme.txt)"]),
        (&["resnet8", "run"], &["images: none given"]),
        (&["run", "broken.png"], &["could not read any of 1", "broken.png"]),
        (&["run", "one.png", "--classes", "gone.txt"], &["gone.txt: cannot read"]),
        (&["run", "one.png", "--classes", "nothing.txt"], &["nothing.txt: has no class names"]),
        (&["run", "one.png", "--classes", "names.txt"], &["--classes: 2 names", "10 classes"]),
        (&["run", "one.png", "--preprocess", "mine"], &["--preprocess", "imagenet, googlenet, bvlc"]),
        (&["run", "one.png", "--mean", "0.1,0.2"], &["--mean", "found 2"]),
        (&["run", "one.png", "--size", "0x9"], &["0 x 9"]),
        (&["run", "one.png", "--device", "gpu"], &["needs a GPU adapter", "--device cpu"]),
    ];
    for (args, words) in cases {
        assert_refused(&striate(&place, &[&["predict"], args].concat()), &format!("{args:?}"), words);
    }
    Ok(())
}

fn flags_can_come_between_arguments() -> Outcome {
    let place = trained();
    let among = |args: &[&str]| {
        let output = striate(&place, args);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
        text(&output.stdout)
    };
    let plain = among(&["predict", "resnet8", "run", "one.png", "more", "--top", "2"]);
    assert_eq!(plain, among(&["predict", "resnet8", "--top", "2", "run", "--batch", "1", "one.png", "more"]));
    let plain = among(&["eval", "resnet8", "run", "--batch", "3"]);
    assert_eq!(plain, among(&["eval", "resnet8", "--batch", "3", "run"]));
    let plain = among(&["see", "layers", "resnet8", "run"]);
    assert_eq!(plain, among(&["see", "layers", "resnet8", "--batch", "1", "run"]));
    Ok(())
}

fn eval_agrees_with_training() -> Outcome {
    let place = trained();
    let args = [
        "eval",
        "run",
        "--dataset",
        "mnist",
        "--data",
        "data",
        "--batch",
        "3",
        "--confusion",
        "confusion.svg",
    ];
    let output = striate(&place, &[&args[..], &["--json"]].concat());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let json = answer(&output);
    let row = &place::metrics(&place.out())[1];
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert_eq!(json["top1"].as_f64().unwrap(), number("test_accuracy"));
    assert!((json["loss"].as_f64().unwrap() - number("test_loss")).abs() < 1e-5, "{json}, {row:?}");
    let confusion: Vec<Vec<u64>> = serde_json::from_value(json["confusion"].clone()).unwrap();
    let right: u64 = (0..10).map(|class| confusion[class][class]).sum();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 10);
    assert_eq!(right as f64 / 10.0, json["top1"].as_f64().unwrap());
    let svg = std::fs::read_to_string(place.path("confusion.svg")).unwrap();
    assert_well_formed(&svg);
    assert!(svg.matches("<rect").count() >= 100 && svg.contains("#440154"), "viridis starts at this purple");
    let table = text(&striate(&place, &args).stdout);
    assert!(table.contains(&format!("top-1 {:.2} %, top-5 ", 100.0 * number("test_accuracy"))), "{table}");
    Ok(())
}

fn eval_refuses_wrong_arguments() -> Outcome {
    let place = trained();
    place.write("cifar/test.bin", &[0; 3074]);
    place.write("cifar/train.bin", &[0; 3074]);
    let cases: [(&[&str], &[&str]); 6] = [
        (&["alexnot", "run"], &["alexnot", "did you mean alexnet"]),
        (&["resnet8"], &["resnet8: is a model; give its weights too"]),
        (&["run", "run"], &["run: is one argument too many"]),
        (&["run", "--dataset", "cifar100", "--data", "cifar"], &["--dataset", "3 channels", "want 1"]),
        (&["run", "--dataset", "imagenet"], &["--dataset", "fashion-mnist"]),
        (&["run", "--dataset", "mnist", "--data", "data", "--batch", "0"], &["--batch"]),
    ];
    for (args, words) in cases {
        assert_refused(&striate(&place, &[&["eval"], args].concat()), &format!("{args:?}"), words);
    }
    Ok(())
}

fn partial_loading_reports_what_is_missing() -> Outcome {
    let place = trained();
    let file = place.path("run/model.safetensors");
    let weights = striate::weights::Weights::read(&file).unwrap();
    let kept = weights.names().filter(|name| *name != "conv1.weight");
    let kept: Vec<_> = kept.map(|name| (name.to_owned(), weights.get(name).unwrap().clone())).collect();
    let metadata = striate::infer::Card::of(&weights).metadata();
    striate::weights::write(&file, &kept, &metadata).unwrap();
    let args = ["predict", "run", "one.png"];
    assert_refused(
        &striate(&place, &args),
        "strict",
        &["1 missing from the file (conv1.weight)", "--partial"],
    );
    let output = striate(&place, &[&args[..], &["--partial"]].concat());
    let stderr = text(&output.stderr);
    assert!(
        output.status.success() && stderr.starts_with("note: ") && stderr.contains("conv1.weight"),
        "{stderr}"
    );
    Ok(())
}

/// The run's weights with other names and metadata, as `file`.
fn rewrite(place: &Place, file: &str, rename: impl Fn(&str) -> String, metadata: &[(&str, &str)]) {
    let weights = striate::weights::Weights::read(&place.path("run/model.safetensors")).unwrap();
    let tensors = weights.names().map(|name| (rename(name), weights.get(name).unwrap().clone()));
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    striate::weights::write(&place.path(file), &tensors.collect::<Vec<_>>(), &metadata.collect()).unwrap();
}

fn foreign_names_and_metadata_are_accepted() -> Outcome {
    let place = trained();
    place.write("names.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let flags = ["one.png", "--preprocess", "mnist", "--classes", "names.txt"];
    let want = text(&striate(&place, &[&["predict", "resnet8", "run"], &flags[..]].concat()).stdout);
    let answers = |what: &[&str], note: &str| {
        let output = striate(&place, &[&["predict"], what, &flags].concat());
        let stderr = text(&output.stderr);
        assert!(output.status.success() && stderr.contains(note), "{what:?}: {stderr}");
        assert_eq!(stderr.is_empty(), note.is_empty(), "{what:?}: {stderr}");
        assert_eq!(text(&output.stdout), want, "{what:?}");
    };
    rewrite(
        &place,
        "wrapped.safetensors",
        |name| format!("module._orig_mod.{}", name.replace("fc.", "linear.")),
        &[],
    );
    answers(&["resnet8", "wrapped.safetensors"], "dropped \"_orig_mod.\", dropped \"module.\", linear -> fc");
    rewrite(&place, "lightning.safetensors", |name| format!("model.{name}"), &[]);
    answers(&["resnet8", "lightning.safetensors"], "dropped \"model.\"");
    let free =
        [("model", "my best one"), ("classes", "cat,dog"), ("preprocessing", "none"), ("author", "me")];
    rewrite(&place, "free.safetensors", str::to_owned, &free);
    answers(&["resnet8", "free.safetensors"], "are passed over where they cannot be used: model (");
    let few = [("model", "resnet20"), ("classes", "[\"cat\", \"dog\"]")];
    rewrite(&place, "few.safetensors", str::to_owned, &few);
    answers(&["resnet8", "few.safetensors"], "says that it holds resnet20, and is taken for resnet8");
    // The name is refused without building a network of that many layers.
    rewrite(&place, "deep.safetensors", str::to_owned, &[("model", "resnet60002")]);
    answers(&["resnet8", "deep.safetensors"], "resnet60002");
    let output = striate(&place, &["predict", "deep.safetensors", "one.png"]);
    assert!(text(&output.stderr).contains("does not say which model it is of"), "{output:?}");
    Ok(())
}

fn weights_without_a_last_layer_are_explained() -> Outcome {
    let place = trained();
    rewrite(&place, "headless.safetensors", |name| name.replace("fc.", "other."), &[]);
    let args = ["predict", "resnet8", "headless.safetensors", "one.png", "--preprocess", "mnist"];
    let words = ["has no fc.weight, the last layer of resnet8", "bn1.bias, ", "other.weight", "--partial"];
    assert_refused(&striate(&place, &args), "headless", &words);
    Ok(())
}

fn preprocessing_flags_are_applied_and_printed() -> Outcome {
    let place = trained();
    place.write("timm.json", br#"{"input_size": [1, 8, 8], "crop_pct": 0.5, "interpolation": "bicubic", "mean": [0.5], "std": [0.25]}"#);
    let line = |flags: &[&str]| {
        let output = striate(&place, &[&["predict", "run", "one.png"], flags].concat());
        let text = text(&output.stdout);
        text.lines()
            .find(|line| line.starts_with("images "))
            .unwrap_or_else(|| panic!("{output:?}"))
            .to_owned()
    };
    assert!(line(&[]).starts_with("images centre 8x8, bilinear, mean ["), "{}", line(&[]));
    assert!(line(&[]).ends_with("(as the weights say)"), "{}", line(&[]));
    let printed = line(&["--preprocess", "timm.json"]);
    assert_eq!(
        printed,
        "images shorter side 16, bicubic, centre 8x8, mean [0.5], deviation [0.25] (timm.json)"
    );
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
        "images no EXIF rotation, shorter side 10, bicubic, centre 8x8, mean [0.1], deviation [0.2] (as the weights say)"
    );
    let refused: [(&[&str], &[&str]); 3] = [
        (&["--crop-pct", "1.5"], &["--crop-pct", "at most 1"]),
        (&["--transform-input"], &["--transform-input", "3 channels"]),
        (&["--preprocess", "gone.json"], &["gone.json: cannot read"]),
    ];
    for (flags, words) in refused {
        assert_refused(
            &striate(&place, &[&["predict", "run", "one.png"], flags].concat()),
            &format!("{flags:?}"),
            words,
        );
    }
    Ok(())
}

/// Writes CIFAR-10 to `cifar`, from its test images tiled into one large image. The training files hold the same images, as
/// nothing reads them.
fn write_cifar10(place: &Place) {
    let sprite = image::open(shared("data/cifar10/test_batch.webp")).unwrap().into_rgb8();
    let labels = std::fs::read(shared("data/cifar10/test_batch.labels")).unwrap();
    let mut records = Vec::new();
    for (i, label) in (0..).zip(labels) {
        let image = image::imageops::crop_imm(&sprite, i % 100 * 32, i / 100 * 32, 32, 32).to_image();
        records.push(label);
        (0..3).for_each(|channel| records.extend(image.pixels().map(|pixel| pixel.0[channel])));
    }
    let train = (1..=5).map(|n| format!("data_batch_{n}"));
    for name in train.chain(["test_batch".to_owned()]) {
        place.write(&format!("cifar/{name}.bin"), &records);
    }
}

/// The published accuracy of published weights.
fn resnet20_reaches_its_published_accuracy(device: &str) -> Outcome {
    let place = Place::new();
    write_cifar10(&place);
    let weights = shared("models/resnet20_cifar10.safetensors");
    let mut command = Command::new(PROGRAM);
    command.args(["eval", "resnet20-a"]).arg(weights).args(["--dataset", "cifar10", "--json", "--data"]);
    let output = command.arg(place.path("cifar")).args(["--device", device]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json = answer(&output);
    let right = (json["top1"].as_f64().unwrap() * 10_000.0).round() as u64;
    // Rounding may decide an image whose top two classes are nearly tied.
    assert!(json["pictures"] == 10_000 && right.abs_diff(9173) <= 1, "{right} of {}", json["pictures"]);
    Ok(())
}

/// Most ImageNet images have their class in the top five.
fn googlenet_recognizes_the_images() -> Outcome {
    let mut command = Command::new(PROGRAM);
    command.args(["predict", "googlenet-original"]).arg(shared("models/googlenet_bvlc.safetensors"));
    command.arg(shared("pictures")).arg("--classes").arg(shared("models/imagenet_classes.txt"));
    let output = command.args(["--device", "cpu", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json = answer(&output);
    let images = json["pictures"].as_array().unwrap();
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
    suite.add("a_run_folder_is_all_that_predict_needs", a_run_folder_is_all_that_predict_needs);
    suite.add("a_broken_image_is_reported_and_skipped", a_broken_image_is_reported_and_skipped);
    suite.add("predict_refuses_wrong_arguments", predict_refuses_wrong_arguments);
    suite.add("flags_can_come_between_arguments", flags_can_come_between_arguments);
    suite.add("eval_agrees_with_training", eval_agrees_with_training);
    suite.add("eval_refuses_wrong_arguments", eval_refuses_wrong_arguments);
    suite.add("partial_loading_reports_what_is_missing", partial_loading_reports_what_is_missing);
    suite.add("foreign_names_and_metadata_are_accepted", foreign_names_and_metadata_are_accepted);
    suite.add("weights_without_a_last_layer_are_explained", weights_without_a_last_layer_are_explained);
    suite.add("preprocessing_flags_are_applied_and_printed", preprocessing_flags_are_applied_and_printed);
    let there = shared("models").is_dir();
    suite.add_if(there, "resnet20_reaches_its_published_accuracy::cpu", || {
        resnet20_reaches_its_published_accuracy("cpu")
    });
    suite.add_if(there, "googlenet_recognizes_the_images", googlenet_recognizes_the_images);
    let there = there && common::gpu().is_ok();
    suite.add_if(there, "resnet20_reaches_its_published_accuracy::gpu", || {
        resnet20_reaches_its_published_accuracy("gpu")
    });
    suite.run()
}
