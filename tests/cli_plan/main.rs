//! `striate plan`, `striate kernels` and `striate devices` as programs: what they print, and how they fail.

#![cfg(feature = "cli")]

mod kernels;

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use striate::plan::{Family, Plan, Report, Target};
use striate::train::{Recipe, training_graph};
use striate::{models, nn};

/// Runs the program where no Vulkan driver can be found.
fn striate(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    // Both names of the setting: the old one and the one that replaced it.
    command.args(args).env("VK_ICD_FILENAMES", "/dev/null").env("VK_DRIVER_FILES", "/dev/null");
    command
}

fn printed(args: &[&str]) -> String {
    let output = striate(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&printed(args)).expect("the output is JSON")
}

fn complaint(args: &[&str], code: i32) -> String {
    let output = striate(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(output.stdout.is_empty(), "{args:?}");
    error
}

/// The plan that `striate plan resnet20 --input 3x32x32` is to describe.
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
fn json_has_the_plans_totals_and_every_launch() {
    let found = json(&["plan", "resnet20", "--input", "3x32x32", "--json"]);
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
fn the_table_is_the_reports_and_fits_a_terminal() {
    let text = printed(&["plan", "resnet20", "--input", "3x32x32"]);
    let report = Report::new(&resnet20());
    assert!(text.ends_with(&report.to_string()));
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
        assert_eq!(line, line.trim_end());
    }
    let launches = printed(&["plan", "resnet20", "--input", "3x32x32", "--launches"]);
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
        let found = json(&["plan", model, "--input", input, "--batch", "2", "--json"]);
        assert_eq!(found["model"], model);
        assert_eq!(found["totals"]["parameters"], parameters, "{model}");
    }
}

