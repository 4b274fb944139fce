//! Recovery after errors, and impossible positions.

use crate::common::*;
use crate::support::*;
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::train::{Position, Recipe, TrainConfig, Trainer};
use striate::{Device, Error, Result};

fn config(lr: f32) -> TrainConfig {
    TrainConfig { epochs: 3, batch: 12, accumulate: 2, lr, decay: Decay::Constant, ..Default::default() }
}

fn state(trainer: &mut Trainer) -> Result<State> {
    let names: Vec<String> = trainer.session().persistent().iter().map(|p| p.value.name.clone()).collect();
    names.into_iter().map(|name| Ok((name.clone(), trainer.session().read(&name)?))).collect()
}

/// A loss that is not finite ends an epoch with half a step in flight. Later calls must not see its outputs, and training
/// can resume from an earlier state.
pub fn an_error_leaves_no_step_in_flight(device: &Device) -> Outcome {
    let check = || -> Result<Outcome> {
        let mut good = trainer(device, true, 48, &config(0.1))?;
        epoch(&mut good)?;
        let (position, kept) = (good.position(), state(&mut good)?);
        let (want, tested) = (epoch(&mut good)?, good.test()?);

        let mut trainer = trainer(device, true, 48, &config(1e30))?;
        for _ in 0..2 {
            for _ in 0..2 {
                match epoch(&mut trainer) {
                    Err(Error::Argument { name, .. }) if name == "lr" => {}
                    other => return Ok(Err(format!("expected an error about lr, found {other:?}"))),
                }
            }
            if trainer.session().pending() != 0 {
                return Ok(Err("steps are left in flight".into()));
            }
            if let Ok(score) = trainer.test() {
                return Ok(Err(format!("weights that are not finite got a score: {score:?}")));
            }
            trainer.resume(position, &kept)?;
            let score = trainer.test()?;
            good.resume(position, &kept)?;
            if score != good.test()? {
                return Ok(Err(format!("after resuming the score is {score:?}")));
            }
        }
        // With a reasonable rate, results are the same as without the error.
        let mut other = crate::support::trainer(device, true, 48, &config(0.1))?;
        other.resume(position, &kept)?;
        let got = epoch(&mut other)?;
        match (got.train, got.test, other.test()?) == (want.train, want.test, tested) {
            true => Ok(Ok(())),
            false => Ok(Err(format!("expected {want:?}, found {got:?}"))),
        }
    };
    check().map_err(text)?
}

/// Weight decay breaks the weights in the first step, whose own loss is finite.
pub fn anomalies_are_named_after_their_step(device: &Device) -> Outcome {
    let optimizer = Optimizer::Sgd(SgdConfig { weight_decay: 10.0, ..Default::default() });
    let recipe = Recipe { optimizer, ..Default::default() };
    for (anomaly, found) in [(false, "the loss is no longer finite at step 2"), (true, "after step 1;")] {
        let config = TrainConfig { anomaly, recipe: recipe.clone(), ..config(3e38) };
        let error = epoch(&mut trainer(device, true, 48, &config).map_err(text)?);
        match error.map_err(text) {
            Err(error) if error.contains(found) => {}
            other => return Err(format!("expected {found:?}, found {other:?}")),
        }
    }
    Ok(())
}

pub fn impossible_positions_are_rejected(device: &Device) -> Outcome {
    let check = || -> Result<Outcome> {
        let mut trainer = trainer(device, true, 48, &config(0.1))?;
        epoch(&mut trainer)?;
        let good = trainer.position();
        let wrong = [
            Position { epoch: 4, step: 16, ..good },
            Position { epoch: usize::MAX, ..good },
            Position { epoch: 3, batch: 1, step: 13, ..good },
            Position { batch: 5, step: 9, ..good },
            Position { step: 5, ..good },
            Position { seconds: f64::NAN, ..good },
            Position { seconds: -1.0, ..good },
            Position { seconds: 1e300, ..good },
        ];
        for position in wrong {
            match trainer.resume(position, &[]) {
                Err(Error::Argument { name, .. }) if name == "position" => {}
                other => return Ok(Err(format!("{position:?}: {other:?}"))),
            }
        }
        match (trainer.position() == good, trainer.epochs_left()) {
            (true, 2) => Ok(Ok(())),
            other => Ok(Err(format!("a rejected position changed something: {other:?}"))),
        }
    };
    check().map_err(text)?
}
