//! `--resume`: continues a run with its original flags.

use super::args::Args;
use super::checkpoints::Checkpoints;
use super::choice;
use crate::cli::json;
use crate::cli::network::{CONFIG, MODEL};
use crate::cli::shell::quoted;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use striate::data::{Source, Split};
use striate::train::{Checkpoint, Position};
use striate::{Error, Result, read_file};

/// Largest `config.json` accepted.
const MAX_BYTES: u64 = 1 << 24;

/// The original flags of a run, overridden by those of this command line. Overrides that are not allowed are detected when the
/// checkpoint is read.
pub fn resumed_args(run: &Path) -> Result<Args> {
    let overrides = std::env::args_os().skip(1).skip_while(|argument| argument != "train").skip(1);
    let mut args = parse_args(run, overrides)?;
    if args.data.data == original_args(run)?.data.data {
        args.data.data = source_of(run)?.dir;
    }
    Ok(args)
}

/// The original flags of a run.
pub fn original_args(run: &Path) -> Result<Args> {
    parse_args(run, std::iter::empty())
}

/// The data set of a run.
pub fn source_of(run: &Path) -> Result<Source> {
    let mut source = original_args(run)?.source()?;
    // The flag may be relative to the folder in which the run started, where there may be another folder of this name.
    let absolute = json::to_argument(&config(run)?["data_folder"]).map(PathBuf::from);
    let same =
        |dir: &PathBuf| source.dir.as_ref().and_then(|own| own.canonicalize().ok()).as_ref() == Some(dir);
    source.dir = absolute.filter(|dir| dir.exists() && !same(dir)).or(source.dir);
    Ok(source)
}

