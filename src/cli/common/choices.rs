//! Flags that override the planner's choices.

use super::text::nearest;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use striate::graph::Phase;
use striate::kernel::{self, Kernel};
use striate::plan::{Algorithm, Pass, Plan, Target, algorithm};
use striate::{Device, Error, Result};

/// Flags of every command that plans a step.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct Choices {
    /// Compute a pass (forward, grad_input, grad_weight, matmul) with this algorithm (im2col, direct, register_tiled,
    /// implicit_gemm or winograd for convolutions) or kernel (see `striate kernels`) wherever it can run; may be repeated
    #[arg(long = "kernel", value_name = "PASS=NAME", global = true, help_heading = "Kernels")]
    pub kernel: Vec<Choice>,
    /// Do not fuse consecutive operations, such as batch norm and ReLU
    #[arg(long, global = true, help_heading = "Kernels")]
    pub no_fuse: bool,
    /// Do not use Winograd convolution, which takes fewer multiplications but rounds slightly more
    #[arg(long, global = true, help_heading = "Kernels")]
    pub no_winograd: bool,
}

/// The requested algorithm or kernel of a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pass: Pass,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Algorithm(Algorithm),
    Kernel(&'static Kernel),
}

impl Choices {
    /// Adds these preferences to a target.
    pub fn target(&self, mut target: Target) -> Result<Target> {
        for (i, Choice { pass, by }) in self.kernel.iter().enumerate() {
            if self.kernel[..i].iter().any(|earlier| earlier.pass == *pass) {
                let problem = format!("{} is given twice; give each pass once", pass.name());
                return Err(Error::argument("--kernel", problem));
            }
            match by {
                By::Algorithm(algorithm) => target.algorithms.push((*pass, *algorithm)),
                By::Kernel(kernel) => target.kernels.push((*pass, kernel)),
            }
        }
        target.fuse &= !self.no_fuse;
        target.winograd &= !self.no_winograd;
        Ok(target)
    }

    /// Adds these preferences to a device.
    pub fn device(&self, device: Device) -> Result<Device> {
        let target = self.target(device.target().clone())?;
        Ok(device.with_target(target))
    }

    /// Fails if a choice has no effect on the plans: measurements would be of other kernels than requested.
    pub fn check(&self, plans: &[Plan]) -> Result<()> {
        match self.kernel.iter().find(|choice| !plans.iter().any(|plan| choice.is_in(plan))) {
            None => Ok(()),
            Some(choice) => Err(Error::argument(format!("--kernel {choice}"), algorithm::UNUSED)),
        }
    }
}

impl Choice {
    /// Whether a launch of the plan follows this choice.
    fn is_in(&self, plan: &Plan) -> bool {
        // Forward and backward convolutions share kernels, so the phase tells them apart.
        let phase = match self.pass {
            Pass::Forward => Some(Phase::Forward),
            Pass::GradInput | Pass::GradWeight => Some(Phase::Backward),
            Pass::Matmul => None,
        };
        let groups = plan.groups.iter().filter(|g| phase.is_none_or(|phase| g.phase == phase));
        let mut launches = groups.flat_map(|g| &plan.launches[g.launches.clone()]);
        launches.any(|launch| match self.by {
            By::Algorithm(algorithm) => {
                self.pass.kernels_of(algorithm).any(|kernel| kernel == launch.kernel.without_moments())
            }
            By::Kernel(kernel) => launch.kernel.without_moments() == kernel,
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pass, name) = text.split_once('=').ok_or("expected PASS=NAME, such as forward=winograd")?;
        let names = || Pass::ALL.map(Pass::name);
        let pass = Pass::ALL
            .into_iter()
            .find(|p| p.name() == pass)
            .ok_or_else(|| format!("there is no pass {pass:?}; did you mean {}?", nearest(pass, names())))?;
        let named = pass.algorithms().into_iter().find(|algorithm| algorithm.name() == current(name));
        let kernel =
            || algorithm::candidates(pass).map(|c| c.kernel).find(|k| k.name == kernel::current_name(name));
        let by = named.map(By::Algorithm).or_else(|| kernel().map(By::Kernel));
        let by = by.ok_or_else(|| unknown(pass, name))?;
        Ok(Self { pass, by })
    }
}

/// Describes why a pass has no algorithm or kernel of this name.
fn unknown(pass: Pass, name: &str) -> String {
    let problem = match kernel::ALL.iter().any(|k| k.name == name) {
        true => format!("the kernel {name} does not compute {}", pass.name()),
        false => format!("there is no kernel {name:?}"),
    };
    let algorithms = pass.algorithms().into_iter().map(Algorithm::name);
    let names = algorithms.chain(algorithm::candidates(pass).map(|c| c.kernel.name));
    format!("{problem}; did you mean {}?", nearest(name, names))
}

/// Translates names of earlier versions.
fn current(name: &str) -> &str {
    match name {
        "window" => "register_tiled",
        "gemm" => "implicit_gemm",
        name => name,
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.by {
            By::Algorithm(algorithm) => algorithm.name(),
            By::Kernel(kernel) => kernel.name,
        };
        write!(f, "{}={name}", self.pass.name())
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
