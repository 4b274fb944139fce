//! Measures which kernel is the fastest for each class of work on a device.
//!
//! [`tune`] measures the convolutions and matrix products of a graph. [`save`] writes its choices to a file, which
//! [`Device::select`] reads when it opens the same adapter again.

mod benchmark;

pub use benchmark::Verdict;

use crate::graph::{Graph, Init, Node, PersistentKind};
use crate::kernel::{self, Kernel};
use crate::plan::{Plan, ShapeClass, Target, Tuned, algorithm};
use crate::runtime::tuned_file;
use crate::{Device, Error, Result, Session, Tensor};
use benchmark::Benchmark;
use std::path::PathBuf;

/// Fails if the choices for a device could not be written. Call it before [`tune`], which takes a while.
pub fn check(device: &Device) -> Result<()> {
    device.adapter().map_or(Ok(()), tuned_file::check)
}

/// Writes the choices for a device, so that later runs on the same adapter and driver use them. Returns the file, or `None`
/// if there is no cache folder or the device is the CPU executor.
pub fn save(device: &Device, tuned: &Tuned) -> Result<Option<PathBuf>> {
    device.adapter().map_or(Ok(None), |adapter| tuned_file::save(adapter, tuned))
}

/// The measurements for one class of work.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The class.
    pub class: ShapeClass,
    /// The first layer with work of this class.
    pub layer: String,
    /// The kernels that can do the work, and their outcomes.
    pub candidates: Vec<(&'static Kernel, Verdict)>,
    /// Index of the candidate that is used without tuning; `None` if the default is not a single kernel.
    pub default: Option<usize>,
    /// Index of the candidate to use; `None` if no result was right.
    pub chosen: Option<usize>,
}

/// Measures every class of convolutions and matrix products in a graph and passes each finding to `found`. Returns the
/// device's choices, updated with the new ones.
///
/// ```
/// use striate::graph::Graph;
/// use striate::op::Matmul;
/// use striate::{Device, TensorType, tune};
///
/// let mut graph = Graph::new();
/// let a = graph.input("a", TensorType::f32([64, 64]))?;
/// let b = graph.input("b", TensorType::f32([64, 64]))?;
/// let product = graph.apply(Matmul::default(), &[a, b])?[0];
/// graph.output("product", product);
///
/// let device = Device::select("auto")?;
/// if device.is_gpu() {
///     let tuned = tune::tune(&device, &graph, &mut |finding| {
///         println!("{}: {:?}", finding.class, finding.candidates);
///         Ok(())
///     })?;
///     assert_eq!(tuned.len(), device.target().tuned.len().max(1));
/// }
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] on the CPU executor, which has one kernel for each computation; errors of the device and of `found`.
pub fn tune(device: &Device, graph: &Graph, found: &mut dyn FnMut(&Finding) -> Result<()>) -> Result<Tuned> {
    if !device.is_gpu() {
        let problem = "the CPU executor has one kernel for each computation, so there is nothing to tune; name a GPU adapter";
        return Err(Error::argument("--device", problem));
    }
    let mut tuned = device.target().tuned.clone();
    let graph = graph.without_dead_nodes();
    for (class, node) in classes(&graph) {
        let finding = measure(device, &graph, node, class)?;
        found(&finding)?;
        tuned.set(finding.class, finding.chosen.map(|i| finding.candidates[i].0));
    }
    Ok(tuned)
}

/// The classes of all nodes, each with its first node.
fn classes(graph: &Graph) -> Vec<(ShapeClass, &Node)> {
    let mut classes: Vec<(ShapeClass, &Node)> = Vec::new();
    for node in graph.nodes() {
        if let Some(class) = algorithm::shape_class(graph, node)
            && classes.iter().all(|(known, _)| *known != class)
        {
            classes.push((class, node));
        }
    }
    classes
}

fn measure(device: &Device, graph: &Graph, node: &Node, class: ShapeClass) -> Result<Finding> {
    let single = alone(graph, node)?;
    let target = Target {
        kernels: Vec::new(),
        algorithms: Vec::new(),
        tuned: Tuned::default(),
        ..device.target().clone()
    };
    let default = Plan::new(&single, &target)?;
    let (kernels, plans): (Vec<_>, Vec<_>) = candidates(&single, &target, &class).into_iter().unzip();
    let default = plans.iter().position(|plan| same_launches(plan, &default));
    let (expected, tolerance) = reference(&single)?;
    let verdicts = match plans.len() {
        0 => Vec::new(),
        count => benchmark::compare(&mut OnDevice::new(device, plans)?, count, &expected, tolerance)?,
    };
    let chosen = benchmark::winner(&verdicts, default);
    let candidates = kernels.into_iter().zip(verdicts).collect();
    Ok(Finding { class, layer: node.scope.to_string(), candidates, default, chosen })
}

