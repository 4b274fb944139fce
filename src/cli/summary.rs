//! `striate summary`: a network's layers. No device is opened.

use super::flags::{ModelFlags, recipe};
use super::output::{json, print};
use super::text::grouped;
use serde::Serialize;
use striate::graph::Graph;
use striate::nn::{Builder, Mode};
use striate::plan::{Family, MemoryReport, Plan, Report, Summary, Target};
use striate::train::{evaluation_graph, training_graph};
use striate::{Error, Result};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// Images per step, for the memory.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Print JSON; sizes are in bytes.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// A network, and the memory of its steps.
#[derive(Serialize)]
struct Answer {
    model: String,
    /// Batch, channels, height and width.
    input: [usize; 4],
    classes: usize,
    #[serde(flatten)]
    summary: Summary,
    /// Including auxiliary heads, which are only used in training.
    training_parameters: u64,
    inference_memory: MemoryReport,
    /// `None` if batch norm cannot train on a single image, for lack of values per channel.
    training_memory: Option<MemoryReport>,
}

pub fn run(args: Args) -> Result<()> {
    let (model, input) = args.model.open(args.batch)?;
    let summary = |mode, input| {
        let mut b = Builder::new(mode);
        let images = b.images(input)?;
        model.forward(&mut b, images).map(|_| Summary::of(&b.graph))
    };
    let [batch, channels, height, width] = input;
    // Batch norm needs two values per channel to train; the parameters do not depend on the batch.
    let trained = summary(Mode::Train, [batch.max(2), channels, height, width])?;
    // The kernels of a GPU, without limits on buffers, which depend on the device.
    let target = Target { max_binding: u64::MAX, max_buffer: u64::MAX, ..Target::baseline(Family::Gpu) };
    let memory = |graph: &Graph| Ok::<_, Error>(Report::new(&Plan::new(graph, &target)?).memory);
    let training_memory = match training_graph(&*model, input, &recipe()) {
        Ok(graph) => Some(memory(&graph)?),
        Err(Error::Shape { .. }) if batch == 1 => None,
        Err(error) => return Err(error),
    };
    let answer = Answer {
        model: model.name(),
        input,
        classes: model.classes(),
        summary: summary(Mode::Eval, input)?,
        training_parameters: trained.parameters,
        inference_memory: memory(&evaluation_graph(&*model, input)?)?,
        training_memory,
    };
    print(&if args.json { json(&answer) } else { table(&answer) })
}

fn table(answer: &Answer) -> String {
    let [batch, channels, height, width] = answer.input;
    let Answer { model, classes, summary, training_parameters, .. } = answer;
    let heads = match training_parameters - summary.parameters {
        0 => String::new(),
        more => format!(
            "parameters {} without auxiliary heads, which are only used in training; {} with their {}\n",
            grouped(summary.parameters),
            grouped(*training_parameters),
            grouped(more)
        ),
    };
    let training = match &answer.training_memory {
        Some(memory) => format!("at batch size {batch} with SGD: {memory}"),
        None => {
            "needs more than one image: batch norm has only one value per channel; give --batch 2".to_owned()
        }
    };
    format!(
        "{model}: images of {channels}x{height}x{width}, {classes} classes\n\n{summary}\n\
         unshared   parameters if no weights were shared between positions\n\
         field      receptive field in pixels; stride: between the fields of neighbors; center: of the first element's field, \
         from the center of the first pixel\n\
         MACs       and activations are for one image\n{heads}\n\
         inference  at batch size {batch}: {}\n\n\
         training   {training}\n",
        answer.inference_memory
    )
}
