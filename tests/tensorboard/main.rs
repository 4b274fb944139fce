//! The event files of `striate train --tensorboard`: their content, and what TensorBoard reads, if `python3` or STRIATE_PYTHON
//! has the package tensorboard.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "some constants are for writing only")]
#[path = "../../src/cli/train/tensorboard/proto.rs"]
mod proto;
#[path = "../common/workspace.rs"]
mod workspace;

use common::{Outcome, Suite, named};
use prost::Message;
use proto::{Event, SessionLog, SummaryValue};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use striate::weights::Weights;
use workspace::*;

/// Five steps per epoch.
const FLAGS: [&str; 6] = ["--epochs", "2", "--log-every", "2", "--tensorboard", "--force"];

/// Points of each scalar: step and value.
type Scalars = BTreeMap<String, Vec<(i64, f32)>>;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_all(named![
        events_agree_with_the_tables,
        a_resumed_run_voids_later_events,
        a_folder_for_events_has_a_subfolder_per_run,
    ]);
    let available =
        python(&["-c", "import tensorboard"]).output().is_ok_and(|output| output.status.success());
    suite.add_if(available, "tensorboard_reads_all_events", tensorboard_reads_all_events);
    suite.run()
}

/// Event files of a folder, oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let names = list(folder).into_iter().filter(|name| name.contains("tfevents"));
    names.map(|name| folder.join(name)).collect()
}

/// The events of a file, whose checksums must be right.
fn events(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    let mut checked = |length: usize| {
        let (data, after) = rest.split_at(length);
        let (sum, after) = after.split_first_chunk().unwrap();
        rest = after;
        // The definition of TFRecord.
        let crc = crc32c::crc32c(data);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(u32::from_le_bytes(*sum), masked, "{}", path.display());
        (data.to_vec(), rest.is_empty())
    };
    loop {
        let (length, _) = checked(8);
        let (event, is_last) = checked(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        events.push(Event::decode(&event[..]).unwrap());
        if is_last {
            return events;
        }
    }
}

fn values(events: &[Event]) -> impl Iterator<Item = (i64, &SummaryValue)> {
    let with_summary = events.iter().filter_map(|event| Some((event.step, event.summary.as_ref()?)));
    with_summary.flat_map(|(step, summary)| summary.value.iter().map(move |value| (step, value)))
}

fn scalars(events: &[Event]) -> Scalars {
    let mut scalars = Scalars::new();
    for (step, value) in values(events) {
        if let Some(number) = value.simple_value {
            scalars.entry(value.tag.clone()).or_default().push((step, number));
        }
    }
    scalars
}

/// The scalars that belong to the tables of a run.
fn expected(run: &Path) -> Scalars {
    let mut scalars = Scalars::new();
    let epochs = [
        ("loss/train", "train_loss"),
        ("loss/test", "test_loss"),
        ("accuracy/train", "train_accuracy"),
        ("accuracy/test", "test_accuracy"),
    ];
    let steps = [
        ("loss/train_step", "loss"),
        ("accuracy/train_step", "accuracy"),
        ("learning_rate", "lr"),
        ("images_per_second", "images_per_second"),
    ];
    let mut add = |row: &BTreeMap<String, String>, columns: &[(&str, &str)], step: i64| {
        for (tag, column) in columns {
            let value = row[*column].parse::<f64>().unwrap() as f32;
            scalars.entry((*tag).to_owned()).or_default().push((step, value));
        }
    };
    for row in metrics(run) {
        add(&row, &epochs, 5 * row["epoch"].parse::<i64>().unwrap());
    }
    for row in table(&run.join("steps.csv")) {
        add(&row, &steps, row["step"].parse().unwrap());
    }
    scalars
}

fn events_agree_with_the_tables() -> Outcome {
    let dir = Workspace::new();
    dir.trained(&FLAGS);
    let [file] = files(&dir.run()).try_into().expect("there is one file");
    let events = events(&file);
    assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
    assert!(events.is_sorted_by_key(|event| event.wall_time) && events[0].wall_time > 1.7e9);
    assert_eq!(scalars(&events), expected(&dir.run()));

    let (_, text) = values(&events).find(|(_, value)| value.tensor.is_some()).expect("there is a text");
    let plugin = text.metadata.as_ref().and_then(|metadata| metadata.plugin_data.as_ref());
    assert_eq!((&text.tag[..], &plugin.unwrap().plugin_name[..]), ("settings/text_summary", "text"));
    let text = String::from_utf8(text.tensor.as_ref().unwrap().string_val[0].clone())?;
    assert!(text.contains("\n      \"settings\": {\n") && text.contains("\"tensorboard\": true"), "{text}");

    let images: Vec<_> =
        values(&events).filter_map(|(step, v)| Some((step, v.image.as_ref()?, &v.tag))).collect();
    assert_eq!(images.iter().map(|(step, ..)| *step).collect::<Vec<_>>(), [5, 10]);
    for (_, image, tag) in images {
        let png = image::load_from_memory(&image.encoded_image_string)?;
        assert_eq!((png.width() as i32, png.height() as i32), (image.width, image.height));
        assert_eq!(tag, "filters/conv1");
    }

    let weights = Weights::read(&dir.path("run/model.safetensors"))?;
    let mut last = BTreeMap::new();
    for (step, value) in values(&events) {
        last.extend(value.histo.as_ref().map(|histo| (value.tag.clone(), (step, histo.num, histo.sum))));
    }
    for name in weights.names() {
        let values = weights.get(name).unwrap().as_f32();
        let (len, sum) = (values.len() as f64, values.iter().copied().map(f64::from).sum());
        assert_eq!(last.remove(&format!("weights/{name}")), Some((10, len, sum)), "{name}");
    }
    assert!(last.is_empty(), "{last:?}");
    Ok(())
}

/// A run that was killed in its second epoch, and then resumed.
fn resumed() -> Workspace {
    let dir = Workspace::new();
    dir.trained(&FLAGS);
    std::fs::remove_file(dir.path("run/checkpoints/step-00000010.safetensors")).unwrap();
    printed(&mut dir.resume(&["--epochs", "3"]));
    dir
}

fn a_resumed_run_voids_later_events() -> Outcome {
    let dir = resumed();
    let [first, second] = files(&dir.run()).try_into().expect("there are two files");
    let (mut all, second) = (events(&first), events(&second));
    let starts = |event: &Event| event.session_log == Some(SessionLog { status: SessionLog::START });
    assert!(second[1].step == 6 && starts(&second[1]), "{:?}", second[1]);
    all.retain(|event| event.step < 6);
    all.extend(second);
    assert_eq!(scalars(&all), expected(&dir.run()));
    // A finished run adds nothing.
    printed(&mut dir.resume(&[]));
    assert_eq!(files(&dir.run()).len(), 2);
    // A new run replaces the files.
    dir.trained(&FLAGS);
    assert_eq!(files(&dir.run()).len(), 1);
    Ok(())
}

fn a_folder_for_events_has_a_subfolder_per_run() -> Outcome {
    let dir = Workspace::new();
    let train = |out: &str, flags: &[&str]| dir.train(&[&["--out", out], flags].concat());
    printed(&mut train("a", &["--tensorboard=logs"]));
    printed(&mut train("b", &["--tensorboard=logs"]));
    let counts = ["a", "logs", "logs/a", "logs/b"].map(|folder| files(&dir.path(folder)).len());
    assert_eq!(counts, [0, 0, 1, 1]);
    // Another run of the same name.
    let refusal = ["logs/a: contains events of an earlier run; give another --tensorboard, or --force"];
    assert_refused(&mut train("more/a", &["--tensorboard=logs"]), &refusal);
    assert!(!dir.path("more/a").exists());
    printed(&mut train("more/a", &["--tensorboard=logs", "--force"]));
    assert_eq!(["logs/a", "logs/b"].map(|folder| files(&dir.path(folder)).len()), [1, 1]);
    // The folder of the run itself.
    printed(&mut train("c", &["--tensorboard=."]));
    assert_eq!(files(&dir.path("c")).len(), 1);

    dir.save("pets/cat/1.png", &image::RgbImage::new(8, 8));
    let flags = ["--dataset", "folder", "--data", "pets", "--tensorboard=pets/cat"];
    assert_refused(&mut train("d", &flags), &["pets/cat: is inside pets", "give another --tensorboard"]);
    Ok(())
}

fn python(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("STRIATE_PYTHON").unwrap_or("python3".into()));
    command.args(args);
    command
}

