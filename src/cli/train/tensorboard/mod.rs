//! Event files for TensorBoard: TFRecords of [`Event`]s, to which training appends.

mod proto;
mod summary;

use super::metrics::Row;
use super::run_dir::OWNER;
use super::steps::StepRow;
use crate::cli::see::filter_sheet;
use prost::Message;
use proto::{Event, SessionLog, Summary, SummaryValue};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use striate::interpret::FilterBank;
use striate::{Error, OutputFolder, Result, Tensor};
use summary::{histogram, image, scalar, text};

/// TensorBoard reads files with `tfevents` in their names, in the order of the names.
const PREFIX: &str = "events.out.tfevents.";

/// The event files of a run: one, and one more each time that it is resumed.
pub struct EventLog {
    folder: Rc<OutputFolder>,
    /// The current file.
    name: String,
    /// The first records of the file, until they are written with the next ones.
    header: Vec<u8>,
}

impl EventLog {
    /// Uses the folder of the run, or a subfolder of `dir` of the same name, since TensorBoard shows a folder as one run.
    pub fn open(dir: Option<&Path>, run: &Rc<OutputFolder>) -> Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let own = absolute(run.path());
        let inside = |dir: &Path| own.file_name().map_or(absolute(dir), |name| absolute(dir).join(name));
        let folder = match dir.map(inside).filter(|folder| *folder != own) {
            Some(folder) => Rc::new(OutputFolder::open(&folder, OWNER)?),
            None => run.clone(),
        };
        Ok(Self { folder, name: String::new(), header: Vec::new() })
    }

    pub fn refuse_earlier(&self) -> Result<()> {
        let problem =
            "contains events of an earlier run; give another --tensorboard, or --force to replace them";
        self.files().next().map_or(Ok(()), |_| Err(Error::data(self.folder.path(), problem)))
    }

    pub fn remove_earlier(&self) -> Result<()> {
        self.folder.remove(&self.files().collect::<Vec<_>>())
    }

    fn files(&self) -> impl Iterator<Item = String> {
        self.folder.files().into_iter().filter(|name| name.starts_with(PREFIX))
    }

    /// Begins a file after `step` steps. It says that later events in earlier files are void, as PyTorch's
    /// `SummaryWriter(purge_step=...)` does.
    pub fn start(&mut self, step: usize, config: &serde_json::Value) {
        self.name = format!("{PREFIX}{:010}.striate.{:03}", now().as_secs(), self.files().count());
        let version = Event { file_version: Some(Event::VERSION.to_owned()), ..event(step) };
        let restart =
            Event { session_log: Some(SessionLog { status: SessionLog::START }), ..event(step + 1) };
        // Indented lines are code in Markdown.
        let lines: String = format!("{config:#}").lines().map(|line| format!("    {line}\n")).collect();
        let settings = summary(step, vec![text("settings/text_summary", &lines)]);
        self.header = [version, restart, settings].iter().flat_map(record).collect();
    }

    /// Writes a line of `steps.csv`.
    pub fn add_steps(&mut self, row: &StepRow) -> Result<()> {
        let scalars = [
            ("loss/train_step", row.loss),
            ("accuracy/train_step", row.accuracy),
            ("learning_rate", Some(f64::from(row.lr))),
            ("images_per_second", Some(row.images_per_second)),
        ];
        self.append(row.step, scalars_of(&scalars))
    }

    /// Writes the metrics of an epoch, which ended with `step`, and its weights.
    pub fn add_epoch(&mut self, step: usize, row: &Row, weights: &[(String, Tensor)]) -> Result<()> {
        let mut values = scalars_of(&[
            ("loss/train", Some(row.train_loss)),
            ("loss/validation", row.validation_loss),
            ("loss/test", row.test_loss),
            ("accuracy/train", Some(row.train_accuracy)),
            ("accuracy/validation", row.validation_accuracy),
            ("accuracy/test", row.test_accuracy),
        ]);
        if let Some((name, tensor)) = weights.iter().find(|(_, tensor)| tensor.shape().len() == 4) {
            let layer = name.trim_end_matches(".weight").to_owned();
            let tag = format!("filters/{layer}");
            values.push(image(tag, &filter_sheet(&FilterBank { layer, weights: tensor.clone() })));
        }
        let histogram =
            |(name, tensor): &(String, Tensor)| histogram(format!("weights/{name}"), tensor.as_f32());
        values.extend(weights.iter().map(histogram));
        self.append(step, values)
    }

    fn append(&mut self, step: usize, values: Vec<SummaryValue>) -> Result<()> {
        let header = std::mem::take(&mut self.header);
        self.folder.append(&self.name, &[header, record(&summary(step, values))].concat())
    }
}

fn scalars_of(scalars: &[(&str, Option<f64>)]) -> Vec<SummaryValue> {
    scalars.iter().filter_map(|(tag, value)| Some(scalar(tag, (*value)?))).collect()
}

fn summary(step: usize, value: Vec<SummaryValue>) -> Event {
    Event { summary: Some(Summary { value }), ..event(step) }
}

/// An empty event.
fn event(step: usize) -> Event {
    Event { wall_time: now().as_secs_f64(), step: step as i64, ..Default::default() }
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// A TFRecord: length, checksum of the length, event, checksum of the event; little-endian.
fn record(event: &Event) -> Vec<u8> {
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    let checksum = |bytes| masked(crc32c::crc32c(bytes)).to_le_bytes();
    [&length[..], &checksum(&length), &event, &checksum(&event)].concat()
}

/// The format masks checksums, since a checksum of data that contains its own checksum is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
