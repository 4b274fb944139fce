//! The folder of a run: `config.json`, `metrics.csv`, `steps.csv`, `model.safetensors`, `best.safetensors`, `curves.svg`,
//! `checkpoints/`, and with `--tensorboard`, event files.

use super::args::Args;
use super::flags::RunFlags;
use super::metrics::{METRICS, Metrics, Row};
use super::steps::{STEPS, Window};
use super::tensorboard::EventLog;
use super::{checkpoints, plot, resume, table};
use crate::cli::network::{BEST, CONFIG, MODEL};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use striate::infer::Card;
use striate::train::{EpochReport, Position, Progress, Score, Trainer};
use striate::{Error, OutputFolder, Result, weights};

/// Owner of the files of a run.
pub const OWNER: &str = "run";
/// Parent of the folders of runs without `--out`.
const RUNS: &str = "runs";
const CURVES: &str = "curves.svg";

/// The files of a run, besides checkpoints and event files.
const FILES: [&str; 6] = [CONFIG, METRICS, STEPS, MODEL, BEST, CURVES];

/// The folder of a run, locked against other processes. Files are written atomically.
pub struct RunDir {
    /// `None` where another rank writes the files.
    folder: Option<Rc<OutputFolder>>,
    path: PathBuf,
    pub metrics: Metrics,
    /// Steps since the last line of `steps.csv`.
    window: Window,
    /// `None` without `--tensorboard`, and after an error.
    events: Option<EventLog>,
    /// Errors of files that could not be written.
    errors: Vec<Error>,
}

impl RunDir {
    /// Creates or claims the folder of a new run: `--out`, or the first of `runs/NAME`, `runs/NAME-2` and so on that does not
    /// exist. Existing files stay until [`begin`](Self::begin).
    pub fn claim(args: &Args) -> Result<Self> {
        refuse_among_images(args)?;
        let dir = Self::of(Self::claim_folder(&args.run, &args.run_name())?, &args.run)?;
        if !args.run.force {
            dir.events.as_ref().map_or(Ok(()), EventLog::refuse_earlier)?;
        }
        Ok(dir)
    }

    fn claim_folder(flags: &RunFlags, name: &str) -> Result<OutputFolder> {
        let Some(out) = &flags.out else {
            let mut numbered = (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            let new = numbered
                .find_map(|name| OutputFolder::create(&PathBuf::from(RUNS).join(name), OWNER).transpose());
            return new.expect("numbers do not run out");
        };
        let folder = OutputFolder::open(out, OWNER)?;
        let names = FILES.into_iter().chain([checkpoints::FOLDER]).collect::<Vec<_>>();
        folder.check(&names)?;
        match folder.files().first() {
            Some(name) if !flags.force => Err(Error::data(
                out,
                format!("contains an earlier run ({name}); give another --out, or --force to replace it"),
            )),
            _ => Ok(folder),
        }
    }

    /// The folder of a run that another rank writes.
    pub fn elsewhere(flags: &RunFlags) -> Self {
        Self {
            folder: None,
            path: PathBuf::new(),
            metrics: Metrics::default(),
            window: Window::new(flags.log_every),
            events: None,
            errors: Vec::new(),
        }
    }

    /// Opens the folder of a run to resume.
    pub fn reopen(path: &Path, flags: &RunFlags) -> Result<Self> {
        Self::of(open_run(path)?, flags)
    }

    fn of(folder: OutputFolder, flags: &RunFlags) -> Result<Self> {
        let folder = Rc::new(folder);
        let events = flags.tensorboard.as_ref().map(|dir| EventLog::open(dir.as_deref(), &folder));
        Ok(Self {
            metrics: Metrics::default(),
            window: Window::new(flags.log_every),
            events: events.transpose()?,
            errors: Vec::new(),
            path: folder.path().to_owned(),
            folder: Some(folder),
        })
    }

    /// Writes `config.json` and removes the files of an earlier run, unless writing fails.
    pub fn begin(&mut self, config: &serde_json::Value) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.stage(CONFIG, &|out| writeln!(out, "{config:#}"))?;
        folder.replace()?;
        if let Some(events) = &mut self.events {
            events.remove_earlier()?;
            events.start(0, config);
        }
        Ok(())
    }

