//! Measures the peak arithmetic and memory rates of a device with this engine's kernels.

use serde::Serialize;
use std::time::Instant;
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op::{Matmul, Relu};
use striate::plan::Plan;
use striate::{Device, Error, Result, Session, TensorType};

/// Peak rates, and how they were measured.
#[derive(Clone, Debug, Serialize)]
pub struct Peaks {
    pub gflop_per_s: f64,
    pub gflop_how: String,
    pub gb_per_s: f64,
    pub gb_how: String,
}

impl Peaks {
    /// The arithmetic intensity, in operations per byte, above which arithmetic is the limit.
    pub fn ridge(&self) -> f64 {
        self.gflop_per_s / self.gb_per_s
    }
}

/// Minimum number of runs and seconds per measurement, after a warm-up run. The fastest run counts, since other programs can
/// only slow it down.
const RUNS: usize = 4;
const MEASURE: f64 = 0.2;

/// Matrix sizes to measure, and the estimated seconds above which no larger size is tried.
const SIZES: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];
const SECONDS: f64 = 0.6;

/// Bytes of each copied buffer: more than a cache holds, if the device allows such buffers.
const COPY: u64 = 128 << 20;

pub fn measure(device: &Device) -> Result<Peaks> {
    let (gflop_per_s, gflop_how) = arithmetic(device)?;
    let (gb_per_s, gb_how) = bandwidth(device)?;
    Ok(Peaks { gflop_per_s, gflop_how, gb_per_s, gb_how })
}

/// The best rate of square matrix products of increasing size.
fn arithmetic(device: &Device) -> Result<(f64, String)> {
    let mut best = (0.0, String::new());
    for n in SIZES {
        let plan = match matmul(n).and_then(|graph| Plan::new(&graph, device.target())) {
            // The largest sizes may not fit.
            Err(Error::TooLarge(_)) if best.0 > 0.0 => break,
            plan => plan?,
        };
        let kernels: Vec<&str> = plan.launches.iter().map(|l| l.kernel.name).collect();
        let kernels = kernels.join(", ");
        let seconds = fastest(device, plan, |seconds| seconds.iter().sum())?;
        let rate = 2e-9 * (n as f64).powi(3) / seconds;
        if rate > best.0 {
            best = (rate, format!("matrix product {n} x {n} x {n} ({kernels})"));
        }
        // Twice the side is eight times the work.
        if 8.0 * seconds > SECONDS {
            break;
        }
    }
    Ok(best)
}

/// The rate of the copy kernel.
fn bandwidth(device: &Device) -> Result<(f64, String)> {
    let target = device.target();
    // There are three such buffers, and other programs need memory too.
    let room = target.memory.map_or(COPY, |memory| memory / 8);
    let bytes = COPY.min(target.max_binding).min(target.max_buffer).min(room);
    let plan = Plan::new(&copy((bytes / 4) as usize)?, target)?;
    let at = plan.launches.iter().position(|l| l.kernel.name == "copy").expect("the second state is copied");
    let moved = plan.launches[at].bytes;
    let seconds = fastest(device, plan, |seconds| seconds[at])?;
    let how = format!("copy of {} MiB, read and written", bytes >> 20);
    Ok((moved as f64 * 1e-9 / seconds, how))
}

/// Runs a plan repeatedly; returns the minimum of `time`, which gets the seconds of each launch.
fn fastest(device: &Device, plan: Plan, time: impl Fn(&[f64]) -> f64) -> Result<f64> {
    let mut session = Session::new(device, vec![plan])?;
    session.initialize(1)?;
    session.profile(0, &[])?;
    let mut best = f64::INFINITY;
    let (start, mut runs) = (Instant::now(), 0);
    while runs < RUNS || start.elapsed().as_secs_f64() <= MEASURE {
        let spans = session.profile(0, &[])?.spans;
        let seconds: Vec<f64> = spans.iter().map(|[start, end]| end - start).collect();
        best = best.min(time(&seconds));
        runs += 1;
    }
    // A coarse clock may report 0, which would make the rate infinite.
    Ok(best.max(1e-9))
}

fn matmul(n: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let [a, b] = [state(&mut graph, "a", &[n, n], NOISE)?, state(&mut graph, "b", &[n, n], NOISE)?];
    let c = state(&mut graph, "c", &[n, n], ZERO)?;
    let product = graph.apply(Matmul::default(), &[a, b])?[0];
    graph.update(c, product)?;
    Ok(graph)
}

/// A value that is assigned to two states, so that the second one is copied.
fn copy(len: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = state(&mut graph, "x", &[len], NOISE)?;
    let y = graph.apply(Relu, &[x])?[0];
    for name in ["first", "second"] {
        let target = state(&mut graph, name, &[len], ZERO)?;
        graph.update(target, y)?;
    }
    Ok(graph)
}

const NOISE: Init = Init::Uniform { bound: 1.0 };
const ZERO: Init = Init::Constant(0.0);

fn state(graph: &mut Graph, name: &str, shape: &[usize], init: Init) -> Result<ValueId> {
    graph.persistent(name, TensorType::f32(shape), PersistentKind::Buffer, init)
}
