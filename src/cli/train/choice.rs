//! `striate train PATH`: recognizes the data, and chooses settings that suit it, where none are given.

use super::args::Args;
use super::config_file;
use crate::cli::pretrained::Pretrained;
use crate::cli::shell::quoted;
use crate::cli::text;
use crate::cli::{Cli, Command};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use striate::data::{self, FolderFiles, image_folder_files};
use striate::{Error, Result};

/// A command line, completed.
pub struct Choice {
    pub args: Args,
    /// All arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// What was found at PATH, and the equivalent command.
    pub notes: Vec<String>,
}

/// Completes the arguments of this process: PATH becomes --dataset and --data. If --dataset is given, nothing is chosen.
pub fn complete(args: &Args) -> Result<Choice> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let configured;
    let args = match &args.config {
        Some(file) => {
            let matches = matches(&arguments);
            // PATH is --data.
            let is_given = |name: &str| is_given(&matches, name) || (name == "data" && args.path.is_some());
            let flags = config_file::flags(file, &is_given)?;
            arguments.splice(after_train(&arguments), flags);
            configured = parse(&arguments)
                .map_err(|problem| Error::data(file, format!("does not go with these flags: {problem}")))?;
            configured.as_ref().expect("the command is train")
        }
        None => args,
    };
    let Some(path) = &args.path else {
        return Ok(Choice { args: args.clone(), arguments, notes: Vec::new() });
    };
    let matches = matches(&arguments);
    let is_given = |name: &str| is_given(&matches, name);
    let name = named(path);
    if name.is_none() && !path.exists() && args.run.tensorboard == Some(None) {
        return Err(Error::data(path, "does not exist; to write events there, give --tensorboard=DIR"));
    }
    if name.is_none() && is_given("data") {
        return Err(Error::argument("data", "is the same as PATH; give only one of them"));
    }
    let mut full = without(path, &arguments).expect("PATH is one of the arguments");
    let found = if is_given("dataset") { None } else { Some(look(path, args, &is_given)?) };
    let mut chosen: Vec<OsString> = Vec::new();
    let settings = found.iter().flat_map(|found| &found.settings);
    for (name, value) in settings.filter(|(name, _)| !is_given(name)) {
        chosen.push(format!("--{}", name.replace('_', "-")).into());
        chosen.extend((!value.is_empty()).then(|| value.into()));
    }
    if name.is_none() {
        let mut word = OsString::from("--data=");
        word.push(path);
        chosen.push(word);
    }
    full.splice(after_train(&full), chosen);
    let command = full.iter().map(|word| quoted(Path::new(word))).collect::<Vec<_>>().join(" ");
    let notes = found.into_iter().flat_map(|Found { what, hint, .. }| {
        [format!("found    {what}"), format!("same as  striate {command}")].into_iter().chain(hint)
    });
    let notes = notes.collect();
    let invalid =
        |problem| Error::argument("PATH", format!("its settings do not go with these flags: {problem}"));
    let args = parse(&full).map_err(invalid)?.expect("the command is train");
    Ok(Choice { args, arguments: full, notes })
}

/// The flags of `train` on a command line of which later ones override earlier ones; `None` if it is invalid.
fn matches(arguments: &[OsString]) -> Option<ArgMatches> {
    let matches = Cli::command().args_override_self(true).try_get_matches_from(with_name(arguments)).ok()?;
    matches.subcommand_matches("train").cloned()
}

fn is_given(matches: &Option<ArgMatches>, name: &str) -> bool {
    let source = matches.as_ref().and_then(|matches| matches.value_source(name));
    source == Some(ValueSource::CommandLine)
}

/// Where other flags can be inserted.
fn after_train(arguments: &[OsString]) -> Range<usize> {
    let start = arguments.iter().position(|word| word == "train").map_or(0, |at| at + 1);
    start..start
}

/// Arguments without PATH, and without a `--` before it. A flag may have the same value.
fn without(path: &Path, arguments: &[OsString]) -> Option<Vec<OsString>> {
    let places = (0..arguments.len()).rev().filter(|at| arguments[*at] == path.as_os_str());
    let mut rests = places.map(|at| {
        let mut rest = arguments.to_vec();
        rest.remove(at);
        if at > 0 && rest[at - 1] == "--" {
            rest.remove(at - 1);
        }
        rest
    });
    rests.find(|rest| matches!(parse(rest), Ok(Some(args)) if args.path.is_none()))
}

/// Parses arguments of which later ones override earlier ones. `None` if they are of another command; an error is
/// in words.
pub fn parse(arguments: &[OsString]) -> std::result::Result<Option<Args>, String> {
    let matches = Cli::command().args_override_self(true).try_get_matches_from(with_name(arguments));
    match matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| in_words(&error))?
        .command
    {
        Command::Train(args) => Ok(Some(*args)),
        _ => Ok(None),
    }
}

