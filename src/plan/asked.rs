//! What a target asks for has to be used: numbers taken otherwise would be those of other kernels, and nobody would know.

use super::{ConvAlgorithm, Launch, Pass, Target};
use crate::kernel::Kernel;
use crate::op::Op;
use crate::{Error, Result};

/// The choices of a target that something may not be able to follow, and what became of them so far.
pub(super) struct Asked(Vec<Choice>);

struct Choice {
    pass: Pass,
    name: &'static str,
    kernels: Vec<&'static Kernel>,
    /// Whether there is anything to be computed by it.
    wanted: bool,
    used: bool,
}

impl Asked {
    pub fn new(target: &Target) -> Self {
        let choice = |pass, name, kernels| Choice { pass, name, kernels, wanted: false, used: false };
        // Everything can be computed directly or by im2col, whose products alone are what is left of 1 x 1 filters.
        let may_fail =
            |way| matches!(way, ConvAlgorithm::Window | ConvAlgorithm::Gemm | ConvAlgorithm::Winograd);
        let convolutions = Pass::ALL.into_iter().filter(|pass| *pass != Pass::Matmul);
        let ways = convolutions
            .map(|pass| (pass, target.way(pass)))
            .filter(|(pass, way)| may_fail(*way) && target.forced(*pass).is_none());
        let ways = ways.map(|(pass, way)| choice(pass, way.name(), pass.kernels_of(way).to_vec()));
        let kernels = target.forced.iter().filter(|(pass, kernel)| pass.kernels().contains(kernel));
        let kernels = kernels.map(|(pass, kernel)| choice(*pass, kernel.name, vec![*kernel]));
        Self(ways.chain(kernels).collect())
    }

    /// Looks at what became of a node.
    pub fn see(&mut self, op: &Op, launches: &[Launch]) {
        let pass = match op {
            Op::Conv2d(_) => Some(Pass::Forward),
            Op::Conv2dGradInput(_) => Some(Pass::GradInput),
            Op::Conv2dGradWeight(_) => Some(Pass::GradWeight),
            _ => None,
        };
        for choice in &mut self.0 {
            // Convolutions are computed by matrix products too.
            let own = |launch: &&Launch| match choice.pass {
                Pass::Matmul => Pass::Matmul.kernels().contains(&launch.kernel),
                own => pass == Some(own),
            };
            for launch in launches.iter().filter(own) {
                choice.wanted = true;
                choice.used |= choice.kernels.contains(&launch.kernel);
            }
        }
    }

    /// Fails where nothing follows a choice that is for something.
    pub fn check(&self) -> Result<()> {
        match self.0.iter().find(|choice| choice.wanted && !choice.used) {
            None => Ok(()),
            Some(choice) => Err(Error::argument(
                format!("{}={}", choice.pass.name(), choice.name),
                "no layer can use it, as this step and this device are; leave it out, or choose another of `striate kernels`",
            )),
        }
    }
}
