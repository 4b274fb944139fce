//! `--resume`: a run goes on with the flags it was begun with.

use super::args::Args;
use super::checkpoints::Checkpoints;
use super::run_dir::RunDir;
use crate::cli::json;
use crate::cli::network::CONFIG;
use crate::cli::text;
use crate::cli::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use striate::data::Source;
use striate::train::{Checkpoint, Position};
use striate::{Error, Result, read_file};

/// No run's settings have more bytes.
const MAX_BYTES: u64 = 1 << 24;

/// The flags of this call, for the folder of the run that remembers them.
pub fn given() -> Vec<Value> {
    std::env::args_os().skip(1).map(|argument| json::argument(&argument)).collect()
}

/// The flags that the run in a folder was begun with, overruled by those of this call. What must not be overruled is
/// found when its checkpoint is read.
pub fn restored(run: &Path) -> Result<Args> {
    // The first of this call's is the command itself.
    flags_of(run, std::env::args_os().skip(1).skip_while(|argument| argument != "train").skip(1))
}

/// The flags that the run in a folder was begun with.
pub fn begun(run: &Path) -> Result<Args> {
    flags_of(run, std::iter::empty())
}

/// Where the data set comes from that the run in a folder was begun with.
pub fn data_of(run: &Path) -> Result<Source> {
    let mut source = begun(run)?.data.source();
    if source.dir.as_ref().is_some_and(|dir| !dir.exists()) {
        // The path was given from another folder.
        let recorded = json::to_argument(&config(run)?["data_folder"]).map(PathBuf::from);
        source.dir = recorded.filter(|dir| dir.exists()).or(source.dir);
    }
    Ok(source)
}

/// What the run in a folder says of itself.
pub fn config(run: &Path) -> Result<Value> {
    let path = run.join(CONFIG);
    let bytes = read_file(&path, MAX_BYTES).map_err(|e| {
        Error::data(run, format!("is not the folder of a run ({e}); give one that --out named"))
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::data(path, format!("is no JSON of a run ({e}); begin anew")))
}

fn broken(run: &Path) -> Error {
    Error::data(run.join(CONFIG), "does not say how the run was begun; begin anew")
}

fn flags_of(run: &Path, more: impl Iterator<Item = OsString>) -> Result<Args> {
    let config = config(run)?;
    let begun = config["arguments"].as_array().ok_or_else(|| broken(run))?.iter();
    let begun = begun.map(json::to_argument).collect::<Option<Vec<OsString>>>();
    let arguments = begun.ok_or_else(|| broken(run))?.into_iter().chain(more);
    let command = Cli::command().args_override_self(true);
    let matches = command.try_get_matches_from(std::iter::once("striate".into()).chain(arguments));
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|e| {
        Error::data(run.join(CONFIG), format!("cannot be combined with these flags: {}", e.kind()))
    })?;
    match cli.command {
        Command::Train(args) => Ok(*args),
        _ => Err(broken(run)),
    }
}

/// Where a run goes on.
pub struct Start {
    /// The newest checkpoint; none if the run was stopped before the first one.
    pub checkpoint: Option<(PathBuf, Checkpoint)>,
    pub changed: Changed,
}

impl Start {
    /// Fails unless training with `args`, which `about` is about, may go on with the run in `run`.
    pub fn find(run: &Path, args: &Args, checkpoints: &Checkpoints) -> Result<Self> {
        if let Some((path, checkpoint)) = checkpoints.newest()? {
            let changed = Changed::find(&path, &checkpoint, args, checkpoints.about())?;
            return Ok(Self { checkpoint: Some((path, checkpoint)), changed });
        }
        if RunDir::has_ended(run) {
            let problem = "has results, but holds no checkpoint to go on from; begin anew, or give the folder of another run";
            return Err(Error::data(run, problem));
        }
        let mut about = checkpoints.about().clone();
        about.extend(begun(run)?.settings());
        let beginning = Checkpoint { position: Position::default(), about, tensors: Vec::new() };
        let changed = Changed::find(&run.join(CONFIG), &beginning, args, checkpoints.about())?;
        Ok(Self { checkpoint: None, changed })
    }

    /// Steps done.
    pub fn step(&self) -> usize {
        self.checkpoint.as_ref().map_or(0, |(_, checkpoint)| checkpoint.position.step)
    }
}

/// Settings with which a run goes on otherwise than before, as they were: it may become longer, and its learning rate
/// smaller.
pub struct Changed {
    epochs: Option<usize>,
    lr: Option<f32>,
}

impl Changed {
    const EPOCHS: &str = "--epochs";
    const LR: &str = "--lr";

