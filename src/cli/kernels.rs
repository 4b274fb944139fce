//! `striate kernels`: the table of kernels, and the source of each.

use super::flags::lanes;
use super::output::{json, print, unless_closed};
use super::text::nearest;
use clap::ValueEnum;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use striate::kernel::{self, Kernel};
use striate::plan::algorithm::{PREFERENCES, Preference, candidates};
use striate::plan::{Algorithm, Pass};
use striate::{Error, Result};

#[derive(clap::Args)]
pub struct Args {
    /// Print the source of this kernel instead of the table of all kernels.
    name: Option<String>,
    /// Subgroup size, for kernels that depend on it.
    #[arg(long, default_value = "32", value_parser = lanes, value_name = "LANES", requires = "name")]
    subgroup: u32,
    /// Language of the source.
    #[arg(long, value_enum, default_value = "wgsl", requires = "name")]
    language: Language,
    /// Print which algorithm is the default where: the first entry whose conditions match.
    #[arg(long, conflicts_with = "name")]
    choices: bool,
    /// Print the table as JSON.
    #[arg(long, conflicts_with = "name")]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Language {
    /// The original.
    Wgsl,
    /// For Vulkan; binary, so redirect it to a file or `spirv-dis`.
    Spirv,
    /// For Metal.
    Msl,
    /// For DX12.
    Hlsl,
}

pub fn run(args: Args) -> Result<()> {
    if args.choices {
        let rows: Vec<ChoiceRow> = PREFERENCES.iter().map(ChoiceRow::new).collect();
        return print(&if args.json { json(&rows) } else { choices(&rows) });
    }
    let Some(name) = &args.name else {
        let rows: Vec<Row> = kernel::ALL.iter().map(|k| Row::new(k)).collect();
        return print(&if args.json { json(&rows) } else { table(&rows) });
    };
    let kernel = kernel::ALL.iter().find(|k| k.name == kernel::current_name(name)).ok_or_else(|| {
        let names = kernel::ALL.iter().map(|k| k.name);
        Error::argument(name, format!("there is no such kernel; did you mean {}?", nearest(name, names)))
    })?;
    let source = kernel.source(args.subgroup);
    match args.language {
        Language::Wgsl => print(&source),
        language => translate(kernel, &source, language).and_then(|bytes| write(&bytes, language)),
    }
}

/// A row of the table.
#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    /// File under `shaders/`.
    shader: &'static str,
    entry: &'static str,
    /// Read-only and read-write storage bindings, after the parameters.
    reads: usize,
    writes: usize,
    /// Invocations of a workgroup.
    workgroup: u32,
    /// Whether it uses subgroup operations.
    subgroups: bool,
    /// Passes for which `--kernel` accepts it.
    passes: Vec<&'static str>,
}

impl Row {
    fn new(k: &'static Kernel) -> Self {
        let passes = Pass::ALL.into_iter().filter(|pass| candidates(*pass).any(|c| c.kernel == k));
        Self {
            kernel: k.name,
            shader: k.file,
            entry: k.entry,
            reads: k.reads,
            writes: k.writes,
            workgroup: k.threads,
            subgroups: k.uses_subgroups(),
            passes: passes.map(Pass::name).collect(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let bindings = format!("1 + {} + {}", self.reads, self.writes);
        let lanes = if self.subgroups { " in subgroups" } else { "" };
        let workgroup = format!("{}{lanes}", self.workgroup);
        let [kernel, shader, entry] = [self.kernel, self.shader, self.entry].map(str::to_owned);
        [kernel, shader, entry, bindings, workgroup, self.passes.join(", ")]
    }
}

fn table(rows: &[Row]) -> String {
    let heads = ["kernel", "shader", "entry", "bindings", "workgroup", "--kernel"];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let text = aligned(&lines);
    let names =
        |pass: Pass| pass.algorithms().into_iter().map(Algorithm::name).collect::<Vec<_>>().join(", ");
    text + &format!(
        "\nbindings: parameters + read-only + read-write\n--kernel: PASS=NAME with the name of a kernel or an algorithm: {} for convolutions, {} for matmul\n",
        names(Pass::Forward),
        names(Pass::Matmul)
    )
}

/// Pads cells to the width of their column.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |i: usize| lines.iter().map(|line| line[i].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text += "\n";
    }
    text
}

