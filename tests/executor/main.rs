//! Sessions on every executor: what is created when, order, errors, and how weights live on.

#[path = "../common/mod.rs"]
mod common;

mod horizontal_fusion;
mod outputs;
mod plans;
mod steps;
mod support;
mod timing;
mod updates;

use common::*;
use horizontal_fusion::*;
use outputs::*;
use plans::*;
use std::process::ExitCode;
use steps::*;
use striate::Device;
use timing::*;
use updates::*;

type Test = fn(&Device) -> Outcome;

fn main() -> ExitCode {
    // Counts of what was created, and of memory, are the whole process's: one test at a time.
    let mut suite = Suite::alone();
    let tests: &[(&str, Test)] = &[
        ("nothing_is_created_after_the_session", nothing_is_created_after_the_session),
        ("memory_stays_flat", memory_stays_flat),
        ("steps_in_flight_come_back_in_order", steps_in_flight_come_back_in_order),
        ("wrong_inputs_are_refused_by_name", wrong_inputs_are_refused_by_name),
        ("calls_out_of_order_are_refused", calls_out_of_order_are_refused),
        ("labels_that_are_no_class_are_refused", labels_that_are_no_class_are_refused),
        ("a_computed_label_that_is_no_class_has_no_loss", a_computed_label_that_is_no_class_has_no_loss),
        ("wrong_parameters_are_refused_by_name", wrong_parameters_are_refused_by_name),
        ("plans_share_what_persists", plans_share_what_persists),
        ("plans_that_disagree_are_refused", plans_that_disagree_are_refused),
        ("updates_in_place_and_by_copy_agree", updates_in_place_and_by_copy_agree),
        ("old_contents_are_read_before_the_update", old_contents_are_read_before_the_update),
        ("a_state_blended_with_itself", a_state_blended_with_itself),
        ("states_that_swap", states_that_swap),
        ("a_view_of_a_state_as_output", a_view_of_a_state_as_output),
        ("outputs_that_are_views", outputs_that_are_views),
        ("an_input_as_output", an_input_as_output),
        ("one_value_under_two_names", one_value_under_two_names),
        ("two_runs_are_bit_identical", two_runs_are_bit_identical),
        ("a_plan_does_not_depend_on_what_ran_before", a_plan_does_not_depend_on_what_ran_before),
        ("initial_values_depend_on_seed_and_name", initial_values_depend_on_seed_and_name),
        ("time_tells_each_group", time_tells_each_group),
        ("profile_tells_each_launch", profile_tells_each_launch),
        ("time_of_a_plan_without_launches", time_of_a_plan_without_launches),
        ("a_second_update_is_refused", a_second_update_is_refused),
        ("one_launch_updates_all_small_parameters", one_launch_updates_all_small_parameters),
        ("plans_find_values_that_another_made_contiguous", plans_find_values_that_another_made_contiguous),
        ("plans_with_conflicting_layouts_are_rejected", plans_with_conflicting_layouts_are_rejected),
        (
            "plans_that_read_and_write_one_shared_buffer_are_rejected",
            plans_that_read_and_write_one_shared_buffer_are_rejected,
        ),
        ("dependent_launches_are_not_fused", dependent_launches_are_not_fused),
    ];
    for (name, test) in tests {
        suite.add(format!("{name}::reference"), || test(&Device::cpu_reference()));
        suite.add(format!("{name}::cpu"), || test(&Device::select("cpu").map_err(text)?));
        suite.add_gpu(format!("{name}::gpu"), test);
    }
    suite.run()
}
