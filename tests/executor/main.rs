//! Sessions on every executor: allocation, order of results, updates, timing and errors.

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
use timing::*;
use updates::*;

fn main() -> ExitCode {
    // Some tests measure memory and count objects of the whole process.
    let mut suite = Suite::sequential();
    suite.add_all_on(
        ALL_EXECUTORS,
        named![
            nothing_is_created_after_the_session,
            memory_stays_flat,
            steps_in_flight_come_back_in_order,
            wrong_inputs_are_refused_by_name,
            calls_out_of_order_are_refused,
            invalid_labels_are_refused,
            invalid_computed_labels_give_nan,
            wrong_parameters_are_refused_by_name,
            plans_share_persistent_values,
            plans_with_different_shapes_of_a_value_are_refused,
            updates_in_place_and_by_copy_agree,
            old_values_are_read_before_the_update,
            a_value_can_be_updated_from_itself_twice,
            values_can_be_swapped_or_are_refused,
            a_view_of_an_updated_value_is_output_or_refused,
            views_can_be_outputs,
            an_input_can_be_an_output,
            a_value_can_be_output_twice,
            two_runs_are_bit_identical,
            leftover_memory_does_not_affect_a_plan,
            initial_values_depend_on_seed_and_name,
            each_group_is_timed,
            each_launch_is_profiled,
            a_plan_without_launches_can_be_timed,
            a_second_update_is_refused,
            one_launch_updates_all_small_parameters,
            plans_find_values_that_another_made_contiguous,
            plans_with_conflicting_layouts_are_rejected,
            plans_that_read_and_write_one_shared_buffer_are_rejected,
            dependent_launches_are_not_merged,
        ],
    );
    suite.run()
}
