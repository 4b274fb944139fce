//! Fault injection. Calls of the Vulkan driver fail during `striate train`, which must recover or report an error, and never
//! panic, crash or hang; and a driver compiles a kernel wrongly, which the self-test must find. Needs a Vulkan adapter, a C compiler and Vulkan's headers.

#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/workspace.rs"]
mod workspace;

use common::{Outcome, Suite, gpu_name};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use workspace::*;

/// Calls that may fail, as the layer names them.
const CALLS: [&str; 30] = [
    "QueueSubmit",
    "AllocateMemory",
    "BindBufferMemory",
    "MapMemory",
    "CreateBuffer",
    "CreateShaderModule",
    "CreateComputePipelines",
    "CreatePipelineCache",
    "GetPipelineCacheData",
    "CreatePipelineLayout",
    "CreateDescriptorSetLayout",
    "CreateDescriptorPool",
    "AllocateDescriptorSets",
    "CreateCommandPool",
    "ResetCommandPool",
    "AllocateCommandBuffers",
    "BeginCommandBuffer",
    "EndCommandBuffer",
    "CreateFence",
    "GetFenceStatus",
    "WaitForFences",
    "CreateSemaphore",
    "WaitSemaphores",
    "GetSemaphoreCounterValue",
    "CreateQueryPool",
    "FlushMappedMemoryRanges",
    "InvalidateMappedMemoryRanges",
    "QueueWaitIdle",
    "DeviceWaitIdle",
    "CreateDevice",
];

/// Results of Vulkan calls.
const DEVICE_LOST: i32 = -4;
const OUT_OF_DEVICE_MEMORY: i32 = -2;

/// The folder of the layer and its manifest; `None` without a compiler or Vulkan's headers.
fn build_layer() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("faults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device_faults/layer.c");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    let built = compile.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let manifest = serde_json::json!({
        "file_format_version": "1.1.0",
        "layer": {
            "name": "VK_LAYER_faults",
            "type": "GLOBAL",
            "library_path": library,
            "api_version": "1.3.0",
            "implementation_version": "1",
            "description": "makes calls fail",
        },
    });
    std::fs::write(dir.path().join("faults.json"), manifest.to_string()).unwrap();
    built.then_some(dir)
}

/// Where runs are made, what they leave without faults, and how often each function is called then.
struct Lab {
    layer: TempDir,
    dir: Workspace,
    expected: Vec<u8>,
    calls: BTreeMap<String, u32>,
}

