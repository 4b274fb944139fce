//! Several plans in one session, and what results depend on.

use crate::common::*;
use crate::support::*;
use striate::graph::{Graph, Init, PersistentKind};
use striate::op::*;
use striate::{Device, Result, Tensor, TensorType};

pub fn plans_share_persistent_values(device: &Device) -> Outcome {
    let graphs = [BATCH, 3].map(|batch| training(batch).expect("a graph"));
    let run = |graphs: &[&Graph], steps: &[(usize, u64)]| -> Result<State> {
        let mut session = session(device, graphs)?;
        session.initialize(5)?;
        for &(program, seed) in steps {
            let rows = session.plans()[program].inputs[0].ty.shape[0];
            session.run(program, &Batch::new(rows, seed).feed())?;
        }
        session.state_dict()
    };
    // Large and small batches in turn, compared with the same steps in separate sessions.
    let both = run(&[&graphs[0], &graphs[1]], &[(0, 1), (1, 2), (0, 3)])?;
    let mut last: Option<State> = None;
    for (graph, seed) in [(0, 1), (1, 2), (0, 3)] {
        let mut session = session(device, &[&graphs[graph]])?;
        session.initialize(5)?;
        let Some(state) = &last else {
            session.run(0, &Batch::new(BATCH, seed).feed())?;
            last = Some(everything(&mut session)?);
            continue;
        };
        for (name, tensor) in state {
            session.write(name, tensor)?;
        }
        let rows = session.plans()[0].inputs[0].ty.shape[0];
        session.run(0, &Batch::new(rows, seed).feed())?;
        last = Some(everything(&mut session)?);
    }
    let last = last.expect("there were three steps");
    for (name, got) in &both {
        let want = &last.iter().find(|(n, _)| n == name).expect("the same names").1;
        compare(name, got, want, 0.0, 0.0)?;
    }
    Ok(())
}

pub fn plans_with_different_shapes_of_a_value_are_refused(device: &Device) -> Outcome {
    let graph = |len: usize| -> Result<Graph> {
        let mut graph = Graph::new();
        let w = state(&mut graph, "w", len)?;
        let y = graph.apply(Relu, &[w])?[0];
        graph.output("y", y);
        Ok(graph)
    };
    let (a, b) = (graph(3)?, graph(4)?);
    names(session(device, &[&a, &b]).map(|_| ()), "w")
}

/// State after ten steps.
fn trained(device: &Device, seed: u64) -> Result<State> {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    session.initialize(seed)?;
    for i in 0..10 {
        session.submit(0, &Batch::new(BATCH, i).feed())?;
    }
    while session.wait()?.is_some() {}
    everything(&mut session)
}

pub fn two_runs_are_bit_identical(device: &Device) -> Outcome {
    let [first, second] = [0; 2].map(|_| trained(device, 7));
    let (first, second) = (first?, second?);
    for ((name, a), (_, b)) in first.iter().zip(&second) {
        let differ = a.as_u32().iter().zip(b.as_u32()).filter(|(a, b)| a != b).count();
        if differ > 0 {
            return Err(format!("{name}: {differ} of {} elements differ between two runs", a.len()).into());
        }
    }
    let other = trained(device, 8)?;
    if first[0].1 == other[0].1 { Err("another seed gives the same weights".into()) } else { Ok(()) }
}

/// Transient memory is shared between plans and steps: no kernel may rely on its contents.
pub fn leftover_memory_does_not_affect_a_plan(device: &Device) -> Outcome {
    let run = |poisoned: bool| -> Result<Tensor> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2, 3, 9, 9]))?;
        let w = graph.input("w", TensorType::f32([4, 3, 3, 3]))?;
        let g = graph.input("g", TensorType::f32([2, 4, 4, 4]))?;
        let conv = Conv2d { padding: [1, 1], ..Default::default() };
        let y = graph.apply(conv, &[x, w])?[0];
        let y = graph.apply(MaxPool2d::default(), &[y])?[0];
        let gradients = graph.gradients(&[(y, g)], &[x, w])?;
        for (i, gradient) in gradients.into_iter().enumerate() {
            graph.output(&format!("gradient {i}"), gradient.expect("both have influence"));
        }
        let mut poison = Graph::new();
        let nan = poison.input("nan", TensorType::f32([70_000]))?;
        let mut v = poison.apply(Add, &[nan, nan])?[0];
        for i in 0..12 {
            v = poison.apply(Add, &[v, nan])?[0];
            poison.output(&i.to_string(), v);
        }
        let mut session = session(device, &[&graph, &poison])?;
        if poisoned {
            let nan = numbers(&vec![f32::NAN; 70_000]);
            session.run(1, &[("nan", (&nan).into())])?;
        }
        let mut rng = Random::new(6);
        let [x, w, g] = [&[2, 3, 9, 9], &[4, 3, 3, 3], &[2, 4, 4, 4]].map(|s| rng.normal(s));
        let outputs = session.run(0, &[("x", (&x).into()), ("w", (&w).into()), ("g", (&g).into())])?;
        let all: Vec<f32> = outputs.into_tensors().into_iter().flat_map(Tensor::into_f32).collect();
        Ok(numbers(&all))
    };
    let (clean, poisoned) = (run(false)?, run(true)?);
    compare("after a plan of NaN, seed 6", &poisoned, &clean, 0.0, 0.0)
}

pub fn initial_values_depend_on_seed_and_name(device: &Device) -> Outcome {
    let draw = |names: &[&str], seed: u64| -> Result<Vec<Tensor>> {
        let mut graph = Graph::new();
        for name in names {
            let init = Init::Normal { std: 1.0 };
            let w = graph.persistent(name, TensorType::f32([40]), PersistentKind::Parameter, init)?;
            let y = graph.apply(Relu, &[w])?[0];
            graph.output(name, y);
        }
        let mut session = session(device, &[&graph])?;
        session.initialize(seed)?;
        names.iter().map(|n| session.read(n)).collect()
    };
    let both = draw(&["a", "b"], 1)?;
    let other_order = draw(&["c", "b", "a"], 1)?;
    let other_seed = draw(&["a"], 2)?;
    let same = both[0] == other_order[2] && both[1] == other_order[1];
    assert!(
        same && both[0] != both[1] && both[0] != other_seed[0],
        "initial values should depend on the seed and the name only"
    );
    Ok(())
}
