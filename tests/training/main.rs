//! Training: gradient accumulation, per-parameter rules, weight averages, mixup, pausing and errors.

#[path = "../common/mod.rs"]
mod common;

mod errors;
mod non_finite;
mod statistics;
mod step;
mod support;
mod tools;

use common::*;
use errors::*;
use non_finite::*;
use statistics::*;
use std::process::ExitCode;
use step::*;
use tools::*;

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add_all_on(
        CPU_AND_GPU,
        named![
            accumulated_gradients_match_a_full_batch,
            frozen_parameters_do_not_change,
            rules_scale_rate_and_disable_decay,
            ema_tracks_the_weights,
            statistics_are_those_of_the_images,
            statistics_stay_where_they_should,
            mixed_labels_are_weighted,
            a_step_outputs_its_gradients,
            an_evaluation_outputs_its_logits,
            a_paused_epoch_continues,
            an_error_leaves_no_step_in_flight,
            anomalies_are_reported_with_their_step,
            a_bad_step_changes_nothing,
            a_bad_batch_is_skipped_or_ends_training,
            too_many_skipped_steps_end_training,
            skipped_steps_survive_checkpoints,
            the_origin_of_an_anomaly_is_named,
            impossible_positions_are_rejected,
            a_backbone_loads_without_its_head,
            invalid_settings_are_rejected,
        ],
    );
    suite.run()
}
