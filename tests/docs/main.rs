//! README.md, ARCHITECTURE.md and docs/ are up to date: quoted output is what the program prints, commands and flags exist, and
//! links and file names resolve.

#[path = "../common/mod.rs"]
mod common;
mod markdown;
mod names;
#[path = "../common/program.rs"]
mod program;
mod quotes;

use common::{Named, Outcome, Suite};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    let pages = markdown::pages();
    suite.add("only_measured_numbers_of_a_quote_may_differ", quotes::rules);
    let tests: &Named<fn(&[markdown::Page]) -> Outcome> = &[
        ("every_block_is_of_a_known_kind", markdown::known_blocks),
        ("links_and_file_names_resolve", names::links),
        ("commands_exist", names::commands),
        ("flags_exist", names::flags),
        ("kernels_exist", names::kernels),
    ];
    for (name, test) in tests {
        let pages = pages.clone();
        suite.add(*name, move || test(&pages));
    }
    quotes::add(&mut suite, &pages);
    suite.run()
}
