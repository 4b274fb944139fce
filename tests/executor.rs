//! Sessions on every executor: what is created when, order, errors, and how weights live on.

mod common;

use common::*;
use std::process::ExitCode;
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op::*;
use striate::plan::Plan;
use striate::{Clock, Device, Error, Result, Session, Tensor, TensorType, Timing, ops};

/// Rows of a batch, their numbers, and classes.
const BATCH: usize = 8;
const WIDTH: usize = 12;
const CLASSES: usize = 5;

type Test = fn(&Device) -> Outcome;

/// Persistent values by name.
type State = Vec<(String, Tensor)>;

fn main() -> ExitCode {
    // Counts of what was created, and of memory, are the whole process's: one test at a time.
    let mut suite = Suite::alone();
    let tests: &[(&str, Test)] = &[
        ("nothing_is_created_after_the_session", nothing_is_created_after_the_session),
        ("memory_stays_flat", memory_stays_flat),
        ("steps_in_flight_come_back_in_order", steps_in_flight_come_back_in_order),
        ("wrong_inputs_are_refused_by_name", wrong_inputs_are_refused_by_name),
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
    ];
    for (name, test) in tests {
        suite.add(format!("{name}::reference"), || test(&Device::cpu_reference()));
        suite.add(format!("{name}::cpu"), || test(&Device::select("cpu").map_err(text)?));
        suite.add_gpu(format!("{name}::gpu"), test);
    }
    suite.run()
}

/// A step of training a classifier of one hidden layer with batch norm: everything that has state.
fn training(batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([batch, WIDTH]))?;
    let labels = graph.input("labels", TensorType::u32([batch]))?;
    let schedule = graph.input("schedule", TensorType::f32([3]))?;
    let one = graph.input("one", TensorType::f32([1]))?;
    let state = |graph: &mut Graph, name: &str, shape: &[usize], kind, init| {
        graph.persistent(name, TensorType::f32(shape), kind, init)
    };
    let (learned, ones) = (PersistentKind::Parameter, Init::Constant(1.0));
    let normal = Init::Normal { std: 0.3 };
    let w1 = state(&mut graph, "w1", &[16, WIDTH], learned, normal)?;
    let gamma = state(&mut graph, "gamma", &[16], learned, ones)?;
    let beta = state(&mut graph, "beta", &[16], learned, Init::Constant(0.0))?;
    let w2 = state(&mut graph, "w2", &[CLASSES, 16], learned, normal)?;
    let bias = state(&mut graph, "bias", &[CLASSES], learned, Init::Uniform { bound: 0.1 })?;
    let running = state(&mut graph, "running_mean", &[16], PersistentKind::Buffer, Init::Constant(0.0))?;

    let linear = Matmul { transpose_a: false, transpose_b: true };
    let h = graph.scoped("hidden", |g| g.apply(linear, &[x, w1]))?[0];
    let normed = graph.scoped("bn", |g| g.apply(BatchNorm::default(), &[h, gamma, beta]))?;
    let mean = graph.apply(Blend { keep: 0.9, take: 0.1 }, &[running, normed[1]])?[0];
    graph.update(running, mean)?;
    let h = graph.apply(Relu, &normed[..1])?[0];
    let logits = graph.scoped("fc", |g| g.apply(linear, &[h, w2, bias]))?[0];
    let loss = graph.apply(CrossEntropy::default(), &[logits, labels])?[0];
    graph.output("loss", loss);
    let parameters = graph.parameters();
    let gradients = graph.gradients(&[(loss, one)], &parameters)?;
    for (parameter, gradient) in parameters.into_iter().zip(gradients) {
        let gradient = gradient.expect("every parameter has influence");
        let name = format!("{}.velocity", graph.value(parameter).name);
        let shape = graph.shape(parameter).to_vec();
        let velocity = state(&mut graph, &name, &shape, PersistentKind::Optimizer, Init::Constant(0.0))?;
        let sgd = Sgd { momentum: 0.9, weight_decay: 1e-4, ..Default::default() };
        let stepped = graph.apply(sgd, &[parameter, gradient, velocity, schedule])?;
        graph.update(parameter, stepped[0])?;
        graph.update(velocity, stepped[1])?;
    }
    Ok(graph)
}

