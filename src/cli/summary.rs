//! `striate summary`: a network's layers, without touching a device.

use super::plan::{input_shape, json, print, recipe};
use serde::Serialize;
use striate::graph::Graph;
use striate::nn::{Builder, Mode};
use striate::plan::{Family, MemoryReport, Plan, Report, Summary, Target};
use striate::train::{evaluation_graph, training_graph};
use striate::{Result, models};

#[derive(clap::Args)]
pub struct Args {
    /// Network: lenet, alexnet, googlenet, resnet18 ... resnet152, resnet20, plain20, ...
    model: String,
    /// Pictures it takes, such as 3x224x224; those it was made for, in color, if not given.
    #[arg(long, value_name = "CHANNELSxHEIGHTxWIDTH")]
    input: Option<String>,
    /// Pictures a step: what the memory is for.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Classes to tell apart.
    #[arg(long, default_value_t = 1000)]
    classes: usize,
    /// Print JSON; sizes are in bytes.
    #[arg(long)]
    json: bool,
}

/// A network, and the memory that its steps take.
#[derive(Serialize)]
struct Answer {
    model: String,
    /// Batch, channels, height and width.
    input: [usize; 4],
    classes: usize,
    #[serde(flatten)]
    summary: Summary,
    /// With the heads that there are in training alone.
    training_parameters: u64,
    inference_memory: MemoryReport,
    training_memory: MemoryReport,
}

pub fn run(args: Args) -> Result<()> {
    let input = match &args.input {
        Some(input) => input_shape(args.batch, input)?,
        None => {
            let [height, width] = models::by_name(&args.model, 3, args.classes)?.input_size();
            input_shape(args.batch, &format!("3x{height}x{width}"))?
        }
    };
    let model = models::by_name(&args.model, input[1], args.classes)?;
    let mut b = Builder::new(Mode::Eval);
    let images = b.images(input)?;
    model.forward(&mut b, images)?;
    // A GPU's kernels; what a buffer holds is up to the device, and no device is asked.
    let target = Target { max_binding: u64::MAX, max_buffer: u64::MAX, ..Target::baseline(Family::Gpu) };
    let report = |graph: &Graph| Ok::<_, striate::Error>(Report::new(&Plan::new(graph, &target)?));
    let inference = report(&evaluation_graph(&*model, input)?)?;
    let training = report(&training_graph(&*model, input, &recipe())?)?;
    let answer = Answer {
        model: model.name(),
        input,
        classes: args.classes,
        summary: Summary::of(&b.graph),
        training_parameters: training.totals.parameters,
        inference_memory: inference.memory,
        training_memory: training.memory,
    };
    print(&if args.json { json(&answer) } else { table(&answer) })
}

fn table(answer: &Answer) -> String {
    let [batch, channels, height, width] = answer.input;
    let Answer { model, classes, summary, training_parameters, .. } = answer;
    let heads = match training_parameters - summary.parameters {
        0 => String::new(),
        more => format!("heads      {more} parameters more in training\n"),
    };
    format!(
        "{model}: pictures of {channels}x{height}x{width}, {classes} classes\n\n{summary}\n\
         unshared   parameters if every neuron had weights of its own\n\
         field      pixels that an element sees, down and across; stride: between neighbours; centre: the first's, from \
         the middle of the first pixel\n\
         MACs       and activations are for one picture\n{heads}\n\
         inference  of {batch} at a time, {}\n\n\
         training   of {batch} at a time with SGD, {}\n",
        answer.inference_memory, answer.training_memory
    )
}
