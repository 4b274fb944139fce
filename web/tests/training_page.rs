//! The page of `striate web`.

use crate::browser::{Browser, WATCH};
use crate::common::{Named, Outcome, named};
use crate::program::{assert_refused, json, printed, striate};
use crate::{numbers, on_the_cpu, webgpu};
use serde_json::{Value, json};
use std::path::Path;
use striate::data::{self, Dataset, Preprocessing};
use striate::models;
use striate::nn::{Builder, Optimizer};
use striate::train::{Recipe, training_graph};

pub const TESTS: &Named<fn(&Browser) -> Outcome> = named![
    the_page_trains_as_the_cpu_and_saves_weights,
    earlier_runs_stay_for_comparison,
    without_webgpu_the_page_says_so,
    pages_too_large_or_without_images_are_refused,
];

/// The page that `striate web` writes.
fn written(dir: &Path, flags: &[&str]) -> String {
    let out = dir.join("web.html");
    let out = out.to_str().expect("temporary folders have plain names");
    printed(&mut striate(&[&["web", "-o", out], flags].concat()));
    std::fs::read_to_string(out).expect("the page was written")
}

/// Runs the body of an asynchronous function in the page once it is ready, and returns what it returns.
fn run(browser: &Browser, page: &str, body: &str) -> Value {
    let script = format!(
        "<script>
const ready = async () => {{
  while (byId('run').disabled) {{
    if (problems.length) throw new Error(problems[0]);
    await new Promise(done => setTimeout(done, 50));
  }}
}};
(async () => {{ await ready(); {body} }})().catch(e => \"failed: \" + e.stack)
  .then(report => fetch(\"/\", {{ method: \"POST\", body: JSON.stringify({{ report, problems }}) }}));</script></body>"
    );
    // Only the report may leave the page.
    let page = page
        .replacen("<head>", &format!("<head>{WATCH}"), 1)
        .replacen("default-src 'none'", "default-src 'none'; connect-src 'self'", 1)
        .replacen("</body>", &script, 1);
    let report: Value =
        serde_json::from_str(&webgpu::report(browser, &page, &[])).expect("the report is JSON");
    assert_eq!(report["problems"], json!([]), "{report}");
    report["report"].clone()
}

/// The images in the page: the first of each class, then the second of each.
fn in_the_page(data: &Dataset) -> Vec<usize> {
    let rank =
        |index: usize| data.labels()[..index].iter().filter(|label| **label == data.labels()[index]).count();
    let mut ranked: Vec<_> =
        (0..data.len()).map(|index| (rank(index), data.labels()[index], index)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., index)| index).collect()
}

fn the_page_trains_as_the_cpu_and_saves_weights(browser: &Browser) -> Outcome {
    let (batch, steps, rate) = (16, 100, 0.05f32);
    let dir = tempfile::tempdir()?;
    let page = written(dir.path(), &["--models", "resnet8,plain8", "--images", "2000"]);
    let body = "
        const [training, ...others] = active();
        if (others.length) throw new Error('a software adapter starts with one network');
        for (let i = 0; i < 100; i++) await training.step(16, Math.fround(0.05));
        await training.finish();
        const { accuracy } = await training.test();
        await pictures();
        const order = [...new SplitMix64(1, [0]).permutation(2000)];
        return {
          losses: training.losses, accuracy, order, weights: [...await training.weights()],
          finding: byId('finding').textContent, drawn: document.querySelectorAll('#plot-legend li, #confusion-0 td, #loss-plot path').length,
        };";
    let report = run(browser, &page, body);

    let data = data::open("fashion-mnist", None, None)?.train;
    let tables = Preprocessing::named("fashion-mnist")?.normalization.tables();
    let images = in_the_page(&data);
    let order: Vec<usize> = numbers(&report["order"]).iter().map(|index| images[*index as usize]).collect();
    let recipe = Recipe { optimizer: Optimizer::Sgd(striate::nn::SgdConfig::HE_2015), ..Default::default() };
    let mut session =
        on_the_cpu(&training_graph(&*models::by_name("resnet8", 1, 10)?, [batch, 1, 28, 28], &recipe)?)?;
    let schedule = recipe.optimizer.schedule(rate, 0);
    let mut expected = Vec::new();
    for chosen in order.chunks(batch).take(steps) {
        let pixels: Vec<f32> =
            chosen.iter().flat_map(|i| data.image(*i)).map(|byte| tables[0][usize::from(*byte)]).collect();
        let labels: Vec<u32> = chosen.iter().map(|i| data.labels()[*i]).collect();
        let outputs = session.run(
            0,
            &[
                (Builder::IMAGES, (&pixels).into()),
                (Recipe::LABELS, (&labels).into()),
                (Optimizer::SCHEDULE, (&schedule).into()),
            ],
        )?;
        expected.push(f64::from(outputs.scalar(Recipe::LOSS).expect("training graphs have a loss")));
    }
    let losses = numbers(&report["losses"]);
    let differences: Vec<f64> = losses.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b).collect();
    let early = differences[..20].iter().fold(0f64, |most, difference| most.max(*difference));
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    // Rounding errors grow from step to step.
    if losses.len() != steps || early.is_nan() || early > 1e-3 || mean.is_nan() || mean > 0.02 {
        return Err(format!(
            "{early} in the first steps, {mean} on average: {losses:?}, expected {expected:?}"
        )
        .into());
    }

    let file = dir.path().join("resnet8.safetensors");
    let weights: Vec<u8> = numbers(&report["weights"]).iter().map(|byte| *byte as u8).collect();
    std::fs::write(&file, weights)?;
    let file = file.to_str().expect("temporary folders have plain names");
    let evaluated =
        json(&mut striate(&["eval", file, "--dataset", "fashion-mnist", "--device", "cpu", "--json"]));
    let (found, accuracy) = (evaluated["top1"].as_f64(), report["accuracy"].as_f64());
    // One image of 1000 may be classified differently.
    if !found.zip(accuracy).is_some_and(|(a, b)| (a - b).abs() < 0.0015 && a > 0.4) {
        return Err(format!("{found:?} with the saved weights, {accuracy:?} in the page").into());
    }
    let drawn = report["drawn"].as_u64();
    let finding = report["finding"].as_str().unwrap_or_default().to_owned();
    match drawn == Some(103) && finding.starts_with("After 100 steps, resnet8 recognizes ") {
        true => Ok(()),
        false => Err(format!("{drawn:?}, {finding}").into()),
    }
}

/// Trains with two learning rates, and compares runs that are made up.
const COMPARE: &str = "
    const legend = () => [...document.querySelectorAll('#plot-legend li')].map(item => item.textContent.trim());
    const use = rate => {
      byId('rate').value = Math.log10(rate);
      byId('rate').oninput();
    };
    const report = { status: byId('state').textContent, legends: [legend()] }, told = [];
    new MutationObserver(() => told.push(byId('state').textContent)).observe(byId('state'), { childList: true });
    use(0.1);
    await byId('step').onclick();
    use(0.01);
    await byId('reset').onclick();
    report.legends.push(legend());
    await byId('step').onclick();
    // The same settings again.
    await byId('reset').onclick();
    await byId('step').onclick();
    await byId('step').onclick();
    await byId('reset').onclick();
    use(0.1);
    report.legends.push(legend());
    report.curves = ['loss', 'accuracy'].map(name => document.querySelectorAll(`#${name}-plot .earlier`).length);
    document.querySelector('#plot-legend button').click();
    report.legends.push(legend());

    const run = (rate, steps, tests, seed = 1) => ({
      settings: { model: 'lenet', rate: [[0, rate]], batch: [[0, 32]], seed }, losses: [], tests, steps, broken: rate > 1 });
    const [fast, slow] = [run(0.1, 80, [[0, 10], [20, 50], [60, 82]]), run(0.01, 140, [[0, 9], [140, 81]])];
    report.sentences = [
      [], [fast], [fast, run(0.1, 0, [[0, 10]])], [fast, slow], [slow, run(0.001, 50, [[0, 10], [50, 24]]), run(2, 9, [[0, 10]]), fast],
      [fast, run(0.1, 60, [[60, 70]], 2)], [fast, { ...slow, settings: { ...fast.settings, rate: [[0, 0.1], [60, 0.01]] } }],
    ].map(comparison).map(words => words.replace('First test with ', '').split(' Tests are')[0]);
    report.top = [0.039, 1.9, 2.1, 3.3, 100].map(value => Number(divisible(value).toPrecision(3)));
    let kept = [];
    for (let seed = 1; seed < 10; seed++) kept = withRun(kept, run(0.1, 1000, Array(1000).fill([1, 1]), seed));
    report.points = [0, 1, 7, 400, 401, 100000].map(length => [pointsOf(Array(length).fill(1), 20)].map(points => [points.length, points.at(-1)?.[0]])[0]);
    byId('run').onclick();
    await new Promise(done => setTimeout(done, 10));
    byId('run').onclick();
    await ready();
    report.said = [told.find(text => text.startsWith('Testing')), byId('state').textContent];
    page.device.destroy();
    await page.device.lost;
    report.lost = [byId('state').textContent, byId('run').disabled, legend().length];
    report.kept = [kept.length, kept[0].settings.seed, kept[0].tests.length, new Set(kept.map(run => run.color)).size];
    return report;";

fn earlier_runs_stay_for_comparison(browser: &Browser) -> Outcome {
    let dir = tempfile::tempdir()?;
    let page = written(dir.path(), &["--models", "lenet,resnet8", "--images", "100", "--test-images", "20"]);
    let report = run(browser, &page, COMPARE);
    let status = report["status"].as_str().unwrap_or_default();
    assert!(status.contains("the page starts with one network"), "{status}");
    let legends = json!([
        ["lenet"],
        ["rate 0.01", "rate 0.1, earlier Remove"],
        // An earlier run of the same settings is replaced by the longer one.
        ["rate 0.1", "rate 0.1, earlier Remove", "rate 0.01, earlier Remove"],
        ["rate 0.1", "rate 0.01, earlier Remove"],
    ]);
    assert_eq!(report["legends"], legends);
    assert_eq!(report["curves"], json!([2, 2]));
    let sentences = json!([
        "",
        "",
        "",
        "80 % or more recognized: rate 0.1 after step 60; rate 0.01 after step 140.",
        "80 % or more recognized: rate 0.1 after step 60; rate 0.01 after step 140; rate 0.001 not in 50 steps; rate 2 diverged.",
        "70 % or more recognized: seed 1 after step 60; seed 2 too.",
        "80 % or more recognized: rate 0.1 after step 60; rate 0.1 (0.01 from step 60) after step 140.",
    ]);
    assert_eq!(report["sentences"], sentences);
    let (tested, paused) = (report["said"][0].as_str(), report["said"][1].as_str());
    assert_eq!((tested, paused), (Some("Testing lenet: 0 of 20 images …"), Some("Paused.")));
    assert_eq!(report["top"], json!([0.04, 2, 2.4, 4, 100]));
    let [lost, disabled, curves] = &report["lost"].as_array().expect("a list")[..] else {
        return Err(report.to_string().into());
    };
    let lost = lost.as_str().unwrap_or_default();
    assert!(lost.contains("the weights are lost with it; the curves stay. Reload the page"), "{lost}");
    assert_eq!((disabled, curves), (&json!(true), &json!(2)));
    let points = json!([[0, null], [1, 1], [7, 7], [400, 400], [201, 401], [401, 100000]]);
    assert_eq!(report["points"], points);
    assert_eq!(report["kept"], json!([6, 4, 201, 6]));
    Ok(())
}

fn without_webgpu_the_page_says_so(browser: &Browser) -> Outcome {
    let dir = tempfile::tempdir()?;
    let page = written(dir.path(), &["--models", "lenet", "--images", "100", "--test-images", "10"]);
    for width in [390, 1280] {
        let steps = "if (document.getElementById('run').disabled) shown.push('disabled');";
        let report = browser.inspect(&page, width, steps);
        if report["problems"] != json!([])
            || !report["shown"].as_array().is_some_and(|all| all.contains(&json!("disabled")))
        {
            return Err(format!("{width}: {report}").into());
        }
    }
    Ok(())
}

fn pages_too_large_or_without_images_are_refused(_: &Browser) -> Outcome {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("web.html");
    let out = out.to_str().expect("temporary folders have plain names");
    let refused = |flags: &[&str], words: &[&str]| {
        assert_refused(&mut striate(&[&["web", "-o", out], flags].concat()), words);
        assert!(!Path::new(out).exists(), "{flags:?}");
    };
    refused(&["--images", "0"], &["--images", "must be positive"]);
    refused(&["--images", "9"], &["--images", "at least 16"]);
    refused(&["--test-images", "0"], &["--test-images", "must be positive"]);
    refused(&["--models", "resnet9"], &["resnet9"]);
    std::fs::write(out, "my own page")?;
    assert_refused(&mut striate(&["web", "-o", out]), &["was not written by striate"]);
    Ok(())
}