fn session(device: &Device, graphs: &[&Graph]) -> Result<Session> {
    let plans = graphs.iter().map(|g| Plan::new(g, device.target())).collect::<Result<Vec<_>>>()?;
    Session::new(device, plans)
}

/// Inputs of one training step.
struct Batch {
    x: Tensor,
    labels: Tensor,
    schedule: Tensor,
    one: Tensor,
}

impl Batch {
    fn new(rows: usize, seed: u64) -> Self {
        let mut rng = Random::new(seed);
        let (x, labels) = (rng.normal(&[rows, WIDTH]), rng.labels(rows, CLASSES));
        let schedule = Tensor::f32([3], vec![0.05, 1.0, 1.0]).unwrap();
        Self { x, labels, schedule, one: Tensor::f32([1], vec![1.0]).unwrap() }
    }

    fn feed(&self) -> [(&str, &[u8]); 4] {
        [
            ("x", self.x.as_bytes()),
            ("labels", self.labels.as_bytes()),
            ("schedule", self.schedule.as_bytes()),
            ("one", self.one.as_bytes()),
        ]
    }
}

fn nothing_is_created_after_the_session(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    session.initialize(1).map_err(text)?;
    let step = |session: &mut Session, i: u64| session.run(0, &Batch::new(BATCH, i).feed()).map(|_| ());
    let before = device.created();
    for i in 0..=20 {
        step(&mut session, i).map_err(text)?;
    }
    match device.created() - before {
        0 => Ok(()),
        more => Err(format!("{more} buffers, bind groups or pipelines were created in steps 1 to 21")),
    }
}

/// Resident memory of this process in KiB, where the system tells.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn memory_stays_flat(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    session.initialize(1).map_err(text)?;
    let batch = Batch::new(BATCH, 1);
    let mut after_ten = None;
    for step in 1..=1000 {
        session.run(0, &batch.feed()).map_err(text)?;
        if step == 10 {
            after_ten = resident();
        }
    }
    // 990 steps that leak a kilobyte each would show; allocators and drivers take some pages late.
    let slack = 900;
    match (after_ten, resident()) {
        (Some(early), Some(late)) if late - early > slack => Err(format!(
            "{early} KiB after step 10, {late} KiB after step 1,000: {} KiB more, where {slack} are allowed",
            late - early
        )),
        _ => Ok(()),
    }
}

fn steps_in_flight_come_back_in_order(device: &Device) -> Outcome {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([3])).map_err(text)?;
    let y = graph.apply(Add, &[x, x]).map_err(text)?[0];
    graph.output("y", y);
    let mut other = Graph::new();
    let x = other.input("x", TensorType::f32([3])).map_err(text)?;
    let y = other.apply(Relu, &[x]).map_err(text)?[0];
    other.output("y", y);
    let mut session = session(device, &[&graph, &other]).map_err(text)?;
    let mut answers = Vec::new();
    // More steps than there may be in flight, from both plans, some answers taken in between.
    for i in 0..23u32 {
        let x = Tensor::f32([3], vec![i as f32; 3]).unwrap();
        session.submit((i % 2) as usize, &[("x", x.as_bytes())]).map_err(text)?;
        if i % 7 == 6 {
            answers.extend(session.wait().map_err(text)?);
        }
        if i % 5 == 4 {
            answers.extend(session.poll().map_err(text)?);
        }
        let known = answers.len() + session.pending();
        if known != i as usize + 1 {
            return Err(format!("{known} steps are pending or answered, of {} submitted", i + 1));
        }
    }
    while let Some(outputs) = session.wait().map_err(text)? {
        answers.push(outputs);
    }
    if session.poll().map_err(text)?.is_some() || session.pending() != 0 {
        return Err("there are answers left after the last".into());
    }
    for (i, outputs) in answers.iter().enumerate() {
        let want = if i % 2 == 0 { 2.0 * i as f32 } else { i as f32 };
        if outputs.program != i % 2 || outputs.get("y").unwrap().as_f32() != [want; 3] {
            return Err(format!("answer {i} should be {want} of plan {}, found {outputs:?}", i % 2));
        }
    }
    if answers.len() == 23 { Ok(()) } else { Err(format!("23 steps, {} answers", answers.len())) }
}

