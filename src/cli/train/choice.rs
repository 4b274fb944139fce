//! `striate train PATH`: recognizes the data, and chooses settings that suit it, where none are given.

use super::args::Args;
use super::resume::quoted;
use crate::cli::pretrained::Pretrained;
use crate::cli::text;
use crate::cli::{Cli, Command};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use image::ImageReader;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use striate::data::{self, image_folder_files};
use striate::{Error, Result};

/// A command line, completed.
pub struct Choice {
    pub args: Args,
    /// All arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// What was found at PATH, and the equivalent command.
    pub notes: Vec<String>,
}

/// Completes the arguments of this process. With --dataset there is nothing to choose.
pub fn complete(args: &Args) -> Result<Choice> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_given = |flag: &str| is_given(&arguments, flag);
    let Some(path) = args.path.as_ref().filter(|_| !is_given("dataset")) else {
        return Ok(Choice { args: args.clone().with_path(), arguments, notes: Vec::new() });
    };
    let own_network = ["model", "weights", "pretrained", "image_size"].into_iter().any(is_given);
    let Found { what, settings, hint } = look(path, !own_network)?;
    // Pretrained weights have their own image size.
    let is_fixed = |name: &str| is_given(name) || (args.pretrained && name == "image_size");
    let chosen = settings.into_iter().filter(|(name, _)| !is_fixed(name));
    let chosen = chosen.flat_map(|(name, value)| {
        [format!("--{}", name.replace('_', "-")), value].into_iter().filter(|word| !word.is_empty())
    });
    let mut full = arguments.clone();
    let start = full.iter().position(|word| word == "train").map_or(0, |at| at + 1);
    full.splice(start..start, chosen.map(OsString::from));
    let invalid = |kind| Error::argument("PATH", format!("its settings do not go with these flags: {kind}"));
    let args = parse(&full).map_err(invalid)?.expect("the command is train");
    let command: Vec<String> = full.iter().map(|word| quoted(Path::new(word))).collect();
    let notes = [format!("found    {what}"), format!("same as  striate {}", command.join(" "))];
    Ok(Choice { args, arguments: full, notes: notes.into_iter().chain(hint).collect() })
}

/// Parses arguments of which later ones override earlier ones. `None` if they are of another command.
pub fn parse(arguments: &[OsString]) -> std::result::Result<Option<Args>, ErrorKind> {
    let matches = Cli::command().args_override_self(true).try_get_matches_from(with_name(arguments));
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| error.kind())?.command {
        Command::Train(args) => Ok(Some(args.with_path())),
        _ => Ok(None),
    }
}

/// Whether a setting of `train` is among these arguments.
fn is_given(arguments: &[OsString], name: &str) -> bool {
    let matches = Cli::command().try_get_matches_from(with_name(arguments)).ok();
    let train = matches.as_ref().and_then(|matches| matches.subcommand_matches("train"));
    train.is_some_and(|train| train.value_source(name) == Some(ValueSource::CommandLine))
}

/// Arguments as clap expects them, after the name of a program.
fn with_name(arguments: &[OsString]) -> impl Iterator<Item = OsString> {
    std::iter::once("striate".into()).chain(arguments.iter().cloned())
}

/// The data set that PATH names, instead of a folder.
pub fn named(path: &Path) -> Option<&str> {
    path.to_str().filter(|name| data::NAMES.contains(name) && *name != "folder" && !path.exists())
}

