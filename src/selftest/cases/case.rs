//! A case: an operation on given inputs, and the targets that it is lowered for.

use crate::graph::{Graph, ValueId};
use crate::op::{BatchNorm, ClipCoefficient, NonFinite, Op, Scale};
use crate::plan::algorithm::candidates;
use crate::plan::{Algorithm, Family, Pass, Plan, Target};
use crate::selftest::compare::{shapes, tolerance};
use crate::selftest::random::{Random, seed_of};
use crate::{DType, Error, Result, Tensor};
use std::collections::BTreeSet;

/// The targets that a case is lowered for.
#[derive(Clone, Copy, PartialEq)]
pub enum Lowered {
    /// The device's own.
    Default,
    /// One per family of adapters, and one for subgroups of a fixed size.
    Families,
    /// The same, and one per matrix-product kernel.
    Matmul,
    /// One per convolution algorithm and kernel, and im2col in chunks of images and of rows. `row` is the size of a row of columns
    /// in bytes.
    Conv { row: u64, rows: u64 },
    /// That of a hardware GPU, and one per kernel that computes the moments of batch norm in a convolution.
    Moments,
}

/// What surrounds the operation of a case, for kernels that compute several operations.
pub enum Around {
    Nothing,
    /// Batch norm of the result. Its weight and bias are the last two inputs.
    BatchNorm(BatchNorm),
    /// Several convolutions of one image, their weight gradients, whether these are finite, and the clipped gradients. Inputs: the
    /// image, all weights and all upstream gradients.
    Clipping(ClipCoefficient),
}

/// An operation on given inputs.
pub struct Case {
    /// Such as `conv2d::stride2_pad1`.
    pub name: String,
    pub op: Op,
    pub around: Around,
    pub inputs: Vec<Tensor>,
    /// Whether there is a gradient.
    pub backward: bool,
    pub lowered: Lowered,
    /// Relative; see [`tolerance`].
    pub tolerance: f64,
    /// The least magnitude that errors are relative to, for results that cancel out.
    pub floor: f64,
    pub seed: u64,
}

impl Case {
    /// A case named `family::name`, with inputs seeded by the name.
    pub fn new(
        family: &str,
        name: impl AsRef<str>,
        op: impl Into<Op>,
        inputs: impl FnOnce(&mut Random) -> Vec<Tensor>,
    ) -> Self {
        let name = format!("{family}::{}", name.as_ref());
        let seed = seed_of(&name);
        Self {
            op: op.into(),
            around: Around::Nothing,
            inputs: inputs(&mut Random::new(seed)),
            backward: true,
            lowered: Lowered::Default,
            tolerance: tolerance(1),
            floor: 0.0,
            seed,
            name,
        }
    }

    /// Values are only moved, compared or rounded once: every bit must agree.
    pub fn exact(self) -> Self {
        Self { tolerance: 0.0, ..self }
    }

    /// Results are sums of up to this many terms.
    pub fn terms(self, terms: usize) -> Self {
        Self { tolerance: tolerance(terms), ..self }
    }

    pub fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    pub fn floor(self, floor: f64) -> Self {
        Self { floor, ..self }
    }

    pub fn forward_only(self) -> Self {
        Self { backward: false, ..self }
    }

    pub fn lowered(self, lowered: Lowered) -> Self {
        Self { lowered, ..self }
    }

    /// Adds the nodes to a graph, and returns the outputs.
    fn apply(&self, graph: &mut Graph, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        match &self.around {
            Around::Nothing => graph.apply(self.op.clone(), inputs),
            Around::BatchNorm(op) => {
                let (own, rest) = inputs.split_at(inputs.len() - 2);
                let y = graph.apply(self.op.clone(), own)?[0];
                graph.apply(*op, &[&[y], rest].concat())
            }
            Around::Clipping(clip) => {
                let (weights, upstream) = inputs[1..].split_at(inputs.len() / 2);
                let mut gradients = Vec::new();
                for (weight, dy) in weights.iter().zip(upstream) {
                    let y = graph.apply(self.op.clone(), &[inputs[0], *weight])?[0];
                    gradients.extend(graph.gradients(&[(y, *dy)], &[*weight])?.into_iter().flatten());
                }
                let factor = graph.apply(*clip, &gradients)?[0];
                let mut outputs = graph.apply(NonFinite, &gradients)?;
                for gradient in gradients {
                    outputs.extend(graph.apply(Scale, &[gradient, factor])?);
                }
                Ok(outputs)
            }
        }
    }

