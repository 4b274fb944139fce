//! One of the compared runs, and its results in a line.

use super::super::page::{or_dash, percent, text};
use crate::cli::text;
use crate::cli::train::{Metrics, Row, config};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use striate::Result;

pub struct Run {
    pub path: PathBuf,
    pub name: String,
    pub config: Value,
    pub metrics: Metrics,
}

/// The results of a run, as they are shown.
#[derive(Serialize)]
pub struct Summary {
    pub model: String,
    pub parameters: String,
    /// Completed epochs, and of how many if not all are.
    pub epochs: String,
    pub accuracy: String,
    /// The images of this accuracy: `validation` or `test`.
    pub on: &'static str,
    pub best_epoch: String,
    pub loss: String,
    pub time: String,
    pub images_per_second: String,
    pub device: String,
}

impl Run {
    pub fn read(path: &Path, name: String) -> Result<Self> {
        let config = config(path)?;
        Ok(Self { path: path.to_owned(), name, config, metrics: Metrics::read(path)? })
    }

    /// A setting that the run began with; null if there is none of this name.
    pub fn setting(&self, name: &str) -> &Value {
        &self.config["settings"][name]
    }

    /// The best epoch, as in [`Metrics::best`].
    pub fn best(&self) -> Option<&Row> {
        self.metrics.best()
    }

    pub fn summary(&self) -> Summary {
        let rows = &self.metrics.rows;
        let epochs = rows.iter().filter(|row| row.held_out().is_some()).count();
        let planned = self.setting("epochs").as_u64().filter(|planned| *planned != epochs as u64);
        let held_out = self.best().and_then(Row::held_out);
        let training: f64 = rows.iter().map(|row| row.train_seconds).sum();
        let testing: f64 = rows.iter().map(|row| row.test_seconds).sum();
        let images: f64 = rows.iter().map(|row| row.images_per_second * row.train_seconds).sum();
        let known = |value: &Value| or_dash(Some(value).filter(|value| !value.is_null()), text);
        let measured = |value: f64, unit: &str| {
            or_dash((training > 0.0).then_some(value), |value| format!("{value:.0}{unit}"))
        };
        Summary {
            model: known(&self.config["model"]["name"]),
            parameters: or_dash(self.config["model"]["parameters"].as_u64(), text::grouped),
            epochs: planned.map_or_else(|| epochs.to_string(), |planned| format!("{epochs} of {planned}")),
            accuracy: or_dash(held_out.map(|(_, accuracy)| accuracy), percent),
            on: self.metrics.held_out(),
            best_epoch: or_dash(self.best(), |row| row.epoch.to_string()),
            loss: or_dash(held_out.map(|(loss, _)| loss), |loss| format!("{loss:.4}")),
            time: measured(training + testing, " s"),
            images_per_second: measured(images / training, ""),
            device: known(&self.config["device"]["name"]),
        }
    }
}

/// The names of run folders: without their parents, unless two would have the same name.
pub fn names(paths: &[PathBuf]) -> Vec<String> {
    fn short(path: &Path) -> &OsStr {
        path.file_name().unwrap_or(path.as_os_str())
    }
    let distinct = paths.iter().map(|path| short(path)).collect::<BTreeSet<_>>().len() == paths.len();
    let shown = |path: &PathBuf| if distinct { short(path).to_owned() } else { path.clone().into() };
    paths.iter().map(|path| text::name(&shown(path).to_string_lossy()).into_owned()).collect()
}

/// Widest name in the same line as its results, which then fit into 80 columns.
const WIDEST: usize = 26;

/// The results as a table for a terminal.
pub fn table(runs: &[Run]) -> String {
    let width = |name: &str| name.chars().count();
    let names = runs.iter().map(|run| width(&run.name)).chain([width("run")]);
    let column = names.max().expect("there is the heading").min(WIDEST);
    let mut table = String::new();
    let mut line = |name: &str, [accuracy, epoch, loss, epochs, time, speed]: [&str; 6]| {
        let end =
            if width(name) > WIDEST { format!("\n{:column$}", "") } else { " ".repeat(column - width(name)) };
        writeln!(table, "{name}{end} {accuracy:>10} {epoch:>5} {loss:>7} {epochs:>10} {time:>8} {speed:>8}")
            .expect("writing to a string cannot fail");
    };
    line("run", [held_out(runs).unwrap_or("accuracy"), "epoch", "loss", "epochs", "time", "images/s"]);
    for run in runs {
        let Summary { epochs, accuracy, best_epoch, loss, time, images_per_second, .. } = run.summary();
        line(&run.name, [&accuracy, &best_epoch, &loss, &epochs, &time, &images_per_second]);
    }
    table
}

/// What the accuracies of all runs were measured on: `validation` or `test`; `None` if they differ.
pub fn held_out(runs: &[Run]) -> Option<&'static str> {
    let first = runs.first()?.metrics.held_out();
    runs.iter().all(|run| run.metrics.held_out() == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_unless_they_are_equal() {
        let named = |paths: &[&str]| names(&paths.iter().map(|path| path.into()).collect::<Vec<_>>());
        assert_eq!(named(&["runs/a", "b/", "."]), ["a", "b", "."]);
        assert_eq!(named(&["x/a", "y/a", "y/b"]), ["x/a", "y/a", "y/b"]);
        assert_eq!(named(&["a\u{1b}", ".."]), ["a\\u{1b}", ".."]);
    }

    #[test]
    fn the_table_fits_into_80_columns() {
        let config = serde_json::json!({ "settings": { "epochs": 200 } });
        let named = |length| Run {
            path: PathBuf::new(),
            name: "n".repeat(length),
            config: config.clone(),
            metrics: Metrics::default(),
        };
        let table = table(&[named(3), named(WIDEST), named(WIDEST + 1)]);
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        // The longest name has a line of its own.
        assert_eq!(widths, [80, 80, 80, WIDEST + 1, 80], "{table}");
    }
}
