//! The views of `striate see` on the command line: what they write, and what they refuse.

#[path = "cli_train/place.rs"]
#[allow(dead_code, reason = "shared with the tests of `striate train`")]
mod place;

use place::{PROGRAM, Place, assert_refused, contents, list, text};
use serde_json::Value;
use std::process::{Command, Output};

/// A trained network with its data set, a folder of images, and a folder with a broken one.
fn trained() -> Place {
    let place = Place::of(20, 40, 8);
    place.trained(&[]);
    for i in 0..3u8 {
        let image = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, i * 60]));
        std::fs::create_dir_all(place.path("images")).unwrap();
        image.save(place.path(&format!("images/{i}.png"))).unwrap();
    }
    place.write("mixed/broken.png", b"not an image");
    std::fs::copy(place.path("images/0.png"), place.path("mixed/good.png")).unwrap();
    place.write("empty/readme.txt", b"no image");
    place
}

fn see(place: &Place, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(place.dir.path()).arg("see").args(args).args(["--out", "seen", "--device", "cpu"]);
    command.env_remove("RUST_LOG").output().unwrap()
}

const DATA: [&str; 4] = ["--dataset", "mnist", "--data", "data"];

#[test]
fn views_write_the_files_in_their_manifests() {
    let place = trained();
    let views: [(&str, &[&str]); 9] = [
        ("neighbours", &["--neighbours", "3"]),
        ("map", &["--perplexity", "4", "--steps", "60"]),
        ("peaks", &["--layer", "layer1.0", "--channel", "3,15", "--top", "4"]),
        ("fields", &["--layer", "conv1,layer3.0"]),
        ("filters", &["--layer", "conv1,layer1.0.conv1"]),
        ("activations", &["--layer", "layer1,fc", "--images", "2"]),
        ("occlusion", &["--images", "2", "--fill", "blur", "--class", "3"]),
        ("saliency", &["--images", "2", "--samples", "3", "--steps", "4"]),
        ("ascent", &["--layer", "layer2,logits", "--most", "3", "--steps", "2"]),
    ];
    for (view, args) in views {
        // These two need no images.
        let data: &[&str] = if matches!(view, "filters" | "ascent") { &[] } else { &DATA };
        let output = see(&place, &[&[view, "run"], args, data].concat());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{view}");
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(place.path(&format!("seen/{view}.json"))).unwrap())
                .unwrap();
        let files = manifest["files"].as_array().unwrap();
        assert!(files.len() >= 2 && !manifest["caption"].as_str().unwrap().is_empty(), "{view}");
        for file in files {
            let name = file["name"].as_str().unwrap();
            assert!(text(&output.stdout).contains(name), "{view}: {name} is not printed");
            if name.ends_with(".png") {
                let image = image::open(place.path(&format!("seen/{name}"))).unwrap().into_rgb8();
                let first = image.get_pixel(0, 0);
                assert!(image.pixels().any(|pixel| pixel != first), "{name} is blank");
            }
        }
        // A second run writes the same bytes.
        let before = contents(&place.path("seen"));
        see(&place, &[&[view, "run"], args, data].concat());
        assert_eq!(before, contents(&place.path("seen")), "{view}");
    }
    let map = std::fs::read_to_string(place.path("seen/map.csv")).unwrap();
    assert_eq!(map.lines().count(), 41, "a header and 40 images");
    let found: Value =
        serde_json::from_slice(&std::fs::read(place.path("seen/neighbours-found.json")).unwrap()).unwrap();
    let share = found["spaces"][1]["agreement"]["nearest"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share));
    assert_eq!(found["spaces"][0]["neighbours"][39].as_array().unwrap().len(), 3);
    let top_activations: Value =
        serde_json::from_slice(&std::fs::read(place.path("seen/peaks-layer1.0-found.json")).unwrap())
            .unwrap();
    assert_eq!(
        (
            top_activations["channels"].as_array().unwrap().len(),
            &top_activations["receptive_field"][0]["size"]
        ),
        (16, &Value::from(7))
    );
}