/// Checks that an error names an argument.
fn names<T: std::fmt::Debug>(result: Result<T>, name: &str) -> Outcome {
    match result {
        Err(Error::Argument { name: found, .. }) if found == name => Ok(()),
        other => Err(format!("expected an error about {name:?}, found {other:?}")),
    }
}

fn wrong_inputs_are_refused_by_name(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    let batch = Batch::new(BATCH, 1);
    let mut feed = batch.feed();
    feed[0].1 = &feed[0].1[4..];
    names(session.run(0, &feed), "x")?;
    names(session.run(0, &batch.feed()[1..]), "x")?;
    let mut feed = batch.feed().to_vec();
    feed.push(("mask", batch.one.as_bytes()));
    names(session.run(0, &feed), "mask")?;
    names(session.time(0, &batch.feed()[..3]), "one")?;
    // A refused step leaves nothing behind.
    if session.pending() != 0 {
        return Err("a refused step is pending".into());
    }
    session.run(0, &batch.feed()).map(|_| ()).map_err(text)
}

fn wrong_parameters_are_refused_by_name(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    names(session.read("w3"), "w3")?;
    names(session.write("w3", &Tensor::zeros([1])), "w3")?;
    names(session.write("w1", &Tensor::zeros([16, WIDTH + 1])), "w1")?;
    names(session.write("bias", &Tensor::u32([CLASSES], vec![0; CLASSES]).unwrap()), "bias")?;
    let bias = Random::new(3).normal(&[CLASSES]);
    session.write("bias", &bias).map_err(text)?;
    compare("bias, written and read", &session.read("bias").map_err(text)?, &bias, 0.0, 0.0)?;
    let kept: Vec<String> = session.state_dict().map_err(text)?.into_iter().map(|(n, _)| n).collect();
    match kept == ["w1", "gamma", "beta", "w2", "bias", "running_mean"] {
        true => Ok(()),
        false => Err(format!("the state dict should be the model without its optimiser, found {kept:?}")),
    }
}

fn plans_share_what_persists(device: &Device) -> Outcome {
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
    // Large and small batches in turn, against the same with a session for each stretch.
    let both = run(&[&graphs[0], &graphs[1]], &[(0, 1), (1, 2), (0, 3)]).map_err(text)?;
    let mut last: Option<State> = None;
    for (graph, seed) in [(0, 1), (1, 2), (0, 3)] {
        let mut session = session(device, &[&graphs[graph]]).map_err(text)?;
        session.initialize(5).map_err(text)?;
        let Some(state) = &last else {
            session.run(0, &Batch::new(BATCH, seed).feed()).map_err(text)?;
            last = Some(everything(&mut session).map_err(text)?);
            continue;
        };
        for (name, tensor) in state {
            session.write(name, tensor).map_err(text)?;
        }
        let rows = session.plans()[0].inputs[0].ty.shape[0];
        session.run(0, &Batch::new(rows, seed).feed()).map_err(text)?;
        last = Some(everything(&mut session).map_err(text)?);
    }
    let last = last.expect("three steps were made");
    for (name, got) in &both {
        let want = &last.iter().find(|(n, _)| n == name).expect("the same names").1;
        compare(name, got, want, 0.0, 0.0)?;
    }
    Ok(())
}

/// Every persistent value, the optimiser's too.
fn everything(session: &mut Session) -> Result<State> {
    let names: Vec<String> = session.persistent().iter().map(|p| p.port.name.clone()).collect();
    names.into_iter().map(|n| Ok((n.clone(), session.read(&n)?))).collect()
}