/// How often each function was called, from the layer's log.
fn calls(log: &Path) -> BTreeMap<String, u32> {
    let log = std::fs::read_to_string(log).unwrap();
    let calls = log.lines().map(|line| line.split_once(' ').unwrap());
    calls.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// From call number `at` on, or only there, a function returns `result`.
struct Fault {
    call: &'static str,
    at: u32,
    result: i32,
    permanent: bool,
}

impl Lab {
    fn new(layer: TempDir) -> Self {
        let mut lab = Self { layer, dir: Workspace::new(), expected: Vec::new(), calls: BTreeMap::new() };
        let (out, log) = (lab.dir.path("complete"), lab.dir.path("log"));
        // Compiles what the driver caches, so that all later runs make the same calls.
        printed(&mut lab.train(&lab.dir.path("first")));
        printed(lab.train(&out).env("FAULT_LOG", &log));
        lab.expected = weights(&out).unwrap();
        lab.calls = calls(&log);
        lab
    }

    fn train(&self, out: &Path) -> Command {
        let mut command = striate(&["train", "--dataset", "mnist", "--epochs", "2", "--batch", "8"]);
        command
            .args(["--checkpoint-every", "2", "--no-selftest", "--device", &gpu_name(), "--data"])
            .arg(self.dir.path("data"));
        command.arg("--out").arg(out);
        self.with_layer(command, "cache")
    }

    fn with_layer(&self, mut command: Command, cache: &str) -> Command {
        command.env("VK_LAYER_PATH", self.layer.path()).env("VK_INSTANCE_LAYERS", "VK_LAYER_faults");
        command.env("STRIATE_CACHE", self.dir.path(cache));
        command
    }

    /// A command with a driver that compiles an entry point wrongly, and with its own cache.
    fn miscompiled(&self, entry: &str, args: &[&str]) -> Command {
        let mut command = self.with_layer(striate(args), entry);
        if args != ["devices"] {
            command.args(["--device", &gpu_name()]);
        }
        command.env("FAULT_KERNEL", entry);
        command
    }

    /// Trains with a fault, and resumes without it if that failed. The weights must be those of a run without faults.
    fn check(&self, fault: &Fault) -> Outcome {
        let Fault { call, at, result, permanent } = fault;
        let case = format!("{call} {at} of {}, result {result}, permanent {permanent}", self.calls[*call]);
        let out = self.dir.path(&format!("{call}-{at}-{result}-{permanent}"));
        let mut command = self.train(&out);
        command
            .env("FAULT_CALL", call)
            .env("FAULT_AT", at.to_string())
            .env("FAULT_RESULT", result.to_string());
        if *permanent {
            command.env("FAULT_ON", "1");
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let code = wait(&mut child).code();
        let errors = text(&child.wait_with_output()?.stderr);
        let error = errors.lines().last().unwrap_or_default();
        match code {
            _ if errors.contains("panicked") => return Err(format!("{case}: {errors}").into()),
            Some(0) => {}
            Some(1) if error.starts_with("error: ") => {
                let resumed = out.join("config.json").exists();
                let mut again = if resumed { striate(&["train", "--resume"]) } else { self.train(&out) };
                let output = if resumed { again.arg(&out) } else { &mut again }.output()?;
                if !output.status.success() {
                    return Err(format!("{case}: {errors}then {}", text(&output.stderr)).into());
                }
            }
            _ => return Err(format!("{case}: code {code:?}: {errors}").into()),
        }
        match weights(&out)? == self.expected {
            true => Ok(std::fs::remove_dir_all(out)?),
            false => Err(format!("{case}: the weights differ; {errors}").into()),
        }
    }

    /// Faults of a function at its first, middle and last call.
    fn check_all(&self, call: &'static str) -> Outcome {
        let count = self.calls[call];
        let once = |at, result| Fault { call, at, result, permanent: false };
        let middle = count.div_ceil(2);
        let mut faults = vec![once(middle, DEVICE_LOST), once(middle, OUT_OF_DEVICE_MEMORY)];
        faults.extend([1, count].map(|at| once(at, DEVICE_LOST)));
        faults.push(Fault { permanent: true, ..once(middle, DEVICE_LOST) });
        faults.iter().filter(|fault| fault.at > 0).try_for_each(|fault| self.check(fault))
    }
}

fn weights(run: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(run.join("model.safetensors"))
}

/// A device that is lost once is opened again, and training continues with the same results.
fn a_lost_device_is_opened_again(lab: &Lab) -> Outcome {
    let call = "WaitSemaphores";
    let out = lab.dir.path("again");
    let mut command = lab.train(&out);
    let at = lab.calls[call].div_ceil(2).to_string();
    command.env("FAULT_CALL", call).env("FAULT_AT", at).env("FAULT_RESULT", DEVICE_LOST.to_string());
    let output = command.output()?;
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains("the device was lost") && errors.lines().count() == 1, "{errors}");
    assert!(printed.contains("\nresumed  "), "{printed}");
    assert_eq!(weights(&out)?, lab.expected);
    Ok(())
}

/// A device that is lost again and again ends the run, with an error that says how to resume it.
fn a_device_that_stays_lost_is_an_error(lab: &Lab) -> Outcome {
    let call = "QueueSubmit";
    let out = lab.dir.path("lost");
    let mut command = lab.train(&out);
    let at = lab.calls[call].to_string();
    command.env("FAULT_CALL", call).env("FAULT_AT", at).env("FAULT_RESULT", DEVICE_LOST.to_string());
    let output = command.env("FAULT_ON", "1").output()?;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let (warnings, error) = errors.trim_end().rsplit_once('\n').expect("warnings come before the error");
    assert!(error.starts_with("error: "), "{errors}");
    let reopened = warnings.lines().filter(|line| line.starts_with("warning: the device was lost ("));
    assert_eq!(reopened.count(), 3, "{errors}");
    assert!(text(&output.stdout).contains("striate train --resume"), "{}", text(&output.stdout));
    Ok(())
}

/// Kernels that the driver compiles wrongly fail the self-test, whichever command runs it, and are not used afterwards.
fn a_miscompiled_kernel_is_found_and_not_used(lab: &Lab) -> Outcome {
    let entry = "matmul_registers";
    let bench = ["bench", "matmul", "32", "--steps", "1", "--warmup", "0"];
    let forced = [&bench[..], &["--kernel", "matmul=registers"]].concat();
    // Without the test, the wrong kernel computes wrong results unnoticed.
    let wrong = json_line(&printed(&mut lab.miscompiled(entry, &[&forced[..], &["--no-selftest"]].concat())));
    assert!(wrong["max_abs_error"].as_f64().expect("a number") > 1.0, "{wrong}");

    let output = lab.miscompiled(entry, &["selftest", "--short"]).output()?;
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let failed: Vec<&str> = table.lines().filter(|line| line.ends_with("FAILED")).collect();
    assert!(failed.len() == 1 && failed[0].starts_with("matmul_registers "), "{table}");
    assert!(table.contains(", 1 failed,"), "{table}");

    let devices = printed(&mut lab.miscompiled(entry, &["devices"]));
    let failed = "FAILED (short), these kernels are not used:\n       matmul_registers: conv2d::";
    assert!(devices.contains(failed), "{devices}");
    let plan = printed(&mut lab.miscompiled(entry, &["plan", "lenet", "--input", "1x28x28", "--launches"]));
    let (title, launches) = plan.split_once("\n\n").expect("the title comes first");
    assert!(title.ends_with("without kernels that failed the self-test: matmul_registers"), "{title}");
    assert!(!launches.contains("matmul_registers"), "{launches}");

    let refused = lab.miscompiled(entry, &forced).output()?;
    assert_error(&refused, "forced", &["matmul_registers", "self-test"]);
    let right = json_line(&printed(&mut lab.miscompiled(entry, &bench)));
    assert!(right["max_abs_error"].as_f64().expect("a number") < 1e-3, "{right}");
    Ok(())
}

/// Kernels without an alternative: the first command tests the device, and the network that needs them is refused.
fn a_kernel_that_cannot_be_replaced_is_an_error(lab: &Lab) -> Outcome {
    let bench = ["bench", "lenet", "--batch", "2", "--steps", "1", "--warmup", "0"];
    let output = lab.miscompiled("softmax_grad", &bench).output()?;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("first use of "), "{errors}");
    assert!(lines[1].contains("they failed: softmax_grad;"), "{errors}");
    // Tested only once.
    assert_eq!(text(&lab.miscompiled("softmax_grad", &bench).output()?.stderr), "");

    let output = lab.miscompiled("cross_entropy_grad", &bench).output()?;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let error = errors.lines().last().expect("an error");
    assert!(error.starts_with("error: device: ") && error.contains("cross_entropy_grad"), "{errors}");
    Ok(())
}

