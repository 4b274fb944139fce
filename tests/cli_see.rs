//! The views of `striate see` on the command line: what they write, and what they refuse.

#[path = "common/workspace.rs"]
mod workspace;

use std::process::Command;
use workspace::*;

/// A trained network, a folder of images, and one that also has a broken image.
fn trained() -> Workspace {
    let dir = Workspace::with_images(20, 40, 8);
    dir.trained(&[]);
    for i in 0..3u8 {
        let image = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, i * 60]));
        dir.save(&format!("images/{i}.png"), &image);
    }
    dir.write("mixed/broken.png", b"not an image");
    dir.write("mixed/good.png", &dir.read("images/0.png"));
    dir.write("empty/readme.txt", b"no image");
    dir
}

fn see(dir: &Workspace, args: &[&str]) -> Command {
    dir.striate(&[&["see"], args, &["--out", "seen", "--device", "cpu"]].concat())
}

const DATA: [&str; 4] = ["--dataset", "mnist", "--data", "data"];

#[test]
fn views_write_the_files_in_their_manifests() {
    let dir = trained();
    let views: [(&str, &[&str]); 11] = [
        ("neighbours", &["--neighbours", "3"]),
        ("map", &["--perplexity", "4", "--steps", "60"]),
        ("peaks", &["--layer", "layer1.0,conv1", "--channel", "layer1.0:3,15", "--top", "4"]),
        ("units", &["--layer", "layer1.0,fc", "--rows", "2", "--most", "2", "--top", "3"]),
        ("fields", &["--layer", "conv1,layer3.0"]),
        ("filters", &["--layer", "conv1,layer1.0.conv1"]),
        ("activations", &["--layer", "layer1,fc", "--images", "2"]),
        ("occlusion", &["--images", "2", "--fill", "blur", "--class", "3"]),
        ("saliency", &["--images", "2", "--samples", "3", "--steps", "4"]),
        ("relevance", &["--images", "6", "--rows", "2", "--most", "2", "--top", "3"]),
        ("ascent", &["--layer", "layer2,logits", "--most", "3", "--variants", "2", "--steps", "2"]),
    ];
    for (view, args) in views {
        // These views need no images.
        let data: &[&str] = if matches!(view, "filters" | "ascent") { &[] } else { &DATA };
        let output = printed(&mut see(&dir, &[&[view, "run"], args, data].concat()));
        let manifest = dir.read_json(&format!("seen/{view}.json"));
        let files = manifest["files"].as_array().unwrap();
        assert!(files.len() >= 2 && !manifest["caption"].as_str().unwrap().is_empty(), "{view}");
        for file in files {
            let name = file["name"].as_str().unwrap();
            assert!(output.contains(name), "{view}: {name} is not printed");
            if name.ends_with(".png") {
                let image = image::open(dir.path(&format!("seen/{name}"))).unwrap().into_rgb8();
                let first = image.get_pixel(0, 0);
                assert!(image.pixels().any(|pixel| pixel != first), "{name} is blank");
            }
        }
        // A second run writes the same bytes.
        let before = contents(&dir.path("seen"));
        printed(&mut see(&dir, &[&[view, "run"], args, data].concat()));
        assert_eq!(before, contents(&dir.path("seen")), "{view}");
    }
    assert_eq!(dir.read_text("seen/map.csv").lines().count(), 41, "a header and 40 images");
    let found = dir.read_json("seen/neighbours-found.json");
    let agreement = found["spaces"][1]["agreement"]["nearest"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&agreement));
    assert_eq!(found["spaces"][0]["neighbours"][39].as_array().unwrap().len(), 3);
    let top_activations = dir.read_json("seen/peaks-layer1.0-found.json");
    assert_eq!(top_activations["channels"].as_array().unwrap().len(), 16);
    assert_eq!(top_activations["receptive_field"][0]["size"], 7);
}