fn plans_that_disagree_are_refused(device: &Device) -> Outcome {
    let graph = |len: usize| -> Result<Graph> {
        let mut graph = Graph::new();
        let w = state(&mut graph, "w", len)?;
        let y = graph.apply(Relu, &[w])?[0];
        graph.output("y", y);
        Ok(graph)
    };
    let (a, b) = (graph(3).map_err(text)?, graph(4).map_err(text)?);
    names(session(device, &[&a, &b]).map(|_| ()), "w")
}

/// A persistent value of zeros.
fn state(graph: &mut Graph, name: &str, len: usize) -> Result<ValueId> {
    graph.persistent(name, TensorType::f32([len]), PersistentKind::Parameter, Init::Constant(0.0))
}

fn numbers(values: &[f32]) -> Tensor {
    Tensor::f32([values.len()], values.to_vec()).unwrap()
}

/// Three steps of SGD with momentum, where the plan can work in place, where the old weights are wanted
/// later, and where the weights are read through a view.
fn updates_in_place_and_by_copy_agree(device: &Device) -> Outcome {
    let run = |way: usize| -> Result<(usize, Vec<Tensor>)> {
        let mut graph = Graph::new();
        let gradient = graph.input("gradient", TensorType::f32([300]))?;
        let schedule = graph.input("schedule", TensorType::f32([3]))?;
        let (w, v) = (state(&mut graph, "w", 300)?, state(&mut graph, "v", 300)?);
        if way == 2 {
            let view = graph.apply(Reshape { shape: vec![3, 100] }, &[w])?[0];
            let y = graph.apply(Relu, &[view])?[0];
            graph.output("y", y);
        }
        let sgd = Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true, lr_scale: 1.0 };
        let stepped = graph.apply(sgd, &[w, gradient, v, schedule])?;
        if way == 1 {
            let y = graph.apply(Relu, &[w])?[0];
            let z = graph.apply(Relu, &[v])?[0];
            graph.output("y", y);
            graph.output("z", z);
        }
        graph.update(w, stepped[0])?;
        graph.update(v, stepped[1])?;
        let mut session = session(device, &[&graph])?;
        let copies = session.plans()[0].launches.iter().filter(|l| l.kernel.name == "copy").count();
        let mut rng = Random::new(9);
        session.write("w", &rng.normal(&[300]))?;
        let schedule = numbers(&[0.1, 1.0, 1.0]);
        for _ in 0..3 {
            let gradient = rng.normal(&[300]);
            session.run(0, &[("gradient", gradient.as_bytes()), ("schedule", schedule.as_bytes())])?;
        }
        Ok((copies, vec![session.read("w")?, session.read("v")?]))
    };
    let (copies, in_place) = run(0).map_err(text)?;
    if copies != 0 {
        return Err(format!("an update in place took {copies} copies"));
    }
    for way in [1, 2] {
        let (copies, got) = run(way).map_err(text)?;
        if copies == 0 {
            return Err(format!("way {way}: the old contents are wanted, but there is no copy"));
        }
        compare_all(&format!("way {way}, seed 9"), &got, &in_place, 0.0, 0.0)?;
    }
    // And both are what the operation computes by itself.
    let mut rng = Random::new(9);
    let (mut w, mut v) = (rng.normal(&[300]), Tensor::zeros([300]));
    let sgd = Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true, lr_scale: 1.0 };
    for _ in 0..3 {
        (w, v) = ops::sgd(device, &w, &rng.normal(&[300]), &v, 0.1, sgd).map_err(text)?;
    }
    compare_all("single operations, seed 9", &[w, v], &in_place, 0.0, 0.0)
}