/// Prints everything that TensorBoard finds in a folder.
const READ: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}).Reload()
tags = found.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in found.Scalars(tag)] for tag in tags["scalars"]},
    "images": {tag: [[e.step, e.width, e.encoded_image_string[1:4].decode()] for e in found.Images(tag)] for tag in tags["images"]},
    "histograms": {tag: [[e.step, sum(e.histogram_value.bucket)] for e in found.Histograms(tag)] for tag in tags["histograms"]},
    "texts": {tag: [e.tensor_proto.string_val[0].decode() for e in found.Tensors(tag)] for tag in tags["tensors"]},
}))
"#;

fn tensorboard_reads_all_events() -> Outcome {
    let dir = resumed();
    let output = python(&["-c", READ]).arg(dir.run()).output()?;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let scalars: Scalars = serde_json::from_value(found["scalars"].clone())?;
    assert_eq!(scalars, expected(&dir.run()));
    let images = found["images"]["filters/conv1"].as_array().expect("there are images");
    assert_eq!(images.iter().map(|image| image[0].as_i64().unwrap()).collect::<Vec<_>>(), [5, 10, 15]);
    assert!(images.iter().all(|image| image[2] == "PNG"), "{images:?}");
    assert_eq!(
        found["histograms"]["weights/fc.bias"],
        serde_json::json!([[5, 10.0], [10, 10.0], [15, 10.0]])
    );
    let settings = &found["texts"]["settings/text_summary"];
    assert!(settings[1].as_str().is_some_and(|text| text.contains("\"epochs\": 3")), "{settings}");
    Ok(())
}
