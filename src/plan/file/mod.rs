//! Plans as files: JSON with everything that an executor needs, in any language. `web/README.md` documents the format.

mod check;

use super::{Layout, Plan};
use crate::kernel::Kernel;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the format. It changes whenever older executors would misread a file.
pub const VERSION: u32 = 1;

const FORMAT: &str = "striate plans";

/// The plans of a session, by name.
///
/// ```
/// use striate::infer::inference_graph;
/// use striate::models::LeNet;
/// use striate::plan::{Family, Plan, PlanFile, Target};
///
/// let graph = inference_graph(&LeNet { in_channels: 1, classes: 10 }, [1, 1, 28, 28])?;
/// let target = Target::baseline(Family::Gpu);
/// let file = PlanFile { plans: vec![("predict".into(), Plan::new(&graph, &target)?)], subgroup: target.subgroup };
/// let text = file.to_json()?;
/// assert_eq!(PlanFile::from_json(&text)?, file);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PlanFile {
    /// The plans and their names.
    pub plans: Vec<(String, Plan)>,
    /// The subgroup size that they are made for ([`Target::subgroup`](super::Target::subgroup)(crate::plan::Target::subgroup)).
    pub subgroup: u32,
}

/// The file as JSON.
#[derive(Serialize, Deserialize)]
struct Contents {
    format: String,
    version: u32,
    subgroup: u32,
    kernels: BTreeMap<String, KernelText>,
    /// Size of each buffer in bytes.
    #[serde(default, skip_deserializing)]
    buffers: Vec<u64>,
    programs: Vec<Program>,
}

/// A kernel, so that an executor needs neither the shaders nor the table of kernels.
#[derive(PartialEq, Serialize, Deserialize)]
struct KernelText {
    entry: String,
    reads: usize,
    writes: usize,
    source: String,
}

impl KernelText {
    fn new(kernel: &Kernel, subgroup: u32) -> Self {
        Self {
            entry: kernel.entry.to_owned(),
            reads: kernel.reads,
            writes: kernel.writes,
            source: kernel.source(subgroup),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Program {
    name: String,
    plan: Plan,
    /// Buffer and offset in bytes of each storage; null for those that no launch touches.
    #[serde(default, skip_deserializing)]
    locations: Vec<Option<(usize, u64)>>,
}

/// What is read before the rest, to tell a file of another version from a broken one.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// The kernels of all launches, by name.
fn kernels_of<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> BTreeMap<&'static str, &'static Kernel> {
    plans
        .into_iter()
        .flat_map(|plan| &plan.launches)
        .map(|launch| (launch.kernel.name, launch.kernel))
        .collect()
}

impl PlanFile {
    /// The plans as JSON, with the WGSL of their kernels and the layout of their buffers.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the plans cannot share a session, or exchange sums with other ranks, which the format lacks.
    pub fn to_json(&self) -> Result<String> {
        if let Some((name, _)) = self.plans.iter().find(|(_, plan)| !plan.exchanges.is_empty()) {
            return Err(Error::argument(
                "plan",
                format!("{name} is for several ranks, which a file cannot describe"),
            ));
        }
        let plans: Vec<Plan> = self.plans.iter().map(|(_, plan)| plan.clone()).collect();
        let layout = Layout::new(&plans)?;
        let kernels = kernels_of(&plans).into_iter();
        let kernels = kernels.map(|(name, k)| (name.to_owned(), KernelText::new(k, self.subgroup))).collect();
        let names = self.plans.iter().map(|(name, _)| name.clone());
        let programs = names.zip(plans).zip(layout.storages);
        let contents = Contents {
            format: FORMAT.to_owned(),
            version: VERSION,
            subgroup: self.subgroup,
            kernels,
            buffers: layout.buffers.iter().map(|(_, bytes)| *bytes).collect(),
            programs: programs.map(|((name, plan), locations)| Program { name, plan, locations }).collect(),
        };
        Ok(serde_json::to_string(&contents).expect("names are strings, and no map has other keys"))
    }

    /// Reads plans. A file is a program: its plans are checked for consistency, but the parameters of their launches are trusted as code
    /// is.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the text is no file of plans, of another version of the format, inconsistent, or uses kernels that
    /// differ from those of this version of striate.
    pub fn from_json(text: &str) -> Result<Self> {
        let broken = |e: serde_json::Error| invalid(format!("expected plans as JSON, found {e}"));
        let Header { format, version } = serde_json::from_str(text).map_err(broken)?;
        if format != FORMAT || version != VERSION {
            return Err(invalid(format!(
                "expected format {FORMAT:?}, version {VERSION}, found {format:?}, version {version}; write the file again with this version of striate"
            )));
        }
        let contents: Contents = serde_json::from_str(text).map_err(broken)?;
        if !matches!(contents.subgroup, 0 | 4 | 8 | 16 | 32 | 64) {
            return Err(invalid(format!("{} is not a subgroup size", contents.subgroup)));
        }
        for Program { name, plan, .. } in &contents.programs {
            check::check(plan).map_err(|problem| invalid(format!("plan {name:?}: {problem}")))?;
        }
        for (name, kernel) in kernels_of(contents.programs.iter().map(|program| &program.plan)) {
            if contents.kernels.get(name) != Some(&KernelText::new(kernel, contents.subgroup)) {
                return Err(invalid(format!(
                    "kernel {name} differs from the one of this version of striate; write the file again"
                )));
            }
        }
        let plans = contents.programs.into_iter().map(|program| (program.name, program.plan)).collect();
        Ok(Self { plans, subgroup: contents.subgroup })
    }
}

fn invalid(problem: String) -> Error {
    Error::argument("plan file", problem)
}
