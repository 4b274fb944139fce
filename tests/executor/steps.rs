//! Steps one after another: what they create, take and return, and what is refused.

use crate::common::*;
use crate::support::*;
use striate::graph::Graph;
use striate::op::*;
use striate::{Device, Session, Tensor, TensorType};

pub fn nothing_is_created_after_the_session(device: &Device) -> Outcome {
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

pub fn memory_stays_flat(device: &Device) -> Outcome {
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

pub fn steps_in_flight_come_back_in_order(device: &Device) -> Outcome {
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

pub fn wrong_inputs_are_refused_by_name(device: &Device) -> Outcome {
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

/// With steps in flight, and of plans that are not there.
pub fn calls_out_of_order_are_refused(device: &Device) -> Outcome {
    let graph = training(BATCH).map_err(text)?;
    let mut session = session(device, &[&graph]).map_err(text)?;
    let batch = Batch::new(BATCH, 1);
    session.submit(0, &batch.feed()).map_err(text)?;
    names(session.run(0, &batch.feed()), "session")?;
    names(session.time(0, &batch.feed()), "session")?;
    names(session.profile(0, &batch.feed()), "session")?;
    session.drain().map_err(text)?;
    names(session.submit(1, &batch.feed()), "program")?;
    names(session.run(1, &batch.feed()), "program")?;
    names(session.time(1, &batch.feed()), "program")?;
    match (session.pending(), session.wait().map_err(text)?) {
        (0, None) => session.run(0, &batch.feed()).map(|_| ()).map_err(text),
        other => Err(format!("what was refused, or drained, left {other:?}")),
    }
}

pub fn wrong_parameters_are_refused_by_name(device: &Device) -> Outcome {
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
