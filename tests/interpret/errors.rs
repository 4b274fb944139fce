//! Recovery after errors.

use crate::common::Outcome;
use crate::network::{NET, lens, noise};
use striate::infer::{Evaluation, Predictor};
use striate::{Device, Error};

/// After a NaN, results of steps still in flight are not attributed to the next images.
pub fn an_error_drops_steps_in_flight(device: &Device) -> Outcome {
    let lens = lens(device, &NET)?;
    let good = noise(&lens, 9);
    let mut bad = noise(&lens, 12);
    bad[0] = f32::NAN;
    let mut extractor = lens.extractor(&["block"])?;
    let want = extractor.run_single(&good)?;
    let mut predictor = Predictor::new(device, &NET, [crate::network::SIDE; 2], 3)?;
    predictor.session().initialize(1)?;
    let logits = predictor.logits(&good)?;
    for _ in 0..3 {
        if extractor.run(&bad).is_ok() || predictor.logits(&bad).is_ok() {
            return Err("a NaN in the result is not an error".into());
        }
        if extractor.run_single(&good)? != want || predictor.logits(&good)? != logits {
            return Err("the results differ after an error".into());
        }
    }
    Ok(())
}

/// Logits for a wrong number of classes, and labels out of range.
pub fn wrong_logits_and_labels_are_refused() -> Outcome {
    let mut evaluation = Evaluation::new(3);
    let wrong = [
        (&[0.0; 2][..], 0, "logits"),
        (&[0.0; 4], 0, "logits"),
        (&[0.0; 3], 3, "label"),
        (&[f32::NAN, 0.0, 0.0], 0, "logits"),
        (&[0.0, 0.0, -f32::NAN], 0, "logits"),
    ];
    for (logits, label, argument) in wrong {
        match evaluation.add(logits, label) {
            Err(Error::Argument { name, .. }) if name == argument => {}
            other => return Err(format!("{logits:?} for {label}: {other:?}").into()),
        }
    }
    evaluation.add(&[0.0; 3], 2)?;
    assert!(evaluation.images() == 1, "a refused image was counted");
    Ok(())
}
