//! `striate plan`, `striate kernels` and `striate devices`: output and errors.

mod kernels;
#[path = "../common/program.rs"]
mod program;

use program::*;
use std::process::Stdio;
use striate::plan::{Family, Peaks, Plan, Prediction, Report, Target};
use striate::train::{Recipe, training_graph};
use striate::{models, nn};

const RESNET20: [&str; 4] = ["plan", "resnet20", "--input", "3x32x32"];

/// The output of a command that must succeed.
fn shown(args: &[&str]) -> String {
    printed(&mut without_gpu(args))
}

/// The output of a command with `--json`.
fn answer(args: &[&str]) -> Value {
    json(without_gpu(args).arg("--json"))
}

/// Standard error of a command that must fail with an exit code.
#[track_caller]
fn complaint(args: &[&str], code: i32) -> String {
    let output = without_gpu(args).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(output.stdout.is_empty(), "{args:?}");
    error
}

/// The plan that [`RESNET20`] describes.
fn resnet20() -> Plan {
    let model = models::by_name("resnet20", 3, 10).unwrap();
    let optimizer = nn::Optimizer::Sgd(nn::SgdConfig::HE_2015);
    let recipe = Recipe { optimizer, ..Default::default() };
    let graph = training_graph(&*model, [64, 3, 32, 32], &recipe).unwrap();
    Plan::new(&graph, &Target::baseline(Family::Gpu)).unwrap()
}

/// Kernels of the launches of one phase.
fn kernels_of(plan: &Value, phase: &str) -> Vec<String> {
    let groups = plan["groups"].as_array().unwrap().iter().filter(|g| g["phase"] == phase);
    let launches = groups.flat_map(|g| g["launches"].as_array().unwrap());
    launches.map(|l| l["kernel"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn json_has_the_totals_and_every_launch() {
    let found = answer(&RESNET20);
    let plan = resnet20();
    assert_eq!(found["model"], "resnet20");
    assert_eq!(found["input"], serde_json::json!([64, 3, 32, 32]));
    assert_eq!(found["memory"]["peak"], plan.peak_bytes());
    assert_eq!(found["totals"]["flops"], plan.flops());
    assert_eq!(found["totals"]["launches"], plan.launches.len());
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), plan.groups.len());
    let launches: usize = groups.iter().map(|g| g["launches"].as_array().unwrap().len()).sum();
    assert_eq!(launches, plan.launches.len());
    let flops: u64 = groups.iter().map(|g| g["flops"].as_u64().unwrap()).sum();
    assert_eq!(flops, plan.flops());
}

#[test]
fn submissions_are_limited_on_request() {
    let number = |plan: &Value, of: &str, key: &str| plan[of][key].as_f64().unwrap();
    let [free, limited] = [answer(&RESNET20), answer(&[&RESNET20[..], &["--submission-ms", "2.5"]].concat())];
    assert!(number(&free, "longest_submission", "ms") > 2.5);
    assert!(number(&limited, "longest_submission", "ms") <= 2.5);
    assert!(number(&limited, "totals", "submissions") > number(&free, "totals", "submissions"));
    assert_eq!(limited["totals"]["launches"], free["totals"]["launches"]);
    for wrong in ["0.5", "-1", "NaN", "soon"] {
        let error = complaint(&[&RESNET20[..], &[&format!("--submission-ms={wrong}")]].concat(), 2);
        assert!(error.contains("milliseconds, at least 1"), "{error}");
    }
}

#[test]
fn times_are_predicted_from_the_peaks_of_a_device() {
    let named = answer(&[&RESNET20[..], &["--on", "rtx3060,launch-us=4"]].concat());
    let found = &named["prediction"];
    assert_eq!(found["device"], "GeForce RTX 3060");
    assert!(found["source"].as_str().unwrap().contains("NVIDIA"));
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let peaks = ["tflops", "gbs", "launch_us"].map(|key| number(found, key));
    let report = Report::new(&resnet20());
    let peaks = Peaks { tflops: peaks[0], gbs: peaks[1], launch_us: peaks[2] };
    let expected = Prediction::new(&report, peaks, 64);
    assert_eq!(found["groups"].as_array().unwrap().len(), expected.groups.len());
    assert_eq!(number(found, "images_per_s"), expected.images_per_s);
    for key in ["arithmetic_ms", "memory_ms", "launches_ms", "ms"] {
        let groups = found["groups"].as_array().unwrap().iter();
        let (sum, total) =
            (groups.map(|group| number(group, key)).sum::<f64>(), number(&found["total"], key));
        assert!((sum - total).abs() < 1e-9 * total, "{key}: {sum} and {total}");
    }
    let mut rest = named.clone();
    rest.as_object_mut().unwrap().remove("prediction");
    assert_eq!(rest, answer(&RESNET20));

    let given = answer(&[&RESNET20[..], &["--on", "tflops=12.7,gbs=360,launch-us=4"]].concat());
    assert_eq!(given["prediction"]["total"], found["total"]);
    assert_eq!(given["prediction"]["device"], Value::Null);
    let text = shown(&[&RESNET20[..], &["--on", "tflops=12.7,gbs=360,launch-us=4"]].concat());
    let title = "training step of resnet20: 64 images of 3x32x32\non a device with at most 12.7 TFLOP/s and 360 GB/s\n";
    assert_eq!(text, format!("{title}\n{expected}"));
    assert!(text.lines().all(|line| line.chars().count() <= 110 && line == line.trim_end()), "{text}");
}

#[test]
fn unusable_peaks_are_usage_errors() {
    for (on, problem) in [
        ("rtx 3060 ti", "no figures of \"rtx 3060 ti\"; expected the name of a GPU or tflops=N,gbs=N"),
        ("tflops=13", "gbs is missing"),
        ("tflops=0,gbs=360", "tflops must be a number from 0.000001 to 1000000, found \"0\""),
        ("tflops=13,gbs=NaN", "gbs must be a number"),
    ] {
        let error = complaint(&["plan", "resnet20", "--on", on], 2);
        assert!(error.contains(problem), "{on}: {error}");
    }
    complaint(&["plan", "resnet20", "--on", "h200", "--launches"], 2);
}

#[test]
fn the_table_fits_a_terminal() {
    let text = shown(&RESNET20);
    let report = Report::new(&resnet20());
    assert!(text.ends_with(&report.to_string()));
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
        assert_eq!(line, line.trim_end());
    }
    let launches = shown(&[&RESNET20[..], &["--launches"]].concat());
    assert!(launches.ends_with(&format!("{report:#}")));
    assert!(launches.lines().count() > resnet20().launches.len());
}

