//! Runs plans in headless Chromium with WebGPU and compares them with the CPU executor. Ignored without Chromium.

#[path = "../../tests/common/browser.rs"]
mod browser;
#[path = "../../tests/common/mod.rs"]
mod common;
mod explained;
mod files;
#[path = "../../tests/common/program.rs"]
mod program;
mod training_page;
#[path = "../../tests/common/webgpu.rs"]
mod webgpu;

use browser::Browser;
use common::{Named, Outcome, Suite, named};
use serde_json::{Value, json};
use std::process::ExitCode;
use striate::graph::Graph;
use striate::infer::inference_graph;
use striate::nn::{Builder, Optimizer};
use striate::plan::{Family, Plan, PlanFile, Target};
use striate::train::{Recipe, training_graph};
use striate::{Device, Session, data, models};

/// The scripts under test, then a function for tests to read files with.
const SCRIPTS: &[&str] = &[
    include_str!("../random.js"),
    include_str!("../safetensors.js"),
    include_str!("../executor.js"),
    include_str!("../explain.js"),
    r#"
const buffer = async name => (await fetch(name)).arrayBuffer();
const floats = async name => new Float32Array(await buffer(name));
const words = async name => new Uint32Array(await buffer(name));
const opened = async () => Executor.create(await requestDevice(), await (await fetch("plans")).json());
const message = async action => { try { await action(); return "no error"; } catch (e) { return e.message; } };
"#,
];