/// The first paragraph of an error, which names the flags.
fn in_words(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.trim_start_matches("error: ").lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Arguments as clap expects them, after the name of a program.
fn with_name(arguments: &[OsString]) -> impl Iterator<Item = OsString> {
    std::iter::once("striate".into()).chain(arguments.iter().cloned())
}

/// The data set that PATH names, instead of a folder.
fn named(path: &Path) -> Option<&str> {
    path.to_str().filter(|name| data::NAMES.contains(name) && *name != "folder" && !path.exists())
}

/// What is at PATH, in words, and the settings that suit it.
struct Found {
    what: String,
    /// Names and values; the value of a switch is empty.
    settings: Vec<(&'static str, String)>,
    hint: Option<String>,
}

fn look(path: &Path, args: &Args, is_given: &dyn Fn(&str) -> bool) -> Result<Found> {
    let shown = text::name(&path.to_string_lossy()).into_owned();
    let files = |name: &str| {
        let model = if name.starts_with("cifar") { "resnet20" } else { "resnet8" };
        let settings = vec![("dataset", name.to_owned()), ("model", model.to_owned())];
        Found { what: format!("{shown}: the images of {name}"), settings, hint: None }
    };
    match named(path) {
        Some(name) if name == "fashion-mnist" || is_given("data") => return Ok(files(name)),
        Some(name) => {
            let problem = format!("does not exist; give the folder of {name}'s files, or --data");
            return Err(Error::data(path, problem));
        }
        None => {}
    }
    match data::recognize(path)? {
        "folder" => look_at_images(&shown, &image_folder_files(path)?, args, is_given),
        name => Ok(files(name)),
    }
}

/// Most classes listed.
const MAX_LISTED: usize = 12;
/// Images that training sees over all epochs, if a folder has neither very few nor very many: minutes of ResNet-20 on two cores.
const IMAGES: usize = 30_000;

/// Up to this many images, pretrained weights do better than training from scratch.
const FEW: usize = 5_000;
/// From this many images of each class, some are held out for validation.
const VALIDATED: usize = 10;
/// The default of --batch.
const BATCH: usize = 32;
/// The network with pretrained weights for few images.
const PRETRAINED: &str = "resnet18";

fn look_at_images(
    shown: &str,
    folder: &FolderFiles,
    args: &Args,
    is_given: &dyn Fn(&str) -> bool,
) -> Result<Found> {
    let classes = &folder.classes;
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
    let suits = images <= FEW && side > 32 && !["model", "weights", "image_size"].into_iter().any(is_given);
    // Without a cache folder, nothing can be fetched.
    let file = Pretrained::named(PRETRAINED)?.path().ok().filter(|_| suits);
    let is_stored = file.as_ref().is_some_and(|file| file.is_file());
    let hint = format!(
        "hint     with few images, pretrained weights do better: striate fetch {PRETRAINED}, then this command again"
    );
    let hint = (file.is_some() && !is_stored && !args.fine_tuning.pretrained).then_some(hint);
    let mut settings = match args.fine_tuning.pretrained || is_stored {
        true => pretrained(images, args, is_given),
        false => from_scratch(images, side),
    };
    settings.push(("report", String::new()));
    if images < 2 * BATCH {
        settings.push(("batch", (images / 4).next_power_of_two().clamp(2, BATCH).to_string()));
    }
    if !folder.has_validation && counts.iter().min().is_some_and(|least| *least >= VALIDATED) {
        settings.push(("validation", "0.1".to_owned()));
    }
    let is_skewed = counts.iter().max() >= counts.iter().min().map(|least| 2 * least).as_ref();
    if is_skewed && !is_given("balanced_sampling") {
        settings.push(("class_weights", "balanced".to_owned()));
    }
    Ok(Found { what, settings, hint })
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
fn pretrained(images: usize, args: &Args, is_given: &dyn Fn(&str) -> bool) -> Vec<(&'static str, String)> {
    let lr = if args.optimizer.uses_adam() { "0.0003" } else { "0.01" };
    let mut settings = vec![("dataset", "folder".to_owned()), ("pretrained", String::new())];
    if !is_given("model") {
        settings.push(("model", PRETRAINED.to_owned()));
        settings.extend(["conv1.*", "bn1.*", "layer1.*"].map(|layer| ("freeze", layer.to_owned())));
    }
    settings.extend([
        ("lr", lr.to_owned()),
        ("epochs", (IMAGES / 6 / images.max(1)).clamp(5, 20).to_string()),
        ("augment", "resized-crop=0.5..1,flip".to_owned()),
        ("label_smoothing", "0.1".to_owned()),
    ]);
    settings
}

/// Files whose size is looked at.
const SAMPLE: usize = 64;

/// The side of the squares to train on: 32 for pictures of up to 48 pixels, otherwise 64.
fn side(files: &[&PathBuf]) -> usize {
    let sample = files.iter().step_by(files.len().div_ceil(SAMPLE).max(1));
    let sizes = sample.filter_map(|path| data::image_dimensions(path));
    let mut sides: Vec<u32> = sizes.map(|[width, height]| width.min(height)).collect();
    sides.sort_unstable();
    if sides.get(sides.len() / 2).is_some_and(|side| *side <= 48) { 32 } else { 64 }
}
