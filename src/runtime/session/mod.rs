//! Sessions: plans and weights on a device, and steps that run asynchronously.

mod stream;

pub(crate) use stream::Stream;

use crate::graph::{Init, PersistentKind};
use crate::op::Labels;
use crate::plan::{Layout, NamedValue, PersistentValue, Plan, StorageId};
use crate::rng::SplitMix64;
use crate::runtime::executor::Executor;
use crate::runtime::timing::{Profile, Timing};
use crate::{Device, Error, Input, Result, Tensor, TensorType};
use std::ops::Range;

/// The outputs of one step, by name.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Index of the plan that ran.
    pub program: usize,
    values: Vec<(String, Tensor)>,
}

impl Outputs {
    /// The output with this name, if the plan has one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// The first element of an output.
    pub fn scalar(&self, name: &str) -> Option<f32> {
        self.get(name).and_then(|t| t.as_f32().first().copied())
    }

    /// All outputs, in the plan's order.
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.values.into_iter().map(|(_, t)| t).collect()
    }
}

/// Plans made ready on a device, and the persistent values that they share by name. A plan for training, one for the smaller
/// last batch and one for evaluation all use the same weights.
///
/// Creating the session allocates all memory and compiles every pipeline. The plans share transient memory, since only one
/// runs at a time.
///
/// ```
/// use striate::graph::{Graph, Init, PersistentKind};
/// use striate::op::Add;
/// use striate::plan::Plan;
/// use striate::{Device, Session, Tensor, TensorType};
///
/// // Adds its input to a value that stays on the device.
/// let mut graph = Graph::new();
/// let x = graph.input("x", TensorType::f32([2]))?;
/// let sum = graph.persistent("sum", TensorType::f32([2]), PersistentKind::Buffer, Init::Constant(0.0))?;
/// let new = graph.apply(Add, &[sum, x])?[0];
/// graph.update(sum, new)?;
///
/// let device = Device::select("cpu")?;
/// let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
/// session.write("sum", &Tensor::f32([2], vec![1.0, 2.0])?)?;
/// session.run(0, &[("x", (&[10f32, 20.0]).into())])?;
/// assert_eq!(session.read("sum")?.as_f32(), [11.0, 22.0]);
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Session {
    executor: Box<dyn Executor>,
    device: Device,
    plans: Vec<Plan>,
    persistent: Vec<PersistentValue>,
    bytes: u64,
    pending: usize,
}

impl Session {
    /// Makes plans ready on a device. Persistent values are zero until [`Session::initialize`] or [`Session::write`].
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if two plans disagree about the type of a persistent value, or sum over ranks on a device without ranks;
    /// [`Error::TooLarge`] if the device has too little memory; [`Error::Rank`] if the ranks have different plans.
    pub fn new(device: &Device, plans: Vec<Plan>) -> Result<Self> {
        let persistent = merge_persistent(&plans)?;
        check_exchanges(device, &plans)?;
        let layout = Layout::new(&plans)?;
        let bytes = layout.bytes();
        check_memory(bytes, device.target().memory)?;
        let executor = device.executor(&plans, layout)?;
        Ok(Self { executor, device: device.clone(), plans, persistent, bytes, pending: 0 })
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The plans, in the order given.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// Names, types and purposes of the persistent values.
    pub fn persistent(&self) -> &[PersistentValue] {
        &self.persistent
    }

    /// Bytes of device memory that the session occupies, constant over its life.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of device memory that a session of these plans would occupy. Needs no device.
    pub fn estimated_bytes(plans: &[Plan]) -> Result<u64> {
        merge_persistent(plans)?;
        Ok(Layout::new(plans)?.bytes())
    }

    /// Initializes every persistent value. The elements of a value depend only on the seed and its name.
    pub fn initialize(&mut self, seed: u64) -> Result<()> {
        for PersistentValue { value, persistence } in self.persistent.clone() {
            let values = initial(persistence.init, value.ty.len(), seed, &value.name);
            self.executor.write(&value.name, bytemuck::cast_slice(&values))?;
        }
        Ok(())
    }

    /// Replaces a persistent value. Fails if there is none with this name, or if its type differs.
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let value = self.find(name)?;
        check_type(name, &value.ty, tensor.ty())?;
        value.check_labels(tensor.as_u32())?;
        self.executor.write(name, tensor.as_u32())
    }

    /// The contents of a persistent value after all submitted steps. Waits for them.
    pub fn read(&mut self, name: &str) -> Result<Tensor> {
        let ty = self.find(name)?.ty.clone();
        let words = self.executor.read(name, ty.len())?;
        Tensor::new(ty, words)
    }

    /// The model's parameters and buffers by name, in order of creation; not the optimizer's state.
    pub fn state_dict(&mut self) -> Result<Vec<(String, Tensor)>> {
        self.read_all(|kind| kind != PersistentKind::Optimizer)
    }

