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
    #[command(flatten)]
    repeats: Repeats,
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

pub fn conv(bench: &Bench, args: &Conv, backward: bool) -> Result<Outcome> {
    let [c, h, k, n] = [args.channels, args.side, args.filters, args.batch].map(|size| size as usize);
    for shape in [[n, c, h, h], [k, c, 3, 3], [n, k, h, h]] {
        element_count("C H K BATCH", &shape)?;
    }
    let graph = conv_graph([c, h, k, n], backward)?;
    let mut session = bench.session(Plan::new(&graph, bench.device.target())?)?;
    let x = fill(&mut session, "x", data::OPERANDS[0], [n, c, h, h])?;
    let w = fill(&mut session, "w", data::OPERANDS[1], [k, c, 3, 3])?;
    let times = measure(&mut session, bench, args.repeats.inner as usize)?;
    let reference = Reference { sizes: [c, h, k, n], x: &x, w: &w };
    let mut errors = vec![("y", SAMPLES, reference.output_error(session.read("y")?.as_f32()))];
    if backward {
        let [dx, dw] = [session.read("dx")?, session.read("dw")?];
        errors.push(("dx", GRADIENT_SAMPLES, reference.image_gradient_error(dx.as_f32())));
        errors.push(("dw", GRADIENT_SAMPLES, reference.weight_gradient_error(dw.as_f32())));
    }
    let (name, products) = if backward { ("convbwd", 3) } else { ("conv", 1) };
    let inner = args.repeats.inner as f64;
    let multiplies = [n, k, c, 9, h, h, products].iter().map(|size| *size as f64).product::<f64>();
    Ok(Outcome {
        case: format!("{name}-c{c}-h{h}-k{k}-b{n}"),
        samples: n * args.repeats.inner as usize,
        flops: Some(2.0 * multiplies * inner),
        plan_bytes: session.bytes(),
        device_bytes: bench.device.allocated_bytes(),
        times,
        check: Check::Errors(errors),
    })
}

fn conv_graph([c, h, k, n]: [usize; 4], backward: bool) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = state(&mut graph, "x", [n, c, h, h], 0.0)?;
    let w = state(&mut graph, "w", [k, c, 3, 3], 0.0)?;
    let y = graph.apply(op::Conv2d { padding: [1, 1], ..Default::default() }, &[x, w])?[0];
    store(&mut graph, "y", y)?;
    if backward {
        let upstream = state(&mut graph, "dy", [n, k, h, h], 1.0)?;
        for (name, gradient) in ["dx", "dw"].into_iter().zip(graph.gradients(&[(y, upstream)], &[x, w])?) {
            store(&mut graph, name, gradient.expect("a convolution has both gradients"))?;
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
    /// Channels, side, filters and images.
    sizes: [usize; 4],
    x: &'a [f32],
    w: &'a [f32],
}

impl Reference<'_> {
    /// The `q`-th index of sample `t`.
    fn index(t: u64, q: u64, bound: usize) -> usize {
        data::sample(8 * t + q, bound)
    }

    /// A pixel of the padded image.
    fn pixel(&self, image: usize, channel: usize, row: usize, column: usize) -> f64 {
        let [c, h, ..] = self.sizes;
        let inside = (1..=h).contains(&row) && (1..=h).contains(&column);
        if !inside {
            return 0.0;
        }
        f64::from(self.x[((image * c + channel) * h + row - 1) * h + column - 1])
    }

    fn weight(&self, filter: usize, channel: usize, tap: usize) -> f64 {
        f64::from(self.w[(filter * self.sizes[0] + channel) * 9 + tap])
    }

    fn output_error(&self, y: &[f32]) -> f64 {
        let [c, h, k, n] = self.sizes;
        largest_error(SAMPLES, |t| {
            let [image, filter] = [Self::index(t, 0, n), Self::index(t, 1, k)];
            let [row, column] = [Self::index(t, 2, h), Self::index(t, 3, h)];
            let terms = taps(c).map(|(channel, tap)| {
                self.pixel(image, channel, row + tap / 3, column + tap % 3)
                    * self.weight(filter, channel, tap)
            });
            (y[((image * k + filter) * h + row) * h + column], terms.sum())
        })
    }

    fn image_gradient_error(&self, dx: &[f32]) -> f64 {
        let [c, h, k, n] = self.sizes;
        largest_error(GRADIENT_SAMPLES, |t| {
            let [image, channel] = [Self::index(t, 0, n), Self::index(t, 1, c)];
            let [row, column] = [Self::index(t, 2, h), Self::index(t, 3, h)];
            // The outputs that this pixel contributes to must be inside the image.
            let reached = |at: usize, tap: usize| (1..=h).contains(&(at + 2 - tap));
            let inside = |tap: usize| reached(row, tap / 3) && reached(column, tap % 3);
            let terms = taps(k).filter(|(_, tap)| inside(*tap));
            let sum = terms.map(|(filter, tap)| self.weight(filter, channel, tap)).sum();
            (dx[((image * c + channel) * h + row) * h + column], sum)
        })
    }

    fn weight_gradient_error(&self, dw: &[f32]) -> f64 {
        let [c, h, k, n] = self.sizes;
        largest_error(GRADIENT_SAMPLES, |t| {
            let channel = Self::index(t, 1, c);
            let [filter, tap] = [Self::index(t, 4, k), Self::index(t, 5, 9)];
            let pixels = (0..n).flat_map(|image| (0..h * h).map(move |at| (image, at / h, at % h)));
            let terms = pixels
                .map(|(image, row, column)| self.pixel(image, channel, row + tap / 3, column + tap % 3));
            (dw[(filter * c + channel) * 9 + tap], terms.sum())
        })
    }
}

/// Every channel with every position of the filter.
fn taps(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels).flat_map(|channel| (0..9).map(move |tap| (channel, tap)))
}
