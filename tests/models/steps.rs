//! Logits, gradients and three training steps of torchvision's networks and the original GoogLeNet, compared with PyTorch in
//! f64 (`tests/goldens/network_steps.py`).

use crate::common::{CPU_AND_GPU, Outcome, Suite, fill, hash, seed_of};
use serde_json::Value;
use std::sync::LazyLock;
use striate::graph::Graph;
use striate::models::{self, Model};
use striate::nn::{Builder, Mode, Optimizer, SgdConfig};
use striate::plan::{Plan, Target};
use striate::train::{Recipe, training_graph};
use striate::{Device, Input, Session, Tensor};

const NETWORKS: [&str; 4] = ["resnet18", "resnet50", "googlenet", "googlenet-original"];

/// Tolerances, above the error of PyTorch itself in f32 (`float32_apart`). They are relative to the largest logit, to
/// the loss, and to a tensor's norm plus [`RMS`].
const LOGITS: f64 = 1e-5;
const LOSSES: f64 = 8e-5;
const TENSORS: f64 = 2e-3;

/// Root mean square added to a tensor's norm: gradients that cancel out consist of rounding errors, and weights near 1
/// cannot change by less than 1e-7.
const RMS: f64 = 1e-3;

static GOLDEN: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../goldens/network_steps.json")).expect("the golden file is JSON")
});

pub fn add(suite: &mut Suite) {
    for name in NETWORKS {
        let test = move |device: &Device| matches_pytorch(name, device);
        suite.add_on(CPU_AND_GPU, format!("steps::{name}"), test);
    }
}

