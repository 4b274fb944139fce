//! The folder of a run: `config.json`, `metrics.csv`, `model.safetensors`, `best.safetensors`, `curves.svg`, and
//! `checkpoints/`.

use super::metrics::{METRICS, Metrics, Row};
use super::{checkpoints, plot};
use crate::cli::network::{BEST, CONFIG, MODEL};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use striate::infer::Card;
use striate::train::{EpochReport, Score, Trainer};
use striate::{Error, OutputFolder, Result, weights};

/// Owner of the files of a run.
const OWNER: &str = "run";
/// Parent of the folders of runs without `--out`.
pub const RUNS: &str = "runs";
const CURVES: &str = "curves.svg";

/// The files of a run, besides checkpoints.
const FILES: [&str; 5] = [CONFIG, METRICS, MODEL, BEST, CURVES];

/// The folder of a run, locked against other processes. Files are written atomically.
pub struct RunDir {
    folder: Rc<OutputFolder>,
    pub metrics: Metrics,
    /// Errors of files that could not be written.
    errors: Vec<Error>,
}

impl RunDir {
    /// Creates or claims the folder of a new run: `out`, or the first of `runs/NAME`, `runs/NAME-2` and so on that does not exist.
    /// Existing files stay until [`begin`](Self::begin).
    pub fn claim(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let Some(out) = out else {
            let mut numbered = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            let new = numbered
                .find_map(|name| OutputFolder::create(&PathBuf::from(RUNS).join(name), OWNER).transpose());
            return Ok(Self::of(new.expect("numbers do not run out")?));
        };
        let folder = OutputFolder::open(out, OWNER)?;
        let names = FILES.into_iter().chain([checkpoints::FOLDER]).collect::<Vec<_>>();
        folder.check(&names)?;
        match folder.files().first() {
            Some(name) if !force => Err(Error::data(
                out,
                format!("contains an earlier run ({name}); give another --out, or --force to replace it"),
            )),
            _ => Ok(Self::of(folder)),
        }
    }

    /// Opens the folder of a run to resume.
    pub fn reopen(path: &Path) -> Result<Self> {
        open_run(path).map(Self::of)
    }

    fn of(folder: OutputFolder) -> Self {
        Self { folder: Rc::new(folder), metrics: Metrics::default(), errors: Vec::new() }
    }

    /// Writes `config.json` and removes the files of an earlier run, unless writing fails.
    pub fn begin(&self, config: &serde_json::Value) -> Result<()> {
        self.folder.stage(CONFIG, &|out| writeln!(out, "{config:#}"))?;
        self.folder.replace()
    }

    /// Rewrites `config.json` of a resumed run.
    pub fn update_config(&self, config: &serde_json::Value) -> Result<()> {
        self.folder.write(CONFIG, format!("{config:#}\n").as_bytes())
    }

    pub fn folder(&self) -> Rc<OutputFolder> {
        self.folder.clone()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a line to `metrics.csv`.
    pub fn add_epoch(&mut self, report: &EpochReport) -> Result<()> {
        self.metrics.rows.push(Row::new(report));
        self.write_metrics()
    }

    /// Adds the result on the test images to the line of the best epoch, and removes that of an earlier one.
    pub fn add_test(&mut self, best: usize, test: Score) -> Result<()> {
        for row in &mut self.metrics.rows {
            let test = (row.epoch == best).then_some(test);
            (row.test_loss, row.test_accuracy) = test.map(|test| (test.loss, test.accuracy)).unzip();
        }
        self.write_metrics()
    }

    fn write_metrics(&mut self) -> Result<()> {
        let written = self.folder.write(METRICS, &self.metrics.csv());
        self.collect(written)
    }

    /// Writes the trainer's weights.
    pub fn write_weights(&mut self, name: &str, card: &Card, trainer: &mut Trainer) -> Result<()> {
        let (tensors, metadata) = (trainer.weights()?, card.metadata());
        let written = self.folder.write_with(name, &|out| weights::write_to(out, &tensors, &metadata));
        self.collect(written)
    }

    /// Draws `curves.svg`.
    pub fn write_plot(&mut self, title: &str) -> Result<()> {
        let svg = plot::curves(&self.path().join(CURVES), title, &self.metrics)?;
        let written = self.folder.write(CURVES, svg.as_bytes());
        self.collect(written)
    }

    /// Keeps I/O errors for later, so that the other files are still written.
    fn collect(&mut self, written: Result<()>) -> Result<()> {
        match written {
            Err(error @ Error::Io { .. }) => self.errors.push(error),
            other => return other,
        }
        Ok(())
    }

    /// Whether everything could be written so far.
    pub fn is_complete(&self) -> bool {
        self.errors.is_empty()
    }

    /// Fails if a file could not be written.
    pub fn finish(mut self) -> Result<()> {
        match self.errors.len() {
            0 => Ok(()),
            1 => Err(self.errors.remove(0)),
            _ => {
                let all = self.errors.iter().map(Error::to_string).collect::<Vec<_>>().join("; ");
                let problem =
                    format!("could not write all files: {all}; free some space and --resume the run");
                Err(Error::data(self.path(), problem))
            }
        }
    }
}

/// Opens the folder of an existing run. New files belong to the run: a run that replaces it removes them.
pub fn open_run(path: &Path) -> Result<OutputFolder> {
    let folder = OutputFolder::open(path, OWNER)?;
    // Earlier versions wrote no manifest.
    if folder.files().is_empty() {
        let checkpoints = checkpoints::list(path)?;
        folder.adopt(FILES.into_iter().chain(checkpoints.iter().map(String::as_str)))?;
    }
    Ok(folder)
}
