//! The folder a run leaves behind: `config.json`, `metrics.csv`, `model.safetensors`, `curves.svg`.

use super::plot;
use serde::Serialize;
use std::path::{Path, PathBuf};
use striate::infer::Card;
use striate::train::{EpochReport, Trainer};
use striate::{Error, Result, weights, write_file};

const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.csv";
/// The weights.
pub const MODEL: &str = "model.safetensors";
const CURVES: &str = "curves.svg";

/// What a run writes.
const FILES: [&str; 4] = [CONFIG, METRICS, MODEL, CURVES];

/// The folder of one run. Every file in it appears whole or not at all.
pub struct RunDir {
    path: PathBuf,
    metrics: csv::Writer<Vec<u8>>,
    rows: Vec<Row>,
}

/// A line of `metrics.csv`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub epoch: usize,
    pub lr: f32,
    pub train_loss: f64,
    pub train_accuracy: f64,
    /// Empty if training was stopped before the epoch's end.
    pub test_loss: Option<f64>,
    pub test_accuracy: Option<f64>,
    pub train_seconds: f64,
    pub test_seconds: f64,
    pub pictures_per_second: f64,
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
        for name in [MODEL, METRICS, CURVES] {
            let old = path.join(name);
            if old.symlink_metadata().is_ok() {
                std::fs::remove_file(&old).map_err(Error::io(&old, "remove"))?;
            }
        }
        Ok(Self { path: path.to_owned(), metrics: csv::Writer::from_writer(Vec::new()), rows: Vec::new() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line to `metrics.csv`.
    pub fn add_epoch(&mut self, report: &EpochReport) -> Result<()> {
        let row = Row {
            epoch: report.epoch,
            lr: report.lr,
            train_loss: report.train.loss,
            train_accuracy: report.train.accuracy,
            test_loss: report.test.map(|s| s.loss),
            test_accuracy: report.test.map(|s| s.accuracy),
            train_seconds: report.train_time.as_secs_f64(),
            test_seconds: report.test_time.as_secs_f64(),
            pictures_per_second: report.train.pictures as f64 / report.train_time.as_secs_f64(),
        };
        let path = self.path.join(METRICS);
        self.metrics.serialize(&row).map_err(|e| Error::io(&path, "write")(e.into()))?;
        self.metrics.flush().map_err(Error::io(&path, "write"))?;
        self.rows.push(row);
        write_file(&path, self.metrics.get_ref())
    }

    /// Writes `model.safetensors`.
    pub fn write_model(&self, card: &Card, trainer: &mut Trainer) -> Result<()> {
        let tensors = trainer.session().state_dict()?;
        weights::write(&self.path.join(MODEL), &tensors, &card.metadata())
    }

    /// Draws `curves.svg`.
    pub fn write_plot(&self, title: &str) -> Result<()> {
        let path = self.path.join(CURVES);
        let svg = plot::curves(title, &self.rows)
            .map_err(|e| Error::data(&path, format!("cannot be drawn: {e}")))?;
        write_file(&path, svg.as_bytes())
    }
}