    /// Fails if anything else has changed since a checkpoint.
    fn find(path: &Path, checkpoint: &Checkpoint, args: &Args, about: &Map<String, Value>) -> Result<Self> {
        let then = |flag: &str| checkpoint.about.get(flag).cloned().unwrap_or_default();
        let epochs = then(Self::EPOCHS).as_u64().map(|epochs| epochs as usize);
        if let Some(epochs) = epochs.filter(|epochs| *epochs > args.epochs) {
            let problem = format!(
                "is {}, but the run was begun with {epochs}; give that many or more, or leave it out",
                args.epochs
            );
            return Err(Error::argument("epochs", problem));
        }
        let lr = args.rate_or_usual(then(Self::LR).as_f64().map(|lr| lr as f32));
        let changed = Self {
            epochs: epochs.filter(|epochs| *epochs < args.epochs),
            lr: Some(lr).filter(|lr| *lr > args.learning_rate()),
        };
        let mut expected = about.clone();
        for (flag, is_changed) in [(Self::EPOCHS, changed.epochs.is_some()), (Self::LR, changed.lr.is_some())]
        {
            if is_changed {
                expected.insert(flag.to_owned(), then(flag));
            }
        }
        checkpoint.check(path, &expected)?;
        Ok(changed)
    }

    /// The flags as they were.
    fn before(&self, args: &Args) -> Args {
        let (epochs, lr) = (self.epochs.unwrap_or(args.epochs), self.lr.or(args.lr));
        Args { epochs, lr, ..args.clone() }
    }

    /// What is otherwise now, and what that means for the step after so many on so many images of this size; `None` where
    /// nothing is.
    pub fn tell(&self, args: &Args, step: usize, images: usize, size: [usize; 2]) -> Result<Option<String>> {
        let epochs =
            self.epochs.map(|epochs| format!("{} {} instead of {epochs}", Self::EPOCHS, args.epochs));
        let lr = self.lr.map(|lr| format!("{} {} instead of {lr}", Self::LR, args.learning_rate()));
        let changes: Vec<String> = [epochs, lr].into_iter().flatten().collect();
        let rate = |args: &Args| Ok(args.config(size)?.schedule(images).at(step));
        let (before, now): (f32, f32) = (rate(&self.before(args))?, rate(args)?);
        let schedule = match before == now {
            true => String::new(),
            false => format!("; the next step has the rate {now:.3e}, and would have had {before:.3e}"),
        };
        Ok(Some(changes.join(", ") + &schedule).filter(|_| !changes.is_empty()))
    }

    /// What the run in a folder is to remember, with what it goes on with.
    pub fn config(&self, run: &Path, args: &Args) -> Result<Value> {
        let mut config = config(run)?;
        let epochs = self.epochs.map(|_| (Self::EPOCHS, "epochs", json::value(&args.epochs)));
        let lr = self.lr.map(|_| (Self::LR, "lr", json::value(&args.learning_rate())));
        let changes: Vec<_> = [epochs, lr].into_iter().flatten().collect();
        let arguments = config["arguments"].as_array_mut().ok_or_else(|| broken(run))?;
        arguments.extend(changes.iter().flat_map(|(flag, _, to)| [(*flag).into(), to.to_string().into()]));
        for (_, name, to) in changes {
            config["settings"][name] = to;
        }
        config["learning_rate"] = json::value(&args.learning_rate());
        Ok(config)
    }
}

/// The command that goes on with a run, for a shell.
pub fn command(run: &Path) -> String {
    format!("striate train --resume {}", quoted(run))
}

/// A path as one word of a shell: in quotes if need be, and as `$'...'` where it has bytes that are not to be shown.
fn quoted(path: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    match path.to_str() {
        Some(path) if path.chars().all(plain) && !path.is_empty() => path.to_owned(),
        Some(path) if text::name(path) == path => format!("'{}'", path.replace('\'', r"'\''")),
        _ => {
            let chunks = path.as_os_str().as_encoded_bytes().utf8_chunks();
            let shown = chunks.map(|chunk| {
                let valid: String = chunk.valid().chars().map(escaped).collect();
                valid + &octal(chunk.invalid())
            });
            format!("$'{}'", shown.collect::<String>())
        }
    }
}

/// A character between `$'` and `'`.
fn escaped(c: char) -> String {
    let text = c.to_string();
    match c {
        '\'' | '\\' => format!("\\{c}"),
        _ if text::name(&text) == text => text,
        _ => octal(text.as_bytes()),
    }
}

/// Bytes as all shells with `$'...'` read them, whatever follows: three digits each.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in
            [("runs/a-2", "runs/a-2"), ("my run", "'my run'"), ("it's", r"'it'\''s'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    #[cfg(unix)]
    fn bytes_that_are_not_shown_are_still_that_path_to_a_shell() {
        use std::os::unix::ffi::OsStrExt;
        for (bytes, word) in [
            (&b"a\n1"[..], r"$'a\0121'"),
            (b"it's \x1b[1m\\", r"$'it\'s \033[1m\\'"),
            ("ä\u{202e}".as_bytes(), r"$'ä\342\200\256'"),
            (b"caf\xe9\xff7", r"$'caf\351\3777'"),
        ] {
            assert_eq!(quoted(Path::new(std::ffi::OsStr::from_bytes(bytes))), word);
            let printed =
                std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output();
            // Where there is one.
            assert!(printed.is_err() || printed.is_ok_and(|output| output.stdout == bytes), "{word}");
        }
    }
}
