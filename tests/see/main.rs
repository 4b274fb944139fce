//! Views of networks: against PyTorch, closed forms, and the GPU against the CPU.

mod agreement;
mod ascent;
#[path = "../common/mod.rs"]
mod common;
mod covering;
mod errors;
mod gradients;
mod layers;
mod network;
mod receptive;

use common::*;
use std::process::ExitCode;
use striate::Device;

type Test = fn(&Device) -> Outcome;

/// Whether two rows of numbers agree within `share` of the larger one's largest.
fn close(what: &str, found: &[f32], expected: &[f32], share: f32) -> Outcome {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} numbers, not {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(0f32, |largest, n| largest.max(n.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let error = errors.fold(0f32, |worst, error| if error > worst || error.is_nan() { error } else { worst });
    match error <= share * largest && largest > 0.0 {
        true => Ok(()),
        false => Err(format!("{what}: largest error {error:e} beside numbers up to {largest:e}")),
    }
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let tests: &[(&str, Test)] = &[
        ("layers_give_what_their_last_value_is", layers::layers_give_what_their_last_value_is),
        ("unknown_layers_and_units_are_refused", layers::unknown_layers_and_units_are_refused),
        ("dead_and_saturated_channels_are_told", layers::dead_and_saturated_channels_are_told),
        ("occlusion_of_a_linear_network", covering::occlusion_of_a_linear_network),
        ("gradients_are_pytorchs", gradients::gradients_are_pytorchs),
        ("integrated_gradients_add_up", gradients::integrated_gradients_add_up),
        (
            "smooth_gradients_of_a_linear_network_are_its_weights",
            gradients::smooth_gradients_of_a_linear_network_are_its_weights,
        ),
        ("an_error_leaves_no_step_behind", errors::an_error_leaves_no_step_behind),
        ("ascent_raises_what_it_climbs", ascent::ascent_raises_what_it_climbs),
        ("ascent_wakes_silent_units", ascent::ascent_wakes_silent_units),
        ("ascent_is_reproducible", ascent::ascent_is_reproducible),
        ("one_channel_is_a_part_of_all", receptive::one_channel_is_a_part_of_all),
        (
            "peaks_through_batches_are_those_of_all_at_once",
            receptive::peaks_through_batches_are_those_of_all_at_once,
        ),
    ];
    for (name, test) in tests {
        suite.add(format!("{name}::cpu"), || test(&Device::select("cpu").map_err(text)?));
        suite.add_gpu(format!("{name}::gpu"), test);
    }
    suite.add("answers_that_do_not_fit_are_refused", errors::answers_that_do_not_fit_are_refused);
    agreement::add(&mut suite);
    receptive::add(&mut suite);
    suite.run()
}
