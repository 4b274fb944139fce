//! Measuring which kernel is the fastest for each class of work on a device.

mod contest;
mod file;

pub use contest::Verdict;
pub(crate) use file::load;
pub use file::{check, save};

use crate::graph::{Graph, Init, Node, PersistentKind};
use crate::kernel::{self, Kernel};
use crate::plan::{Plan, ShapeClass, Target, Tuned};
use crate::{Device, Error, Result, Session, Tensor};
use contest::Arena;

/// What was found for one class of work.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The class.
    pub class: ShapeClass,
    /// The first layer that has such work.
    pub layer: String,
    /// Each way to do it: its kernel, and what came of it.
    pub ways: Vec<(&'static Kernel, Verdict)>,
    /// The way that is taken untuned; `None` where no single kernel stands for it.
    pub default: Option<usize>,
    /// The way to take; `None` where none was right.
    pub chosen: Option<usize>,
}

/// Measures every class of convolutions and matrix products that a graph has, and hands each finding to `found`. Returns
/// the device's choices with the new ones. Fails on the CPU executor, which has one way for each.
pub fn tune(device: &Device, graph: &Graph, found: &mut dyn FnMut(&Finding) -> Result<()>) -> Result<Tuned> {
    if !device.is_gpu() {
        let problem = "the CPU executor has but one kernel for each computation; name a GPU adapter";
        return Err(Error::argument("--device", problem));
    }
    let mut tuned = device.target().tuned.clone();
    for (class, node) in classes(graph) {
        let finding = measure(device, graph, node, class)?;
        found(&finding)?;
        tuned.set(finding.class, finding.chosen.map(|way| finding.ways[way].0));
    }
    Ok(tuned)
}

/// Each class that something depends on, with the first node of it.
fn classes(graph: &Graph) -> Vec<(ShapeClass, &Node)> {
    let mut classes: Vec<(ShapeClass, &Node)> = Vec::new();
    for (node, _) in graph.nodes().iter().zip(graph.live_nodes()).filter(|(_, live)| *live) {
        if let Some(class) = node.shape_class(graph)
            && classes.iter().all(|(known, _)| *known != class)
        {
            classes.push((class, node));
        }
    }
    classes
}

fn measure(device: &Device, graph: &Graph, node: &Node, class: ShapeClass) -> Result<Finding> {
    let single = alone(graph, node)?;
    let target = Target { forced: Vec::new(), tuned: Tuned::default(), ..device.target().clone() };
    let default = Plan::new(&single, &target)?;
    let (kernels, plans): (Vec<_>, Vec<_>) = ways(&single, &target, &class).into_iter().unzip();
    let default = plans.iter().position(|plan| same_launches(plan, &default));
    let (expected, tolerance) = reference(&single)?;
    let verdicts = match plans.len() {
        0 => Vec::new(),
        count => contest::hold(&mut OnDevice::new(device, plans)?, count, &expected, tolerance)?,
    };
    let chosen = contest::winner(&verdicts, default);
    let ways = kernels.into_iter().zip(verdicts).collect();
    Ok(Finding { class, layer: node.scope.to_string(), ways, default, chosen })
}

const OPERAND: &str = "operand";
const RESULT: &str = "result";

/// A graph of one node, whose operands and result stay on the device.
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

/// The kernels that can do a graph's one node, each with its plan; of those whose plans are alike, the first.
fn ways(single: &Graph, target: &Target, class: &ShapeClass) -> Vec<(&'static Kernel, Plan)> {
    let mut ways: Vec<(&'static Kernel, Plan)> = Vec::new();
    for kernel in class.pass.candidates() {
        let forced = Target { forced: vec![(class.pass, kernel)], ..target.clone() };
        // What does not fit the device's limits is no candidate.
        let Ok(plan) = Plan::new(single, &forced) else { continue };
        // `im2col` stands for a way that has no need of it where the columns would be the image.
        let taken = *kernel == kernel::IM2COL || plan.launches.iter().any(|l| l.kernel == kernel);
        if taken && ways.iter().all(|(_, known)| !same_launches(known, &plan)) {
            ways.push((kernel, plan));
        }
    }
    ways
}

fn same_launches(a: &Plan, b: &Plan) -> bool {
    let launches = |plan: &Plan| -> Vec<(&'static Kernel, Vec<u32>, [u32; 3])> {
        plan.launches.iter().map(|l| (l.kernel, l.params.clone(), l.workgroups)).collect()
    };
    launches(a) == launches(b)
}

/// Operands' numbers come from their names and this.
const SEED: u64 = 1;

/// The result by the CPU executor, and how far another one may be from it, relative to its largest number.
fn reference(single: &Graph) -> Result<(Vec<f32>, f64)> {
    let cpu = Device::select("cpu")?;
    let plan = Plan::new(single, cpu.target())?;
    let flops = plan.flops();
    let mut session = Session::new(&cpu, vec![plan])?;
    session.initialize(SEED)?;
    session.run(0, &[])?;
    let result = session.read(RESULT)?;
    let terms = flops as f64 / (2 * result.len().max(1)) as f64;
    Ok((result.into_f32(), contest::tolerance(terms)))
}

/// The ways on the device: programs of one session.
struct OnDevice {
    session: Session,
    /// No result of anyone.
    nothing: Tensor,
}

impl OnDevice {
    fn new(device: &Device, plans: Vec<Plan>) -> Result<Self> {
        let mut session = Session::new(device, plans)?;
        session.initialize(SEED)?;
        let shape = session.read(RESULT)?.shape().to_vec();
        let len = shape.iter().product();
        Ok(Self { session, nothing: Tensor::f32(shape, vec![f32::NAN; len])? })
    }
}

impl Arena for OnDevice {
    fn result(&mut self, way: usize) -> Result<Vec<f32>> {
        // What another way left behind must not pass for this one's.
        self.session.write(RESULT, &self.nothing)?;
        self.session.run(way, &[])?;
        Ok(self.session.read(RESULT)?.into_f32())
    }

    fn seconds(&mut self, way: usize) -> Result<f64> {
        Ok(self.session.time(way, &[])?.seconds.iter().sum())
    }
}
