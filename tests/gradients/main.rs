//! Gradients against central differences: of each operation, inside a graph with a random upstream gradient, and of graphs with
//! branches that join again.

#[path = "../common/mod.rs"]
mod common;

mod case;
mod graphs;
mod operations;
mod rules;

use case::Case;
use common::*;
use graphs::graphs;
use operations::operations;
use rules::rules;
use std::process::ExitCode;
use std::sync::Arc;
use striate::op::Op;
use striate::plan::{Algorithm, Family, Target};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let cases: Vec<Arc<Case>> = operations().into_iter().chain(graphs()).map(Arc::new).collect();
    for case in &cases {
        let own = case.clone();
        suite.add_on(ALL_EXECUTORS, &case.name, move |device| own.check(device));
        if case.name.starts_with("conv2d") {
            let plans =
                |conv: &Algorithm| case.plans_for(&Target::baseline(Family::Gpu).with_convolutions(*conv));
            for conv in [Algorithm::Direct, Algorithm::Winograd].into_iter().filter(plans) {
                let own = case.clone();
                suite.add_gpu(format!("{}::gpu_{}", case.name, conv.name()), move |gpu| {
                    let target = gpu.target().clone().with_convolutions(conv);
                    own.check(&gpu.clone().with_target(target))
                });
            }
        }
    }
    let covered = cases.iter().filter_map(|case| case.op.as_ref()).map(Op::variant).collect();
    rules(&mut suite, covered);
    suite.run()
}
