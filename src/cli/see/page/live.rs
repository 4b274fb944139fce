//! The network itself, to run on the page: plans, weights, and what an image has to go through.

use super::super::flags::InspectedNetwork;
use crate::cli::html::{self, inlined, list, megabytes};
use crate::cli::terminal::note;
use serde_json::{Value, json};
use striate::interpret::LiveNetwork;
use striate::models;
use striate::plan::{Family, Target};
use striate::weights::{Precision, compact};
use striate::{Error, Result};

/// Whether the page can run the network, and how it stores the weights.
#[derive(clap::Args)]
pub struct LiveFlags {
    /// Store the weights on the page as f32, f16 or i8 [default: f32 up to 4 MB, f16 up to 8 MB, else i8; none if the page gets too large]
    #[arg(long, value_name = "TYPE", help_heading = "Output")]
    weights_in: Option<Stored>,
    /// Leave out the network itself, so that the page cannot run it
    #[arg(long, conflicts_with = "weights_in", help_heading = "Output")]
    no_live: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Stored {
    F32,
    F16,
    I8,
}

/// Weights up to these sizes are stored in single and in half precision.
const SINGLE: usize = 4 << 20;
const HALF: usize = 8 << 20;

impl LiveFlags {
    /// The values for the section of the template; null without it.
    pub fn values(&self, network: &InspectedNetwork) -> Result<Value> {
        if self.no_live {
            return Ok(Value::Null);
        }
        let lens = &network.lens;
        let stored = self.stored(lens.parameters());
        let (precision, bits) = match stored {
            Stored::F32 => (Precision::F32, "32-bit"),
            Stored::F16 => (Precision::F16, "16-bit"),
            Stored::I8 => (Precision::I8, "8-bit"),
        };
        let weights = html::embedded("live-weights", &compact(lens.weights(), precision)?);
        // Views take minutes, so fail before.
        if weights.len() > html::LARGE {
            self.leave_out(weights.len())?;
            return Ok(Value::Null);
        }
        let preprocessing = lens.preprocessing();
        let model = models::by_name(lens.model(), preprocessing.channels(), lens.classes())?;
        let live = LiveNetwork::new(&*model, preprocessing.size)?;
        let plans =
            |id, family| Ok(html::embedded(id, live.plans(&Target::browser(family))?.to_json()?.as_bytes()));
        let description = json!({
            "classes": list((0..lens.classes()).map(|class| json!(network.class(class)))),
            "preprocessing": preprocessing,
            "layers": live.layers,
            "grad_cam": live.grad_cam,
            "occluded": live.occluded,
        });
        Ok(json!({
            "draw": preprocessing.channels() == 1,
            "bits": bits,
            "exact": stored == Stored::F32,
            "network": inlined(&description.to_string()),
            "data": plans("live-gpu", Family::Gpu)? + &plans("live-software", Family::Software)? + &weights,
        }))
    }

    /// The page with the network, or without if it would be too large and was not asked for.
    pub fn render(&self, mut page: Value, live: Value) -> Result<String> {
        let runs = !live.is_null();
        page["live"] = live;
        let rendered = html::render("see.html", &page);
        if !runs || rendered.len() <= html::LARGE {
            return Ok(rendered);
        }
        self.leave_out(rendered.len())?;
        page["live"] = Value::Null;
        Ok(html::render("see.html", &page))
    }

    /// Says why the page cannot contain the network: an error if it was asked for.
    fn leave_out(&self, bytes: usize) -> Result<()> {
        let (size, limit) = (megabytes(bytes), megabytes(html::LARGE));
        let why = format!("with the network, the page would take at least {size}, more than {limit}");
        match self.weights_in {
            None => {
                note(&format!(
                    "note: {why}, so it cannot run it; fewer --examples or --units make it smaller"
                ));
                Ok(())
            }
            Some(Stored::I8) => Err(Error::argument(
                "weights-in",
                format!("{why}; give fewer --examples or --units, or --no-live"),
            )),
            Some(_) => Err(Error::argument("weights-in", format!("{why}; give --weights-in i8"))),
        }
    }

    fn stored(&self, parameters: usize) -> Stored {
        self.weights_in.unwrap_or(match parameters {
            count if 4 * count <= SINGLE => Stored::F32,
            count if 2 * count <= HALF => Stored::F16,
            _ => Stored::I8,
        })
    }
}
