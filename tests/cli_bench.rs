//! `striate bench`: losses against PyTorch's, results of single operations, the machine-readable line, and errors.

mod common;
#[path = "common/program.rs"]
mod program;

use common::{Named, Outcome, Suite, gpu_name, named};
use program::*;

/// Relative tolerance of losses, against PyTorch's in f64.
const TOLERANCE: f64 = 1e-4;

/// The output of a benchmark, and its last line.
fn bench(args: &[&str]) -> (String, Value) {
    let text = printed(striate(&["bench"]).args(args));
    let line = text.lines().last().and_then(|line| line.strip_prefix("JSON ")).expect("a line of JSON");
    let line = serde_json::from_str(line).expect("the last line is JSON");
    (text, line)
}

fn number(line: &Value, name: &str) -> f64 {
    line[name].as_f64().unwrap_or_else(|| panic!("{name} is not a number in {line}"))
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
        let (_, line) = bench(&[&[case][..], &flags].concat());
        let (found, wanted) = (numbers(&line["losses"]), numbers(&row["losses_f64"]));
        assert_eq!(found.len(), wanted.len(), "{case}");
        for (step, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let error = (found - wanted).abs() / wanted;
            assert!(
                error <= TOLERANCE,
                "{case}: loss {found} at step {step}, PyTorch has {wanted}: {error:.1e}"
            );
        }
    }
    Ok(())
}

/// Sampled elements of single operations against sums in f64.
fn single_operations_are_correct(device: &str) -> Outcome {
    for (case, name) in [
        (&["matmul", "65", "--inner", "4"][..], "matmul-65"),
        (&["conv", "3", "9", "5", "2", "--inner", "2"], "conv-c3-h9-k5-b2"),
        (&["convdx", "5", "8", "3", "2"], "convdx-c5-h8-k3-b2"),
        (&["convdw", "5", "8", "3", "2"], "convdw-c5-h8-k3-b2"),
        (&["convbwd", "5", "8", "3", "2"], "convbwd-c5-h8-k3-b2"),
        (&["convbwd", "5", "8", "3", "2", "--filter", "1"], "convbwd-c5-h8-k3-b2-f1"),
        (&["convbwd", "5", "8", "3", "2", "--filter", "5"], "convbwd-c5-h8-k3-b2-f5"),
    ] {
        let flags = ["--steps", "2", "--warmup", "1", "--device", device];
        let (text, line) = bench(&[case, &flags].concat());
        assert!(text.contains("max abs error over checked elements: "), "{text}");
        assert_eq!(line["case"], name);
        assert!(number(&line, "gflops") > 0.0, "{line}");
        let error = number(&line, "max_abs_error");
        assert!(error <= 1e-4, "{name}: an error of {error:e}");
    }
    Ok(())
}

/// Benchmark harnesses read these fields, and the list of losses in the text.
fn the_last_line_has_every_field() -> Outcome {
    let (text, line) = bench(&["--device", "cpu", "lenet", "--batch", "2", "--steps", "3", "--warmup", "1"]);
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
    assert_usage_errors(&[
        &["bench"],
        &["bench", "vgg16"],
        &["bench", "lenet", "--inner", "3"],
        &["bench", "lenet", "--batch", "0"],
        &["bench", "lenet", "--steps", "0"],
        &["bench", "matmul"],
        &["bench", "matmul", "0"],
        &["bench", "matmul", "64", "64"],
        &["bench", "conv", "3", "32", "8"],
        &["bench", "convbwd", "3", "32", "8", "-1"],
        &["bench", "conv", "3", "32", "8", "1", "--filter", "2"],
    ]);
    Ok(())
}

fn errors_are_one_line_and_exit_code_1() -> Outcome {
    assert_all_refused(&[
        (&["bench", "lenet", "--device", "no such adapter"], "device: "),
        (&["bench", "lenet", "--device", "cpu", "--lr", "nan"], "--lr: must be finite"),
        (
            &["bench", "lenet", "--device", "cpu", "--batch", "4000000000"],
            "has more than 4294967295 elements",
        ),
        (&["bench", "matmul", "100000", "--device", "cpu"], "N: [100000, 100000] has more than"),
        (&["bench", "conv", "4000000000", "4000000000", "9", "9", "--device", "cpu"], "C H K BATCH: "),
    ]);
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_all(named![
        the_last_line_has_every_field,
        usage_errors_exit_with_2,
        errors_are_one_line_and_exit_code_1,
    ]);
    let tests: &Named<fn(&str) -> Outcome> = named![losses_follow_pytorch, single_operations_are_correct];
    for (name, test) in tests {
        suite.add(format!("{name}::cpu"), || test("cpu"));
        suite.add_gpu(format!("{name}::gpu"), |_| test(&gpu_name()));
    }
    suite.run()
}
