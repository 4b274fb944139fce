//! Sequences of steps: what they allocate and return, and errors.

use crate::common::*;
use crate::support::*;
use striate::graph::Graph;
use striate::op::*;
use striate::{Device, Error, Input, Tensor, TensorType, eager};

pub fn nothing_is_created_after_the_session(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    session.initialize(1)?;
    let before = device.created();
    for i in 0..=20 {
        session.run(0, &Batch::new(BATCH, i).feed())?;
    }
    let more = device.created() - before;
    assert_eq!(more, 0, "{more} buffers, bind groups or pipelines were created in steps 1 to 21");
    Ok(())
}

/// Resident memory of this process in KiB, on Linux.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

pub fn memory_stays_flat(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    session.initialize(1)?;
    let batch = Batch::new(BATCH, 1);
    let mut after_ten = None;
    for step in 1..=1000 {
        session.run(0, &batch.feed())?;
        if step == 10 {
            after_ten = resident();
        }
    }
    // A leak of a kilobyte per step would show; allocators and drivers take some pages late.
    let slack = 900;
    match (after_ten, resident()) {
        (Some(early), Some(late)) if late - early > slack => Err(format!(
            "{early} KiB after step 10, {late} KiB after step 1,000: {} KiB more, where {slack} are allowed",
            late - early
        )
        .into()),
        _ => Ok(()),
    }
}

pub fn steps_in_flight_come_back_in_order(device: &Device) -> Outcome {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([3]))?;
    let y = graph.apply(Add, &[x, x])?[0];
    graph.output("y", y);
    let mut other = Graph::new();
    let x = other.input("x", TensorType::f32([3]))?;
    let y = other.apply(Relu, &[x])?[0];
    other.output("y", y);
    let mut session = session(device, &[&graph, &other])?;
    let mut results = Vec::new();
    // More steps than can be in flight, of both plans, with some results received in between.
    for i in 0..23u32 {
        let x = Tensor::f32([3], vec![i as f32; 3]).unwrap();
        session.submit((i % 2) as usize, &[("x", (&x).into())])?;
        if i % 7 == 6 {
            results.extend(session.wait()?);
        }
        if i % 5 == 4 {
            results.extend(session.poll()?);
        }
        let known = results.len() + session.pending();
        if known != i as usize + 1 {
            return Err(format!("{known} steps are pending or done, of {} submitted", i + 1).into());
        }
    }
    while let Some(outputs) = session.wait()? {
        results.push(outputs);
    }
    if session.poll()?.is_some() || session.pending() != 0 {
        return Err("there are results after the last step".into());
    }
    for (i, outputs) in results.iter().enumerate() {
        let want = if i % 2 == 0 { 2.0 * i as f32 } else { i as f32 };
        if outputs.program != i % 2 || outputs.get("y").unwrap().as_f32() != [want; 3] {
            return Err(format!("result {i} should be {want} of plan {}, found {outputs:?}", i % 2).into());
        }
    }
    assert!(results.len() == 23, "23 steps, {} results", results.len());
    Ok(())
}

pub fn wrong_inputs_are_refused_by_name(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    let batch = Batch::new(BATCH, 1);
    let mut feed = batch.feed();
    let short = &batch.x.as_f32()[1..];
    let transposed = batch.x.clone().reshape([WIDTH, BATCH])?;
    let words: Vec<f32> = batch.labels.as_u32().iter().map(|label| *label as f32).collect();
    let beyond = [vec![0; BATCH - 1], vec![CLASSES as u32]].concat();
    let negative = [vec![-100i32 as u32], vec![0; BATCH - 1]].concat();
    for (index, name, wrong) in [
        (0, "x", Input::from(short)),
        (0, "x", (&transposed).into()),
        (1, "labels", (&words).into()),
        (1, "labels", (&beyond).into()),
        (1, "labels", (&negative).into()),
    ] {
        feed[index].1 = wrong;
        names(session.run(0, &feed), name)?;
        names(session.time(0, &feed), name)?;
        feed[index] = batch.feed()[index];
    }
    names(session.run(0, &batch.feed()[1..]), "x")?;
    let mut feed = batch.feed().to_vec();
    feed.push(("mask", (&batch.one).into()));
    names(session.run(0, &feed), "mask")?;
    names(session.time(0, &batch.feed()[..3]), "one")?;
    // A refused step leaves nothing behind.
    if session.pending() != 0 {
        return Err("a refused step is pending".into());
    }
    session.run(0, &batch.feed())?;
    Ok(())
}

