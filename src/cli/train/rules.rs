//! Flags for some parameters only.

use serde::Serialize;
use striate::nn::Rules;
use striate::{Error, Result};

/// Which parameters learn otherwise than the rest. A pattern such as `layer1.*` stands for all names that it matches.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct RuleFlags {
    /// Parameters that stay as they are, and batch norms with their statistics; may be repeated
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// Another learning rate for some parameters, as a factor; may be repeated, the first that fits counts
    #[arg(long, value_name = "PATTERN=FACTOR")]
    lr_scale: Vec<String>,
    /// Parameters without weight decay; may be repeated
    #[arg(long, value_name = "PATTERN")]
    no_decay: Vec<String>,
    /// No weight decay for biases and batch norms
    #[arg(long)]
    no_decay_1d: bool,
}

impl RuleFlags {
    /// What the library is told.
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
