//! `striate export`: writes a trained network for other programs.

use super::flags::as_flag;
use super::network::{Network, NetworkFlags};
use super::output::print;
use super::text;
use std::path::{Path, PathBuf};
use striate::data::Preprocessing;
use striate::export::{OPSET, OnnxConfig, onnx, write_onnx};
use striate::infer::{Card, inference_graph};
use striate::models::Model;
use striate::{Device, Error, Result, Tensor, check_writable, weights};

/// Writes a trained network as ONNX, for other inference engines, or as safetensors.
///
/// For example: striate export runs/one --onnx clothes.onnx --preprocessing
///
/// The ONNX model takes `images`, [batch, channels, height, width], any number of them, and returns `logits`. Class names and
/// preprocessing are in its metadata. Existing files are replaced.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("formats").required(true).multiple(true).args(["onnx", "safetensors"]))]
pub struct Args {
    /// Model name, which may be omitted if the weights contain it; then the weights: a safetensors file, a .pth archive or a
    /// run folder of `striate train`
    #[arg(required = true, num_args = 1.., value_name = "[MODEL] WEIGHTS")]
    what: Vec<PathBuf>,
    /// Write an ONNX model
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    onnx: Option<PathBuf>,
    /// Write a safetensors file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    safetensors: Option<PathBuf>,
    /// Store the weights of convolutions and linear layers in half precision; the ONNX model still computes in single precision
    #[arg(long, help_heading = "Output")]
    half: bool,
    /// Fold batch norms into the convolutions of the ONNX model
    #[arg(long, requires = "onnx", help_heading = "Output")]
    fold_batch_norm: bool,
    /// Normalize inside of the ONNX model, which then takes pixel values from 0 to 255 as floats
    #[arg(long, requires = "onnx", help_heading = "Output")]
    preprocessing: bool,
    #[command(flatten)]
    network: NetworkFlags,
}

/// What all formats contain.
struct Contents {
    model: Box<dyn Model>,
    weights: Vec<(String, Tensor)>,
    preprocessing: Preprocessing,
    card: Card,
}

pub fn run(args: Args) -> Result<()> {
    export(&args).map_err(as_flag::<Args>)
}

fn export(args: &Args) -> Result<()> {
    [&args.onnx, &args.safetensors].into_iter().flatten().try_for_each(|path| check_writable(path))?;
    let contents = read(args)?;
    let count: usize = contents.weights.iter().map(|(_, tensor)| tensor.len()).sum();
    print(&format!(
        "model    {}: {} weights\nimages   {}\n",
        contents.model.name(),
        text::grouped(count as u64),
        contents.preprocessing
    ))?;
    if let Some(path) = &args.safetensors {
        let write = if args.half { weights::write_half } else { weights::write };
        write(path, &contents.weights, &contents.card.metadata())?;
        written(path, "safetensors")?;
    }
    match &args.onnx {
        Some(path) => write_model(args, contents, path),
        None => Ok(()),
    }
}

/// Reads the network. The CPU holds its weights; nothing is computed.
fn read(args: &Args) -> Result<Contents> {
    let network = Network::open_only(&args.what, &args.network, "[MODEL] WEIGHTS")?;
    let preprocessing = network.preprocessing(&args.network, None)?;
    let names = network.names(&args.network)?;
    let classes = network.classes(&args.network, names.as_deref())?;
    let model = network.model(preprocessing.channels(), classes)?;
    let device = Device::select("cpu")?;
    let mut predictor = network.predictor(&device, &*model, &args.network, preprocessing.size, 1)?;
    let weights = predictor.session().state_dict()?;
    let card = Card {
        model: Some(model.name()),
        classes: names,
        preprocessing: Some(preprocessing.clone()),
        ignored: Vec::new(),
    };
    Ok(Contents { model, weights, preprocessing, card })
}

fn write_model(args: &Args, contents: Contents, path: &Path) -> Result<()> {
    let Contents { model, weights, preprocessing, card } = contents;
    let [height, width] = preprocessing.size;
    let graph = inference_graph(&*model, [1, model.in_channels(), height, width])?;
    let mut metadata = card.metadata();
    metadata.remove("format");
    let input = if args.preprocessing { "pixels from 0 to 255" } else { "normalized" };
    metadata.insert("input".to_owned(), input.to_owned());
    let config = OnnxConfig {
        name: model.name(),
        fold_batch_norm: args.fold_batch_norm,
        normalization: args.preprocessing.then_some(preprocessing.normalization),
        half: args.half,
        metadata,
    };
    let file = onnx(&graph, weights, &config)?;
    write_onnx(path, &file)?;
    let nodes = file.graph.map_or(0, |graph| graph.node.len());
    written(path, &format!("ONNX, opset {OPSET}, {nodes} nodes"))
}

fn written(path: &Path, what: &str) -> Result<()> {
    let bytes = path.metadata().map_err(Error::io(path, "read"))?.len();
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let path = path.display().to_string();
    print(&format!("written  {}: {what}, {mebibytes:.1} MiB\n", text::name(&path)))
}