    /// Continues a run at a position: drops what was recorded later.
    pub fn rewind(&mut self, to: &Position) -> Result<()> {
        self.metrics = Metrics::read(self.path())?;
        self.metrics.rewind(to);
        self.window.take();
        if let Some(events) = &mut self.events {
            events.start(to.step, &resume::config(&self.path)?);
        }
        Ok(())
    }

    /// Rewrites `config.json` of a resumed run.
    pub fn update_config(&self, config: &serde_json::Value) -> Result<()> {
        self.write(CONFIG, format!("{config:#}\n").as_bytes())
    }

    pub fn folder(&self) -> Option<Rc<OutputFolder>> {
        self.folder.clone()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.folder.as_ref().map_or(Ok(()), |folder| folder.write(name, bytes))
    }

    /// Starts the clock of the next steps.
    pub fn start_steps(&mut self) {
        self.window.start();
    }

    /// Records a step.
    pub fn add_step(&mut self, progress: &Progress) {
        if self.window.add(progress) {
            self.end_line();
        }
    }

    /// Ends a line of `steps.csv`, even if it has few steps.
    pub fn end_line(&mut self) {
        if let Some(row) = self.window.take() {
            self.log(|events| events.add_steps(&row));
            self.metrics.steps.push(row);
        }
    }

    /// Writes `steps.csv` within an epoch.
    pub fn save_steps(&self) {
        if let Err(error) = self.write_steps() {
            log::info!("{error}; trying again at the end of the epoch");
        }
    }

    fn write_steps(&self) -> Result<()> {
        self.write(STEPS, &table::csv(&self.metrics.steps))
    }

    /// Adds a line to `metrics.csv`.
    pub fn add_epoch(&mut self, report: &EpochReport, trainer: &mut Trainer) -> Result<()> {
        let is_complete = report.held_out().is_some();
        if !is_complete || trainer.epochs_left() == 0 {
            self.end_line();
        }
        let row = Row::new(report);
        if self.events.is_some() && is_complete {
            let (step, weights) = (trainer.position().step, trainer.weights()?);
            self.log(|events| events.add_epoch(step, &row, &weights));
        }
        self.metrics.rows.push(row);
        self.write_metrics()?;
        let written = self.write_steps();
        self.collect(written)
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
        let written = self.write(METRICS, &table::csv(&self.metrics.rows));
        self.collect(written)
    }

    /// Writes events. After an error there are no more, but training need not end for that.
    fn log(&mut self, write: impl FnOnce(&mut EventLog) -> Result<()>) {
        if let Some(Err(error)) = self.events.as_mut().map(write) {
            self.events = None;
            log::warn!("{error}; training continues without events for TensorBoard");
        }
    }

    /// Writes the trainer's weights.
    pub fn write_weights(&mut self, name: &str, card: &Card, trainer: &mut Trainer) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let (tensors, metadata) = (trainer.weights()?, card.metadata());
        let written = folder.write_with(name, &|out| weights::write_to(out, &tensors, &metadata));
        self.collect(written)
    }

    /// Draws `curves.svg`.
    pub fn write_plot(&mut self, title: &str) -> Result<()> {
        let svg = plot::curves(&self.path().join(CURVES), title, &self.metrics)?;
        let written = self.write(CURVES, svg.as_bytes());
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

/// Fails if results would be in the folder of training images, where folders are classes.
fn refuse_among_images(args: &Args) -> Result<()> {
    let Some(data) = args.data.data.as_deref().filter(|_| args.data.dataset == "folder") else {
        return Ok(());
    };
    let out = args.run.out.as_deref().unwrap_or(Path::new(RUNS));
    let events = args.run.tensorboard.iter().flatten().map(|dir| (dir.as_path(), "--tensorboard"));
    for (folder, flag) in [(out, "--out")].into_iter().chain(events) {
        // It may not exist yet; its nearest existing ancestor decides.
        let path = std::path::absolute(folder).ok();
        let real =
            path.as_deref().and_then(|path| path.ancestors().find_map(|path| path.canonicalize().ok()));
        if matches!((real, data.canonicalize()), (Some(real), Ok(data)) if real.starts_with(&data)) {
            let problem =
                format!("is inside {}, the folder of training images; give another {flag}", data.display());
            return Err(Error::data(folder, problem));
        }
    }
    Ok(())
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
