//! `striate devices`: lists the adapters.

use super::output::{json, print};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use striate::gpu::{self, AdapterSummary};
use striate::kernel;
use striate::selftest::{self, Extent};
use striate::{Device, Result};

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON; sizes are in bytes.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let adapters = gpu::adapters();
    let cpu = Device::select("cpu")?;
    let auto = Device::auto(&adapters);
    print(&match args.json {
        true => json(&value(&adapters, &cpu, auto.map(|(index, _)| index))),
        false => table(&adapters, &cpu, auto),
    })
}

fn table(adapters: &[AdapterSummary], cpu: &Device, auto: Option<(usize, &str)>) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string cannot fail");
    for (index, a) in adapters.iter().enumerate() {
        let mark = match auto {
            Some((chosen, reason)) if chosen == index => format!("  <- auto: {reason}"),
            _ => String::new(),
        };
        line(format!("{index}: {}{mark}", a.name));
        line(format!("     {} adapter, {}, {}", a.kind, a.backend, a.driver));
        line(format!("     {:24} {}", "subgroup", range(a.subgroup)));
        for (name, limit) in &a.limits {
            line(format!("     {name:24} {limit}"));
        }
        let features = if a.features.is_empty() { "none".to_owned() } else { a.features.join(", ") };
        line(format!("     {:24} {features}", "features"));
        line(format!("     {:24} {}", "self-test", tested(a)));
    }
    if adapters.is_empty() {
        line(format!("there is no GPU adapter: {}", Device::INSTALL));
    }
    let mark = if auto.is_none() { "  <- auto: there is no adapter" } else { "" };
    line(format!("cpu: {}{mark}", cpu.name()));
    if let Some(memory) = cpu.target().memory {
        line(format!("     {:24} {memory}", "memory bytes"));
    }
    text
}

/// The result of an adapter's self-test, and what was wrong with each kernel that failed.
fn tested(adapter: &AdapterSummary) -> String {
    let Some(verdicts) = selftest::stored(adapter) else { return "not run yet".to_owned() };
    let extent = if verdicts.extent == Extent::Full { "full" } else { "short" };
    let excluded = verdicts.excluded();
    if excluded.is_empty() {
        return format!("passed ({extent})");
    }
    let consequence = match excluded.iter().any(|kernel| kernel.is_required_probe()) {
        true => "the device is not used",
        false => "these kernels are not used",
    };
    let mut text = format!("FAILED ({extent}), {consequence}:");
    for name in excluded.iter().map(|kernel| kernel.name) {
        let also =
            if name == kernel::PROBE_SUBGROUPS.name { ", and all with subgroup operations" } else { "" };
        text += &format!("\n       {name}{also}: {}", verdicts.failed[name]);
    }
    text
}

fn range([smallest, largest]: [u32; 2]) -> String {
    if smallest == largest { smallest.to_string() } else { format!("{smallest} to {largest}") }
}

fn value(adapters: &[AdapterSummary], cpu: &Device, auto: Option<usize>) -> Value {
    let adapter = |(index, a): (usize, &AdapterSummary)| {
        let limits: Map<String, Value> =
            a.limits.iter().map(|(name, limit)| ((*name).to_owned(), json!(limit))).collect();
        json!({
            "index": index, "name": a.name, "backend": a.backend, "driver": a.driver, "kind": a.kind,
            "subgroup": a.subgroup, "limits": limits, "features": a.features, "auto": auto == Some(index),
            "selftest": selftest::stored(a),
        })
    };
    json!({
        "adapters": adapters.iter().enumerate().map(adapter).collect::<Vec<_>>(),
        "cpu": {
            "threads": rayon::current_num_threads(), "memory": cpu.target().memory, "auto": auto.is_none(),
        },
    })
}