#[test]
fn image_files_need_no_classes_and_broken_ones_are_skipped() {
    let place = trained();
    let output = see(&place, &["neighbours", "run", "--neighbours", "1", "--data", "images"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let output = see(&place, &["neighbours", "run", "--neighbours", "1", "--data", "images", "mixed"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("broken.png"), "{}", text(&output.stderr));
    let output = see(&place, &["fields", "run", "--layer", "conv1", "--data", "mixed"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_touched() {
    let place = trained();
    place.write("seen/map.svg", b"earlier");
    std::fs::copy(place.path("run/model.safetensors"), place.path("alone.safetensors")).unwrap();
    let cases: [(&[&str], &[&str], &[&str]); 25] = [
        (&["peaks", "run", "--layer", "layer1.7"], &DATA, &["layer1.7", "did you mean layer1.0"]),
        (&["fields", "run", "--layer", "conf1"], &DATA, &["conf1", "did you mean conv1"]),
        (&["peaks", "run", "--layer", "conv1", "--channel", "16"], &DATA, &["channels 0 to 15, found 16"]),
        (&["fields", "run", "--layer", "conv1", "--channel", "99"], &DATA, &["channels 0 to 15, found 99"]),
        (&["peaks", "run", "--layer", "conv1", "--top", "41"], &DATA, &["expected 1 to 40", "found 41"]),
        (&["peaks", "run", "--layer", "conv1", "--top", "0"], &DATA, &["found 0"]),
        (
            &["neighbours", "run", "--neighbours", "40"],
            &DATA,
            &["--neighbours: asks for 40, but there are only 39 images"],
        ),
        (&["map", "run"], &DATA, &["at least 91 images", "found 40"]),
        // The same views by their other names.
        (&["top-activations", "run", "--layer", "conv1", "--top", "0"], &DATA, &["found 0"]),
        (&["neighbors", "run", "--neighbors", "40"], &DATA, &["--neighbours: asks for 40"]),
        (&["tsne", "run"], &DATA, &["at least 91 images"]),
        (&["receptive-fields", "run", "--layer", "conf1"], &DATA, &["did you mean conv1"]),
        (&["activation-maximization", "run", "--layer", "conf1"], &[], &["did you mean conv1"]),
        (&["map", "run", "--perplexity", "0.5"], &DATA, &["at least 1"]),
        (&["map", "run"], &["--data", "empty"], &["empty"]),
        (&["map", "alone.safetensors"], &[], &["--data", "images"]),
        (&["filters", "run", "--layer", "bn1"], &[], &["--layer", "bn1 is not a convolution"]),
        (&["filters", "run", "--layer", "conv2"], &[], &["--layer", "did you mean conv1"]),
        (&["activations", "run", "--layer", "layer9"], &DATA, &["--layer", "did you mean layer1"]),
        (&["occlusion", "run", "--patch", "0"], &DATA, &["--patch", "at least 1 pixel"]),
        (&["occlusion", "run", "--class", "10"], &DATA, &["--class", "expected 0 to 9, found 10"]),
        (&["saliency", "run", "--layer", "fc"], &DATA, &["--layer", "no height and width"]),
        (&["saliency", "run", "--samples", "0"], &DATA, &["--samples", "at least 1"]),
        (&["ascent", "run", "--layer", "logits", "--channel", "10"], &[], &["--channel", "0 to 9, found 10"]),
        (
            &["map", "run"],
            &["--dataset", "fashion-mnist"],
            &["--dataset", "which the network does not have (0, 1, 2"],
        ),
    ];
    for (args, data, words) in cases {
        assert_refused(&see(&place, &[args, data].concat()), &format!("{args:?}"), words);
        assert_eq!(list(&place.path("seen")), ["map.svg"], "{args:?}");
        assert_eq!(std::fs::read(place.path("seen/map.svg")).unwrap(), b"earlier");
    }
}
