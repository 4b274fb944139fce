//! `striate summary`: published numbers, JSON and memory.

#[path = "common/program.rs"]
mod program;

use program::*;

fn summary(args: &[&str]) -> String {
    printed(striate(&["summary"]).args(args))
}

fn summary_json(args: &[&str]) -> Value {
    json(striate(&["summary", "--json"]).args(args))
}

#[test]
fn alexnet_has_the_published_numbers() {
    let text = summary(&["alexnet-2012"]);
    let row = text.lines().find(|line| line.starts_with("conv1")).unwrap();
    for figure in ["96x55x55", "34,944", "105,705,600"] {
        assert!(row.contains(figure), "{row}");
    }
    let answer = summary_json(&["alexnet-2012", "--input", "3x227x227"]);
    assert_eq!(answer["parameters"], 60_965_224);
    let first = &answer["layers"][0];
    assert_eq!(first["output"], serde_json::json!([1, 96, 55, 55]));
    assert_eq!([&first["parameters"], &first["unshared_parameters"]], [34_944, 105_705_600]);
    assert_eq!(first["receptive_field"][0], serde_json::json!({"size": 11, "stride": 4, "start": 0}));
}

#[test]
fn memory_grows_with_the_batch_and_auxiliary_heads_are_reported() {
    let [one, four] = ["1", "4"]
        .map(|batch| summary_json(&["googlenet", "--input", "3x64x64", "--classes", "10", "--batch", batch]));
    for memory in ["inference_memory", "training_memory"] {
        let peak = |answer: &Value| answer[memory]["peak"].as_u64().unwrap();
        assert!(peak(&one) < peak(&four), "{memory}");
    }
    assert!(one["inference_memory"]["peak"].as_u64() < one["training_memory"]["peak"].as_u64());
    assert_eq!([&one["macs"], &one["activation_bytes"]], [&four["macs"], &four["activation_bytes"]]);
    let learned = |key: &str| one[key].as_u64().unwrap();
    assert!(learned("training_parameters") > learned("parameters"));
    let text = summary(&["googlenet"]);
    for parameters in ["6,624,904 without auxiliary heads", "13,004,888 with their 6,379,984"] {
        assert!(text.contains(parameters), "{text}");
    }
}

#[test]
fn an_unknown_network_is_refused_with_a_suggestion() {
    assert_all_refused(&[(&["summary", "resnet21"], "did you mean resnet20?")]);
}

/// At 32 x 32 pixels the last feature maps of resnet18 are 1 x 1, where batch norm needs at least two images to train.
#[test]
fn a_batch_that_is_too_small_to_train_on_has_a_summary() {
    let one = summary_json(&["resnet18", "--input", "3x32x32"]);
    assert_eq!(one["parameters"], 11_689_512);
    assert_eq!([&one["training_parameters"], &one["training_memory"]], [&one["parameters"], &Value::Null]);
    assert!(one["inference_memory"]["peak"].as_u64().unwrap() > 0);
    assert!(summary(&["resnet18", "--input", "3x32x32"]).contains("needs more than one image"));
    let two = summary_json(&["resnet18", "--input", "3x32x32", "--batch", "2"]);
    assert!(two["training_memory"]["peak"].as_u64() > one["inference_memory"]["peak"].as_u64());
}