fn number(key: &str) -> f64 {
    GOLDEN[key].as_f64().unwrap_or_else(|| panic!("the golden file has no {key}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn matches_pytorch(name: &str, device: &Device) -> Outcome {
    let classes = number("classes") as usize;
    let model = models::by_name(name, 3, classes)?;
    let golden = &GOLDEN["networks"][name];
    let run = train(&*model, golden["input_seed"].as_u64().expect("a seed"), device)?;
    let logits = numbers(&golden["logits"]);
    let largest = logits.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    near(&format!("{name}: logits"), &run.logits, &logits, LOGITS * largest)?;
    for (step, (got, want)) in run.losses.iter().zip(numbers(&golden["losses"])).enumerate() {
        near(&format!("{name}: loss of step {step}"), &[*got], &[want], LOSSES * want)?;
    }
    for (what, found) in [("gradients", &run.gradients), ("changes", &run.changes)] {
        let rows = golden[what].as_object().expect("rows by name");
        if found.len() != rows.len() {
            return Err(format!("{name}: {} {what}, PyTorch has {}", found.len(), rows.len()).into());
        }
        for (tensor, [elements, norm, dot]) in found {
            let want = numbers(rows.get(tensor).ok_or_else(|| format!("PyTorch has no {tensor}"))?);
            let allowed = TENSORS * (want[1] + RMS * elements.sqrt());
            near(&format!("{name}: {what} of {tensor}"), &[*elements, *norm, *dot], &want, allowed)?;
        }
    }
    Ok(())
}

fn near(what: &str, got: &[f64], want: &[f64], allowed: f64) -> Outcome {
    let errors = got.iter().zip(want).map(|(a, b)| (a - b).abs());
    // Written so that NaN fails.
    if got.len() == want.len() && errors.clone().all(|d| d <= allowed) {
        return Ok(());
    }
    let most = errors.fold(0.0, f64::max);
    Err(format!("{what}: {got:?}, PyTorch has {want:?}: off by {most:.2e}, tolerance {allowed:.2e}").into())
}

/// By name: number of elements, norm, and dot product with pseudorandom numbers.
type Rows = Vec<(String, [f64; 3])>;

struct Run {
    logits: Vec<f64>,
    losses: Vec<f64>,
    gradients: Rows,
    changes: Rows,
}

fn train(model: &dyn Model, input_seed: u64, device: &Device) -> striate::Result<Run> {
    let [batch, size] = ["batch", "size"].map(|key| number(key) as usize);
    let shape = [batch, 3, size, size];
    let sgd = SgdConfig { momentum: number("momentum") as f32, weight_decay: 0.0, nesterov: false };
    let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..Default::default() };
    let graph = training_graph(model, shape, &recipe)?;
    // Winograd's larger rounding errors have their own tests.
    let target = Target { winograd: false, ..device.target().clone() };
    let plans = [&graph, &evaluation(model, shape)?].map(|graph| Plan::new(graph, &target));
    let mut session = Session::new(device, plans.into_iter().collect::<striate::Result<_>>()?)?;
    session.initialize(1)?;
    let first = begin(&mut session)?;

    let images = fill(input_seed, shape.iter().product(), 3f64.sqrt());
    let labels: Vec<u32> =
        (0..batch as u64).map(|i| (hash(2, i) % number("classes") as u64) as u32).collect();
    let schedule = recipe.optimizer.schedule(number("lr") as f32, 0);
    let images: (&str, Input) = ("images", (&images).into());
    let outputs = session.run(1, &[images])?.into_tensors();
    let logits = outputs[0].as_f32().iter().map(|v| f64::from(*v)).collect();

    let has_dropout = graph.values().any(|(_, v)| v.name == Builder::COUNTER);
    let (mut losses, mut gradients) = (Vec::new(), Rows::new());
    for step in 0..number("steps") as u32 {
        let counter = [step, 7];
        let mut feed: Vec<(&str, Input)> =
            vec![images, ("labels", (&labels).into()), (Optimizer::SCHEDULE, (&schedule).into())];
        if has_dropout {
            feed.push((Builder::COUNTER, (&counter).into()));
        }
        losses.push(f64::from(session.run(0, &feed)?.scalar("loss").expect("the graph has a loss")));
        if step == 0 {
            // Without weight decay, the first velocity is the gradient.
            for parameter in graph.parameters() {
                let name = graph.value(parameter).name.clone();
                let velocity = session.read(&format!("optimizer.{name}.velocity"))?;
                gradients.push((name.clone(), row(&name, velocity.as_f32().iter().copied().map(f64::from))));
            }
        }
    }
    let changes = first.iter().map(|(name, old)| {
        let new = session.read(name)?;
        let change = new.as_f32().iter().zip(old.as_f32()).map(|(a, b)| f64::from(*a) - f64::from(*b));
        Ok((name.clone(), row(name, change)))
    });
    let changes = changes.collect::<striate::Result<_>>()?;
    Ok(Run { logits, losses, gradients, changes })
}

fn evaluation(model: &dyn Model, shape: [usize; 4]) -> striate::Result<Graph> {
    let mut b = Builder::new(Mode::Eval);
    let images = b.images(shape)?;
    let logits = model.forward(&mut b, images)?;
    b.graph.output("logits", logits);
    Ok(b.graph)
}

/// Initializes each parameter and running statistic as the golden run does, and returns them.
pub fn begin(session: &mut Session) -> striate::Result<Vec<(String, Tensor)>> {
    let tensors: Vec<(String, Tensor)> = session
        .state_dict()?
        .into_iter()
        .map(|(name, t)| Ok((name.clone(), Tensor::f32(t.shape(), initial(&name, t.shape()))?)))
        .collect::<striate::Result<_>>()?;
    tensors.iter().try_for_each(|(name, tensor)| session.write(name, tensor))?;
    Ok(tensors)
}

/// The golden run's initial value of a tensor.
fn initial(name: &str, shape: &[usize]) -> Vec<f32> {
    let (seed, len) = (seed_of(name), shape.iter().product());
    let around = |middle: f32, bound| fill(seed, len, bound).into_iter().map(|v| middle + v).collect();
    match shape {
        [_] if name.ends_with("running_mean") => around(0.0, 0.1),
        [_] if name.ends_with("running_var") => around(1.0, 0.2),
        [_] if name.ends_with("bias") => around(0.5, 0.1),
        [_] => around(0.5, 0.2),
        _ => {
            let fan_in = shape[1..].iter().product::<usize>() as f64;
            let bound = if shape.len() == 4 { 6.0 } else { 3.0 };
            fill(seed, len, (bound / fan_in).sqrt())
        }
    }
}

fn row(name: &str, values: impl Iterator<Item = f64> + Clone) -> [f64; 3] {
    let squares: f64 = values.clone().map(|v| v * v).sum();
    let others = fill(seed_of(name).wrapping_add(1), values.clone().count(), 1.0);
    let dot = values.clone().zip(others).map(|(v, other)| v * f64::from(other)).sum();
    [values.count() as f64, squares.sqrt(), dot]
}
