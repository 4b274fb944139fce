//! The first inputs of each corpus: small valid files of every kind.

use super::properties::{archive, files};
use files::{EXIF_ROTATED, gzip, idx};
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};
use std::io::Cursor;
use std::path::Path;
use striate::data::Preprocessing;
use striate::infer::Card;
use striate::kernel;
use striate::plan::{Pass, ShapeClass, Tuned};
use striate::train::Position;

/// Target, name and content of a file.
type Seed = (&'static str, String, Vec<u8>);

pub fn all() -> Vec<Seed> {
    [weights(), checkpoints(), data(), images(), texts(), folders()].concat()
}

fn seed(target: &'static str, name: &str, content: impl Into<Vec<u8>>) -> Seed {
    (target, name.to_owned(), content.into())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/weights").join(name)).unwrap()
}

fn weights() -> Vec<Seed> {
    let safetensors = ["written.safetensors", "f16.safetensors", "bf16.safetensors"];
    let archives = ["plain.pth", "strided.pth", "protocol4.pth", "checkpoint_f16.pth"];
    let legacy = ["legacy.pth", "legacy_2017.pth", "legacy_checkpoint.pth"];
    let pickle = |name: &str| seed("pickle", &name.replace(".pth", ".pkl"), archive::pickle(&golden(name)));
    let copies = |target, names: &[&str]| -> Vec<Seed> {
        names.iter().map(|name| seed(target, name, golden(name))).collect()
    };
    let pickles = archives.iter().map(|name| pickle(name)).collect();
    [copies("safetensors", &safetensors), copies("pth", &archives), copies("pth", &legacy), pickles].concat()
}

fn checkpoints() -> Vec<Seed> {
    let position = Position { epoch: 1, batch: 2, step: 5, ..Position::default() };
    let position = serde_json::to_string(&position).unwrap();
    let about = r#"{"model":"lenet","lr":0.1,"seed":0}"#;
    let lines = [format!("{position}\n{about}\n").as_bytes(), &1.5f32.to_le_bytes()].concat();
    vec![
        seed("checkpoint", "position", lines),
        seed(
            "checkpoint",
            "start",
            format!("{}\n{{}}\n", serde_json::to_string(&Position::default()).unwrap()),
        ),
    ]
}

fn data() -> Vec<Seed> {
    let images = idx(0x803, &[2, 3, 4], &(0..24).collect::<Vec<u8>>());
    let labels = idx(0x801, &[3], &[0, 1, 9]);
    let record: Vec<u8> = [3, 7].into_iter().chain((0..3072u32).map(|i| (i % 251) as u8)).collect();
    vec![
        seed("idx", "images.gz", gzip(&images)),
        seed("idx", "images", images),
        seed("idx", "labels.gz", gzip(&labels)),
        seed("idx", "labels", labels),
        seed("cifar", "one", record.clone()),
        seed("cifar", "two", [record.clone(), record].concat()),
    ]
}

fn images() -> Vec<Seed> {
    let pixel = |x: u32, y: u32| Rgb([(x * 37) as u8, (y * 91) as u8, (x * y * 13) as u8]);
    let rgb = DynamicImage::from(RgbImage::from_fn(9, 7, pixel));
    let encoded = |image: &DynamicImage, format| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).unwrap();
        file.into_inner()
    };
    let mut exif = Vec::new();
    let mut encoder = PngEncoder::new(&mut exif);
    encoder.set_exif_metadata(EXIF_ROTATED.to_vec()).unwrap();
    encoder.write_image(&[1, 2, 3, 4], 2, 2, ExtendedColorType::L8).unwrap();
    let image = |name: &str, content: Vec<u8>| seed("image", name, content);
    vec![
        image("exif.png", exif),
        image("gray16.png", encoded(&rgb.to_luma16().into(), ImageFormat::Png)),
        image("rgba.png", encoded(&rgb.to_rgba8().into(), ImageFormat::Png)),
        image("rgb.bmp", encoded(&rgb, ImageFormat::Bmp)),
        image("rgb.gif", encoded(&rgb, ImageFormat::Gif)),
        image("rgb.jpg", encoded(&rgb, ImageFormat::Jpeg)),
        image("gray.jpg", encoded(&rgb.to_luma8().into(), ImageFormat::Jpeg)),
        image("rgb.webp", encoded(&rgb, ImageFormat::WebP)),
    ]
}

fn texts() -> Vec<Seed> {
    let mut tuned = Tuned::default();
    for shape in ["3x3", "1x1"] {
        tuned.set(ShapeClass { pass: Pass::Forward, shape: shape.to_owned() }, Some(&kernel::IM2COL));
    }
    let own = Card { preprocessing: Some(Preprocessing::named("imagenet").unwrap()), ..Card::default() };
    let timm = r#"{"input_size": [3, 64, 64], "crop_pct": 0.95, "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    let torchvision = r#"{"crop_size": [32], "resize_size": [40], "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "transform_input": true}"#;
    let utf16: Vec<u8> = "\u{feff}cat\r\ndög\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        seed("tuned", "two.json", tuned.to_json("adapter", "driver")),
        seed("metadata", "own.json", own.metadata()["preprocessing"].clone()),
        seed("metadata", "timm.json", timm),
        seed("metadata", "torchvision.json", torchvision),
        seed("metadata", "classes.json", r#"["cat", "dog"]"#),
        seed("metadata", "model", "resnet20-a"),
        seed("class_names", "utf8.txt", "cat\n\n dög \n"),
        seed("class_names", "utf16.txt", utf16),
        seed("class_names", "latin1.txt", b"d\xf6g\r\ncat".as_slice()),
    ]
}

fn folders() -> Vec<Seed> {
    let manifest = r#"{"about": "", "files": {"a": "run", "b/c": "see"}, "folders": {"b/": "run"}}"#;
    let config = r#"{"arguments": ["train", "--model", "lenet", "--epochs", "2", "--data", "x"], "data_folder": "/x"}"#;
    let metrics = "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds,pictures_per_second\n\
        1,0.1,1.5,0.5,1.25,0.75,2.0,1.0,100.0\n2,0.1,1.0,0.75,,,2.0,0.0,100.0\n";
    let steps = "step,epoch,lr,loss,accuracy,images_per_second,skipped_steps\n50,0.5,0.1,1.5,0.5,100.0,0\n100,1.0,0.1,,,100.0,50\n";
    vec![
        seed("manifest", "all.json", manifest),
        seed("manifest", "links.json", r#"{"files": {"link/kept": "run"}, "folders": {"link/": "run"}}"#),
        seed("run_folder", "run", format!("{config}\0{metrics}\0{steps}")),
    ]
}