/// A row of the table of preferences.
#[derive(Serialize)]
struct ChoiceRow {
    passes: Vec<&'static str>,
    /// `None` matches any.
    family: Option<String>,
    /// PCI vendor id; `None` matches any.
    vendor: Option<u32>,
    /// Minimum and maximum subgroup size; 0 stands for adapters without a fixed size.
    lanes: [u32; 2],
    shape: String,
    algorithm: &'static str,
    kernels: Vec<&'static str>,
}

impl ChoiceRow {
    fn new(row: &Preference) -> Self {
        Self {
            passes: row.passes.iter().map(|pass| pass.name()).collect(),
            family: row.family.map(|family| format!("{family:?}").to_lowercase()),
            vendor: row.vendor,
            lanes: [*row.lanes.start(), *row.lanes.end()],
            shape: row.shape.to_string(),
            algorithm: row.algorithm.name(),
            kernels: row.kernels().map(|k| k.name).collect(),
        }
    }
}

/// Each row as lines of at most 80 columns: its passes and algorithm, its conditions, and its kernels.
fn choices(rows: &[ChoiceRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let conditions = [
            Some(row.family.clone().unwrap_or_else(|| "any device".to_owned())),
            row.vendor.map(|vendor| format!("vendor {vendor:#06x}")),
            (row.lanes != [0, 64]).then(|| format!("{} to {} lanes", row.lanes[0], row.lanes[1])),
            (row.shape != "any").then(|| row.shape.clone()),
        ];
        let conditions: Vec<String> = conditions.into_iter().flatten().collect();
        let passes = row.passes.join(", ");
        text += &format!("{passes}: {}\n    on {}\n", row.algorithm, conditions.join(", "));
        text += &wrapped(&row.kernels);
    }
    text
}

/// Names separated by commas, in indented lines of at most 80 columns.
fn wrapped(names: &[&str]) -> String {
    let (mut text, mut line) = (String::new(), "   ".to_owned());
    for (i, name) in names.iter().enumerate() {
        let comma = if i + 1 < names.len() { "," } else { "" };
        if line.len() + 1 + name.len() + comma.len() > 80 {
            text += &format!("{line}\n");
            line.truncate(3);
        }
        line += &format!(" {name}{comma}");
    }
    text + &line + "\n"
}

/// The kernel in another language, translated by naga with default options. On a device, bindings and language versions depend on
/// the driver.
fn translate(kernel: &Kernel, source: &str, language: Language) -> Result<Vec<u8>> {
    let failed =
        |e: &dyn std::fmt::Display| Error::argument(kernel.name, format!("cannot be translated: {e}"));
    let module = naga::front::wgsl::parse_str(source).map_err(|e| failed(&e))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP);
    let info = validator.validate(&module).map_err(|e| failed(&e.as_inner()))?;
    match language {
        Language::Wgsl => Ok(source.as_bytes().to_vec()),
        Language::Spirv => spirv(kernel, &module, &info).map_err(|e| failed(&e)),
        Language::Msl => {
            let pipeline = msl::PipelineOptions { entry_point: Some(entry(kernel)), ..Default::default() };
            let written = msl::write_string(&module, &info, &msl::Options::default(), &pipeline);
            written.map(|(text, _)| text.into_bytes()).map_err(|e| failed(&e))
        }
        Language::Hlsl => {
            let (mut text, options) = (String::new(), hlsl::Options::default());
            let pipeline = hlsl::PipelineOptions { entry_point: Some(entry(kernel)) };
            let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
            written.map_err(|e| failed(&e))?;
            Ok(text.into_bytes())
        }
    }
}

fn entry(kernel: &Kernel) -> (ShaderStage, String) {
    (ShaderStage::Compute, kernel.entry.to_owned())
}

fn spirv(kernel: &Kernel, module: &Module, info: &ModuleInfo) -> Result<Vec<u8>, spv::Error> {
    let (shader_stage, entry_point) = entry(kernel);
    let pipeline = spv::PipelineOptions { shader_stage, entry_point };
    let words = spv::write_vec(module, info, &spv::Options::default(), Some(&pipeline))?;
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

fn write(bytes: &[u8], language: Language) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if language == Language::Spirv && out.is_terminal() {
        let problem = "SPIR-V is binary; redirect it to a file (> kernel.spv) or pipe it to spirv-dis";
        return Err(Error::argument("--language", problem));
    }
    unless_closed(out.write_all(bytes).and_then(|()| out.flush()))
}