#[test]
fn networks_have_their_known_sizes() {
    for (model, input, parameters) in [
        ("lenet", "1x28x28", 184_586),
        ("resnet20", "3x32x32", 272_474),
        ("resnet18-cifar", "3x32x32", 11_173_962),
    ] {
        let found = answer(&["plan", model, "--input", input, "--batch", "2"]);
        assert_eq!(found["model"], model);
        assert_eq!(found["totals"]["parameters"], parameters, "{model}");
    }
}

#[test]
fn evaluation_takes_less_work_and_memory_than_training() {
    for family in ["gpu", "software", "cpu"] {
        let args = ["plan", "resnet8", "--input", "1x28x28", "--family", family];
        let (training, evaluation) = (answer(&args), answer(&[&args[..], &["--eval"]].concat()));
        let number = |value: &Value, part: &str, key: &str| value[part][key].as_u64().unwrap();
        for (part, key) in [("totals", "flops"), ("memory", "peak"), ("memory", "persistent")] {
            assert!(number(&evaluation, part, key) < number(&training, part, key), "{family} {part} {key}");
        }
        assert_eq!(evaluation["totals"]["parameters"], training["totals"]["parameters"]);
        assert!(number(&training, "memory", "peak") < number(&training, "memory", "unshared_peak"));
    }
}

#[test]
fn recomputation_takes_less_memory_and_more_operations() {
    let plan = |flags: &[&str]| answer(&[&RESNET20[..], flags].concat());
    let number = |plan: &Value, part: &str, key: &str| plan[part][key].as_u64().unwrap();
    for flags in [&[][..], &["--no-fuse"], &["--family", "cpu"]] {
        let (kept, computed) = (plan(flags), plan(&[&["--recompute"], flags].concat()));
        assert!(2 * number(&computed, "memory", "peak") < number(&kept, "memory", "peak"), "{flags:?}");
        assert_eq!(number(&computed, "memory", "persistent"), number(&kept, "memory", "persistent"));
        let forward = plan(&["--eval"]);
        let more = number(&computed, "totals", "flops") - number(&kept, "totals", "flops");
        assert!(
            0 < more && more < number(&forward, "totals", "flops"),
            "{more} more operations, more than a forward pass"
        );
        assert!(kernels_of(&kept, "recompute").is_empty() && !kernels_of(&computed, "recompute").is_empty());
        assert_eq!(kernels_of(&computed, "forward"), kernels_of(&kept, "forward"));
    }
    let evaluation = plan(&["--eval"]);
    assert_eq!(evaluation["groups"], plan(&["--eval", "--recompute"])["groups"]);
}

