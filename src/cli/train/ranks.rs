//! What a run on several ranks tells and shares.

use super::args::Args;
use striate::distributed::Ranks;
use striate::train::Position;
use striate::{Error, Result};

/// The position of rank 0, which has the checkpoints.
pub fn position(ranks: Option<&Ranks>, own: Position) -> Result<Position> {
    let Some(ranks) = ranks else { return Ok(own) };
    let bytes = ranks.broadcast(serde_json::to_vec(&own).expect("numbers serialize"))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::Rank(format!("rank 0 runs another version of this program ({e})")))
}

/// How the work is divided, and what that means for the learning rate.
pub fn describe(ranks: &Ranks, args: &Args) -> String {
    let (ranks, batch) = (ranks.ranks(), args.schedule.batch);
    format!(
        "ranks    {ranks}: the {batch} images of each step are divided among them, so --lr {} means the same as on one; with k times \
         as many images, train with k times the rate and a --warmup",
        args.learning_rate()
    )
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
