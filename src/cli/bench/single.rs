//! Single operations on operands that stay on the device. Samples of the results are compared with sums in `f64`.

use super::{Bench, Check, Outcome, clock::Times, data};
use crate::cli::flags::element_count;
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op;
use striate::plan::Plan;
use striate::{Result, Session, Tensor, TensorType};

#[derive(clap::Args)]
pub struct Matmul {
    /// Rows and columns of each matrix.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    #[command(flatten)]
    repeats: Repeats,
}

#[derive(clap::Args)]
pub struct Conv {
    /// Channels of the images.
    #[arg(value_name = "C", value_parser = clap::value_parser!(u32).range(1..))]
    channels: u32,
    /// Height and width of the images.
    #[arg(value_name = "H", value_parser = clap::value_parser!(u32).range(1..))]
    side: u32,
    /// Filters.
    #[arg(value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    filters: u32,
    /// Images.
    #[arg(value_name = "BATCH", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Height and width of the filters, an odd number.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = odd)]
    filter: u32,
    #[command(flatten)]
    repeats: Repeats,
}

fn odd(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|size| size % 2 == 1).ok_or_else(|| format!("{text:?} is not an odd number"))
}

#[derive(clap::Args)]
struct Repeats {
    /// Operations per step; only the last one is waited for.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    inner: u32,
}

/// Checked elements of a result, and of a gradient, whose sums are longer.
const SAMPLES: usize = 64;
const GRADIENT_SAMPLES: usize = 16;

pub fn matmul(bench: &Bench, args: &Matmul) -> Result<Outcome> {
    let (n, inner) = (args.size as usize, args.repeats.inner as usize);
    element_count("N", &[n, n])?;
    let mut graph = Graph::new();
    let [a, b] = [state(&mut graph, "a", [n, n], 0.0)?, state(&mut graph, "b", [n, n], 0.0)?];
    let c = graph.apply(op::Matmul::default(), &[a, b])?[0];
    store(&mut graph, "c", c)?;
    let mut session = bench.session(Plan::new(&graph, bench.device.target())?)?;
    let a = fill(&mut session, "a", data::OPERANDS[0], [n, n])?;
    let b = fill(&mut session, "b", data::OPERANDS[1], [n, n])?;
    let times = measure(&mut session, bench, inner)?;
    let c = session.read("c")?;
    let error = largest_error(SAMPLES, |t| {
        let (i, j) = (data::sample(2 * t, n), data::sample(2 * t + 1, n));
        let sum: f64 = (0..n).map(|k| f64::from(a[i * n + k]) * f64::from(b[k * n + j])).sum();
        (c.as_f32()[i * n + j], sum)
    });
    Ok(Outcome {
        case: format!("matmul-{n}"),
        samples: inner,
        flops: Some(2.0 * (n as f64).powi(3) * inner as f64),
        plan_bytes: session.bytes(),
        device_bytes: bench.device.allocated_bytes(),
        times,
        check: Check::Errors(vec![("c", SAMPLES, error)]),
    })
}