/// A kernel that the driver refuses to compile fails the self-test, which goes on with the others.
fn a_refused_kernel_is_found(lab: &Lab) -> Outcome {
    for result in [DEVICE_LOST, OUT_OF_DEVICE_MEMORY] {
        let mut command = lab.miscompiled("relu", &["selftest", "--short"]);
        command.env("FAULT_REFUSED", "1").env("FAULT_RESULT", result.to_string());
        let output = command.output()?;
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{table}{}", text(&output.stderr));
        let failed: Vec<&str> = table.lines().filter(|line| line.ends_with("FAILED")).collect();
        assert!(failed.len() == 1 && failed[0].starts_with("relu "), "{table}");
        assert!(
            table.contains("\n    the device fails: ") && table.contains(" passed, 1 failed, "),
            "{table}"
        );
    }
    Ok(())
}

/// A device that fails once during its self-test is opened again, and no kernel is blamed. One that fails again and again is an
/// error, of which nothing is stored.
fn a_device_lost_in_its_self_test(lab: &Lab) -> Outcome {
    let log = lab.dir.path("self-test-log");
    let test = |call: &str, at: u32| {
        let mut command = lab.miscompiled("none", &["selftest", "--short"]);
        command.env("FAULT_CALL", call).env("FAULT_AT", at.to_string());
        command.env("FAULT_RESULT", DEVICE_LOST.to_string()).env("FAULT_LOG", &log);
        command
    };
    let faults =
        [("QueueSubmit", 1), ("QueueSubmit", 20), ("QueueSubmit", 200), ("GetSemaphoreCounterValue", 50)];
    for (call, at) in [faults[0], faults[1], faults[3]] {
        let output = test(call, at).env("FAULT_ON", "1").output()?;
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{call} {at}: {errors}");
        assert!(errors.starts_with("error: the device was lost"), "{call} {at}: {errors}");
        let devices = printed(&mut lab.miscompiled("none", &["devices"]));
        assert!(devices.contains("not run yet"), "{call} {at}: {devices}");
    }
    for (call, at) in faults.into_iter().chain([("CreateComputePipelines", 30), ("CreateBuffer", 100)]) {
        let report = printed(&mut test(call, at));
        assert!(report.contains(" passed, 0 failed, "), "{call} {at}: {report}");
        assert!(calls(&log)[call] > at, "{call} {at} was never reached");
    }
    Ok(())
}

