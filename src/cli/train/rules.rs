//! Flags that apply to some parameters only.

use serde::Serialize;
use striate::nn::Rules;
use striate::{Error, Result};

/// Exceptions for parameters by name; a pattern may contain `*`, as in `layer1.*`.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct RuleFlags {
    /// Freeze these parameters, and the statistics of batch norms; may be repeated
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// Multiply the learning rate of these parameters by a factor; may be repeated, the first match counts
    #[arg(long, value_name = "PATTERN=FACTOR")]
    lr_scale: Vec<String>,
    /// Disable weight decay for these parameters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    no_decay: Vec<String>,
    /// Disable weight decay for biases and batch norms
    #[arg(long)]
    no_decay_1d: bool,
}

impl RuleFlags {
    /// The library's rules.
    pub fn rules(&self) -> Result<Rules> {
        let named = |name: &str, text: &str| {
            Rules::pattern(text).map_err(|error| match error {
                Error::Argument { problem, .. } => Error::argument(name, problem),
                other => other,
            })
        };
        let scale = |text: &String| {
            let wrong = || {
                Error::argument("lr-scale", format!("expected PATTERN=FACTOR, such as fc.*=10, found {text}"))
            };
            let (pattern, factor) = text.rsplit_once('=').ok_or_else(wrong)?;
            Ok((named("lr-scale", pattern)?, factor.parse().map_err(|_| wrong())?))
        };
        Ok(Rules {
            freeze: self.freeze.iter().map(|p| named("freeze", p)).collect::<Result<_>>()?,
            lr_scale: self.lr_scale.iter().map(scale).collect::<Result<_>>()?,
            no_decay: self.no_decay.iter().map(|p| named("no-decay", p)).collect::<Result<_>>()?,
            no_decay_1d: self.no_decay_1d,
        })
    }
}