/// `see units` against a recomputation from what two other views write.
#[test]
fn units_are_ranked_by_how_many_images_excite_them_less() {
    let dir = trained();
    printed(&mut see(
        &dir,
        &[&["activations", "run", "--layer", "layer2", "--images", "30"], &DATA[..]].concat(),
    ));
    let array = dir.read("seen/activations-layer2.npy");
    let values: Vec<f32> =
        array[128..].chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    const IMAGES: usize = 30;
    const CHANNELS: usize = 32;
    let pixels = values.len() / (IMAGES * CHANNELS);
    let plane = |image: usize, channel: usize| &values[(image * CHANNELS + channel) * pixels..][..pixels];
    let largest = |image: usize, channel: usize| plane(image, channel).iter().copied().fold(0.0, f32::max);

    let args = ["units", "run", "--layer", "layer2", "--images", "30", "--rows", "3", "--most", "2"];
    let output = printed(&mut see(&dir, &[&args, &DATA[..]].concat()));
    let table = dir.read_text("seen/units.csv");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3 * CHANNELS);
    for (image, rows) in rows.chunks_exact(CHANNELS).enumerate() {
        let mut last = f64::INFINITY;
        let mut seen = [false; CHANNELS];
        for row in rows {
            let [channel, y, x] = [2, 3, 4].map(|column| row[column].parse::<usize>().unwrap());
            let [response, stronger_than] = [5, 6].map(|column| row[column].parse::<f64>().unwrap());
            let own = largest(image, channel);
            assert_eq!((row[0], row[1]), (format!("mnist {image}").as_str(), "layer2"));
            assert_eq!(own, plane(image, channel)[y * pixels.isqrt() + x].max(0.0), "{row:?}");
            assert!((response - f64::from(own)).abs() < 1e-5, "{row:?}");
            let weaker =
                (0..IMAGES).filter(|other| *other != image && largest(*other, channel) < own).count();
            assert!((stronger_than - weaker as f64 / (IMAGES - 1) as f64).abs() < 1e-9, "{row:?}");
            // Channels that respond to fewer than six images come last.
            let rare = (0..IMAGES).filter(|image| largest(*image, channel) > 0.0).count() < 6;
            assert!(rare || stronger_than <= last, "{row:?} comes after {last}");
            last = if rare { 0.0 } else { stronger_than };
            seen[channel] = true;
        }
        assert!(seen.iter().all(|seen| *seen), "image {image}: a channel is missing");
        let [first, second] =
            [0, 1].map(|rank: usize| output.find(&format!("layer2  {:>7}  ", rows[rank][2])));
        assert!(
            output.contains(&format!("mnist {image}, ")) && first.is_some() && second.is_some(),
            "{output}"
        );
    }
    let printed_table = output.split("The channels that respond").next().unwrap();
    assert!(printed_table.lines().all(|line| line.chars().count() <= 80), "{printed_table}");
}

/// An image that is not in the data; as one of the data, it has the same response, but is not compared with itself.
#[test]
fn units_of_an_image_file() {
    let dir = trained();
    let output =
        printed(&mut see(&dir, &[&["units", "run", "--explain", "images/0.png"], &DATA[..]].concat()));
    assert!(output.contains("\nimages/0.png\n") && output.contains("of 40 images in all"), "{output}");
    let of_file = dir.read_text("seen/units.csv");
    printed(&mut see(&dir, &["units", "run", "--data", "images", "--rows", "1"]));
    let of_data = dir.read_text("seen/units.csv");
    // Image, layer, channel, position and response agree, in whatever order.
    let known = |table: &str| {
        let mut rows: Vec<String> =
            table.lines().map(|line| line.split(',').take(6).collect::<Vec<_>>().join(",")).collect();
        rows.sort();
        rows
    };
    assert_eq!(known(&of_file), known(&of_data));
}

#[test]
fn views_begin_with_the_images_named() {
    let dir = trained();
    let args = ["activations", "run", "--layer", "conv1", "--images", "3", "--begin-with", "17,1"];
    printed(&mut see(&dir, &[&args, &DATA[..]].concat()));
    let manifest = dir.read_text("seen/activations.json");
    for (index, name) in ["17", "1", "0"].into_iter().enumerate() {
        let file = format!(
            "\"name\": \"activations-conv1-{index}.png\",\n      \"about\": \"conv1 on mnist {name}\""
        );
        assert!(manifest.contains(&file), "{manifest}");
    }
    let args =
        ["activations", "run", "--layer", "conv1", "--images", "2", "--begin-with", "2", "--data", "images"];
    printed(&mut see(&dir, &args));
    let manifest = dir.read_text("seen/activations.json");
    assert!(manifest.find("images/2.png").unwrap() < manifest.find("images/0.png").unwrap(), "{manifest}");
    assert!(!manifest.contains("images/1.png"));
}

#[test]
fn image_files_need_no_classes_and_broken_ones_are_skipped() {
    let dir = trained();
    printed(&mut see(&dir, &["neighbours", "run", "--neighbours", "1", "--data", "images"]));
    for args in [
        &["neighbours", "run", "--neighbours", "1", "--data", "images", "mixed"][..],
        &["fields", "run", "--layer", "conv1", "--data", "mixed"],
    ] {
        let output = see(&dir, args).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("broken.png"), "{output:?}");
    }
}

#[test]
fn images_excite_without_other_images_and_from_them() {
    let dir = trained();
    dir.write("alone.safetensors", &dir.read("run/model.safetensors"));
    for (network, flags, words) in [
        ("alone.safetensors", &[][..], "the colors of photographs"),
        ("run", &[], "around the mean of 40 images"),
        ("run", &["--from-images", "--images", "9"], "the one of 9 images"),
    ] {
        let args = ["ascent", network, "--layer", "layer3", "--channel", "1,1", "--steps", "3"];
        let output = printed(&mut see(&dir, &[&args, flags].concat()));
        assert!(output.contains(words), "{output}");
        let units = dir.read_json("seen/ascent-layer3.json");
        assert_eq!(units.as_array().unwrap().len(), 2);
    }
}