#[test]
fn evaluation_takes_less_than_training() {
    for family in ["gpu", "software", "cpu"] {
        let args = ["plan", "resnet8", "--input", "1x28x28", "--json", "--family", family];
        let (training, evaluation) = (json(&args), json(&[&args[..], &["--eval"]].concat()));
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
    let plan = |model: &str, flags: &[&str]| {
        json(&[&["plan", model, "--input", "3x32x32", "--json"], flags].concat())
    };
    let number = |plan: &Value, part: &str, key: &str| plan[part][key].as_u64().unwrap();
    for flags in [&[][..], &["--no-fuse"], &["--family", "cpu"]] {
        let (kept, computed) =
            (plan("resnet20", flags), plan("resnet20", &[&["--recompute"], flags].concat()));
        assert!(2 * number(&computed, "memory", "peak") < number(&kept, "memory", "peak"), "{flags:?}");
        assert_eq!(number(&computed, "memory", "persistent"), number(&kept, "memory", "persistent"));
        let forward = json(&["plan", "resnet20", "--input", "3x32x32", "--json", "--eval"]);
        let more = number(&computed, "totals", "flops") - number(&kept, "totals", "flops");
        assert!(0 < more && more < number(&forward, "totals", "flops"), "a forward pass at most: {more}");
        assert!(kernels_of(&kept, "recompute").is_empty() && !kernels_of(&computed, "recompute").is_empty());
        assert_eq!(kernels_of(&computed, "forward"), kernels_of(&kept, "forward"));
    }
    let evaluation = plan("resnet20", &["--eval"]);
    assert_eq!(evaluation["groups"], plan("resnet20", &["--eval", "--recompute"])["groups"]);
}

#[test]
fn a_plan_keeps_to_the_memory_it_is_given() {
    // 110 MiB as it is and 41 MiB computed again; with batches of 32, 24 MiB computed again, of 4, 7 MiB.
    for (limit, words, batch) in [
        ("1GiB", "without recomputation", 64),
        ("50MiB", "with recomputation", 64),
        ("32M", "with recomputation and 2 micro-batches", 32),
        ("8MiB", "with recomputation and 16 micro-batches", 4),
    ] {
        let args = ["plan", "resnet20", "--input", "3x32x32", "--json", "--memory", limit];
        let output = striate(&args);
        let note = String::from_utf8_lossy(&output.stderr).into_owned();
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
    let error = complaint(&["plan", "resnet20", "--input", "3x32x32", "--memory", "1MiB"], 1);
    assert!(
        error.starts_with("error: --memory: a step does not fit in 1.00 MiB: it needs at least "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    for bad in ["5 bananas", "", "-5M", "0", "MiB"] {
        let error = complaint(&["plan", "resnet20", "--input", "3x32x32", &format!("--memory={bad}")], 2);
        assert!(error.contains("such as 512MiB or 1.5GiB"), "{bad}: {error}");
    }
}

#[test]
fn errors_are_one_line_and_exit_code_1() {
    let cases: [(&[&str], &str); 9] = [
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
        (&["plan", "resnet20", "--input", "3x99999x99999999999"], "use a smaller batch or smaller images"),
    ];
    for (args, expected) in cases {
        let output = striate(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_batch_that_a_refused_plan_advises_is_accepted_and_the_largest() {
    for (flags, advised) in
        [(&["resnet18"][..], 41), (&["googlenet"], 41), (&["alexnet", "--eval"], 173), (&["resnet20"], 2048)]
    {
        let refusal = |batch: usize| {
            let output = striate(&[&["plan", "--batch", &batch.to_string()], flags].concat());
            (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let expected = format!("use a batch of at most {advised} or smaller images");
        for batch in [advised + 1, 3 * advised] {
            let error = refusal(batch).unwrap_or_default();
            assert!(error.contains(&expected), "{flags:?} in batches of {batch}: {error}");
        }
        assert_eq!(refusal(advised), None, "{flags:?}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &["plan"][..],
        &["summary"],
        &["tune"],
        &["profile"],
        &["plan", "resnet20", "--input", "3x32x32", "--family", "tpu"],
        &["plan", "resnet20", "--input", "3x32x32", "--batch", "many"],
        &["devices", "--nonsense"],
    ] {
        assert_eq!(striate(args).status.code(), Some(2), "{args:?}");
    }
}

/// All commands on a model take the images and classes that it was made for, unless told otherwise.
#[test]
fn a_models_name_is_enough() {
    for (model, input, classes) in [("resnet20", [3, 32, 32], 10), ("googlenet", [3, 224, 224], 1000)] {
        for command in ["plan", "summary"] {
            let found = json(&[command, model, "--batch", "2", "--json"]);
            assert_eq!(
                found["input"],
                serde_json::json!([2, input[0], input[1], input[2]]),
                "{command} {model}"
            );
            assert_eq!(found["classes"], classes, "{command} {model}");
        }
    }
    let args = ["profile", "lenet", "--device", "cpu", "--batch", "1", "--steps", "1", "--json"];
    assert_eq!(json(&args)["input"], serde_json::json!([1, 3, 28, 28]));
    let args = ["plan", "resnet8", "--json"];
    assert_eq!(json(&args), json(&[&args[..], &["--launches"]].concat()));
}

/// Counted by hand for a batch of 64 at 32 x 32: activations of 16 channels are of `A` bytes.
#[test]
fn layers_report_their_minimum_traffic() {
    const A: u64 = 64 * 16 * 32 * 32 * 4;
    let found = json(&["plan", "resnet20", "--input", "3x32x32", "--json"]);
    let groups = found["groups"].as_array().unwrap();
    let group = |scope: &str, phase: &str| {
        let mut groups = groups.iter().filter(|g| g["scope"] == scope && g["phase"] == phase);
        let group = groups.next().unwrap();
        assert!(groups.next().is_none(), "{scope} {phase}");
        group
    };
    let (weight, per_channel) = (16 * 16 * 9 * 4, 16 * 4);
    for (scope, phase, least) in [
        // Images in and out, and the weight; not that images are read once for each pass over them.
        ("layer1.0.conv1", "forward", 2 * A + weight),
        // x and y; scale, shift, and mean and variance, which the gradient wants.
        ("layer1.0.bn1", "forward", 2 * A + 4 * per_channel),
        // The residual as well.
        ("layer1.0.bn2", "forward", 3 * A + 4 * per_channel),
        // The upstream gradient and the input once for both gradients, which go out with the weight.
        ("layer1.0.conv1", "backward", 3 * A + 2 * weight),
        // Two states of each of 7 x 16, 7 x 32 and 7 x 64 channels: old, the batch's, and new.
        ("running statistics", "update", 2 * 3 * 7 * (16 + 32 + 64) * 4),
    ] {
        assert_eq!(group(scope, phase)["least"], least, "{scope} {phase}");
    }
    assert!(
        groups.iter().all(|g| 0 < g["least"].as_u64().unwrap() && g["least"].as_u64() <= g["bytes"].as_u64())
    );
    let sum: u64 = groups.iter().map(|g| g["least"].as_u64().unwrap()).sum();
    assert_eq!(found["totals"]["least"], sum);
    let times = found["totals"]["bytes"].as_f64().unwrap() / sum as f64;
    let text = printed(&["plan", "resnet20", "--input", "3x32x32"]);
    assert!(text.contains(&format!("\ntraffic    {times:.2}x the minimum")), "{text}");
}

#[test]
fn what_was_fused_is_told() {
    let args = ["plan", "resnet20", "--input", "3x32x32"];
    let found = json(&[&args[..], &["--json"]].concat());
    assert_eq!(found["fused"], serde_json::json!({ "add": 9, "relu": 19, "relu_grad": 10 }));
    let groups = found["groups"].as_array().unwrap();
    let bn2 = groups.iter().find(|g| g["scope"] == "layer1.0.bn2" && g["phase"] == "forward").unwrap();
    assert_eq!(bn2["fused"], serde_json::json!(["add", "relu"]));
    let text = printed(&args);
    assert!(text.contains("\nfused      9 add, 19 relu, 10 relu_grad"), "{text}");
    assert!(text.contains("+relu\n") && text.contains("+relu_grad\n"), "{text}");
    let launches = printed(&[&args[..], &["--launches"]].concat());
    assert_eq!(launches.matches(" +add +relu\n").count(), 9);
    let apart = [&args[..], &["--no-fuse"]].concat();
    assert!(!printed(&apart).contains("fused"));
    assert_eq!(json(&[&apart[..], &["--json"]].concat())["fused"], serde_json::json!({}));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = command(&["plan", "resnet20", "--input", "3x32x32", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

#[test]
fn devices_without_a_driver_are_the_cpu_and_what_to_install() {
    // Only Vulkan's drivers can be hidden.
    if !cfg!(target_os = "linux") {
        return;
    }
    let text = printed(&["devices"]);
    assert!(text.contains(striate::Device::INSTALL), "{text}");
    assert!(text.contains("cpu: CPU executor") && text.contains("<- auto"), "{text}");
    let found = json(&["devices", "--json"]);
    assert_eq!(found["adapters"], serde_json::json!([]));
    assert_eq!(found["cpu"]["auto"], true);
    assert!(found["cpu"]["threads"].as_u64().unwrap() > 0);
}

#[test]
fn devices_lists_every_adapter_and_marks_the_one_taken() {
    let output = Command::new(env!("CARGO_BIN_EXE_striate")).args(["devices", "--json"]).output().unwrap();
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
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