#[test]
fn a_plan_stays_within_a_memory_limit() {
    // The step takes 110 MiB, and 41 MiB with recomputation; with recomputation and batches of 32, 24 MiB, and of 4, 7 MiB.
    for (limit, words, batch) in [
        ("1GiB", "without recomputation", 64),
        ("50MiB", "with recomputation", 64),
        ("32M", "with recomputation and 2 micro-batches", 32),
        ("8MiB", "with recomputation and 16 micro-batches", 4),
    ] {
        let output = without_gpu(&RESNET20).args(["--json", "--memory", limit]).output().unwrap();
        let note = text(&output.stderr);
        assert!(
            note.starts_with("note: the step takes ") && note.trim_end().ends_with(words),
            "{limit}: {note}"
        );
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["input"][0], batch, "{limit}");
        let limit = limit.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap();
        let limit = if limit == 1 { 1 << 30 } else { limit << 20 };
        assert!(found["memory"]["peak"].as_u64().unwrap() <= limit, "{limit}");
    }
    assert_refused(
        without_gpu(&RESNET20).args(["--memory", "1MiB"]),
        &["error: --memory: a step does not fit in 1.00 MiB: it needs at least "],
    );
    for bad in ["5 bananas", "", "-5M", "0", "MiB"] {
        let error = complaint(&[&RESNET20[..], &[&format!("--memory={bad}")]].concat(), 2);
        assert!(error.contains("such as 512MiB or 1.5GiB"), "{bad}: {error}");
    }
}

#[test]
fn errors_are_one_line_and_exit_code_1() {
    assert_all_refused(&[
        (
            &["plan", "resnet20", "--input", "3x32"],
            "expected CHANNELSxHEIGHTxWIDTH, such as 3x32x32, found \"3x32\"",
        ),
        (&["plan", "resnet20", "--input", "3x32x-1"], "found \"3x32x-1\""),
        (&["plan", "resnet21", "--input", "3x32x32"], "did you mean resnet20?"),
        (&["plan", "vgg16", "--input", "3x32x32"], "unknown network \"vgg16\"; available: lenet"),
        (&["plan", "resnet51", "--input", "3x32x32"], "did you mean resnet50? Available: lenet, alexnet"),
        (&["plan", "lenet", "--input", "1x8x8"], "conv2d in conv2: the kernel covers 5 pixels"),
        (
            &["plan", "resnet20", "--input", "3x32x32", "--batch", "0"],
            "the batch included, must be at least 1",
        ),
        (&["plan", "resnet20", "--input", "3x0x32"], "must be at least 1"),
        (&["plan", "resnet20", "--input", "3x99999x99999999999"], "use a smaller batch or size"),
    ]);
}

#[test]
fn the_suggested_batch_is_the_largest_that_is_accepted() {
    for (flags, largest) in
        [(&["resnet18"][..], 41), (&["googlenet"], 41), (&["alexnet", "--eval"], 173), (&["resnet20"], 2048)]
    {
        let refusal = |batch: usize| {
            let output = without_gpu(&["plan", "--batch", &batch.to_string()]).args(flags).output().unwrap();
            (!output.status.success()).then(|| text(&output.stderr))
        };
        let expected = format!("use a batch of at most {largest} or smaller images");
        for batch in [largest + 1, 3 * largest] {
            let error = refusal(batch).unwrap_or_default();
            assert!(error.contains(&expected), "{flags:?} in batches of {batch}: {error}");
        }
        assert_eq!(refusal(largest), None, "{flags:?}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    assert_usage_errors(&[
        &["plan"],
        &["summary"],
        &["tune"],
        &["profile"],
        &["plan", "resnet20", "--input", "3x32x32", "--family", "tpu"],
        &["plan", "resnet20", "--input", "3x32x32", "--batch", "many"],
        &["devices", "--nonsense"],
    ]);
}

/// Image size and classes default to those of the model.
#[test]
fn only_the_name_of_a_model_is_required() {
    for (model, input, classes) in [("resnet20", [3, 32, 32], 10), ("googlenet", [3, 224, 224], 1000)] {
        for command in ["plan", "summary"] {
            let found = answer(&[command, model, "--batch", "2"]);
            assert_eq!(
                found["input"],
                serde_json::json!([2, input[0], input[1], input[2]]),
                "{command} {model}"
            );
            assert_eq!(found["classes"], classes, "{command} {model}");
        }
    }
    let args = ["profile", "lenet", "--device", "cpu", "--batch", "1", "--steps", "1"];
    assert_eq!(answer(&args)["input"], serde_json::json!([1, 3, 28, 28]));
    let args = ["plan", "resnet8"];
    assert_eq!(answer(&args), answer(&[&args[..], &["--launches"]].concat()));
}

