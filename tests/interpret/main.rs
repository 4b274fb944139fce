//! Views of networks, checked against PyTorch and closed forms, and on the GPU against the CPU.

mod activation_maximization;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod gpu_and_cpu;
mod gradients;
mod layers;
mod network;
mod occlusion;
mod receptive_fields;

use common::*;
use std::process::ExitCode;
use striate::Device;

type Test = fn(&Device) -> Outcome;

/// Whether all values agree within `tolerance` of the largest expected magnitude.
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) -> Outcome {
    if found.len() != expected.len() {
        return Err(format!("{what}: expected {} values, found {}", expected.len(), found.len()));
    }
    let largest = expected.iter().fold(0f32, |largest, n| largest.max(n.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let error = errors.fold(0f32, |worst, error| if error > worst || error.is_nan() { error } else { worst });
    match error <= tolerance * largest && largest > 0.0 {
        true => Ok(()),
        false => Err(format!("{what}: largest error {error:e}, largest value {largest:e}")),
    }
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let tests: &[(&str, Test)] = &[
        ("a_layer_gives_the_last_value_of_its_scope", layers::a_layer_gives_the_last_value_of_its_scope),
        ("unknown_layers_and_channels_are_refused", layers::unknown_layers_and_channels_are_refused),
        ("dead_and_saturated_channels_are_found", layers::dead_and_saturated_channels_are_found),
        ("occlusion_of_a_linear_network", occlusion::occlusion_of_a_linear_network),
        ("gradients_match_pytorch", gradients::gradients_match_pytorch),
        ("integrated_gradients_add_up", gradients::integrated_gradients_add_up),
        (
            "smooth_gradients_of_a_linear_network_are_its_weights",
            gradients::smooth_gradients_of_a_linear_network_are_its_weights,
        ),
        ("an_error_drops_steps_in_flight", errors::an_error_drops_steps_in_flight),
        ("ascent_raises_the_activation", activation_maximization::ascent_raises_the_activation),
        ("ascent_wakes_silent_channels", activation_maximization::ascent_wakes_silent_channels),
        ("ascent_is_reproducible", activation_maximization::ascent_is_reproducible),
        ("fields_of_channels_add_up", receptive_fields::fields_of_channels_add_up),
        (
            "top_activations_in_batches_match_a_direct_search",
            receptive_fields::top_activations_in_batches_match_a_direct_search,
        ),
    ];
    for (name, test) in tests {
        suite.add(format!("{name}::cpu"), || test(&Device::select("cpu").map_err(text)?));
        suite.add_gpu(format!("{name}::gpu"), test);
    }
    suite.add("wrong_logits_and_labels_are_refused", errors::wrong_logits_and_labels_are_refused);
    gpu_and_cpu::add(&mut suite);
    receptive_fields::add(&mut suite);
    suite.run()
}