fn old_contents_are_read_before_the_update(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        let w = state(&mut graph, "w", 2)?;
        let more = graph.apply(Add, &[w, x])?[0];
        graph.update(w, more)?;
        let late = graph.apply(Add, &[w, w])?[0];
        graph.output("twice the old", late);
        graph.output("new", more);
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[1.0, 2.0]))?;
        let mut found = Vec::new();
        for _ in 0..2 {
            let outputs = session.run(0, &[("x", numbers(&[10.0, 20.0]).as_bytes())])?;
            found.extend(outputs.into_tensors().into_iter().flat_map(Tensor::into_f32));
        }
        found.extend(session.read("w")?.into_f32());
        Ok(found)
    };
    expect(run(), &[2.0, 4.0, 11.0, 22.0, 22.0, 44.0, 21.0, 42.0, 21.0, 42.0])
}

fn expect(found: Result<Vec<f32>>, want: &[f32]) -> Outcome {
    let found = found.map_err(text)?;
    if found == want { Ok(()) } else { Err(format!("expected {want:?}, found {found:?}")) }
}

/// keep * w + take * w: the kernel would read and write one buffer.
fn a_state_blended_with_itself(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let w = state(&mut graph, "w", 2)?;
        let half = graph.apply(Blend { keep: 0.25, take: 0.5 }, &[w, w])?[0];
        graph.update(w, half)?;
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[4.0, 8.0]))?;
        session.run(0, &[])?;
        Ok(session.read("w")?.into_f32())
    };
    expect(run(), &[3.0, 6.0])
}

/// Each of two states becomes the other, through views: one would be overwritten before it is read. The
/// right numbers would do as well as the refusal.
fn states_that_swap(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let (a, b) = (state(&mut graph, "a", 2)?, state(&mut graph, "b", 2)?);
        let view = |graph: &mut Graph, v| graph.apply(Reshape { shape: vec![2] }, &[v]).map(|v| v[0]);
        let (old_a, old_b) = (view(&mut graph, a)?, view(&mut graph, b)?);
        graph.update(a, old_b)?;
        graph.update(b, old_a)?;
        let mut session = session(device, &[&graph])?;
        session.write("a", &numbers(&[1.0, 2.0]))?;
        session.write("b", &numbers(&[3.0, 4.0]))?;
        session.run(0, &[])?;
        Ok([session.read("a")?.into_f32(), session.read("b")?.into_f32()].concat())
    };
    match run() {
        Err(Error::Argument { name, .. }) if name == "a" || name == "b" => Ok(()),
        found => expect(found, &[3.0, 4.0, 1.0, 2.0]),
    }
}

/// A view of a state as output would be read after the update. The old numbers would do as well as the
/// refusal.
fn a_view_of_a_state_as_output(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        let w = state(&mut graph, "w", 2)?;
        let view = graph.apply(Reshape { shape: vec![2, 1] }, &[w])?[0];
        graph.output("view", view);
        let more = graph.apply(Add, &[w, x])?[0];
        graph.update(w, more)?;
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[1.0, 2.0]))?;
        let outputs = session.run(0, &[("x", numbers(&[10.0, 20.0]).as_bytes())])?;
        let mut found = outputs.get("view").expect("the output").as_f32().to_vec();
        found.extend(session.read("w")?.into_f32());
        Ok(found)
    };
    match run() {
        Err(Error::Argument { name, .. }) if name == "view" => Ok(()),
        found => expect(found, &[1.0, 2.0, 11.0, 22.0]),
    }
}

fn outputs_that_are_views(device: &Device) -> Outcome {
    let run = || -> Result<Vec<(Vec<usize>, Vec<f32>)>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2, 3]))?;
        let y = graph.apply(Relu, &[x])?[0];
        let view = graph.apply(Reshape { shape: vec![6] }, &[y])?[0];
        let of_view = graph.apply(Reshape { shape: vec![3, 2] }, &[view])?[0];
        let sum = graph.apply(Add, &[of_view, of_view])?[0];
        let later = graph.apply(Add, &[sum, sum])?[0];
        for (name, value) in [("y", y), ("view", view), ("of view", of_view), ("later", later)] {
            graph.output(name, value);
        }
        let mut session = session(device, &[&graph])?;
        let x = Tensor::f32([2, 3], vec![-1.0, 2.0, -3.0, 4.0, 5.0, -6.0])?;
        let outputs = session.run(0, &[("x", x.as_bytes())])?;
        Ok(outputs.into_tensors().into_iter().map(|t| (t.shape().to_vec(), t.into_f32())).collect())
    };
    let relu = vec![0.0, 2.0, 0.0, 4.0, 5.0, 0.0];
    let want = vec![
        (vec![2, 3], relu.clone()),
        (vec![6], relu.clone()),
        (vec![3, 2], relu.clone()),
        (vec![3, 2], relu.iter().map(|v| 4.0 * v).collect()),
    ];
    let found = run().map_err(text)?;
    if found == want { Ok(()) } else { Err(format!("expected {want:?}, found {found:?}")) }
}