/// Calls with steps in flight, and for a plan that does not exist.
pub fn calls_out_of_order_are_refused(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    let batch = Batch::new(BATCH, 1);
    session.submit(0, &batch.feed())?;
    names(session.run(0, &batch.feed()), "session")?;
    names(session.time(0, &batch.feed()), "session")?;
    names(session.profile(0, &batch.feed()), "session")?;
    session.drain()?;
    names(session.submit(1, &batch.feed()), "program")?;
    names(session.run(1, &batch.feed()), "program")?;
    names(session.time(1, &batch.feed()), "program")?;
    assert_eq!(session.pending(), 0, "a refused or drained step is pending");
    assert!(session.wait()?.is_none(), "a refused or drained step has a result");
    session.run(0, &batch.feed())?;
    Ok(())
}

pub fn wrong_parameters_are_refused_by_name(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    names(session.read("w3"), "w3")?;
    names(session.write("w3", &Tensor::zeros([1])), "w3")?;
    names(session.write("w1", &Tensor::zeros([16, WIDTH + 1])), "w1")?;
    names(session.write("bias", &Tensor::u32([CLASSES], vec![0; CLASSES]).unwrap()), "bias")?;
    let bias = Random::new(3).normal(&[CLASSES]);
    session.write("bias", &bias)?;
    compare("bias, written and read", &session.read("bias")?, &bias, 0.0, 0.0)?;
    let kept: Vec<String> = session.state_dict()?.into_iter().map(|(n, _)| n).collect();
    match kept == ["w1", "gamma", "beta", "w2", "bias", "running_mean"] {
        true => Ok(()),
        false => {
            Err(format!("the state dict should be the model without its optimizer, found {kept:?}").into())
        }
    }
}

pub fn invalid_labels_are_refused(device: &Device) -> Outcome {
    let mut rng = Random::new(4);
    let (logits, upstream) = (rng.normal(&[3, 5]), rng.normal(&[1]));
    for (labels, ignore_index, right) in [
        (vec![0, 4, 2], None, true),
        (vec![0, 5, 2], None, false),
        (vec![0, -100i32 as u32, 2], None, false),
        (vec![0, -100i32 as u32, 2], Some(-100i32 as u32), true),
        (vec![0, 5, 2], Some(255), false),
    ] {
        let labels = Tensor::u32([3], labels)?;
        let (loss, top) = (
            CrossEntropy { ignore_index, ..Default::default() },
            TopK { ignore_index, ..Default::default() },
        );
        let inputs = [&logits, &labels];
        let gradients = eager::gradients(device, loss, &inputs, &upstream)
            .map(|mut all| all.remove(0).into_iter().collect());
        for result in [eager::apply(device, loss, &inputs), eager::apply(device, top, &inputs), gradients] {
            let found = format!("{:?} with {ignore_index:?} gave {result:?}", labels.as_u32());
            match result {
                Ok(values) if right && values.iter().all(|t| t.as_f32().iter().all(|v| v.is_finite())) => {}
                Err(Error::Argument { .. }) if !right => {}
                _ => return Err(found.into()),
            }
        }
    }
    Ok(())
}

/// Labels computed within a step cannot be checked in advance: the loss of such a row is NaN on every device.
pub fn invalid_computed_labels_give_nan(device: &Device) -> Outcome {
    let mut rng = Random::new(4);
    let x = Tensor::f32([1, 1, 4, 4], (0..16).map(|i| i as f32).collect())?;
    let (logits, upstream) = (rng.normal(&[4, 10]), rng.normal(&[4]));
    let outputs = eager::evaluate(device, &[&x, &logits, &upstream], |graph, values| {
        // The last pixel of each window of 2 x 2 is the largest: pixels 5, 7, 13 and 15.
        let pool = MaxPool2d { kernel_size: [2, 2], ..Default::default() };
        let positions = graph.apply(pool, &values[..1])?[1];
        let labels = graph.apply(Reshape { shape: vec![4] }, &[positions])?[0];
        let loss = CrossEntropy { reduction: Reduction::None, ..Default::default() };
        let losses = graph.apply(loss, &[values[1], labels])?[0];
        let gradient = graph.gradients(&[(losses, values[2])], &values[1..2])?[0];
        let right = graph.apply(TopK { k: 10, ..Default::default() }, &[values[1], labels])?[0];
        Ok(vec![losses, gradient.expect("the loss depends on logits"), right])
    });
    let outputs = outputs?;
    let nan: Vec<bool> = outputs[0].as_f32().iter().map(|v| v.is_nan()).collect();
    let rows = outputs[1].as_f32().chunks(10);
    let nan_rows: Vec<bool> = rows.map(|row| row.iter().all(|v| v.is_nan())).collect();
    match (&nan[..], &nan_rows[..], outputs[2].as_f32()) {
        ([false, false, true, true], [false, false, true, true], [2.0]) => Ok(()),
        _ => Err(format!("{outputs:?}").into()),
    }
}