    /// The persistent values of some kinds by name, in order of creation.
    pub(crate) fn read_all(&mut self, kinds: fn(PersistentKind) -> bool) -> Result<Vec<(String, Tensor)>> {
        let persistent = self.persistent.iter().filter(|p| kinds(p.persistence.kind));
        let names: Vec<String> = persistent.map(|p| p.value.name.clone()).collect();
        names.into_iter().map(|name| Ok((name.clone(), self.read(&name)?))).collect()
    }

    /// Submits one step of the plan with index `program` without waiting for it. `inputs` has each of the plan's inputs, by
    /// name and in any order. If too many steps are in flight, waits for the oldest.
    ///
    /// ```
    /// use striate::graph::Graph;
    /// use striate::op::CrossEntropy;
    /// use striate::plan::Plan;
    /// use striate::{Device, Session, TensorType};
    ///
    /// let device = Device::select("cpu")?;
    /// let mut graph = Graph::new();
    /// let logits = graph.input("logits", TensorType::f32([2, 3]))?;
    /// let labels = graph.input("labels", TensorType::u32([2]))?;
    /// let loss = graph.apply(CrossEntropy::default(), &[logits, labels])?[0];
    /// graph.output("loss", loss);
    /// let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
    ///
    /// let logits = [0f32; 6];
    /// session.submit(0, &[("logits", (&logits).into()), ("labels", (&[0u32, 2]).into())])?;
    /// let loss = session.wait()?.unwrap().scalar("loss").unwrap();
    /// assert!((loss - 3f32.ln()).abs() < 1e-6);
    /// assert!(session.submit(0, &[("logits", (&logits).into()), ("labels", (&[0u32, 3]).into())]).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if an input is missing or unknown, if its element type, length or shape differs from the plan's, or if a
    /// label is not a class.
    pub fn submit(&mut self, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<()> {
        let ordered = order_inputs(self.program(program)?, inputs)?;
        self.executor.submit(program, &ordered)?;
        self.pending += 1;
        Ok(())
    }

    /// The outputs of the oldest pending step if it is done, without waiting.
    pub fn poll(&mut self) -> Result<Option<Outputs>> {
        self.answer(false)
    }

    /// Waits for the oldest pending step and returns its outputs; `None` if no step is pending.
    pub fn wait(&mut self) -> Result<Option<Outputs>> {
        self.answer(true)
    }

    /// Waits for all pending steps and drops their outputs.
    pub fn drain(&mut self) -> Result<()> {
        while self.wait()?.is_some() {}
        Ok(())
    }

    /// Number of submitted steps whose outputs have not been taken yet.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Runs one step and returns its outputs. Fails if earlier steps are pending.
    pub fn run(&mut self, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<Outputs> {
        self.check_idle()?;
        self.submit(program, inputs)?;
        Ok(self.wait()?.expect("a step was just submitted"))
    }

    /// Runs one step and measures each of the plan's groups. Drops the outputs. Fails as [`Session::run`].
    pub fn time(&mut self, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<Timing> {
        let groups = |plan: &Plan| plan.groups.iter().map(|group| group.launches.clone()).collect();
        let profile = self.measure(program, inputs, groups)?;
        let seconds = profile.spans.iter().map(|[start, end]| end - start).collect();
        Ok(Timing { seconds, clock: profile.clock })
    }

    /// Runs one step and measures the start and end of each launch. Launches that usually overlap are serialized. Drops the
    /// outputs. Fails as [`Session::run`].
    pub fn profile(&mut self, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<Profile> {
        self.measure(program, inputs, |plan| (0..plan.launches.len()).map(|i| i..i + 1).collect())
    }

    /// Runs one step and measures pieces of its plan, which are ranges of launches.
    fn measure(
        &mut self,
        program: usize,
        inputs: &[(&str, Input<'_>)],
        pieces: fn(&Plan) -> Vec<Range<usize>>,
    ) -> Result<Profile> {
        self.check_idle()?;
        let plan = self.program(program)?;
        let ordered = order_inputs(plan, inputs)?;
        self.executor.profile(program, &ordered, &pieces(plan))
    }

    /// Uploads the inputs of a step, to run its launches one by one with [`Session::run_launch`]. Fails as [`Session::run`].
    pub(crate) fn load(&mut self, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<()> {
        self.check_idle()?;
        let ordered = order_inputs(self.program(program)?, inputs)?;
        self.executor.load(program, &ordered)
    }

    /// Runs one launch of a plan and waits for it.
    pub(crate) fn run_launch(&mut self, program: usize, launch: usize) -> Result<()> {
        self.executor.run_launch(program, launch)
    }

    /// The contents of a storage that a launch of the plan binds.
    pub(crate) fn read_storage(&mut self, program: usize, storage: StorageId) -> Result<Vec<u32>> {
        self.executor.read_storage(program, storage)
    }

    /// Replaces the contents of a storage that a launch of the plan binds; `words` has its size.
    pub(crate) fn write_storage(&mut self, program: usize, storage: StorageId, words: &[u32]) -> Result<()> {
        self.executor.write_storage(program, storage, words)
    }

    fn answer(&mut self, wait: bool) -> Result<Option<Outputs>> {
        if self.pending == 0 {
            return Ok(None);
        }
        let Some(answer) = self.executor.answer(wait)? else { return Ok(None) };
        self.pending -= 1;
        let outputs = &self.plans[answer.program].outputs;
        let values = outputs
            .iter()
            .zip(answer.words)
            .map(|(output, words)| Ok((output.name.clone(), Tensor::new(output.ty.clone(), words)?)))
            .collect::<Result<_>>()?;
        Ok(Some(Outputs { program: answer.program, values }))
    }

    fn check_idle(&self) -> Result<()> {
        match self.pending {
            0 => Ok(()),
            steps => Err(Error::argument(
                "session",
                format!("{steps} earlier steps are pending; call wait or drain first"),
            )),
        }
    }

    fn program(&self, index: usize) -> Result<&Plan> {
        self.plans.get(index).ok_or_else(|| {
            let problem = format!("there is no plan {index}; the session has {} plans", self.plans.len());
            Error::argument("program", problem)
        })
    }

    fn find(&self, name: &str) -> Result<&NamedValue> {
        self.persistent.iter().map(|p| &p.value).find(|p| p.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.persistent.iter().take(4).map(|p| p.value.name.as_str()).collect();
            Error::argument(
                name,
                format!("there is no parameter with this name; the first ones are {}", names.join(", ")),
            )
        })
    }
}

/// Checks that there are ranks if plans need them, and that all of them exchange the same.
fn check_exchanges(device: &Device, plans: &[Plan]) -> Result<()> {
    let words = |plan: &Plan| -> Vec<u64> {
        let bytes = |storage: &StorageId| plan.storages[storage.index()].bytes;
        plan.exchanges.iter().map(|exchange| exchange.storages.iter().map(bytes).sum()).collect()
    };
    let sizes: Vec<u64> = plans.iter().flat_map(words).collect();
    match device.ranks() {
        _ if sizes.is_empty() => Ok(()),
        Some(ranks) => ranks.agree("the sizes of what the plans exchange", bytemuck::cast_slice(&sizes)),
        None => Err(Error::argument(
            "plans",
            "exchange sums with other ranks; use a device with Device::with_ranks",
        )),
    }
}

/// Checks the plans' total memory; lowering checked each plan alone.
fn check_memory(bytes: u64, memory: Option<u64>) -> Result<()> {
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    match memory {
        Some(memory) if bytes > memory => Err(Error::TooLarge(format!(
            "the plans take {:.1} MiB of memory, but the device has {:.1} MiB; use a smaller batch, smaller images or a smaller model",
            mib(bytes),
            mib(memory)
        ))),
        _ => Ok(()),
    }
}

fn merge_persistent(plans: &[Plan]) -> Result<Vec<PersistentValue>> {
    let mut merged: Vec<PersistentValue> = Vec::new();
    for new in plans.iter().flat_map(|p| &p.persistent) {
        match merged.iter_mut().find(|p| p.value.name == new.value.name) {
            Some(old) => {
                check_type(&new.value.name, &old.value.ty, &new.value.ty)?;
                old.value.labels = Labels::intersection(old.value.labels, new.value.labels);
            }
            None => merged.push(new.clone()),
        }
    }
    Ok(merged)
}

fn check_type(name: &str, expected: &TensorType, found: &TensorType) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::argument(
            name,
            format!(
                "expected {:?} {:?}, found {:?} {:?}",
                expected.dtype, expected.shape, found.dtype, found.shape
            ),
        )),
    }
}

fn order_inputs<'a>(plan: &Plan, inputs: &[(&str, Input<'a>)]) -> Result<Vec<&'a [u8]>> {
    if let Some((name, _)) = inputs.iter().find(|(name, _)| plan.inputs.iter().all(|p| p.name != *name)) {
        let names: Vec<&str> = plan.inputs.iter().map(|p| p.name.as_str()).collect();
        return Err(Error::argument(*name, format!("is not an input; the inputs are {}", names.join(", "))));
    }
    plan.inputs
        .iter()
        .map(|expected| {
            let (_, input) = inputs
                .iter()
                .find(|(name, _)| *name == expected.name)
                .ok_or_else(|| Error::argument(&expected.name, "this input is missing"))?;
            let words =
                input.words(&expected.ty).map_err(|problem| Error::argument(&expected.name, problem))?;
            expected.check_labels(words)?;
            Ok(bytemuck::cast_slice(words))
        })
        .collect()
}

/// Initial elements. They depend only on the seed and the name, not on the rest of the model.
fn initial(init: Init, len: usize, seed: u64, name: &str) -> Vec<f32> {
    // FNV-1a gives each name its own stream.
    let key =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
    let mut rng = SplitMix64::keyed(seed, &[key]);
    match init {
        Init::Constant(value) => vec![value; len],
        Init::Normal { std } => (0..len).map(|_| rng.normal() as f32 * std).collect(),
        Init::Uniform { bound } => (0..len).map(|_| (2.0 * rng.unit() as f32 - 1.0) * bound).collect(),
    }
}
