//! What comes after an error.

use crate::common::{Outcome, text};
use crate::network::{Net, lens, noise};
use striate::infer::{Evaluation, Predictor};
use striate::{Device, Error};

/// Steps that were in flight when a result was no number are not taken for those of the next images.
pub fn an_error_leaves_no_step_behind(device: &Device) -> Outcome {
    let lens = lens(device, &Net).map_err(text)?;
    let good = noise(&lens, 9);
    let mut bad = noise(&lens, 12);
    bad[0] = f32::NAN;
    let mut probe = lens.probe(&["block"]).map_err(text)?;
    let want = probe.only(&good).map_err(text)?;
    let mut predictor = Predictor::new(device, &Net, [crate::network::SIDE; 2], 3).map_err(text)?;
    predictor.session().initialize(1).map_err(text)?;
    let logits = predictor.logits(&good).map_err(text)?;
    for _ in 0..3 {
        if probe.run(&bad).is_ok() || predictor.logits(&bad).is_ok() {
            return Err("a result that is no number is no error".into());
        }
        if probe.only(&good).map_err(text)? != want || predictor.logits(&good).map_err(text)? != logits {
            return Err("the results after an error are others".into());
        }
    }
    Ok(())
}

/// Answers of another number of classes, and labels that are none.
pub fn answers_that_do_not_fit_are_refused() -> Outcome {
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
            other => return Err(format!("{logits:?} for {label}: {other:?}")),
        }
    }
    evaluation.add(&[0.0; 3], 2).map_err(text)?;
    if evaluation.images() == 1 { Ok(()) } else { Err("what was refused counts".into()) }
}