const OPERAND: &str = "operand";
const RESULT: &str = "result";

/// A graph of this node alone, whose operands and result stay on the device.
fn alone(graph: &Graph, node: &Node) -> Result<Graph> {
    let mut single = Graph::new();
    let mut operands = Vec::new();
    for (i, value) in node.inputs.iter().enumerate() {
        let ty = graph.value(*value).ty.clone();
        let init = Init::Normal { std: 1.0 };
        operands.push(single.persistent(&format!("{OPERAND} {i}"), ty, PersistentKind::Buffer, init)?);
    }
    let result = single.apply(node.op.clone(), &operands)?[0];
    let ty = single.value(result).ty.clone();
    let kept = single.persistent(RESULT, ty, PersistentKind::Buffer, Init::Constant(0.0))?;
    single.update(kept, result)?;
    Ok(single)
}

/// The kernels that can compute a graph's only node, each with its plan. Of kernels with equal plans, only the first.
fn candidates(single: &Graph, target: &Target, class: &ShapeClass) -> Vec<(&'static Kernel, Plan)> {
    let mut candidates: Vec<(&'static Kernel, Plan)> = Vec::new();
    for kernel in algorithm::candidates(class.pass).map(|c| c.kernel) {
        let forced = Target { kernels: vec![(class.pass, kernel)], ..target.clone() };
        // A kernel that exceeds the device's limits is not a candidate.
        let Ok(plan) = Plan::new(single, &forced) else { continue };
        // `im2col` represents its algorithm, which skips the kernel if the columns would equal the image.
        let used = *kernel == kernel::IM2COL || plan.launches.iter().any(|l| l.kernel == kernel);
        if used && candidates.iter().all(|(_, known)| !same_launches(known, &plan)) {
            candidates.push((kernel, plan));
        }
    }
    candidates
}

fn same_launches(a: &Plan, b: &Plan) -> bool {
    let launches = |plan: &Plan| -> Vec<(&'static Kernel, Vec<u32>, [u32; 3])> {
        plan.launches.iter().map(|l| (l.kernel, l.params.clone(), l.workgroups)).collect()
    };
    launches(a) == launches(b)
}

/// Seed of the random operands.
const SEED: u64 = 1;

/// The CPU executor's result, and the tolerance for others, relative to its largest element.
fn reference(single: &Graph) -> Result<(Vec<f32>, f64)> {
    let cpu = Device::select("cpu")?;
    let plan = Plan::new(single, cpu.target())?;
    let flops = plan.flops();
    let mut session = Session::new(&cpu, vec![plan])?;
    session.initialize(SEED)?;
    session.run(0, &[])?;
    let result = session.read(RESULT)?;
    let terms = flops as f64 / (2 * result.len().max(1)) as f64;
    Ok((result.into_f32(), benchmark::tolerance(terms)))
}

/// The candidates on the device, each a plan of one session.
struct OnDevice {
    session: Session,
    /// Overwrites the previous result.
    nan: Tensor,
}

impl OnDevice {
    fn new(device: &Device, plans: Vec<Plan>) -> Result<Self> {
        let mut session = Session::new(device, plans)?;
        session.initialize(SEED)?;
        let shape = session.read(RESULT)?.shape().to_vec();
        let len = shape.iter().product();
        Ok(Self { session, nan: Tensor::f32(shape, vec![f32::NAN; len])? })
    }
}

impl Benchmark for OnDevice {
    fn result(&mut self, candidate: usize) -> Result<Vec<f32>> {
        // Otherwise a kernel that writes nothing would pass with the previous candidate's result.
        self.session.write(RESULT, &self.nan)?;
        self.session.run(candidate, &[])?;
        Ok(self.session.read(RESULT)?.into_f32())
    }

    fn seconds(&mut self, candidate: usize) -> Result<f64> {
        Ok(self.session.time(candidate, &[])?.seconds.iter().sum())
    }
}