fn an_input_as_output(device: &Device) -> Outcome {
    let x = Random::new(4).normal(&[2, 3]);
    let outputs = ops::evaluate(device, &[&x], |graph, v| {
        Ok(vec![v[0], graph.apply(Reshape { shape: vec![3, 2] }, v)?[0]])
    })
    .map_err(text)?;
    compare("an input, seed 4", &outputs[0], &x, 0.0, 0.0)?;
    compare("its view, seed 4", &outputs[1], &Tensor::f32([3, 2], x.into_f32()).unwrap(), 0.0, 0.0)
}

fn one_value_under_two_names(device: &Device) -> Outcome {
    let x = Random::new(4).spaced(&[5], 0.1);
    let outputs = ops::evaluate(device, &[&x], |graph, v| {
        let y = graph.apply(Add, &[v[0], v[0]])?[0];
        Ok(vec![y, y])
    });
    let outputs = outputs.map_err(text)?;
    compare("the same value twice", &outputs[0], &outputs[1], 0.0, 0.0)
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

fn two_runs_are_bit_identical(device: &Device) -> Outcome {
    let [first, second] = [0; 2].map(|_| trained(device, 7));
    let (first, second) = (first.map_err(text)?, second.map_err(text)?);
    for ((name, a), (_, b)) in first.iter().zip(&second) {
        let differ = a.as_u32().iter().zip(b.as_u32()).filter(|(a, b)| a != b).count();
        if differ > 0 {
            return Err(format!("{name}: {differ} of {} numbers differ between two runs", a.len()));
        }
    }
    let other = trained(device, 8).map_err(text)?;
    if first[0].1 == other[0].1 { Err("another seed gives the same weights".into()) } else { Ok(()) }
}

/// Transient memory is shared between plans and steps: no kernel may rely on what it finds there.
fn a_plan_does_not_depend_on_what_ran_before(device: &Device) -> Outcome {
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
            session.run(1, &[("nan", nan.as_bytes())])?;
        }
        let mut rng = Random::new(6);
        let [x, w, g] = [&[2, 3, 9, 9], &[4, 3, 3, 3], &[2, 4, 4, 4]].map(|s| rng.normal(s));
        let outputs = session.run(0, &[("x", x.as_bytes()), ("w", w.as_bytes()), ("g", g.as_bytes())])?;
        let all: Vec<f32> = outputs.into_tensors().into_iter().flat_map(Tensor::into_f32).collect();
        Ok(numbers(&all))
    };
    let (clean, poisoned) = (run(false).map_err(text)?, run(true).map_err(text)?);
    compare("after a plan of NaN, seed 6", &poisoned, &clean, 0.0, 0.0)
}

fn initial_values_depend_on_seed_and_name(device: &Device) -> Outcome {
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
    let both = draw(&["a", "b"], 1).map_err(text)?;
    let other_order = draw(&["c", "b", "a"], 1).map_err(text)?;
    let other_seed = draw(&["a"], 2).map_err(text)?;
    let same = both[0] == other_order[2] && both[1] == other_order[1];
    match same && both[0] != both[1] && both[0] != other_seed[0] {
        true => Ok(()),
        false => Err("first contents should depend on the seed and the name, and on nothing else".into()),
    }
}

