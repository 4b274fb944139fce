//! Flags for training that starts from existing weights.

use crate::cli::json;
use serde::Serialize;
use std::path::PathBuf;
use striate::nn::{Pattern, Rules};
use striate::weights::Fit;
use striate::{Error, Result};

/// The initial weights, and which of them are trained. A pattern is the name of a parameter and may contain `*`, as in
/// `layer1.*`.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Fine-tuning")]
pub struct FineTuningFlags {
    /// Initial weights: a safetensors file, a .pth archive or a run folder. A last layer for other classes is initialized
    /// instead
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "json::optional_path")]
    pub weights: Option<PathBuf>,
    /// Start from torchvision's pretrained weights for --model, with their preprocessing (see `striate fetch`). They are
    /// downloaded if they are missing
    #[arg(long, conflicts_with = "weights")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pretrained: bool,
    /// The preprocessing that the weights expect, instead of the statistics of the training images: as for `striate predict`,
    /// such as imagenet. Its size is for a folder of images; --image-size overrides it
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// Load only the weights that fit, initialize the others, and list the differences
    #[arg(long, requires = "weights")]
    partial: bool,
    /// Freeze these parameters, and the statistics of batch norms; may be repeated
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// Train the frozen parameters too after this many epochs
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    unfreeze_after: Option<u32>,
    /// Multiply the learning rate of these parameters by a factor; may be repeated, the first match counts
    #[arg(long, value_name = "PATTERN=FACTOR")]
    lr_scale: Vec<String>,
}

impl FineTuningFlags {
    /// How closely --weights must match the network.
    pub fn fit(&self, classes: usize) -> Fit {
        if self.partial { Fit::Partial } else { Fit::Backbone { classes } }
    }

    /// The epochs after which the frozen parameters are trained too, if any, in a run of `epochs`.
    pub fn unfreeze_after(&self, epochs: usize) -> Result<Option<usize>> {
        let Some(after) = self.unfreeze_after else { return Ok(None) };
        let problem = match (self.freeze.is_empty(), (after as usize) < epochs) {
            (true, _) => "requires --freeze; give both or none".to_owned(),
            (_, false) => format!("must be below --epochs ({epochs}), got {after}"),
            (false, true) => return Ok(Some(after as usize)),
        };
        Err(Error::argument("unfreeze-after", problem))
    }

    /// Adds the rules for frozen parameters and learning rates.
    pub fn rules(&self, rules: Rules) -> Result<Rules> {
        let scale = |text: &String| {
            let wrong = || {
                Error::argument("lr-scale", format!("expected PATTERN=FACTOR, such as fc.*=10, found {text}"))
            };
            let (name, factor) = text.rsplit_once('=').ok_or_else(wrong)?;
            Ok((pattern("lr-scale", name)?, factor.parse().map_err(|_| wrong())?))
        };
        let lr_scale = self.lr_scale.iter().map(scale).collect::<Result<_>>()?;
        Ok(Rules { freeze: patterns("freeze", &self.freeze)?, lr_scale, ..rules })
    }
}

/// Patterns of the flag `name`.
pub fn patterns(name: &str, texts: &[String]) -> Result<Vec<Pattern>> {
    texts.iter().map(|text| pattern(name, text)).collect()
}

fn pattern(name: &str, text: &str) -> Result<Pattern> {
    Rules::pattern(text).map_err(|error| match error {
        Error::Argument { problem, .. } => Error::argument(name, problem),
        other => other,
    })
}
