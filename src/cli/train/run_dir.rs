//! The folder a run leaves behind: `config.json`, `metrics.csv`, `model.safetensors`, `best.safetensors`, `curves.svg`.

use super::metrics::{self, Row};
use super::plot;
use std::path::{Path, PathBuf};
use striate::infer::Card;
use striate::train::{EpochReport, Trainer};
use striate::{Error, Result, weights, write_file};

/// How the run was begun.
pub const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.csv";
/// The weights.
pub const MODEL: &str = "model.safetensors";
/// The weights of the best epoch.
const BEST: &str = "best.safetensors";
const CURVES: &str = "curves.svg";

/// What a run writes.
const FILES: [&str; 5] = [CONFIG, METRICS, MODEL, BEST, CURVES];

/// The folder of one run. Every file in it appears whole or not at all.
pub struct RunDir {
    path: PathBuf,
    rows: Vec<Row>,
}

impl RunDir {
    /// Fails if a run cannot or must not be written there. Changes nothing.
    pub fn check(path: &Path, force: bool) -> Result<()> {
        let file = path.ancestors().find(|p| p.exists()).filter(|p| !p.is_dir());
        if let Some(file) = file {
            return Err(Error::data(file, "is a file; --out wants a folder, so give another name"));
        }
        let names = FILES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.part")]);
        if let Some(folder) = names.map(|name| path.join(name)).find(|p| p.is_dir()) {
            return Err(Error::data(folder, "is a folder, but a file is to be written; give another --out"));
        }
        let earlier = FILES.into_iter().find(|name| path.join(name).symlink_metadata().is_ok());
        match earlier {
            Some(name) if !force => Err(Error::data(
                path,
                format!("holds an earlier run ({name}); give another --out, or --force to replace it"),
            )),
            _ => Ok(()),
        }
    }

    /// Makes the folder with `config.json`; what else an earlier run left is removed. Nothing of it is lost
    /// if this cannot be written.
    pub fn create(path: &Path, force: bool, config: &serde_json::Value) -> Result<Self> {
        Self::check(path, force)?;
        std::fs::create_dir_all(path).map_err(|e| {
            Error::data(path, format!("the folder cannot be created ({e}); give another --out"))
        })?;
        write_file(&path.join(CONFIG), format!("{config:#}\n").as_bytes())?;
        for name in [MODEL, BEST, METRICS, CURVES] {
            let old = path.join(name);
            if old.symlink_metadata().is_ok() {
                std::fs::remove_file(&old).map_err(Error::io(&old, "remove"))?;
            }
        }
        Ok(Self { path: path.to_owned(), rows: Vec::new() })
    }

    /// The folder of a run that goes on after so many epochs.
    pub fn reopen(path: &Path, epochs: usize) -> Result<Self> {
        let mut rows = metrics::read(&path.join(METRICS))?;
        rows.retain(|row| row.epoch <= epochs);
        Ok(Self { path: path.to_owned(), rows })
    }

    /// Whether the run in a folder came so far as to leave results.
    pub fn has_results(path: &Path) -> bool {
        [METRICS, MODEL, BEST].iter().any(|name| path.join(name).symlink_metadata().is_ok())
    }

    /// The lines of `metrics.csv`.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The last test accuracy.
    pub fn last_accuracy(&self) -> Option<f64> {
        self.rows.last()?.test_accuracy
    }

    /// The best test accuracy so far, and epochs since then.
    pub fn best(&self) -> Option<(f64, usize)> {
        let tested = || self.rows.iter().filter_map(|row| row.test_accuracy);
        let best = tested().fold(None, |best: Option<f64>, a| Some(best.map_or(a, |b| b.max(a))))?;
        let at = tested().position(|accuracy| accuracy == best)?;
        Some((best, tested().count() - 1 - at))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line to `metrics.csv`.
    pub fn add_epoch(&mut self, report: &EpochReport) -> Result<()> {
        let path = self.path.join(METRICS);
        self.rows.push(Row::new(report));
        write_file(&path, &metrics::table(&path, &self.rows)?)
    }

    /// Writes `model.safetensors`.
    pub fn write_model(&self, card: &Card, trainer: &mut Trainer) -> Result<()> {
        weights::write(&self.path.join(MODEL), &trainer.weights()?, &card.metadata())
    }

    /// Writes `best.safetensors`, the weights with the best test accuracy so far.
    pub fn write_best(&self, card: &Card, trainer: &mut Trainer) -> Result<()> {
        weights::write(&self.path.join(BEST), &trainer.weights()?, &card.metadata())
    }

    /// Loss and accuracy by epoch, an SVG.
    pub fn curves(&self, title: &str) -> Result<String, Box<dyn std::error::Error>> {
        plot::curves(title, &self.rows)
    }

    /// Draws `curves.svg`.
    pub fn write_plot(&self, title: &str) -> Result<()> {
        let path = self.path.join(CURVES);
        let svg = self.curves(title).map_err(|e| Error::data(&path, format!("cannot be drawn: {e}")))?;
        write_file(&path, svg.as_bytes())
    }
}
