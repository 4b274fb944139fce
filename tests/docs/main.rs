//! README, docs/ and ARCHITECTURE.md are true: outputs that they quote are what the program prints, their commands
//! and flags exist, and their links and file names lead somewhere.

#[path = "../common/mod.rs"]
mod common;
mod markdown;
mod names;
mod quotes;

use common::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    let pages = markdown::pages();
    suite.add("a_quote_matches_what_differs_only_in_measured_numbers", quotes::rules);
    suite.add("every_block_is_of_a_known_kind", {
        let pages = pages.clone();
        move || markdown::known_blocks(&pages)
    });
    for (name, test) in [
        ("links_and_file_names_lead_somewhere", names::links as fn(&[markdown::Page]) -> common::Outcome),
        ("commands_are_understood", names::commands),
        ("flags_exist", names::flags),
        ("kernels_exist", names::kernels),
    ] {
        let pages = pages.clone();
        suite.add(name, move || test(&pages));
    }
    quotes::add(&mut suite, &pages);
    suite.run()
}