/// Runs the body of an asynchronous function after the scripts, and returns what it returns.
fn run(browser: &Browser, body: &str, files: &[(&str, Vec<u8>)]) -> Value {
    let page = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><script>{}
(async () => {{ {body} }})().catch(e => \"failed: \" + e.stack)
  .then(report => fetch(\"/\", {{ method: \"POST\", body: JSON.stringify(report) }}));</script>",
        SCRIPTS.concat().replace("</script>", "<\\/script>")
    );
    let report = webgpu::report(browser, &page, files);
    serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {report}"))
}

/// A plan for browsers as a file.
fn plan_file(graph: &Graph, family: Family) -> Result<Vec<u8>, striate::Error> {
    let target = Target::browser(family);
    let plans = vec![("step".to_owned(), Plan::new(graph, &target)?)];
    Ok(PlanFile { plans, subgroup: target.subgroup }.to_json()?.into_bytes())
}

/// A session on the CPU with initial weights of seed 1.
fn on_the_cpu(graph: &Graph) -> Result<Session, striate::Error> {
    let device = Device::select("cpu")?;
    let mut session = Session::new(&device, vec![Plan::new(graph, device.target())?])?;
    session.initialize(1)?;
    Ok(session)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter().map(|n| n.as_f64().unwrap()).collect()
}

fn logits_are_those_of_the_cpu(browser: &Browser) -> Outcome {
    for (name, shape, family) in [
        ("lenet", [3, 1, 28, 28], Family::Software),
        ("resnet8", [3, 1, 28, 28], Family::Software),
        ("resnet8", [3, 1, 28, 28], Family::Gpu),
        ("resnet20-a", [2, 3, 32, 32], Family::Software),
        ("googlenet-original", [1, 3, 64, 64], Family::Software),
    ] {
        let model = models::by_name(name, shape[1], 10)?;
        let graph = inference_graph(&*model, shape)?;
        let images = common::Random::new(7).uniform(&shape, -1.0, 1.0);
        let mut session = on_the_cpu(&graph)?;
        let outputs = session.run(0, &[(Builder::IMAGES, (&images).into())])?;
        let expected = outputs.get(Builder::LOGITS).expect("inference graphs have logits").as_f32().to_vec();
        let body = "
            const executor = await opened();
            executor.initialize(1);
            const images = await floats('images');
            const { logits } = await executor.run('step', { images });
            const again = (await executor.run('step', { images })).logits;
            return { logits: [...logits], same: logits.every((value, i) => value === again[i]) };";
        let report =
            run(browser, body, &[("plans", plan_file(&graph, family)?), ("images", bytes(images.as_f32()))]);
        if report["same"] != json!(true) {
            return Err(format!("{name}: {report}").into());
        }
        let largest = expected.iter().fold(0f64, |largest, value| largest.max(f64::from(value.abs())));
        for (found, expected) in numbers(&report["logits"]).iter().zip(&expected) {
            let difference = (found - f64::from(*expected)).abs() / largest;
            if difference.is_nan() || difference > 1e-5 {
                return Err(format!("{name}: {found} instead of {expected}").into());
            }
        }
    }
    Ok(())
}

fn training_is_that_of_the_cpu(browser: &Browser) -> Outcome {
    trains_as_the_cpu(browser, Family::Software, 20)?;
    // The kernels for GPUs are slow on software.
    trains_as_the_cpu(browser, Family::Gpu, 3)
}

fn trains_as_the_cpu(browser: &Browser, family: Family, steps: usize) -> Outcome {
    let batch = 16;
    let model = models::by_name("resnet8", 1, 10)?;
    let recipe = Recipe::default();
    let graph = training_graph(&*model, [batch, 1, 28, 28], &recipe)?;
    let data = data::open("fashion-mnist", None, None)?.train;
    let normalization = data::Preprocessing::named("fashion-mnist")?.normalization;
    let all = striate::interpret::Images::from_dataset(&data, &normalization, batch * steps);
    let labels = all.labels.as_ref().expect("the images have labels");
    let labels: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
    let mut session = on_the_cpu(&graph)?;
    let schedule = recipe.optimizer.schedule(0.05, 0);
    let mut expected = Vec::new();
    for (images, labels) in all.values.chunks(batch * 784).zip(labels.chunks(batch)) {
        let outputs = session.run(
            0,
            &[
                (Builder::IMAGES, images.into()),
                (Recipe::LABELS, labels.into()),
                (Optimizer::SCHEDULE, (&schedule).into()),
            ],
        )?;
        expected.push(f64::from(outputs.scalar(Recipe::LOSS).expect("training graphs have a loss")));
    }
    let body = "
        const executor = await opened();
        const [images, labels] = [await floats('images'), await words('labels')];
        const schedule = new Float32Array([0.05, 1, 1]);
        const train = async () => {
          executor.initialize(1);
          const losses = [], batch = 16;
          for (let at = 0; at < labels.length; at += batch) {
            const inputs = { images: images.slice(784 * at, 784 * (at + batch)), labels: labels.slice(at, at + batch), schedule };
            losses.push((await executor.run('step', inputs)).loss[0]);
          }
          const weights = await executor.readPersistent();
          return { losses, weights };
        };
        const [first, second] = [await train(), await train()];
        const same = Object.entries(first.weights).every(([name, values]) => values.every((value, i) => value === second.weights[name][i]));
        return { losses: first.losses, same };";
    let files = [
        ("plans", plan_file(&graph, family)?),
        ("images", bytes(&all.values)),
        ("labels", bytemuck::cast_slice(&labels).to_vec()),
    ];
    let report = run(browser, body, &files);
    let losses = numbers(&report["losses"]);
    let far = losses.iter().zip(&expected).any(|(found, expected)| {
        let difference = (found - expected).abs() / expected;
        difference.is_nan() || difference > 1e-3
    });
    if far || losses.len() != steps || report["same"] != json!(true) {
        return Err(format!("{report}, expected {expected:?}").into());
    }
    Ok(())
}

/// `Session::initialize`, read back from the browser as safetensors.
fn initial_weights_are_those_of_sessions(browser: &Browser) -> Outcome {
    let graph = inference_graph(&*models::by_name("lenet", 1, 10)?, [1, 1, 28, 28])?;
    let body = "
        const executor = await opened();
        executor.initialize(1);
        const values = await executor.readPersistent();
        const tensors = executor.persistent.map(({ name, ty }) => ({ name, shape: ty.shape, data: values[name] }));
        const file = writeSafetensors(tensors, { model: 'lenet' });
        const again = readSafetensors(file.buffer);
        const same = tensors.every(({ name, data }) => again.tensors.get(name).data.every((value, i) => value === data[i]));
        return { same, metadata: again.metadata, file: [...file] };";
    let report = run(browser, body, &[("plans", plan_file(&graph, Family::Software)?)]);
    let file: Vec<u8> = numbers(&report["file"]).iter().map(|byte| *byte as u8).collect();
    let path = tempfile::tempdir()?;
    let path = path.path().join("weights.safetensors");
    std::fs::write(&path, file)?;
    let read = striate::weights::Weights::read(&path)?;
    let mut session = on_the_cpu(&graph)?;
    for (name, expected) in session.state_dict()? {
        let found = read.get(&name).ok_or_else(|| format!("{name} is missing"))?;
        // Logarithm and cosine may round differently.
        let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-6 * b.abs();
        if found.shape() != expected.shape() || found.as_f32().iter().zip(expected.as_f32()).any(far) {
            return Err(format!("{name} differs").into());
        }
    }
    let expected = json!({ "same": true, "metadata": { "model": "lenet" } });
    let found = json!({ "same": report["same"], "metadata": report["metadata"] });
    if found == expected { Ok(()) } else { Err(found.to_string().into()) }
}

fn mistakes_are_errors_that_name_them(browser: &Browser) -> Outcome {
    let graph = inference_graph(&*models::by_name("lenet", 1, 10)?, [1, 1, 28, 28])?;
    let body = "
        const executor = await opened();
        const images = new Float32Array(784);
        const file = { format: 'striate plans', version: 2 };
        return [
          await message(() => Executor.create(null, file)),
          await message(() => executor.run('train', { images })),
          await message(() => executor.run('step', {})),
          await message(() => executor.run('step', { images: new Float32Array(3) })),
          await message(() => executor.run('step', { pixels: images })),
          await message(() => executor.run('step', { images }, ['loss'])),
          await message(() => executor.write('conv1.weight', new Uint32Array(800))),
          await message(() => readSafetensors(new ArrayBuffer(3))),
          await message(() => readSafetensors(new Uint8Array(100).fill(1).buffer)),
        ];";
    let report = run(browser, body, &[("plans", plan_file(&graph, Family::Software)?)]);
    let expected = json!([
        "expected striate plans, version 1, found striate plans, version 2",
        "there is no program train; there is step",
        "images: this input is missing",
        "images: expected a Float32Array of 784 elements, found a Float32Array of 3",
        "there is no input pixels; there is images",
        "there is no output loss; there is logits",
        "conv1.weight: expected a Float32Array of 800 elements, found a Uint32Array of 800",
        "This is not a safetensors file: it is too short.",
        "This is not a safetensors file: its header is cut off.",
    ]);
    if report == expected { Ok(()) } else { Err(format!("{report:#}").into()) }
}

fn main() -> ExitCode {
    let mut suite = Suite::sequential();
    files::add(&mut suite);
    let tests: &Named<fn(&Browser) -> Outcome> = named![
        logits_are_those_of_the_cpu,
        training_is_that_of_the_cpu,
        initial_weights_are_those_of_sessions,
        mistakes_are_errors_that_name_them,
    ];
    for (name, test) in tests.iter().chain(explained::TESTS).chain(training_page::TESTS) {
        suite.add_if(Browser::find().is_some(), *name, || test(&Browser::find().expect("found before")));
    }
    suite.run()
}
