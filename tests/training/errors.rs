//! What comes after an error, and positions that are none.

use crate::common::*;
use crate::support::*;
use striate::nn::Decay;
use striate::train::{Position, TrainConfig, Trainer};
use striate::{Device, Error, Result};

fn config(lr: f32) -> TrainConfig {
    TrainConfig { epochs: 3, batch: 12, accumulate: 2, lr, decay: Decay::Constant, ..Default::default() }
}

fn state(trainer: &mut Trainer) -> Result<State> {
    let names: Vec<String> = trainer.session().persistent().iter().map(|p| p.port.name.clone()).collect();
    names.into_iter().map(|name| Ok((name.clone(), trainer.session().read(&name)?))).collect()
}

/// A loss that is no number stops an epoch with half a step in flight. What is asked then is answered for its own
/// images, and training goes on from where all was well.
pub fn an_error_leaves_no_step_behind(device: &Device) -> Outcome {
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
            // Of weights that are no numbers.
            if let Ok(score) = trainer.test() {
                return Ok(Err(format!("broken weights have a score: {score:?}")));
            }
            trainer.resume(position, &kept)?;
            let score = trainer.test()?;
            good.resume(position, &kept)?;
            if score != good.test()? {
                return Ok(Err(format!("after an error the score is {score:?}")));
            }
        }
        // With a rate that does no harm, everything after it is as if nothing had been.
        let mut other = crate::support::trainer(device, true, 48, &config(0.1))?;
        other.resume(position, &kept)?;
        let got = epoch(&mut other)?;
        match (got.train, got.test, other.test()?) == (want.train, want.test, tested) {
            true => Ok(Ok(())),
            false => Ok(Err(format!("{got:?} instead of {want:?}"))),
        }
    };
    check().map_err(text)?
}

pub fn a_position_where_training_never_stands_is_refused(device: &Device) -> Outcome {
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
            other => Ok(Err(format!("a refused position changes something: {other:?}"))),
        }
    };
    check().map_err(text)?
}