/// Reads `config.json` of a run.
pub fn config(run: &Path) -> Result<Value> {
    let path = run.join(CONFIG);
    let bytes = read_file(&path, MAX_BYTES).map_err(|e| {
        Error::data(run, format!("is not a run folder ({e}); give one written by striate train"))
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::data(path, format!("is not the JSON of a run ({e}); start a new run")))
}

fn without_arguments(run: &Path) -> Error {
    Error::data(run.join(CONFIG), "lacks the arguments of the run; start a new run")
}

fn parse_args(run: &Path, overrides: impl Iterator<Item = OsString>) -> Result<Args> {
    let config = config(run)?;
    let original = config["arguments"].as_array().ok_or_else(|| without_arguments(run))?.iter();
    let original = original.map(json::to_argument).collect::<Option<Vec<OsString>>>();
    let arguments = original.ok_or_else(|| without_arguments(run))?.into_iter().chain(overrides);
    choice::parse(&arguments.collect::<Vec<_>>())
        .map_err(|kind| {
            Error::data(run.join(CONFIG), format!("cannot be combined with these flags: {kind}"))
        })?
        .ok_or_else(|| without_arguments(run))
}

/// Where a resumed run continues.
pub struct Start {
    /// The newest checkpoint; `None` if the run was killed before the first one.
    pub checkpoint: Option<(PathBuf, Checkpoint)>,
    pub changes: Changes,
}

impl Start {
    /// Finds the checkpoint of the run in the folder `run`; fails if it cannot continue with `args`.
    pub fn find(run: &Path, args: &Args, checkpoints: &Checkpoints) -> Result<Self> {
        if let Some((path, checkpoint)) = checkpoints.newest()? {
            let changes = Changes::find(&path, &checkpoint, args, &checkpoints.about)?;
            return Ok(Self { checkpoint: Some((path, checkpoint)), changes });
        }
        // A run that was killed in its first epoch has neither.
        if run.join(MODEL).symlink_metadata().is_ok() {
            let problem =
                "has results, but no checkpoint to resume from; start a new run, or give another run folder";
            return Err(Error::data(run, problem));
        }
        let mut about = checkpoints.about.clone();
        about.extend(original_args(run)?.settings());
        let beginning = Checkpoint { position: Position::default(), about, tensors: Vec::new() };
        let changes = Changes::find(&run.join(CONFIG), &beginning, args, &checkpoints.about)?;
        Ok(Self { checkpoint: None, changes })
    }

    /// Where it continues.
    pub fn position(&self) -> Position {
        self.checkpoint.as_ref().map_or(Position::default(), |(_, checkpoint)| checkpoint.position)
    }
}

/// The previous values of settings that changed: a run may become longer, and its learning rate smaller.
pub struct Changes {
    epochs: Option<usize>,
    lr: Option<f32>,
}

impl Changes {
    const EPOCHS: &str = "--epochs";
    const LR: &str = "--lr";

    /// Finds the changes since a checkpoint; fails if anything else changed.
    fn find(path: &Path, checkpoint: &Checkpoint, args: &Args, about: &Map<String, Value>) -> Result<Self> {
        let before = |flag: &str| checkpoint.about.get(flag).cloned().unwrap_or_default();
        let epochs = before(Self::EPOCHS).as_u64().map(|epochs| epochs as usize);
        if let Some(epochs) = epochs.filter(|epochs| *epochs > args.schedule.epochs) {
            let problem =
                format!("expected at least {epochs}, as in the original run, found {}", args.schedule.epochs);
            return Err(Error::argument("epochs", problem));
        }
        let lr = args.rate_or_default(before(Self::LR).as_f64().map(|lr| lr as f32));
        let changes = Self {
            epochs: epochs.filter(|epochs| *epochs < args.schedule.epochs),
            lr: Some(lr).filter(|lr| *lr > args.learning_rate()),
        };
        let mut expected = about.clone();
        for (flag, is_changed) in [(Self::EPOCHS, changes.epochs.is_some()), (Self::LR, changes.lr.is_some())]
        {
            if is_changed {
                expected.insert(flag.to_owned(), before(flag));
            }
        }
        checkpoint.check(path, &expected)?;
        Ok(changes)
    }

    /// The previous flags.
    fn before(&self, args: &Args) -> Args {
        let mut before = args.clone();
        before.schedule.epochs = self.epochs.unwrap_or(args.schedule.epochs);
        before.schedule.lr = self.lr.or(args.schedule.lr);
        before
    }

    /// Describes the changes and their effect on the learning rate after `step` steps; `None` if there are no changes.
    pub fn describe(&self, args: &Args, step: usize, split: &Split) -> Result<Option<String>> {
        let epochs = self
            .epochs
            .map(|epochs| format!("{} {} instead of {epochs}", Self::EPOCHS, args.schedule.epochs));
        let lr = self.lr.map(|lr| format!("{} {} instead of {lr}", Self::LR, args.learning_rate()));
        let changes: Vec<String> = [epochs, lr].into_iter().flatten().collect();
        let rate = |args: &Args| Ok(args.config(split)?.schedule(split.train.len()).at(step));
        let (before, now): (f32, f32) = (rate(&self.before(args))?, rate(args)?);
        let schedule = match before == now {
            true => String::new(),
            false => format!("; the learning rate of the next step is {now:.3e} instead of {before:.3e}"),
        };
        Ok(Some(changes.join(", ") + &schedule).filter(|_| !changes.is_empty()))
    }

    /// `config.json` of the run with the changes.
    pub fn config(&self, run: &Path, args: &Args) -> Result<Value> {
        let mut config = config(run)?;
        let epochs = self.epochs.map(|_| (Self::EPOCHS, "epochs", json::value(&args.schedule.epochs)));
        let lr = self.lr.map(|_| (Self::LR, "lr", json::value(&args.learning_rate())));
        let changes: Vec<_> = [epochs, lr].into_iter().flatten().collect();
        let arguments = config["arguments"].as_array_mut().ok_or_else(|| without_arguments(run))?;
        arguments.extend(changes.iter().flat_map(|(flag, _, to)| [(*flag).into(), to.to_string().into()]));
        for (_, name, to) in changes {
            config["settings"][name] = to;
        }
        config["learning_rate"] = json::value(&args.learning_rate());
        Ok(config)
    }
}

/// The shell command that resumes a run; on several ranks, that of each.
pub fn command(run: &Path, distributed: bool) -> String {
    let flag = if distributed { " --distributed" } else { "" };
    format!("striate train --resume {}{flag}", quoted(run))
}
