//! The folder a run leaves behind: `config.json`, `metrics.csv`, `model.safetensors`, `best.safetensors`, `curves.svg`, and
//! `checkpoints/`.

use super::checkpoints;
use super::metrics::{METRICS, Metrics};
use crate::cli::network::{CONFIG, MODEL};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use striate::infer::Card;
use striate::train::{EpochReport, Trainer};
use striate::{Error, OutputFolder, Result, weights};

/// Who writes the folder of a run.
pub const OWNER: &str = "run";
/// Where runs without `--out` are.
pub const RUNS: &str = "runs";
/// The weights of the best epoch.
const BEST: &str = "best.safetensors";
const CURVES: &str = "curves.svg";

/// What a run writes, besides checkpoints.
const FILES: [&str; 5] = [CONFIG, METRICS, MODEL, BEST, CURVES];

/// The folder of one run, which no other process writes to meanwhile. Every file in it appears whole or not at all.
pub struct RunDir {
    folder: Rc<OutputFolder>,
    pub metrics: Metrics,
    /// Why files could not be written.
    unwritten: Vec<Error>,
}

impl RunDir {
    /// Takes a folder for a new run: `out`, or the first of `runs/NAME`, `runs/NAME-2` and so on that is not there. Fails if a run
    /// cannot or must not be written there; changes nothing that is there.
    pub fn claim(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let Some(out) = out else {
            let mut numbered = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            let new = numbered
                .find_map(|name| OutputFolder::create(&PathBuf::from(RUNS).join(name), OWNER).transpose());
            return Ok(Self::of(new.expect("some number is not taken yet")?));
        };
        let folder = OutputFolder::open(out, OWNER)?;
        let names = FILES.into_iter().chain([checkpoints::FOLDER]).collect::<Vec<_>>();
        folder.check(&names)?;
        match folder.files().first() {
            Some(name) if !force => Err(Error::data(
                out,
                format!("holds an earlier run ({name}); give another --out, or --force to replace it"),
            )),
            _ => Ok(Self::of(folder)),
        }
    }

    /// Takes the folder of a run that goes on.
    pub fn reopen(path: &Path) -> Result<Self> {
        let folder = OutputFolder::open(path, OWNER)?;
        adopt(&folder)?;
        Ok(Self::of(folder))
    }

    fn of(folder: OutputFolder) -> Self {
        Self { folder: Rc::new(folder), metrics: Metrics::default(), unwritten: Vec::new() }
    }

    /// Begins a run with `config.json`; what an earlier one left is removed. Nothing of it is lost if this cannot be written.
    pub fn begin(&self, config: &serde_json::Value) -> Result<()> {
        self.folder.stage(CONFIG, &|out| writeln!(out, "{config:#}"))?;
        self.folder.replace()
    }

    /// Remembers how a run goes on.
    pub fn configure(&self, config: &serde_json::Value) -> Result<()> {
        self.folder.write(CONFIG, format!("{config:#}\n").as_bytes())
    }

    /// Goes on after so many epochs.
    pub fn go_on(&mut self, epochs: usize) -> Result<()> {
        self.metrics = Metrics::read(self.path(), epochs)?;
        Ok(())
    }

    /// Whether the run in a folder came to an end, or was stopped. One that was killed may have results of its first epoch, and no
    /// checkpoint yet.
    pub fn has_ended(path: &Path) -> bool {
        path.join(MODEL).symlink_metadata().is_ok()
    }

    /// What knows the run's files.
    pub fn folder(&self) -> Rc<OutputFolder> {
        self.folder.clone()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a line to `metrics.csv`.
    pub fn add_epoch(&mut self, report: &EpochReport) -> Result<()> {
        self.metrics.add(report);
        let written = self.folder.write(METRICS, &self.metrics.csv());
        self.note(written)
    }

    /// Writes `model.safetensors`.
    pub fn write_model(&mut self, card: &Card, trainer: &mut Trainer) -> Result<()> {
        self.write_weights(MODEL, card, trainer)
    }

    /// Writes `best.safetensors`, the weights with the best test accuracy so far.
    pub fn write_best(&mut self, card: &Card, trainer: &mut Trainer) -> Result<()> {
        self.write_weights(BEST, card, trainer)
    }

    fn write_weights(&mut self, name: &str, card: &Card, trainer: &mut Trainer) -> Result<()> {
        let (tensors, metadata) = (trainer.weights()?, card.metadata());
        let written = self.folder.write_with(name, &|out| weights::write_to(out, &tensors, &metadata));
        self.note(written)
    }

    /// Draws `curves.svg`.
    pub fn write_plot(&mut self, title: &str) -> Result<()> {
        let undrawable = |e| Error::data(self.path().join(CURVES), format!("cannot be drawn: {e}"));
        let svg = self.metrics.curves(title).map_err(undrawable)?;
        let written = self.folder.write(CURVES, svg.as_bytes());
        self.note(written)
    }

    /// A file that cannot be written does not keep others from being tried.
    fn note(&mut self, written: Result<()>) -> Result<()> {
        match written {
            Err(error @ Error::Io { .. }) => self.unwritten.push(error),
            other => return other,
        }
        Ok(())
    }

    /// Whether all that was written is there.
    pub fn is_whole(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Fails with all that could not be written.
    pub fn whole(mut self) -> Result<()> {
        match self.unwritten.len() {
            0 => Ok(()),
            1 => Err(self.unwritten.remove(0)),
            _ => {
                let all: Vec<String> = self.unwritten.iter().map(Error::to_string).collect();
                let all = all.join("; ");
                Err(Error::data(
                    self.path(),
                    format!("not all could be written: {all}; make room, and --resume it"),
                ))
            }
        }
    }
}

/// Takes as a run's own what an earlier version wrote, which kept no list of it.
fn adopt(folder: &OutputFolder) -> Result<()> {
    if !folder.files().is_empty() {
        return Ok(());
    }
    let checkpoints = checkpoints::named(folder.path())?;
    folder.adopt(FILES.into_iter().chain(checkpoints.iter().map(String::as_str)))
}

/// Writes a file beside those of a run, as one of them: it goes when the run is replaced.
pub struct Beside {
    folder: OutputFolder,
    name: &'static str,
}

impl Beside {
    /// Fails if it cannot be written.
    pub fn open(run: &Path, name: &'static str) -> Result<Self> {
        let folder = OutputFolder::open(run, OWNER)?;
        adopt(&folder)?;
        folder.check(&[name])?;
        Ok(Self { folder, name })
    }

    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.folder.write(self.name, bytes)
    }
}
