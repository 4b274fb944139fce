//! Times every layer of a ResNet, forward and backward, on a GPU and on the CPU, and compares the results.
//! `cargo run --release --example bench_cpu_gpu -- --batch 64`
//!
//! Both run the same training step on the same weights and images. On the GPU, each layer is a compute pass, timed by timestamps if
//! the GPU has them. The CPU executor uses all threads and its fast kernels.

use clap::Parser;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use striate::graph::{Graph, Phase, Role};
use striate::nn::{Builder, Optimizer, SgdConfig};
use striate::plan::{Group, Plan};
use striate::rng::SplitMix64;
use striate::train::{Recipe, training_graph};
use striate::{Clock, DType, Device, Error, Input, Result, Session, Timing, models};

/// Times every layer of a ResNet on a GPU and on the CPU, and compares the results.
#[derive(Parser)]
struct Args {
    /// Network.
    #[arg(long, default_value = "resnet20")]
    model: String,
    /// Images per step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Channels, height and width of an image.
    #[arg(long, default_value = "3x32x32", value_delimiter = 'x')]
    input: Vec<usize>,
    /// The GPU: gpu, or a number or part of a name from `striate devices`.
    #[arg(long, default_value = "gpu")]
    device: String,
    /// Timed steps on each device, after two untimed ones.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Print JSON; times are in milliseconds.
    #[arg(long)]
    json: bool,
}

/// A layer in one direction, or a sum over several.
#[derive(Serialize)]
struct Row {
    layer: String,
    direction: String,
    gpu_ms: f64,
    cpu_ms: f64,
    speed_up: f64,
    gpu_gflop_per_s: f64,
    gpu_gb_per_s: f64,
    /// See [`differences`]; `None` for sums.
    difference: Option<f64>,
}

#[derive(Serialize)]
struct Results {
    gpu: String,
    gpu_clock: &'static str,
    cpu: String,
    /// Layers, then sums.
    rows: Vec<Row>,
}

/// A layer and a direction.
type Key = (String, Phase);

const CLASSES: usize = 10;
const WARM_UP: u32 = 2;
const SEED: u64 = 1;

