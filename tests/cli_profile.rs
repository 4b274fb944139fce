//! `striate profile`: tables, roofline, trace and errors.

mod common;
#[path = "common/program.rs"]
mod program;

use common::{Outcome, Suite, gpu_name, named};
use program::*;
use std::collections::HashMap;
use std::path::Path;
use striate::plan::Plan;
use striate::train::{Recipe, training_graph};
use striate::{Device, models, nn};

/// The profile of a single step of a small network, so that medians are sums.
fn profile(device: &str, more: &[&str]) -> String {
    let step = ["profile", "lenet", "--input", "1x28x28", "--batch", "4", "--steps", "1", "--device", device];
    printed(striate(&step).args(more))
}

/// The profiled plan.
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
    value[name].as_f64().unwrap_or_else(|| panic!("{name} is not a number in {value}"))
}

fn tables_roofline_and_trace_match_the_plan(name: &str, device: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("new/folder name");
    let text = profile(name, &["--json", "--out", out.to_str().expect("a UTF-8 path")]);
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

/// It has an additional input.
fn a_network_with_dropout_can_be_profiled() -> Outcome {
    let flags = ["--input", "3x32x32", "--batch", "2", "--steps", "1", "--device", "cpu"];
    let text = printed(striate(&["profile", "googlenet"]).args(flags));
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

/// Each launch is within its layer and, if a single clock times everything, within its step.
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
            _ => panic!("unexpected event {event}"),
        }
    }
    let [host, layers, launches] = [(1, 1), (2, 1), (2, 2)].map(|lane| &lanes[&lane]);
    let kernels: Vec<&str> = launches.iter().map(|(name, ..)| *name).collect();
    assert_eq!(kernels, plan.launches.iter().map(|l| l.kernel.name).collect::<Vec<_>>());
    assert_eq!(layers.len(), plan.groups.len());
    // Times are printed to a hundredth of a microsecond.
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
    let text = profile("cpu", &[]);
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
    assert_usage_errors(&[
        &["profile"],
        &["profile", "lenet", "--steps", "0"],
        &["profile", "lenet", "--batch", "many"],
        &["profile", "lenet", "--nonsense"],
    ]);
    Ok(())
}

fn errors_are_one_line_and_exit_code_1() -> Outcome {
    let file = tempfile::NamedTempFile::new()?;
    let file = file.path().to_str().expect("a UTF-8 path");
    assert_all_refused(&[
        (&["profile", "vgg16"], "unknown network \"vgg16\""),
        (&["profile", "lenet", "--input", "28x28"], "expected CHANNELSxHEIGHTxWIDTH"),
        (&["profile", "lenet", "--input", "1x8x8"], "conv2d in conv2: the kernel covers 5 pixels"),
        (&["profile", "lenet", "--batch", "0"], "the batch included, must be at least 1"),
        (&["profile", "lenet", "--device", "no such adapter"], "device: "),
        (&["profile", "lenet", "--device", "cpu", "--out", file], "is a file, expected a folder"),
    ]);
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_all(named![
        a_network_with_dropout_can_be_profiled,
        the_text_has_both_tables,
        usage_errors_exit_with_2,
        errors_are_one_line_and_exit_code_1,
    ]);
    suite.add("tables_roofline_and_trace_match_the_plan::cpu", || {
        tables_roofline_and_trace_match_the_plan("cpu", &Device::select("cpu")?)
    });
    suite.add_gpu("tables_roofline_and_trace_match_the_plan::gpu", |device| {
        tables_roofline_and_trace_match_the_plan(&gpu_name(), device)
    });
    suite.run()
}
