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
mod relevance;

use activation_maximization::*;
use common::*;
use errors::*;
use gradients::*;
use layers::*;
use occlusion::*;
use receptive_fields::*;
use relevance::*;
use std::process::ExitCode;

/// Whether all values agree within `tolerance` of the largest expected magnitude.
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) -> Outcome {
    if found.len() != expected.len() {
        return Err(format!("{what}: expected {} values, found {}", expected.len(), found.len()).into());
    }
    let largest = expected.iter().fold(0f32, |largest, n| largest.max(n.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let error = errors.fold(0f32, |worst, error| if error > worst || error.is_nan() { error } else { worst });
    assert!(
        error <= tolerance * largest && largest > 0.0,
        "{what}: largest error {error:e}, largest value {largest:e}"
    );
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add_all_on(
        CPU_AND_GPU,
        named![
            a_layer_gives_the_last_value_of_its_scope,
            unknown_layers_and_channels_are_refused,
            dead_and_saturated_channels_are_found,
            occlusion_of_a_linear_network,
            gradients_match_pytorch,
            integrated_gradients_add_up,
            smooth_gradients_of_a_linear_network_are_its_weights,
            relevance_matches_zennit,
            relevance_is_conserved,
            relevance_of_channels_adds_up_to_that_of_the_pixels,
            relevance_in_a_linear_network_is_pixel_times_weight,
            relevance_of_what_does_not_exist_is_refused,
            an_error_drops_steps_in_flight,
            ascent_raises_the_activation,
            ascent_excites_silent_channels,
            ascent_is_reproducible,
            ascent_of_a_linear_network_follows_its_weights,
            diversity_drives_images_apart,
            ascent_starts_from_images,
            ascent_starts_at_the_mean,
            fields_of_channels_sum_to_that_of_the_layer,
            top_activations_in_batches_match_a_direct_search,
        ],
    );
    suite.add_all(named![wrong_logits_and_labels_are_refused]);
    gpu_and_cpu::add(&mut suite);
    receptive_fields::add(&mut suite);
    suite.run()
}
