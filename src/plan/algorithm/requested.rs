//! Checks that each kernel and algorithm that a target requests is used somewhere. Otherwise a benchmark would silently measure
//! other kernels.

use super::{Algorithm, Pass};
use crate::kernel::Kernel;
use crate::op::Op;
use crate::plan::{Launch, Target};
use crate::{Error, Result};

/// Why a request is an error.
pub const UNUSED: &str =
    "no layer can use it in this step on this device; remove it, or choose another from `striate kernels`";

/// Requests that some shapes do not support, and whether they were used.
pub struct Requested(Vec<Request>);

struct Request {
    pass: Pass,
    name: &'static str,
    kernels: Vec<&'static Kernel>,
    /// Whether the graph contains the pass.
    relevant: bool,
    used: bool,
}

impl Requested {
    pub fn new(target: &Target) -> Self {
        let request = |pass, name, kernels| Request { pass, name, kernels, relevant: false, used: false };
        // Direct and im2col support every convolution. A plan of 1 x 1 filters by im2col contains only matrix products.
        let may_fail = |algorithm| !matches!(algorithm, Algorithm::Im2col | Algorithm::Direct);
        let algorithms = Pass::ALL.into_iter().filter_map(|pass| {
            let algorithm =
                target.algorithm(pass).filter(|a| may_fail(*a) && target.kernel(pass).is_none())?;
            Some(request(pass, algorithm.name(), pass.kernels_of(algorithm).collect()))
        });
        let im2col = |pass: Pass, kernel| pass.kernels_of(Algorithm::Im2col).any(|k| k == kernel);
        let kernels = target.kernels.iter().filter(|(pass, kernel)| !im2col(*pass, *kernel));
        let kernels = kernels.map(|(pass, kernel)| request(*pass, kernel.name, vec![*kernel]));
        Self(algorithms.chain(kernels).collect())
    }

    /// Records the launches of a node.
    pub fn observe(&mut self, op: &Op, launches: &[Launch]) {
        let pass = match op {
            Op::Conv2d(_) => Some(Pass::Forward),
            Op::Conv2dGradInput(_) => Some(Pass::GradInput),
            Op::Conv2dGradWeight(_) => Some(Pass::GradWeight),
            _ => None,
        };
        for request in &mut self.0 {
            // Convolutions launch matrix products too.
            let relevant = |launch: &&Launch| match request.pass {
                Pass::Matmul => super::candidates(Pass::Matmul).any(|c| c.kernel == launch.kernel),
                own => pass == Some(own),
            };
            for launch in launches.iter().filter(relevant) {
                request.relevant = true;
                request.used |= request.kernels.contains(&launch.kernel);
            }
        }
    }

    /// Fails if a request was not used although the graph contains its pass.
    pub fn check(&self) -> Result<()> {
        match self.0.iter().find(|request| request.relevant && !request.used) {
            None => Ok(()),
            Some(request) => {
                Err(Error::argument(format!("{}={}", request.pass.name(), request.name), UNUSED))
            }
        }
    }
}
