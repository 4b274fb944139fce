//! Trainers: what rules, averages, several batches a step and mixed images do to the weights.

#[path = "../common/mod.rs"]
mod common;

mod errors;
mod step;
mod support;
mod tools;

use common::*;
use errors::*;
use std::process::ExitCode;
use step::*;
use striate::Device;
use tools::*;

type Test = fn(&Device) -> Outcome;

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let tests: &[(&str, Test)] = &[
        ("batches_of_a_step_add_up", batches_of_a_step_add_up),
        ("what_is_frozen_stays", what_is_frozen_stays),
        ("rules_change_rate_and_decay", rules_change_rate_and_decay),
        ("averages_follow_the_weights", averages_follow_the_weights),
        ("mixed_images_count_by_their_shares", mixed_images_count_by_their_shares),
        ("a_step_gives_out_its_gradients", a_step_gives_out_its_gradients),
        ("an_evaluation_gives_out_its_logits", an_evaluation_gives_out_its_logits),
        ("a_paused_epoch_goes_on", a_paused_epoch_goes_on),
        ("an_error_leaves_no_step_behind", an_error_leaves_no_step_behind),
        (
            "a_position_where_training_never_stands_is_refused",
            a_position_where_training_never_stands_is_refused,
        ),
        ("a_head_for_other_classes_begins_anew", a_head_for_other_classes_begins_anew),
        ("settings_that_make_no_sense_are_refused", settings_that_make_no_sense_are_refused),
    ];
    for (name, test) in tests {
        suite.add(format!("{name}::cpu"), || test(&Device::select("cpu").map_err(text)?));
        suite.add_gpu(format!("{name}::gpu"), test);
    }
    suite.run()
}
