//! What a run on several ranks tells and shares.

use super::args::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use striate::distributed::Ranks;
use striate::{Error, Result};

/// What rank 0 passes, which alone reads files and chooses how to save memory. Other ranks may pass anything.
pub fn from_first<T: Serialize + DeserializeOwned>(ranks: Option<&Ranks>, own: Option<T>) -> Result<T> {
    let Some(ranks) = ranks else { return Ok(own.expect("the only process is the first")) };
    let bytes = ranks.broadcast(serde_json::to_vec(&own).expect("numbers serialize"))?;
    let other_version =
        |e: serde_json::Error| Error::Rank(format!("rank 0 runs another version of this program ({e})"));
    serde_json::from_slice(&bytes).map_err(other_version)
}

/// All settings that ranks must have in common.
pub fn settings(args: &Args, about: &Map<String, Value>) -> String {
    let Args { schedule, run, .. } = args;
    format!("{about:?} {:?} {} {}", schedule.patience, run.checkpoint_every, args.skips_non_finite())
}

/// How the work is divided, and what that means for the learning rate.
pub fn describe(ranks: &Ranks, args: &Args) -> [String; 2] {
    let (ranks, batch) = (ranks.ranks(), args.schedule.batch);
    let each = if batch.is_multiple_of(ranks) { "" } else { "about " };
    [
        format!("ranks    {ranks}, each with {each}{} of the {batch} images of a step", batch / ranks),
        format!(
            "rate     {} as on one rank; for k times as many images, use k times the rate",
            args.learning_rate()
        ),
    ]
}

/// What has been exchanged so far: `ranks    4 MiB in 188 sums, 12 % of 0.31 s hidden behind the device's work`.
pub fn exchanged(ranks: &Ranks) -> String {
    let traffic = ranks.traffic();
    format!(
        "ranks    {:.0} MiB in {} sums, {:.0} % of {:.2} s hidden behind the device's work",
        traffic.bytes as f64 / (1 << 20) as f64,
        traffic.sums,
        100.0 * traffic.hidden(),
        traffic.busy.as_secs_f64()
    )
}