fn main() {
    let args = Args::parse();
    match run(&args) {
        Ok(results) if args.json => println!("{}", serde_json::to_string_pretty(&results).unwrap()),
        Ok(results) => print(&args, &results),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

fn run(args: &Args) -> Result<Results> {
    let [channels, height, width] = args.input[..] else {
        return Err(Error::argument("--input", "expected CHANNELSxHEIGHTxWIDTH, such as 3x32x32"));
    };
    let (gpu, cpu) = (Device::select(&args.device)?, Device::select("cpu")?);
    if !gpu.is_gpu() {
        return Err(Error::argument("--device", "expected a GPU: gpu, a number or a part of its name"));
    }
    let model = models::by_name(&args.model, channels, CLASSES)?;
    let optimizer = Optimizer::Sgd(SgdConfig::HE_2015);
    let recipe = Recipe { optimizer, ..Default::default() };
    let graph = training_graph(&*model, [args.batch, channels, height, width], &recipe)?;
    let mut rng = SplitMix64::new(SEED);
    let images: Vec<f32> = (0..args.batch * channels * height * width).map(|_| rng.normal() as f32).collect();
    let labels: Vec<u32> = (0..args.batch).map(|_| rng.below(CLASSES as u32)).collect();
    let schedule = optimizer.schedule(0.01, 0);
    let inputs = [
        (Builder::IMAGES, (&images).into()),
        (Recipe::LABELS, (&labels).into()),
        (Optimizer::SCHEDULE, (&schedule).into()),
    ];
    let differences = differences(&graph, [&gpu, &cpu], &inputs)?;

    let mut on = [Steps::new(&graph, &gpu)?, Steps::new(&graph, &cpu)?];
    for _ in 0..WARM_UP + args.repeats {
        for steps in &mut on {
            steps.timings.push(steps.session.time(0, &inputs)?);
        }
    }
    // A layer may have several groups, such as before and after its sublayers. They form one row.
    let mut keys: Vec<Key> = on[0].session.plans()[0].groups.iter().map(key).collect();
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    let row = |k: &Key| Row::new([&k.0, k.1.name()], &on, |g| key(g) == *k, differences.get(k).copied());
    let mut rows: Vec<Row> = keys.iter().map(row).collect();
    for phase in [Phase::Forward, Phase::Backward, Phase::Update] {
        rows.push(Row::new(["total", phase.name()], &on, |g| g.phase == phase, None));
    }
    rows.push(Row::new(["total", "step"], &on, |_| true, None));
    let gpu_clock = match on[0].timings[0].clock {
        Clock::Wall => "the host's clock, including submission and waiting, since the GPU has no timestamps",
        Clock::Timestamps => "the GPU's timestamps",
    };
    Ok(Results { gpu: gpu.describe(), gpu_clock, cpu: cpu.name(), rows })
}

fn key(group: &Group) -> Key {
    (group.scope.clone(), group.phase)
}

/// Timed steps on one device.
struct Steps {
    session: Session,
    timings: Vec<Timing>,
}

impl Steps {
    fn new(graph: &Graph, device: &Device) -> Result<Self> {
        let mut session = Session::new(device, vec![Plan::new(graph, device.target())?])?;
        session.initialize(SEED)?;
        Ok(Self { session, timings: Vec::new() })
    }

    /// Median time of the groups in total, in milliseconds.
    fn median(&self, wanted: impl Fn(&Group) -> bool) -> f64 {
        let groups = &self.session.plans()[0].groups;
        let wanted =
            |t: &Timing| t.seconds.iter().zip(groups).filter(|(_, g)| wanted(g)).map(|(s, _)| s).sum();
        let mut sums: Vec<f64> = self.timings[WARM_UP as usize..].iter().map(wanted).collect();
        sums.sort_by(f64::total_cmp);
        (sums[(sums.len() - 1) / 2] + sums[sums.len() / 2]) / 2.0 * 1e3
    }

    /// FLOPs and bytes of the groups, in billions.
    fn work(&self, wanted: impl Fn(&Group) -> bool) -> [f64; 2] {
        let plan = &self.session.plans()[0];
        let groups = plan.groups.iter().filter(|g| wanted(g));
        let launches = groups.flat_map(|g| &plan.launches[g.launches.clone()]);
        launches.fold([0.0, 0.0], |[f, b], l| [f + l.flops as f64 * 1e-9, b + l.bytes as f64 * 1e-9])
    }
}

/// The largest |gpu - cpu| / |cpu| of the results of each layer and direction, with the Euclidean norm of whole tensors. Results are
/// those of the first step: activations, gradients of activations and weights, and after the update running statistics, weights and
/// velocities. They include the differences of earlier layers. Outputs are not fused, so operations are compared separately, while
/// the timed steps use fusion.
fn differences(graph: &Graph, devices: [&Device; 2], inputs: &[(&str, Input)]) -> Result<HashMap<Key, f64>> {
    let mut found = HashMap::new();
    let mut note = |node: usize, a: &[f32], b: &[f32]| {
        let node = &graph.nodes()[node];
        let largest = found.entry((node.scope.to_string(), node.phase)).or_insert(0.0);
        let difference = relative(a, b);
        // NaN counts as the largest difference.
        if difference.is_nan() || difference > *largest {
            *largest = difference;
        }
    };
    let ty = |id| &graph.value(id).ty;
    let results = graph.values().filter_map(|(id, value)| match value.role {
        Role::Computed { node } if graph.nodes()[node].phase != Phase::Update => Some((id, node)),
        _ => None,
    });
    let results: Vec<_> = results.filter(|(id, _)| ty(*id).dtype == DType::F32).collect();
    let largest = results.iter().map(|(id, _)| ty(*id).bytes()).max().unwrap_or(1);
    // In parts, to limit the memory for outputs.
    for (part, some) in results.chunks(((64 << 20) / largest).max(1) as usize).enumerate() {
        let mut graph = graph.clone();
        for (id, _) in some {
            graph.output(&format!("{id:?}"), *id);
        }
        let [mut gpu, mut cpu] = [Steps::new(&graph, devices[0])?, Steps::new(&graph, devices[1])?];
        let [a, b] = [gpu.session.run(0, inputs)?, cpu.session.run(0, inputs)?];
        for (id, node) in some {
            let [a, b] = [&a, &b].map(|o| o.get(&format!("{id:?}")).expect("it was declared above").as_f32());
            note(*node, a, b);
        }
        for (state, value) in if part == 0 { graph.updates() } else { &[] } {
            let Role::Computed { node } = graph.value(*value).role else { continue };
            let name = &graph.value(*state).name;
            note(node, gpu.session.read(name)?.as_f32(), cpu.session.read(name)?.as_f32());
        }
    }
    Ok(found)
}

/// |a - b| / |b|.
fn relative(a: &[f32], b: &[f32]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (*a as f64 - *b as f64).powi(2)).sum();
    let size: f64 = b.iter().map(|b| (*b as f64).powi(2)).sum();
    if difference == 0.0 { 0.0 } else { (difference / size).sqrt() }
}

impl Row {
    fn new(
        name: [&str; 2],
        on: &[Steps; 2],
        wanted: impl Fn(&Group) -> bool,
        difference: Option<f64>,
    ) -> Self {
        let ([gpu, cpu], [layer, direction]) = (on, name);
        let layer = if layer.is_empty() { "model" } else { layer }.to_owned();
        let (gpu_ms, cpu_ms) = (gpu.median(&wanted), cpu.median(&wanted));
        let [gpu_gflop_per_s, gpu_gb_per_s] = gpu.work(&wanted).map(|billions| billions * 1e3 / gpu_ms);
        let (direction, speed_up) = (direction.to_owned(), cpu_ms / gpu_ms);
        Self { layer, direction, gpu_ms, cpu_ms, speed_up, gpu_gflop_per_s, gpu_gb_per_s, difference }
    }
}

fn print(args: &Args, Results { gpu, gpu_clock, cpu, rows }: &Results) {
    println!("{}, {} images of {:?}: a training step, layer by layer", args.model, args.batch, args.input);
    println!("GPU: {gpu}\n     timed by {gpu_clock}");
    println!(
        "CPU: {cpu}\n     timed by the host's clock\nms: median of {} steps on each in turn; GFLOP/s and GB/s: on the GPU",
        args.repeats
    );
    println!(
        "difference: largest |GPU - CPU| / |CPU| of a layer's results, by norms of whole tensors, including"
    );
    println!("            the differences of earlier layers\n");
    let width = rows.iter().map(|r| r.layer.len()).max().unwrap_or(0);
    println!("{:width$} direction    GPU ms    CPU ms  speed-up   GFLOP/s      GB/s  difference", "layer");
    for r in rows {
        print!("{:width$} {:9} {:9.3} {:9.3} {:8.2}x", r.layer, r.direction, r.gpu_ms, r.cpu_ms, r.speed_up);
        let difference = r.difference.map_or(String::new(), |d| format!(" {d:>11.1e}"));
        println!(" {:9.2} {:9.2}{difference}", r.gpu_gflop_per_s, r.gpu_gb_per_s);
    }
}