/// Computes some of `y`, `dx` and `dw`: a convolution, and the gradients of its images and weights.
pub fn conv(bench: &Bench, args: &Conv, case: &str, results: &[&'static str]) -> Result<Outcome> {
    let sizes = [args.channels, args.side, args.filters, args.batch, args.filter].map(|size| size as usize);
    let [c, h, k, n, f] = sizes;
    for shape in [[n, c, h, h], [k, c, f, f], [n, k, h, h]] {
        element_count("C H K BATCH", &shape)?;
    }
    let graph = conv_graph(sizes, results)?;
    let mut session = bench.session(Plan::new(&graph, bench.device.target())?)?;
    let x = fill(&mut session, "x", data::OPERANDS[0], [n, c, h, h])?;
    let w = fill(&mut session, "w", data::OPERANDS[1], [k, c, f, f])?;
    let times = measure(&mut session, bench, args.repeats.inner as usize)?;
    let reference = Reference { sizes, x: &x, w: &w };
    let mut errors = Vec::new();
    for &name in results {
        let found = session.read(name)?;
        let (samples, error) = reference.error(name, found.as_f32());
        errors.push((name, samples, error));
    }
    let inner = args.repeats.inner as f64;
    let multiplies = [n, k, c, f * f, h, h, results.len()].iter().map(|size| *size as f64).product::<f64>();
    let filter = if f == 3 { String::new() } else { format!("-f{f}") };
    Ok(Outcome {
        case: format!("{case}-c{c}-h{h}-k{k}-b{n}{filter}"),
        samples: n * args.repeats.inner as usize,
        flops: Some(2.0 * multiplies * inner),
        plan_bytes: session.bytes(),
        device_bytes: bench.device.allocated_bytes(),
        times,
        check: Check::Errors(errors),
    })
}

fn conv_graph([c, h, k, n, f]: [usize; 5], results: &[&'static str]) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = state(&mut graph, "x", [n, c, h, h], 0.0)?;
    let w = state(&mut graph, "w", [k, c, f, f], 0.0)?;
    let upstream = state(&mut graph, "dy", [n, k, h, h], 1.0)?;
    let y = graph.apply(op::Conv2d { padding: [f / 2, f / 2], ..Default::default() }, &[x, w])?[0];
    let gradients = graph.gradients(&[(y, upstream)], &[x, w])?;
    let gradient = |i: usize| gradients[i].expect("a convolution has both gradients");
    for (name, value) in [("y", y), ("dx", gradient(0)), ("dw", gradient(1))] {
        // What is not stored is not computed either.
        if results.contains(&name) {
            store(&mut graph, name, value)?;
        }
    }
    Ok(graph)
}

/// A value that stays on the device, initialized to `start`.
fn state(graph: &mut Graph, name: &str, shape: impl Into<Vec<usize>>, start: f32) -> Result<ValueId> {
    graph.persistent(name, TensorType::f32(shape), PersistentKind::Buffer, Init::Constant(start))
}

/// Stores a result on the device, to be read after the last step: an output would be read back, and timed, in every step.
fn store(graph: &mut Graph, name: &str, value: ValueId) -> Result<()> {
    let state = state(graph, name, graph.shape(value).to_vec(), 0.0)?;
    graph.update(state, value)
}

/// Fills an operand with generated values, and returns them.
fn fill<const D: usize>(session: &mut Session, name: &str, seed: u64, shape: [usize; D]) -> Result<Vec<f32>> {
    let values = data::fill(seed, shape.iter().product(), 1.0);
    session.write(name, &Tensor::f32(shape, values.clone())?)?;
    Ok(values)
}

/// Times steps that submit the operation `inner` times and then wait for all of them.
fn measure(session: &mut Session, bench: &Bench, inner: usize) -> Result<Times> {
    Times::measure(bench, || {
        for _ in 0..inner {
            session.submit(0, &[])?;
        }
        while session.wait()?.is_some() {}
        Ok(())
    })
}

/// The largest |found - expected| of some samples.
fn largest_error(samples: usize, sample: impl Fn(u64) -> (f32, f64)) -> f64 {
    let error = |(found, expected): (f32, f64)| (f64::from(found) - expected).abs();
    // `total_cmp` orders NaN last, so that it is the largest error.
    (0..samples as u64).map(|t| error(sample(t))).max_by(f64::total_cmp).unwrap_or(0.0)
}

/// Single elements of a convolution and its gradients, computed from the definition.
struct Reference<'a> {
    /// Channels, side of the images, filters, images, and side of the filters.
    sizes: [usize; 5],
    x: &'a [f32],
    w: &'a [f32],
}

impl Reference<'_> {
    /// The `q`-th index of sample `t`.
    fn index(t: u64, q: u64, bound: usize) -> usize {
        data::sample(8 * t + q, bound)
    }

    /// The number of checked elements of a result, and their largest error.
    fn error(&self, name: &str, found: &[f32]) -> (usize, f64) {
        match name {
            "y" => (SAMPLES, self.output_error(found)),
            "dx" => (GRADIENT_SAMPLES, self.image_gradient_error(found)),
            _ => (GRADIENT_SAMPLES, self.weight_gradient_error(found)),
        }
    }

    /// A pixel of the padded image.
    fn pixel(&self, image: usize, channel: usize, row: usize, column: usize) -> f64 {
        let [c, h, .., f] = self.sizes;
        let inside = (f / 2..h + f / 2).contains(&row) && (f / 2..h + f / 2).contains(&column);
        if !inside {
            return 0.0;
        }
        f64::from(self.x[((image * c + channel) * h + row - f / 2) * h + column - f / 2])
    }

    fn weight(&self, filter: usize, channel: usize, tap: usize) -> f64 {
        let [c, .., f] = self.sizes;
        f64::from(self.w[(filter * c + channel) * f * f + tap])
    }

    /// Every channel with every position of the filter.
    fn taps(&self, channels: usize) -> impl Iterator<Item = (usize, usize)> {
        let [.., f] = self.sizes;
        (0..channels).flat_map(move |channel| (0..f * f).map(move |tap| (channel, tap)))
    }

    fn output_error(&self, y: &[f32]) -> f64 {
        let [c, h, k, n, f] = self.sizes;
        largest_error(SAMPLES, |t| {
            let [image, filter] = [Self::index(t, 0, n), Self::index(t, 1, k)];
            let [row, column] = [Self::index(t, 2, h), Self::index(t, 3, h)];
            let terms = self.taps(c).map(|(channel, tap)| {
                self.pixel(image, channel, row + tap / f, column + tap % f)
                    * self.weight(filter, channel, tap)
            });
            (y[((image * k + filter) * h + row) * h + column], terms.sum())
        })
    }

    fn image_gradient_error(&self, dx: &[f32]) -> f64 {
        let [c, h, k, n, f] = self.sizes;
        largest_error(GRADIENT_SAMPLES, |t| {
            let [image, channel] = [Self::index(t, 0, n), Self::index(t, 1, c)];
            let [row, column] = [Self::index(t, 2, h), Self::index(t, 3, h)];
            // The outputs that this pixel contributes to must be inside the image.
            let reached = |at: usize, tap: usize| (f / 2..h + f / 2).contains(&(at + 2 * (f / 2) - tap));
            let inside = |tap: usize| reached(row, tap / f) && reached(column, tap % f);
            let terms = self.taps(k).filter(|(_, tap)| inside(*tap));
            let sum = terms.map(|(filter, tap)| self.weight(filter, channel, tap)).sum();
            (dx[((image * c + channel) * h + row) * h + column], sum)
        })
    }

    fn weight_gradient_error(&self, dw: &[f32]) -> f64 {
        let [c, h, k, n, f] = self.sizes;
        largest_error(GRADIENT_SAMPLES, |t| {
            let channel = Self::index(t, 1, c);
            let [filter, tap] = [Self::index(t, 4, k), Self::index(t, 5, f * f)];
            let pixels = (0..n).flat_map(|image| (0..h * h).map(move |at| (image, at / h, at % h)));
            let terms = pixels
                .map(|(image, row, column)| self.pixel(image, channel, row + tap / f, column + tap % f));
            (dw[(filter * c + channel) * f * f + tap], terms.sum())
        })
    }
}