/// Counted by hand for 64 images of 32 x 32; activations of 16 channels take `A` bytes.
#[test]
fn layers_report_their_minimum_traffic() {
    const A: u64 = 64 * 16 * 32 * 32 * 4;
    let found = answer(&RESNET20);
    let groups = found["groups"].as_array().unwrap();
    let group = |scope: &str, phase: &str| {
        let mut groups = groups.iter().filter(|g| g["scope"] == scope && g["phase"] == phase);
        let group = groups.next().unwrap();
        assert!(groups.next().is_none(), "{scope} {phase}");
        group
    };
    let (weight, per_channel) = (16 * 16 * 9 * 4, 16 * 4);
    for (scope, phase, least) in [
        // Input, output and weight; reading the input several times does not count.
        ("layer1.0.conv1", "forward", 2 * A + weight),
        // x and y; scale and shift; mean and variance, which the gradient needs.
        ("layer1.0.bn1", "forward", 2 * A + 4 * per_channel),
        // The residual as well.
        ("layer1.0.bn2", "forward", 3 * A + 4 * per_channel),
        // Upstream gradient, input, the shortcut's gradient and the sum of it and the input gradient; the weight and its gradient.
        ("layer1.0.conv1", "backward", 4 * A + 2 * weight),
        ("layer1.0.conv2", "backward", 3 * A + 2 * weight),
        // Two statistics of 7 x 16, 7 x 32 and 7 x 64 channels: old values, the batch's, and new ones; the guard.
        ("running statistics", "update", 2 * 3 * 7 * (16 + 32 + 64) * 4 + 4),
    ] {
        assert_eq!(group(scope, phase)["least"], least, "{scope} {phase}");
    }
    assert!(
        groups.iter().all(|g| 0 < g["least"].as_u64().unwrap() && g["least"].as_u64() <= g["bytes"].as_u64())
    );
    let sum: u64 = groups.iter().map(|g| g["least"].as_u64().unwrap()).sum();
    assert_eq!(found["totals"]["least"], sum);
    let times = found["totals"]["bytes"].as_f64().unwrap() / sum as f64;
    let text = shown(&RESNET20);
    assert!(text.contains(&format!("\ntraffic    {times:.2}x the minimum")), "{text}");
}

#[test]
fn fused_operations_are_reported() {
    let found = answer(&RESNET20);
    assert_eq!(found["fused"], serde_json::json!({ "add": 18, "relu": 19, "relu_grad": 18 }));
    let groups = found["groups"].as_array().unwrap();
    let bn2 = groups.iter().find(|g| g["scope"] == "layer1.0.bn2" && g["phase"] == "forward").unwrap();
    assert_eq!(bn2["fused"], serde_json::json!(["add", "relu"]));
    let text = shown(&RESNET20);
    assert!(text.contains("\nfused      18 add, 19 relu, 18 relu_grad"), "{text}");
    assert!(text.contains("+relu\n") && text.contains("+relu_grad\n"), "{text}");
    let launches = shown(&[&RESNET20[..], &["--launches"]].concat());
    assert_eq!(launches.matches(" +add +relu\n").count(), 9);
    let separate = [&RESNET20[..], &["--no-fuse"]].concat();
    assert!(!shown(&separate).contains("fused"));
    assert_eq!(answer(&separate)["fused"], serde_json::json!({}));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child =
        without_gpu(&RESNET20).arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn devices_without_a_driver_lists_the_cpu_and_what_to_install() {
    // Only Vulkan's drivers can be hidden.
    if !cfg!(target_os = "linux") {
        return;
    }
    let text = shown(&["devices"]);
    assert!(text.contains(striate::Device::INSTALL), "{text}");
    assert!(text.contains("cpu: CPU executor") && text.contains("<- auto"), "{text}");
    let found = answer(&["devices"]);
    assert_eq!(found["adapters"], serde_json::json!([]));
    assert_eq!(found["cpu"]["auto"], true);
    assert!(found["cpu"]["threads"].as_u64().unwrap() > 0);
}

#[test]
fn devices_lists_every_adapter_and_marks_the_default() {
    let found = json(&mut striate(&["devices", "--json"]));
    let adapters = found["adapters"].as_array().unwrap();
    let expected = striate::gpu::adapters();
    let names: Vec<&str> = adapters.iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, expected.iter().map(|a| a.name.as_str()).collect::<Vec<_>>());
    for (index, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["auto"], index == 0);
        assert!(adapter["limits"]["buffer bytes"].as_u64().unwrap() > 0);
    }
    assert_eq!(found["cpu"]["auto"], adapters.is_empty());
}
