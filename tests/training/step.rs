//! Outputs of a step besides the loss.

use crate::common::*;
use crate::support::*;
use striate::infer::Predictor;
use striate::nn::{Builder, Optimizer, SgdConfig};
use striate::plan::Plan;
use striate::train::{Recipe, evaluation_graph, training_graph};
use striate::weights::{Fit, Weights};
use striate::{Device, Outputs, Result, Session};

const SHAPE: [usize; 4] = [3, 1, 8, 8];
const LR: f32 = 0.5;

/// Outputs of a step of plain gradient descent, and the weights before and after it.
fn step(device: &Device, recipe: &Recipe) -> Result<(Outputs, [State; 2])> {
    let graph = training_graph(&small(false, 3), SHAPE, recipe)?;
    let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
    session.initialize(1)?;
    let before = session.state_dict()?;
    let (images, schedule) = (fill(4, 3 * 64, 1.0), recipe.optimizer.schedule(LR, 0));
    let outputs = session.run(
        0,
        &[
            (Builder::IMAGES, (&images).into()),
            (Recipe::LABELS, (&[0u32, 1, 2]).into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
        ],
    )?;
    Ok((outputs, [before, session.state_dict()?]))
}

/// The weights change by the learning rate times the gradient output, clipped according to the norm output.
pub fn a_step_outputs_its_gradients(device: &Device) -> Outcome {
    let optimizer = Optimizer::Sgd(SgdConfig::default());
    let plain = Recipe { optimizer, gradients: true, ..Default::default() };
    let max_norm = 0.01;
    for recipe in [plain.clone(), Recipe { clip_norm: Some(max_norm), ..plain }] {
        let (outputs, [before, after]) = step(device, &recipe)?;
        let gradient = |name: &str| {
            let found = outputs.get(&Recipe::gradient_of(name)).map(|t| t.as_f32().to_vec());
            found.ok_or_else(|| format!("there is no gradient of {name}"))
        };
        let mut squares = 0.0;
        for (name, _) in &before {
            squares += gradient(name)?.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        }
        let norm = squares.sqrt();
        let factor = match recipe.clip_norm {
            None => 1.0,
            Some(max) => {
                let found = outputs.scalar(Recipe::GRAD_NORM).ok_or("a step that clips has no norm")?;
                if (f64::from(found) - norm).abs() > 1e-5 * norm || norm < f64::from(max) {
                    return Err(format!("expected a norm of {norm}, found {found}").into());
                }
                (f64::from(max) / norm) as f32
            }
        };
        for ((name, before), (_, after)) in before.iter().zip(&after) {
            for ((w, new), g) in before.as_f32().iter().zip(after.as_f32()).zip(gradient(name)?) {
                let want = w - LR * factor * g;
                if (new - want).abs() > 1e-5 {
                    return Err(format!("{name} became {new}, expected {want}").into());
                }
            }
        }
    }
    let (outputs, _) = step(device, &Recipe::default())?;
    match outputs.get(&Recipe::gradient_of("fc.weight")) {
        None => Ok(()),
        Some(_) => Err("there is a gradient without Recipe::gradients".into()),
    }
}

/// The logits of an evaluation match those of a predictor with the same weights.
pub fn an_evaluation_outputs_its_logits(device: &Device) -> Outcome {
    let model = small(true, 3);
    let graph = evaluation_graph(&model, SHAPE)?;
    let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
    session.initialize(1)?;
    let images = fill(4, 3 * 64, 1.0);
    let inputs = [(Builder::IMAGES, (&images).into()), (Recipe::LABELS, (&[0u32, 1, 2]).into())];
    let outputs = session.run(0, &inputs)?;
    let mut predictor = Predictor::new(device, &model, [8, 8], 3)?;
    let weights = Weights::from_tensors(session.state_dict()?);
    predictor.load(&weights, Fit::Strict)?;
    let want = predictor.logits(&images)?.concat();
    let got = outputs.get(Builder::LOGITS).map(|logits| logits.as_f32().to_vec());
    if got.as_ref() != Some(&want) {
        return Err(format!("the evaluation has {got:?}, the predictor {want:?}").into());
    }
    // The error for weights from memory does not mention a file.
    let mut state = session.state_dict()?;
    state.pop();
    let refusal = predictor.load(&Weights::from_tensors(state), Fit::Strict).unwrap_err().to_string();
    assert!(refusal.contains("tensors in memory") && refusal.contains("fc.bias"), "{refusal}");
    Ok(())
}