/// Of large images, half the size is enough, unless it is requested or the network cannot.
#[test]
fn large_images_are_made_at_half_the_size() {
    let dir = trained();
    let side = |flags: &[&str]| {
        let args = ["ascent", "run", "--layer", "conv1", "--channel", "1", "--steps", "1", "--images", "2"];
        printed(&mut see(&dir, &[&args, flags].concat()));
        let array = dir.read("seen/ascent-conv1.npy");
        let header = String::from_utf8_lossy(&array[..128]).into_owned();
        header
            .split("'shape': (")
            .nth(1)
            .unwrap()
            .split(')')
            .next()
            .unwrap()
            .trim_end_matches(", ")
            .to_owned()
    };
    let files = ["--data", "images"];
    assert_eq!(side(&[&["--size", "193x200"][..], &files].concat()), "1, 1, 96, 100");
    assert_eq!(side(&[&["--size", "193x200", "--full-size"][..], &files].concat()), "1, 1, 193, 200");
    assert_eq!(side(&[&["--size", "64x64"][..], &files].concat()), "1, 1, 64, 64");
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_touched() {
    let dir = trained();
    dir.write("seen/map.svg", b"earlier");
    dir.write("alone.safetensors", &dir.read("run/model.safetensors"));
    let cases: [(&[&str], &[&str], &[&str]); 44] = [
        (&["peaks", "run", "--layer", "layer1.7"], &DATA, &["layer1.7", "did you mean layer1.0"]),
        (&["fields", "run", "--layer", "conf1"], &DATA, &["conf1", "did you mean conv1"]),
        (&["peaks", "run", "--layer", "conv1", "--channel", "16"], &DATA, &["channels 0 to 15, found 16"]),
        (&["fields", "run", "--layer", "conv1", "--channel", "99"], &DATA, &["channels 0 to 15, found 99"]),
        (
            &["peaks", "run", "--layer", "conv1", "--channel", "layer1:3"],
            &DATA,
            &["--channel", "names none of conv1"],
        ),
        (&["peaks", "run", "--layer", "conv1", "--top", "41"], &DATA, &["expected 1 to 40", "found 41"]),
        (&["peaks", "run", "--layer", "conv1", "--top", "0"], &DATA, &["found 0"]),
        (
            &["neighbours", "run", "--neighbours", "40"],
            &DATA,
            &["--neighbours: asks for 40, but there are only 39 images"],
        ),
        (&["map", "run"], &DATA, &["at least 91 images", "found 40"]),
        // The same views by their aliases.
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
        (&["relevance", "run", "--rows", "0"], &DATA, &["--rows", "at least 1"]),
        (&["relevance", "run", "--most", "0"], &DATA, &["--most", "at least 1"]),
        (&["relevance", "run", "--gamma=-0.5"], &DATA, &["--gamma", "at least 0", "found -0.5"]),
        (&["relevance", "run", "--epsilon", "0"], &DATA, &["--epsilon", "at least", "found 0"]),
        (&["relevance", "run", "--top", "0"], &DATA, &["--top", "1 to"]),
        (&["units", "run", "--layer", "layer9"], &DATA, &["--layer", "did you mean layer1"]),
        (&["units", "run", "--rows", "0"], &DATA, &["--rows", "at least 1"]),
        (&["units", "run", "--most", "0"], &DATA, &["--most", "at least 1"]),
        (&["units", "run", "--top", "0"], &DATA, &["--top", "at least 1"]),
        (&["units", "run", "--images", "1"], &DATA, &["--data", "a single image"]),
        (&["units", "run", "--explain", "nowhere.png"], &DATA, &["--explain", "nowhere.png"]),
        (
            &["units", "run", "--explain", "mixed/broken.png", "images/0.png"],
            &DATA,
            &["--explain", "broken.png"],
        ),
        (&["units", "alone.safetensors"], &[], &["--data", "images"]),
        (&["units", "run", "--begin-with", "3,40"], &DATA, &["--begin-with", "less than 40", "found 40"]),
        (&["ascent", "run", "--layer", "logits", "--channel", "10"], &[], &["--channel", "0 to 9, found 10"]),
        (&["ascent", "run", "--layer", "logits", "--variants", "0"], &[], &["--variants", "at least 1"]),
        (&["ascent", "run", "--layer", "logits", "--zoom", "0"], &[], &["--zoom", "at least 1"]),
        (&["ascent", "run", "--layer", "logits", "--rate", "nan"], &[], &["--rate", "NaN"]),
        (
            &["ascent", "alone.safetensors", "--layer", "logits", "--from-images"],
            &[],
            &["--from-images", "needs images"],
        ),
        (
            &["map", "run"],
            &["--dataset", "fashion-mnist"],
            &["--dataset", "which the network does not have (0, 1, 2"],
        ),
    ];
    for (args, data, words) in cases {
        assert_refused(&mut see(&dir, &[args, data].concat()), words);
        assert_eq!(list(&dir.path("seen")), ["map.svg"], "{args:?}");
        assert_eq!(dir.read("seen/map.svg"), b"earlier");
    }
}
