//! `striate profile` as a program: tables that add up, an image, a trace that can be opened, and what it says about
//! bad input.

mod common;

use common::{Outcome, Suite};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use striate::plan::Plan;
use striate::train::{Recipe, training_graph};
use striate::{Device, models, nn};

fn striate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.env("STRIATE_CACHE", "off").arg("profile").args(args).output().expect("the program starts")
}

/// A small network and one step of it, so that medians are sums.
fn lenet<'a>(device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let step = ["lenet", "--input", "1x28x28", "--batch", "4", "--steps", "1", "--device", device];
    [&step, more].concat()
}

fn printed(args: &[&str]) -> String {
    let output = striate(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// The plan that is profiled.
fn plan(device: &Device) -> Plan {
    let model = models::by_name("lenet", 1, 10).unwrap();
    let optimizer = nn::Optimizer::Sgd(nn::SgdConfig::HE_2015);
    let recipe = Recipe { optimizer, ..Default::default() };
    let graph = training_graph(&*model, [4, 1, 28, 28], &recipe).unwrap();
    Plan::new(&graph, device.target()).unwrap()
}

fn sum(rows: &Value, name: &str) -> f64 {
    rows.as_array().expect("rows").iter().map(|row| number(row, name)).sum()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {value}"))
}

fn tables_image_and_trace(name: &str, device: &Device) -> Outcome {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let out = dir.path().join("made/for it");
    let text = printed(&lenet(name, &["--json", "--out", out.to_str().expect("a path of text")]));
    let found: Value = serde_json::from_str(&text).expect("the output is JSON");
    let plan = plan(device);
    for rows in [&found["layers"], &found["kernels"]] {
        assert_eq!(sum(rows, "launches"), plan.launches.len() as f64);
        assert_eq!(sum(rows, "flops"), plan.flops() as f64);
        assert!((sum(rows, "share") - 1.0).abs() < 1e-6, "{rows}");
        assert!((sum(rows, "ms") / number(&found, "launches_ms") - 1.0).abs() < 1e-6, "{rows}");
    }
    assert!(number(&found["peaks"], "gflop_per_s") > 0.1 && number(&found["peaks"], "gb_per_s") > 0.01);
    assert!(number(&found, "step_ms") * (1.0 + 1e-6) >= number(&found, "launches_ms"), "{found}");
    assert!(!found["host"].as_array().expect("a list").is_empty());
    check_image(&out, &found["kernels"]);
    check_trace(&out, &plan, device.is_gpu());
    Ok(())
}

/// A network with dropout takes one input more.
fn a_network_with_dropout() -> Outcome {
    let small = ["googlenet", "--input", "3x32x32", "--batch", "2", "--steps", "1", "--device", "cpu"];
    let text = printed(&small);
    assert!(text.contains("dropout"), "{text}");
    Ok(())
}

fn check_image(out: &Path, kernels: &Value) {
    let svg = std::fs::read_to_string(out.join("roofline.svg")).expect("there is an image");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    for kernel in kernels.as_array().expect("rows") {
        let name = kernel["name"].as_str().expect("a name");
        assert!(svg.contains(name) || number(kernel, "ms") == 0.0, "{name}");
    }
}

/// Name, start and end of an event.
type Event<'a> = (&'a str, f64, f64);

/// Each launch lies within its layer; where one clock times everything, within its step as well.
fn check_trace(out: &Path, plan: &Plan, is_gpu: bool) {
    let text = std::fs::read_to_string(out.join("trace.json")).expect("there is a trace");
    let trace: Value = serde_json::from_str(&text).expect("the trace is JSON");
    let mut lanes: HashMap<(u64, u64), Vec<Event>> = HashMap::new();
    for event in trace["traceEvents"].as_array().expect("events") {
        let lane = ["pid", "tid"].map(|name| event[name].as_u64().expect("a lane"));
        let name = event["name"].as_str().expect("a name");
        match event["ph"].as_str() {
            Some("X") => {
                let [start, length] = ["ts", "dur"].map(|name| number(event, name));
                assert!(length >= 0.0, "{event}");
                lanes.entry(lane.into()).or_default().push((name, start, start + length));
            }
            Some("M") => assert!(event["args"]["name"].is_string(), "{event}"),
            _ => panic!("what is {event}?"),
        }
    }
    let [host, layers, launches] = [(1, 1), (2, 1), (2, 2)].map(|lane| &lanes[&lane]);
    let kernels: Vec<&str> = launches.iter().map(|(name, ..)| *name).collect();
    assert_eq!(kernels, plan.launches.iter().map(|l| l.kernel.name).collect::<Vec<_>>());
    assert_eq!(layers.len(), plan.groups.len());
    // A hundredth of a microsecond for the rounding of text.
    let within = |(_, start, end): &Event, outer: &Event| *start >= outer.1 - 0.01 && *end <= outer.2 + 0.01;
    for (group, layer) in plan.groups.iter().zip(layers) {
        assert_eq!(layer.0, group.label());
        assert!(launches[group.launches.clone()].iter().all(|launch| within(launch, layer)), "{layer:?}");
        assert!(is_gpu || within(layer, &host[0]), "{layer:?} {:?}", host[0]);
    }
    assert_eq!(host[0].0, "step 0");
    assert!(host[1..].iter().all(|part| within(part, &host[0])));
    let clock = trace["otherData"]["clock"].as_str().expect("a clock");
    let expected: &[&str] = match is_gpu {
        false => &["load", "run"],
        true if clock.starts_with("the GPU's timestamps") => &["record", "submit", "wait"],
        true => &["upload", "launches, one by one", "read back"],
    };
    assert!(host[1..].iter().map(|(name, ..)| name).eq(expected), "{host:?}");
}

fn the_text_has_both_tables() -> Outcome {
    let text = printed(&lenet("cpu", &[]));
    for expected in [
        "training step of lenet: 4 images of 1x28x28\n",
        "GFLOP/s at most  matrix product ",
        "GB/s at most     copy of ",
        "\nlayer ",
        "\nconv1 forward ",
        "\nkernel ",
        "\nmatmul",
        "medians of 1 steps",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(!text.contains("\nwritten"));
    for line in text.lines() {
        assert_eq!(line, line.trim_end());
        assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
    }
    Ok(())
}

fn usage_errors_exit_with_2() -> Outcome {
    for args in [&[][..], &["lenet", "--steps", "0"], &["lenet", "--batch", "many"], &["lenet", "--nonsense"]]
    {
        assert_eq!(striate(args).status.code(), Some(2), "{args:?}");
    }
    Ok(())
}

fn errors_are_one_line_and_exit_code_1() -> Outcome {
    let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let file = file.path().to_str().expect("a path of text");
    let cases: [(&[&str], &str); 6] = [
        (&["vgg16"], "unknown network \"vgg16\""),
        (&["lenet", "--input", "28x28"], "expected CHANNELSxHEIGHTxWIDTH"),
        (&["lenet", "--input", "1x8x8"], "conv2d in conv2: the kernel covers 5 pixels"),
        (&["lenet", "--batch", "0"], "the batch included, must be at least 1"),
        (&["lenet", "--device", "no such adapter"], "device: "),
        (&["lenet", "--device", "cpu", "--out", file], "is a file, expected a folder"),
    ];
    for (args, expected) in cases {
        let output = striate(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add("a_network_with_dropout", a_network_with_dropout);
    suite.add("tables_image_and_trace::cpu", || {
        tables_image_and_trace("cpu", &Device::select("cpu").map_err(common::text)?)
    });
    suite.add_gpu("tables_image_and_trace::gpu", |device| {
        let name = std::env::var("STRIATE_TEST_DEVICE").unwrap_or("gpu".into());
        tables_image_and_trace(&name, device)
    });
    suite.add("the_text_has_both_tables", the_text_has_both_tables);
    suite.add("usage_errors_exit_with_2", usage_errors_exit_with_2);
    suite.add("errors_are_one_line_and_exit_code_1", errors_are_one_line_and_exit_code_1);
    suite.run()
}
