//! `striate bench` as a program: losses that follow PyTorch's, results that are right, the line for machines,
//! and what it says about bad input.

mod common;

use common::{Outcome, Suite};
use serde_json::Value;
use std::process::{Command, Output};

/// Losses of every device and PyTorch's, computed in f64, agree to this.
const TOLERANCE: f64 = 1e-4;

fn striate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.arg("bench").args(args).output().expect("the program starts")
}

/// What it printed, and the last line of that.
fn printed(args: &[&str]) -> (String, Value) {
    let output = striate(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("the output is text");
    let line = text.lines().last().and_then(|line| line.strip_prefix("JSON ")).expect("a line for machines");
    let line = serde_json::from_str(line).expect("the last line is JSON");
    (text, line)
}

fn number(line: &Value, name: &str) -> f64 {
    line[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {line}"))
}

/// Ten steps of each network of `goldens/bench_losses.json`.
fn losses_follow_pytorch(device: &str) -> Outcome {
    let golden: Value =
        serde_json::from_str(include_str!("goldens/bench_losses.json")).expect("the golden file is JSON");
    let numbers = |list: &Value| -> Vec<f64> {
        list.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    };
    for row in golden["cases"].as_array().expect("a list") {
        let case = row["case"].as_str().expect("a name");
        let [batch, lr, steps] = [&row["batch"], &row["lr"], &golden["steps"]].map(Value::to_string);
        let flags = ["--batch", &batch, "--lr", &lr, "--steps", &steps, "--warmup", "0", "--device", device];
        let (_, line) = printed(&[&[case][..], &flags].concat());
        let (found, wanted) = (numbers(&line["losses"]), numbers(&row["losses_f64"]));
        assert_eq!(found.len(), wanted.len(), "{case}");
        for (step, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let apart = (found - wanted).abs() / wanted;
            if apart > TOLERANCE {
                return Err(format!(
                    "{case}: loss {found} at step {step}, PyTorch has {wanted}: {apart:.1e}"
                ));
            }
        }
    }
    Ok(())
}

/// Sampled elements of single operations against sums in f64.
fn single_operations_are_right(device: &str) -> Outcome {
    for (case, name) in [
        (&["matmul", "65", "--inner", "4"][..], "matmul-65"),
        (&["conv", "3", "9", "5", "2", "--inner", "2"], "conv-c3-h9-k5-b2"),
        (&["convbwd", "5", "8", "3", "2"], "convbwd-c5-h8-k3-b2"),
    ] {
        let flags = ["--steps", "2", "--warmup", "1", "--device", device];
        let (text, line) = printed(&[case, &flags].concat());
        assert!(text.contains("max abs error over checked elements: "), "{text}");
        assert_eq!(line["case"], name);
        assert!(number(&line, "gflops") > 0.0, "{line}");
        let error = number(&line, "max_abs_error");
        if error.is_nan() || error > 1e-4 {
            return Err(format!("{name}: an error of {error:e}"));
        }
    }
    Ok(())
}

/// Harnesses read these names, and the loss list of the text.
fn the_last_line_has_every_field() -> Outcome {
    let (text, line) =
        printed(&["--device", "cpu", "lenet", "--batch", "2", "--steps", "3", "--warmup", "1"]);
    for name in ["peer", "backend", "runtime", "adapter", "case"] {
        assert!(line[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {line}");
    }
    assert_eq!(line["case"], "lenet-b2");
    assert_eq!((&line["steps"], &line["warmup"]), (&3.into(), &1.into()));
    let [min, median, max] = ["min_ms", "median_ms", "max_ms"].map(|name| number(&line, name));
    assert!(0.0 < min && min <= median && median <= max, "{line}");
    let samples = number(&line, "samples_per_s") * median;
    assert!((samples / 2e3 - 1.0).abs() < 1e-2, "{line}");
    assert!(line.get("gflops").is_none() && !text.contains("gflop/s"), "{line}");
    assert!(number(&line, "first_s") * 1e3 + 20.0 > number(&line, "first_ms"), "{line}");
    assert!(number(&line, "plan_mib") > 1.0);
    if cfg!(target_os = "linux") {
        assert!(number(&line, "peak_rss_mib") > 1.0);
    }
    assert!(text.contains("params=184586 lr=0.001 loss fell=true losses=["), "{text}");
    let shown = text.split("losses=[").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    assert_eq!(shown.split(", ").count(), 4, "warm-up steps included: {shown}");
    Ok(())
}

fn usage_errors_exit_with_2() -> Outcome {
    for args in [
        &[][..],
        &["vgg16"],
        &["lenet", "--inner", "3"],
        &["lenet", "--batch", "0"],
        &["lenet", "--steps", "0"],
        &["matmul"],
        &["matmul", "0"],
        &["matmul", "64", "64"],
        &["conv", "3", "32", "8"],
        &["convbwd", "3", "32", "8", "-1"],
    ] {
        assert_eq!(striate(args).status.code(), Some(2), "{args:?}");
    }
    Ok(())
}

fn errors_are_one_line_and_exit_code_1() -> Outcome {
    let cases: [(&[&str], &str); 5] = [
        (&["lenet", "--device", "no such adapter"], "device: "),
        (&["lenet", "--device", "cpu", "--lr", "nan"], "--lr: must be a finite number"),
        (&["lenet", "--device", "cpu", "--batch", "4000000000"], "are more than the 4294967295 numbers"),
        (&["matmul", "100000", "--device", "cpu"], "N: [100000, 100000] are more than"),
        (&["conv", "4000000000", "4000000000", "9", "9", "--device", "cpu"], "C H K BATCH: "),
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

/// The name by which the tests' GPU is asked for.
fn gpu_name() -> String {
    std::env::var("STRIATE_TEST_DEVICE").unwrap_or("gpu".into())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add("losses_follow_pytorch::cpu", || losses_follow_pytorch("cpu"));
    suite.add("single_operations_are_right::cpu", || single_operations_are_right("cpu"));
    suite.add("the_last_line_has_every_field", the_last_line_has_every_field);
    suite.add("usage_errors_exit_with_2", usage_errors_exit_with_2);
    suite.add("errors_are_one_line_and_exit_code_1", errors_are_one_line_and_exit_code_1);
    suite.add_gpu("losses_follow_pytorch::gpu", |_| losses_follow_pytorch(&gpu_name()));
    suite.add_gpu("single_operations_are_right::gpu", |_| single_operations_are_right(&gpu_name()));
    suite.run()
}
