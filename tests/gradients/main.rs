//! Gradients against central differences. Each operation is tested inside a graph, between other operations and with a
//! random upstream gradient. Also graphs with branches that join again.

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
use striate::Device;
use striate::op::Op;
use striate::plan::{Algorithm, Family, Target};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let cases: Vec<Arc<Case>> = operations().into_iter().chain(graphs()).map(Arc::new).collect();
    for case in &cases {
        let own = case.clone();
        suite.add(format!("{}::reference", case.name), move || own.check(&Device::cpu_reference()));
        let own = case.clone();
        suite.add(format!("{}::cpu", case.name), move || own.check(&Device::select("cpu").map_err(text)?));
        let own = case.clone();
        suite.add_gpu(format!("{}::gpu", case.name), move |gpu| own.check(gpu));
        if case.name.starts_with("conv2d") {
            let ways = [Algorithm::Direct, Algorithm::Winograd].into_iter();
            for conv in ways.filter(|conv| case.can(&Target::baseline(Family::Gpu).with_convolutions(*conv)))
            {
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
