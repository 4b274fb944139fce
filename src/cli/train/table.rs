//! The tables of a run: CSV files with a row per epoch or step.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use striate::{Result, read_file};

/// Largest table accepted.
const MAX_BYTES: u64 = 1 << 28;

pub trait TableRow: Serialize + DeserializeOwned {
    /// What rows are numbered by: `epoch`.
    const UNIT: &str;

    /// The number of the epoch or step, which increases from row to row.
    fn number(&self) -> usize;

    /// Whether a run could have written this; other values might break the plots.
    fn is_valid(&self) -> bool;
}

/// The content of a table's file.
pub fn csv(rows: &[impl TableRow]) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let all = rows.iter().try_for_each(|row| table.serialize(row));
    all.expect("numbers serialize, and writing to memory cannot fail");
    table.into_inner().expect("writing to memory cannot fail")
}

/// Reads a table; a missing one is empty. Stops with a warning at the first invalid line.
pub fn read<R: TableRow>(path: &Path) -> Result<Vec<R>> {
    if path.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let bytes = read_file(path, MAX_BYTES)?;
    let mut rows: Vec<R> = Vec::new();
    for row in csv::Reader::from_reader(&bytes[..]).deserialize::<R>() {
        let problem = match row {
            Ok(row) if row.is_valid() && row.number() > rows.last().map_or(0, R::number) => {
                rows.push(row);
                continue;
            }
            Ok(row) => format!("{} {} has invalid values", R::UNIT, row.number()),
            Err(error) => error.to_string(),
        };
        let line = rows.len() + 2;
        log::warn!(
            "{}: line {line} was not written by a run ({problem}); ignoring the table from there on",
            path.display()
        );
        break;
    }
    Ok(rows)
}