fn time_tells_each_group(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let run = |timed: bool| -> Result<(usize, Vec<Timing>, State)> {
        let mut session = session(device, &[&graph])?;
        session.initialize(3)?;
        let mut timings = Vec::new();
        for i in 0..3 {
            if timed {
                timings.push(session.time(0, &Batch::new(BATCH, i).feed())?);
            } else {
                session.run(0, &Batch::new(BATCH, i).feed())?;
            }
        }
        assert_eq!(session.pending(), 0);
        Ok((session.plans()[0].groups.len(), timings, everything(&mut session)?))
    };
    let (groups, timings, state) = run(true).map_err(text)?;
    for timing in &timings {
        let plausible = |s: &f64| s.is_finite() && (0.0..10.0).contains(s);
        if timing.seconds.len() != groups || !timing.seconds.iter().all(plausible) {
            return Err(format!("expected {groups} times between 0 and 10 s, found {timing:?}"));
        }
        if timing.seconds.iter().sum::<f64>() <= 0.0 {
            return Err(format!("a step took no time at all: {timing:?}"));
        }
        if !device.is_gpu() && timing.clock != Clock::Wall {
            return Err(format!("the CPU has no {:?}", timing.clock));
        }
    }
    // A timed step is a step like any other.
    let (_, _, untimed) = run(false).map_err(text)?;
    for ((name, got), (_, want)) in state.iter().zip(&untimed) {
        compare(name, got, want, 0.0, 0.0)?;
    }
    Ok(())
}

fn profile_tells_each_launch(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    session.initialize(3).map_err(text)?;
    let profile = session.profile(0, &Batch::new(BATCH, 0).feed()).map_err(text)?;
    assert_eq!(profile.spans.len(), session.plans()[0].launches.len());
    assert_eq!(profile.spans[0][0], 0.0);
    let plausible = |[start, end]: &[f64; 2]| 0.0 <= *start && start <= end && *end < 10.0;
    // A GPU may start a launch before the one before it has ended.
    let one_by_one = device.is_gpu() || profile.spans.as_flattened().is_sorted();
    if !profile.spans.iter().all(plausible) || !one_by_one {
        return Err(format!("launches should come one after another, found {:?}", profile.spans));
    }
    let host: Vec<f64> = profile.host.iter().flat_map(|span| [span.start, span.end]).collect();
    match host.is_sorted() && host.len() >= 4 {
        true => Ok(()),
        false => Err(format!("the host does one thing after another, but did {:?}", profile.host)),
    }
}

fn time_of_a_plan_without_launches(device: &Device) -> Outcome {
    let run = || -> Result<(Timing, Tensor)> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        graph.output("x", x);
        let mut session = session(device, &[&graph])?;
        let feed = [1.0f32, 2.0];
        let feed = [("x", bytemuck::cast_slice(&feed))];
        let timing = session.time(0, &feed)?;
        Ok((timing, session.run(0, &feed)?.into_tensors().remove(0)))
    };
    let (timing, x) = run().map_err(text)?;
    match timing.seconds.is_empty() && x.as_f32() == [1.0, 2.0] {
        true => Ok(()),
        false => Err(format!("expected no times and the input, found {timing:?} and {x:?}")),
    }
}

fn a_second_update_is_refused(_: &Device) -> Outcome {
    let mut graph = Graph::new();
    let zero = Init::Constant(0.0);
    let mut state = |name| graph.persistent(name, TensorType::f32([1]), PersistentKind::Buffer, zero);
    let (a, b) = (state("a").map_err(text)?, state("b").map_err(text)?);
    graph.update(a, b).map_err(text)?;
    match graph.update(a, a) {
        Err(Error::Argument { name, problem }) if name == "a" && problem.contains("already") => {}
        other => return Err(format!("expected an error that names the state, found {other:?}")),
    }
    match graph.updates() == [(a, b)] {
        true => Ok(()),
        false => Err(format!("the first update should stand, found {:?}", graph.updates())),
    }
}
