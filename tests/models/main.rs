//! Named networks: counts and names against torchvision, results against PyTorch, and agreement between executors.

mod agreement;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod steps;
mod weights;

fn main() -> std::process::ExitCode {
    let mut suite = common::Suite::new();
    counts::add(&mut suite);
    weights::add(&mut suite);
    steps::add(&mut suite);
    agreement::add(&mut suite);
    suite.run()
}