/// What is at PATH, in words, and the settings that suit it.
struct Found {
    what: String,
    /// Names and values; the value of a switch is empty.
    settings: Vec<(&'static str, String)>,
    hint: Option<String>,
}

/// Chooses pretrained weights only if `any_network`.
fn look(path: &Path, any_network: bool) -> Result<Found> {
    let name = named(path).map_or_else(|| data::recognize(path), Ok)?;
    let shown = text::name(&path.to_string_lossy()).into_owned();
    if name == "folder" {
        return look_at_images(&shown, &image_folder_files(path)?, any_network);
    }
    let model = if name.starts_with("cifar") { "resnet20" } else { "resnet8" };
    let settings = vec![("dataset", name.to_owned()), ("model", model.to_owned())];
    Ok(Found { what: format!("{shown}: the files of {name}"), settings, hint: None })
}

/// Most classes listed.
const MAX_LISTED: usize = 12;
/// Images that training sees over all epochs, if a folder has neither very few nor very many: minutes of ResNet-20 on two cores.
const IMAGES: usize = 30_000;

/// Up to this many images, pretrained weights do better than training from scratch.
const FEW: usize = 5_000;
/// The network with pretrained weights for few images.
const PRETRAINED: &str = "resnet18";

fn look_at_images(shown: &str, classes: &[(String, Vec<PathBuf>)], any_network: bool) -> Result<Found> {
    let counts: Vec<usize> = classes.iter().map(|(_, files)| files.len()).collect();
    let images: usize = counts.iter().sum();
    let mut listed: Vec<String> = classes
        .iter()
        .zip(&counts)
        .map(|((name, _), count)| format!("{} {count}", text::name(name)))
        .collect();
    if listed.len() > MAX_LISTED {
        listed.truncate(MAX_LISTED);
        listed.push("...".to_owned());
    }
    let what = format!("{shown}: images of {} classes: {}", classes.len(), listed.join(", "));
    let side = side(&classes.iter().flat_map(|(_, files)| files).collect::<Vec<_>>());
    let suits = any_network && images <= FEW && side > 32;
    let is_stored = suits && Pretrained::named(PRETRAINED)?.path().is_ok_and(|file| file.is_file());
    let hint = format!(
        "hint     with few images, pretrained weights do better: striate fetch {PRETRAINED}, then train again"
    );
    let mut settings = if is_stored { pretrained(images) } else { from_scratch(images, side) };
    if counts.iter().max() >= counts.iter().min().map(|least| 2 * least).as_ref() {
        settings.push(("class_weights", "balanced".to_owned()));
    }
    Ok(Found { what, settings, hint: (suits && !is_stored).then_some(hint) })
}

fn from_scratch(images: usize, side: usize) -> Vec<(&'static str, String)> {
    vec![
        ("dataset", "folder".to_owned()),
        ("image_size", format!("{side}x{side}")),
        ("model", "resnet20".to_owned()),
        ("epochs", (IMAGES / images.max(1)).clamp(5, 60).to_string()),
        ("augment", "crop-flip".to_owned()),
        ("label_smoothing", "0.1".to_owned()),
    ]
}

/// All but the first layers of pretrained weights, whose filters suit all photographs, are trained at a low rate.
fn pretrained(images: usize) -> Vec<(&'static str, String)> {
    vec![
        ("dataset", "folder".to_owned()),
        ("model", PRETRAINED.to_owned()),
        ("pretrained", String::new()),
        ("freeze", "conv1.*".to_owned()),
        ("freeze", "bn1.*".to_owned()),
        ("freeze", "layer1.*".to_owned()),
        ("lr", "0.01".to_owned()),
        ("epochs", (IMAGES / 6 / images.max(1)).clamp(5, 20).to_string()),
        ("augment", "resized-crop=0.5..1,flip".to_owned()),
        ("label_smoothing", "0.1".to_owned()),
    ]
}

/// Files whose size is looked at.
const SAMPLE: usize = 64;

/// The side of the squares to train on: 32 for pictures of up to 48 pixels, otherwise 64.
fn side(files: &[&PathBuf]) -> usize {
    let size =
        |path: &&PathBuf| ImageReader::open(path).ok()?.with_guessed_format().ok()?.into_dimensions().ok();
    let sample = files.iter().step_by(files.len().div_ceil(SAMPLE).max(1));
    let mut sides: Vec<u32> = sample.filter_map(size).map(|(width, height)| width.min(height)).collect();
    sides.sort_unstable();
    if sides.get(sides.len() / 2).is_some_and(|side| *side <= 48) { 32 } else { 64 }
}