    /// Operation, shapes and seed, for messages.
    pub fn describe(&self, direction: &str, device: &str, variant: &str) -> String {
        let (op, shapes) = (self.op.name(), shapes(&self.inputs));
        let (name, seed) = (&self.name, self.seed);
        format!("{name} ({op}) {direction} of {shapes}, seed {seed:#x}, on {device} {variant}: {:?}", self.op)
    }

    /// A random upstream gradient of the first output.
    pub fn upstream(&self) -> Tensor {
        let own = self.inputs.len() - if matches!(self.around, Around::BatchNorm(_)) { 2 } else { 0 };
        let types: Vec<_> = self.inputs[..own].iter().map(Tensor::ty).collect();
        let y = &self.op.infer(&types).expect("the shapes of a case fit")[0];
        Random::new(self.seed ^ 1).normal(&y.shape)
    }

    /// The inputs of a plan by name.
    pub fn feed(&self, backward: bool) -> Vec<(String, Tensor)> {
        let inputs = self.inputs.iter().enumerate().map(|(i, tensor)| (format!("input {i}"), tensor.clone()));
        inputs.chain(backward.then(|| ("upstream".to_owned(), self.upstream()))).collect()
    }

    /// The plan of all outputs, or of the gradients of all float inputs for the upstream gradient. The inputs are
    /// [`feed`](Self::feed).
    pub fn plan(&self, target: &Target, backward: bool) -> Result<Plan> {
        let mut graph = Graph::new();
        let inputs: Vec<ValueId> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(i, t)| graph.input(&format!("input {i}"), t.ty().clone()))
            .collect::<Result<_>>()?;
        let mut outputs = self.apply(&mut graph, &inputs)?;
        if backward {
            let upstream = graph.input("upstream", graph.value(outputs[0]).ty.clone())?;
            let floats: Vec<ValueId> =
                inputs.into_iter().filter(|v| graph.value(*v).ty.dtype == DType::F32).collect();
            outputs = graph.gradients(&[(outputs[0], upstream)], &floats)?.into_iter().flatten().collect();
        }
        for (i, value) in outputs.into_iter().enumerate() {
            graph.output(&format!("output {i}"), value);
        }
        Plan::new(&graph, target)
    }

    /// The targets to lower for, derived from that of a device.
    pub fn targets(&self, base: &Target, backward: bool) -> Vec<(String, Target)> {
        let named = |name: &str, target: Target| (name.to_owned(), target);
        // Each has its own matrix-product kernels: family, and lanes of a subgroup.
        let families: &[(Family, u32)] = match base.family {
            Family::Cpu => &[(Family::Cpu, 0)],
            _ if base.subgroup > 0 => {
                &[(Family::Gpu, 0), (Family::Software, 0), (Family::Software, base.subgroup)]
            }
            _ => &[(Family::Gpu, 0), (Family::Software, 0)],
        };
        let of_families = |target: &Target| -> Vec<(String, Target)> {
            let of = |(family, subgroup): &(Family, u32)| {
                let name = format!("{family:?}{}", if *subgroup > 0 { " with subgroups" } else { "" });
                (name, Target { family: *family, subgroup: *subgroup, ..target.clone() })
            };
            families.iter().map(of).collect()
        };
        let mut targets = match self.lowered {
            Lowered::Default => vec![named("as is", base.clone())],
            Lowered::Families => of_families(base),
            Lowered::Matmul => {
                let mut all = of_families(base);
                all.extend(self.forced(base, backward));
                all
            }
            Lowered::Moments => {
                let convolutions = base.clone().with_convolutions(Algorithm::ImplicitGemm);
                let target = Target { family: Family::Gpu, subgroup: 0, ..convolutions };
                let mut all = vec![named("on a GPU", target.clone())];
                all.extend(self.forced(&target, backward));
                all
            }
            Lowered::Conv { row, rows } => {
                let im2col = |scratch: u64| {
                    of_families(&Target { scratch, ..base.clone().with_convolutions(Algorithm::Im2col) })
                };
                let mut all = vec![
                    named("as is", base.clone()),
                    named("direct", base.clone().with_convolutions(Algorithm::Direct)),
                ];
                // The CPU also runs the twins of kernels that it would not choose.
                let subgroup = if base.family == Family::Cpu { 8 } else { base.subgroup };
                if subgroup > 0 {
                    let conv = Algorithm::RegisterTiled;
                    let register_tiled = Target { subgroup, ..base.clone().with_convolutions(conv) };
                    all.push(named("register-tiled", register_tiled.clone()));
                    all.extend(self.forced(&register_tiled, backward));
                }
                let winograd = Target { subgroup, ..base.clone().with_convolutions(Algorithm::Winograd) };
                if self.uses_winograd(&winograd, backward) {
                    // In chunks of as few images as the packed panels allow.
                    let scratch = (10..).map(|log2| 1 << log2);
                    let mut tight = scratch.map(|scratch| Target { scratch, ..winograd.clone() });
                    let tight = tight.find(|target| self.uses_winograd(target, backward));
                    all.push(named("winograd with little scratch", tight.expect("enough is enough")));
                    all.extend(of_families(&winograd).into_iter().map(|(f, t)| (format!("winograd {f}"), t)));
                    all.extend(self.forced(&winograd, backward));
                }
                let implicit_gemm = base.clone().with_convolutions(Algorithm::ImplicitGemm);
                all.push(named("implicit GEMM", implicit_gemm.clone()));
                all.extend(self.forced(&implicit_gemm, backward));
                for (what, scratch) in [
                    ("all at once", base.scratch),
                    ("two images at a time", 2 * rows * row),
                    ("two rows at a time", 2 * row + 4),
                    ("row by row", 1),
                ] {
                    all.extend(im2col(scratch).into_iter().map(|(f, t)| (format!("im2col {f} {what}"), t)));
                }
                all
            }
        };
        // Requests that the case cannot follow are errors.
        targets.retain(|(_, target)| !matches!(self.plan(target, backward), Err(Error::Argument { .. })));
        if base.family != Family::Cpu {
            // All targets share the code that folds workgroups, so a few variants are enough.
            let folded: Vec<_> = targets.iter().filter_map(|t| self.folded(t, backward)).take(3).collect();
            targets.extend(folded);
        }
        targets
    }

    /// Whether a transform of `winograd.wgsl` is in the plan.
    fn uses_winograd(&self, target: &Target, backward: bool) -> bool {
        let plan = self.plan(target, backward);
        plan.is_ok_and(|plan| plan.launches.iter().any(|l| l.kernel.file == "winograd.wgsl"))
    }

    /// The tolerance for a target. Winograd rounds at larger magnitudes; see `winograd.rs`.
    pub fn tolerance_on(&self, target: &Target, backward: bool) -> f64 {
        if self.uses_winograd(target, backward) { 10.0 * self.tolerance } else { self.tolerance }
    }

    /// The target with each kernel requested that supports a pass of the case but would not be chosen.
    fn forced(&self, target: &Target, backward: bool) -> Vec<(String, Target)> {
        let passes: &[Pass] = match (self.lowered, &self.op, backward) {
            (Lowered::Matmul, ..) => &[Pass::Matmul],
            (_, Op::Conv2dGradInput(_), _) => &[Pass::GradInput],
            (_, _, false) => &[Pass::Forward],
            (_, _, true) => &[Pass::GradInput, Pass::GradWeight],
        };
        let kernels = |plan: Plan| plan.launches.iter().map(|l| l.kernel.name).collect::<BTreeSet<_>>();
        let mut seen: Vec<_> = self.plan(target, backward).ok().map(kernels).into_iter().collect();
        let mut targets = Vec::new();
        for (pass, kernel) in passes.iter().flat_map(|pass| candidates(*pass).map(|c| (*pass, c.kernel))) {
            let target = Target { kernels: vec![(pass, kernel)], ..target.clone() };
            let with_moments = kernel.with_moments().map(|kernel| kernel.name);
            let used = match self.plan(&target, backward).map(kernels) {
                Ok(used) => used,
                Err(Error::TooLarge(_) | Error::Argument { .. }) => continue,
                Err(e) => panic!("{} with {} forced: {e}", self.name, kernel.name),
            };
            let is_used = used.contains(kernel.name) || with_moments.is_some_and(|name| used.contains(name));
            if is_used && !seen.contains(&used) {
                seen.push(used);
                targets.push((format!("{} by {}", pass.name(), kernel.name), target));
            }
        }
        targets
    }

    /// The target with the smallest limit of workgroups per dimension that the case fits into.
    fn folded(&self, (name, target): &(String, Target), backward: bool) -> Option<(String, Target)> {
        [2, 3, 5, 7, 11, 17, 23, 31, 47, 64, 97, 128, 255].into_iter().find_map(|max_workgroups| {
            let target = Target { max_workgroups, ..target.clone() };
            match self.plan(&target, backward) {
                Ok(_) => Some((format!("{name}, at most {max_workgroups} workgroups per dimension"), target)),
                Err(Error::TooLarge(_)) => None,
                Err(e) => panic!("{}: {e}", self.name),
            }
        })
    }
}
