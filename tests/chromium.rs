//! Compiles every kernel with Chromium's WGSL compiler, which, unlike naga, checks that subgroup operations are in uniform control
//! flow. Ignored without Chromium.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/webgpu.rs"]
mod webgpu;

use browser::Browser;
use common::{Named, Outcome, Suite, named};
use std::process::ExitCode;
use striate::kernel::{ALL, Kernel};

/// Subgroup size of the kernels that depend on it.
const SUBGROUP: u32 = 32;

/// Compiles each kernel and posts `[[name, message], ...]` for those that are refused, or the reason why there is no WebGPU.
const PAGE: &str = r##"<!DOCTYPE html><script type="module">
async function refused(kernels) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return "no WebGPU adapter";
  const device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });
  const refused = [];
  for (const [name, code] of kernels) {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    const error = await device.popErrorScope();
    const first = messages.find(m => m.type == "error");
    if (first || error) refused.push([name, first ? `line ${first.lineNum}: ${first.message}` : error.message]);
  }
  return refused;
}
const report = await refused(KERNELS).catch(e => String(e));
await fetch("/", { method: "POST", body: JSON.stringify(report) });
</script>"##;

/// A kernel's WGSL with a directive that WebGPU requires and naga does not support.
fn webgpu_source(kernel: &Kernel) -> String {
    let enable = if kernel.uses_subgroups() { "enable subgroups;\n" } else { "" };
    enable.to_owned() + &kernel.source(SUBGROUP)
}

/// Compiles kernels, given by name and WGSL. Returns the names of those that Chromium refuses, with the reasons.
fn refused(browser: &Browser, kernels: &[(&str, String)]) -> Vec<(String, String)> {
    // A `<` could end the script.
    let json = serde_json::to_string(kernels).unwrap().replace('<', "\\u003c");
    let page = PAGE.replace("KERNELS", &json);
    let report = webgpu::report(browser, &page, &[]);
    serde_json::from_str(&report).unwrap_or_else(|_| panic!("Chromium reports {report}"))
}

fn every_kernel_is_accepted(browser: &Browser) -> Outcome {
    let kernels: Vec<_> = ALL.iter().map(|k| (k.name, webgpu_source(k))).collect();
    let refused: Vec<_> = refused(browser, &kernels).iter().map(|(k, why)| format!("{k}: {why}")).collect();
    if refused.is_empty() { Ok(()) } else { Err(refused.join("\n").into()) }
}

fn a_broadcast_after_a_divergent_return_is_refused(browser: &Browser) -> Outcome {
    let source = "enable subgroups;
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn f(@builtin(local_invocation_index) i: u32) {
    if (i > 2u) { return; }
    y[i] = subgroupBroadcast(y[i], 0u);
}";
    match &refused(browser, &[("f", source.into())])[..] {
        [(name, why)] if name == "f" && why.contains("uniform control flow") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn main() -> ExitCode {
    let mut suite = Suite::sequential();
    let tests: &Named<fn(&Browser) -> Outcome> =
        named![every_kernel_is_accepted, a_broadcast_after_a_divergent_return_is_refused];
    for (name, test) in tests {
        suite.add_if(Browser::find().is_some(), *name, || test(&Browser::find().expect("found before")));
    }
    suite.run()
}