/// The JSON in the last line of a benchmark.
fn json_line(text: &str) -> serde_json::Value {
    let line = text.lines().last().and_then(|line| line.strip_prefix("JSON "));
    serde_json::from_str(line.expect("a benchmark ends with JSON")).expect("valid JSON")
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let has_vulkan = striate::gpu::adapters().iter().any(|adapter| adapter.backend == "Vulkan");
    let layer = if has_vulkan { build_layer() } else { None };
    let available = layer.is_some();
    let layer = std::sync::Mutex::new(layer);
    let lab: Arc<OnceLock<Lab>> = Arc::default();
    let make = Arc::new(move || {
        let layer = layer.lock().unwrap().take();
        Lab::new(layer.expect("tests run only with the layer, and the lab is made once"))
    });
    let mut add = |name: String, test: Box<dyn FnOnce(&Lab) -> Outcome + Send>| {
        let (lab, make) = (lab.clone(), make.clone());
        suite.add_if(available, name, move || test(lab.get_or_init(|| make())));
    };
    for call in CALLS {
        add(call.to_owned(), Box::new(move |lab| lab.check_all(call)));
    }
    add("a_lost_device_is_opened_again".into(), Box::new(a_lost_device_is_opened_again));
    add("a_device_that_stays_lost_is_an_error".into(), Box::new(a_device_that_stays_lost_is_an_error));
    add(
        "a_miscompiled_kernel_is_found_and_not_used".into(),
        Box::new(a_miscompiled_kernel_is_found_and_not_used),
    );
    add(
        "a_kernel_that_cannot_be_replaced_is_an_error".into(),
        Box::new(a_kernel_that_cannot_be_replaced_is_an_error),
    );
    add("a_refused_kernel_is_found".into(), Box::new(a_refused_kernel_is_found));
    add("a_device_lost_in_its_self_test".into(), Box::new(a_device_lost_in_its_self_test));
    suite.run()
}
