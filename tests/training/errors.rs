//! Recovery after errors, and impossible positions.

use crate::common::*;
use crate::support::*;
use striate::nn::{Decay, Optimizer, SgdConfig};
use striate::train::{Position, Recipe, TrainConfig};
use striate::{Device, Error};

fn config(lr: f32) -> TrainConfig {
    TrainConfig { epochs: 3, batch: 12, accumulate: 2, lr, decay: Decay::Constant, ..Default::default() }
}

/// A loss that is not finite ends an epoch with half a step in flight. Later calls must not receive its outputs, and training
/// can resume from an earlier state.
pub fn an_error_leaves_no_step_in_flight(device: &Device) -> Outcome {
    let mut good = trainer(device, true, 48, &config(0.1))?;
    epoch(&mut good)?;
    let (position, kept) = (good.position(), everything(good.session())?);
    let (want, tested) = (epoch(&mut good)?, good.test()?);

    let mut trainer = trainer(device, true, 48, &config(1e30))?;
    for _ in 0..2 {
        for _ in 0..2 {
            match epoch(&mut trainer) {
                Err(Error::Argument { name, .. }) if name == "lr" => {}
                other => return Err(format!("expected an error about lr, found {other:?}").into()),
            }
        }
        if trainer.session().pending() != 0 {
            return Err("steps are left in flight".into());
        }
        if let Ok(score) = trainer.test() {
            return Err(format!("weights that are not finite got a score: {score:?}").into());
        }
        trainer.resume(position, &kept)?;
        let score = trainer.test()?;
        good.resume(position, &kept)?;
        if score != good.test()? {
            return Err(format!("after resuming the score is {score:?}").into());
        }
    }
    // With a reasonable rate, results are the same as without the error.
    let mut other = crate::support::trainer(device, true, 48, &config(0.1))?;
    other.resume(position, &kept)?;
    let got = epoch(&mut other)?;
    assert!(
        (got.train, got.test, other.test()?) == (want.train, want.test, tested),
        "expected {want:?}, found {got:?}"
    );
    Ok(())
}

/// Weight decay makes the weights infinite in the first step, whose loss is finite.
pub fn anomalies_are_reported_with_their_step(device: &Device) -> Outcome {
    let optimizer = Optimizer::Sgd(SgdConfig { weight_decay: 10.0, ..Default::default() });
    let recipe = Recipe { optimizer, ..Default::default() };
    let update = "at step 1 of epoch 1, optimizer update wrote infinity";
    for (anomaly, found) in [(false, "the loss is no longer finite at step 2"), (true, update)] {
        let config = TrainConfig { anomaly, recipe: recipe.clone(), ..config(3e38) };
        let error = epoch(&mut trainer(device, true, 48, &config)?);
        match error {
            Err(error) if error.to_string().contains(found) => {}
            other => return Err(format!("expected {found:?}, found {other:?}").into()),
        }
    }
    Ok(())
}

pub fn impossible_positions_are_rejected(device: &Device) -> Outcome {
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
        Position { skipped: 1, ..good },
        Position { skipped_in_a_row: 5, ..good },
    ];
    for position in wrong {
        match trainer.resume(position, &[]) {
            Err(Error::Argument { name, .. }) if name == "position" => {}
            other => return Err(format!("{position:?}: {other:?}").into()),
        }
    }
    match (trainer.position() == good, trainer.epochs_left()) {
        (true, 2) => Ok(()),
        other => Err(format!("a rejected position changed something: {other:?}").into()),
    }
}
