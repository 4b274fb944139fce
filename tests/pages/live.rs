//! The section of the page of `striate see` that runs the network, in a browser with and without WebGPU.

use super::browser::{Browser, WATCH};
use super::common::{Named, Outcome, Suite, named};
use super::workspace::*;
use super::{SEE, assert_self_contained, live_inputs, striate, trained, webgpu, written};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::path::{Path, PathBuf};

/// Drops an image on the page, looks at layers and chosen values, and reports.
const TRY: &str = r##"<script>
addEventListener("load", async () => {
  const part = name => document.querySelector("#live .live-" + name);
  const status = document.querySelector("#live [role=status]");
  const until = async test => { while (!test()) await new Promise(done => setTimeout(done, 10)); };
  const report = {};
  try {
    await until(() => !part("app").hidden);
    const dataTransfer = new DataTransfer();
    const bytes = Uint8Array.from(atob("IMAGE"), letter => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    await until(() => status.textContent.startsWith("The network says"));
    report.status = status.textContent;
    report.classes = [...part("classes").querySelectorAll("tr")].map(row => [row.querySelector("button").textContent, +row.dataset.probability]);
    await until(() => part("cam").nextElementSibling.textContent);
    OCCLUSION
    report.layers = [];
    const options = [...part("layer").options];
    for (let index = 0; index < options.length; index += STEP) {
      part("layer").selectedIndex = index;
      part("layer").dispatchEvent(new Event("change"));
      await until(() => part("maps").querySelector("button"));
      // By keyboard, the largest value.
      part("maps").querySelector("button").click();
      await until(() => !part("unit").hidden);
      const { computed, explained } = part("arithmetic").dataset;
      report.layers.push([options[index].textContent, +computed, explained === "undefined" ? null : +explained]);
    }
    part("layer").selectedIndex = 0;
    part("layer").dispatchEvent(new Event("change"));
    await until(() => part("maps").querySelector("button"));
    part("maps").querySelector("button").click();
    await until(() => !part("unit").hidden);
    const [, row] = part("unit-name").textContent.match(/row (\d+)/);
    const press = key => part("map").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const next = +row ? +row - 1 : +row + 1;
    press(+row ? "ArrowUp" : "ArrowDown");
    await until(() => part("unit-name").textContent.includes(`row ${next},`));
    // An image chosen elsewhere on the page, and a drawing.
    const answered = async () => {
      await until(() => status.textContent.startsWith("The network says"));
      return status.textContent;
    };
    status.textContent = "";
    document.querySelector("#images [role=tab]").click();
    await answered();
    if (part("pad")) {
      status.textContent = "";
      const box = part("pad").getBoundingClientRect();
      for (const [name, at] of [["down", 0.2], ["move", 0.8], ["up", 0.8]]) {
        const [clientX, clientY] = [box.left + at * box.width, box.top + at * box.height];
        part("pad").dispatchEvent(new PointerEvent("pointer" + name, { pointerId: 1, clientX, clientY }));
      }
      await answered();
      const { width, height } = part("input");
      const [drawn] = part("input").getContext("2d").getImageData(width / 2, height / 2, 1, 1).data;
      if (drawn < 50) problems.push("the drawing is not on the input: " + drawn);
    }
    // Another class is explained.
    const other = part("classes").querySelectorAll("button")[1];
    const name = other.textContent;
    other.click();
    await until(() => part("cam").nextElementSibling.textContent.endsWith(`supports ${name}.`));
    part("clear")?.click();
    if (part("clear") && status.textContent !== "Choose an image.") problems.push("the answer stays: " + status.textContent);
  } catch (error) {
    problems.push("failed: " + error.stack);
  }
  for (const { name } of performance.getEntriesByType("resource"))
    if (!name.startsWith("data:")) problems.push("fetches " + name);
  const beyond = document.documentElement.scrollWidth - innerWidth;
  if (beyond > 0) problems.push("is " + beyond + " pixels too wide");
  parent.postMessage(JSON.stringify({ ...report, problems }), "*");
});
</script>"##;

/// Waits for the first of the map's cells; on a slow device they have to be asked for.
const OCCLUSION: &str = r#"await until(() => {
  if (!part("cover").hidden) part("cover").click();
  return part("occlusion").nextElementSibling.textContent;
});"#;

/// Shows the page in a frame as narrow as a phone, and passes its report on.
const FRAME: &str = r#"<!DOCTYPE html>
<script>addEventListener("message", e => fetch("/", { method: "POST", body: e.data }));</script>
<iframe src="page.html" width="390" height="844" style="border: 0"></iframe>"#;

/// What the page says about an image, dropped on it in a browser with WebGPU. Every `step`th layer is looked at.
fn tried(browser: &Browser, page: &str, image: &[u8], step: usize) -> Value {
    let steps = TRY.replace("IMAGE", &BASE64_STANDARD.encode(image)).replace("STEP", &step.to_string());
    // Occlusion of large images takes minutes in software.
    let steps = steps.replace("OCCLUSION", if step == 1 { OCCLUSION } else { "" });
    reported(browser, page, WATCH, &steps)
}

/// What scripts at the start and at the end of a page report.
pub fn reported(browser: &Browser, page: &str, start: &str, end: &str) -> Value {
    let page = page.replacen("<head>", &format!("<head>{start}"), 1);
    let page = page.replacen("</body>", &format!("{end}</body>"), 1);
    let report = webgpu::report(browser, FRAME, &[("page.html", page.into_bytes())]);
    serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {report}"))
}

/// Asserts that the page gives the classes of `striate predict`, and that its arithmetic gives what the network computed.
fn assert_agrees(seen: &Value, predicted: &Value, tolerance: f64) {
    assert!(seen["problems"].as_array().unwrap().is_empty(), "{}", seen["problems"]);
    let expected = predicted["pictures"][0]["top"].as_array().unwrap();
    let classes = seen["classes"].as_array().unwrap();
    assert_eq!(classes.len(), expected.len());
    for (found, expected) in classes.iter().zip(expected) {
        let difference = found[1].as_f64().unwrap() - expected["probability"].as_f64().unwrap();
        assert!(
            found[0] == expected["name"] && difference.abs() < tolerance,
            "{found} instead of {expected}"
        );
    }
    let name = expected[0]["name"].as_str().unwrap();
    let status = seen["status"].as_str().unwrap();
    assert!(
        status.starts_with(&format!("The network says {name}, ")) && status.contains(" ms on "),
        "{status}"
    );
    let layers = seen["layers"].as_array().unwrap();
    let mut explained = 0;
    for layer in layers {
        let computed = layer[1].as_f64().unwrap_or_else(|| panic!("{layer}"));
        if let Some(value) = layer[2].as_f64() {
            assert!((value - computed).abs() <= 1e-4 * computed.abs().max(1.0), "{layer}");
            explained += 1;
        }
    }
    assert_eq!(explained, layers.len(), "{layers:?}");
}

fn photo(dir: &Workspace) -> Vec<u8> {
    dir.save(
        "photo.png",
        &image::RgbImage::from_fn(61, 47, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 90])),
    );
    dir.read("photo.png")
}

fn the_page_runs_the_network(browser: &Browser) -> Outcome {
    let dir = trained();
    let image = photo(&dir);
    let predicted = json(&mut striate(&dir, &["predict", "run", "photo.png", "--json"]));
    for (flags, tolerance) in
        [(&[][..], 1e-5), (&["--weights-in", "f16"], 0.01), (&["--weights-in", "i8"], 0.1)]
    {
        let page = written(&dir, &[&SEE[..], &["--images", "12"], flags].concat(), "report/index.html");
        assert_self_contained(&page);
        assert_agrees(&tried(browser, &page, &image, 1), &predicted, tolerance);
    }
    Ok(())
}

/// Chooses an image before the network is ready, then another one and the first again; reports what the network saw each time.
const EARLY: &str = r##"<script>
addEventListener("load", async () => {
  const part = name => document.querySelector("#live .live-" + name);
  const status = document.querySelector("#live [role=status]");
  const until = async test => { while (!test()) await new Promise(done => setTimeout(done, 10)); };
  const seen = async image => {
    status.textContent = "";
    document.getElementById(`image-${image}-tab`).click();
    await until(() => status.textContent.startsWith("The network says"));
    // The page's own first image must not follow.
    await new Promise(done => setTimeout(done, 200));
    return part("input").toDataURL();
  };
  await until(() => !part("app").hidden);
  parent.postMessage(JSON.stringify({ seen: [await seen(2), await seen(0), await seen(2)], problems }), "*");
});
</script>"##;

fn an_image_chosen_before_the_network_is_ready_is_run(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &[&SEE[..], &["--images", "12"]].concat(), "report/index.html");
    let report = reported(browser, &page, WATCH, EARLY);
    assert_eq!(report["problems"], serde_json::json!([]));
    let [early, other, again] = &report["seen"].as_array().unwrap()[..] else { panic!("{report}") };
    assert!(early == again && early != other, "another image was run");
    Ok(())
}

/// Reports the message of a browser without WebGPU.
const WITHOUT: &str = r##"<script>
addEventListener("load", () => setTimeout(() => {
  const shown = !document.querySelector(".live-app").hidden;
  parent.postMessage(JSON.stringify({ shown, status: document.querySelector("#live [role=status]").textContent, problems }), "*");
}, 0));
</script>"##;

fn a_page_without_webgpu_says_so(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &[&SEE[..], &["--images", "12"]].concat(), "report/index.html");
    let remove = "<script>Object.defineProperty(navigator, \"gpu\", { value: undefined });</script>";
    let seen = reported(browser, &page, &format!("{WATCH}{remove}"), WITHOUT);
    assert_eq!((&seen["problems"], &seen["shown"]), (&serde_json::json!([]), &false.into()));
    let status = seen["status"].as_str().unwrap();
    assert!(status.starts_with("The network cannot run here. This browser has no WebGPU."), "{status}");
    let page = written(&dir, &[&SEE[..], &["--images", "12", "--no-live"]].concat(), "report/index.html");
    assert!(!page.contains("id=\"live"));
    Ok(())
}

/// Weights and images that are not part of the repository.
fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name)
}

/// A page of published weights about one photograph, and the classes that `striate predict` gives for it.
fn published(model: &str, weights: &str, flags: &[&str]) -> (Workspace, String, Value) {
    let dir = Workspace::new();
    let photo = image::open(shared("pictures/n01806567_quail.JPEG")).unwrap().into_rgb8();
    dir.save("photo.png", &photo);
    let weights = shared(weights).display().to_string();
    let network = [model, &weights];
    let see = ["--data", "photo.png", "--units", "1", "--layer", "conv1"];
    let page = written(&dir, &[&["see"], &network[..], &see, flags].concat(), "report/index.html");
    let predicted =
        json(&mut striate(&dir, &[&["predict"], &network[..], &["photo.png", "--json"]].concat()));
    (dir, page, predicted)
}

fn the_page_runs_a_published_resnet(browser: &Browser) -> Outcome {
    let (dir, page, predicted) = published("resnet20-a", "models/resnet20_cifar10.safetensors", &[]);
    assert_agrees(&tried(browser, &page, &dir.read("photo.png"), 1), &predicted, 1e-5);
    Ok(())
}

fn the_page_runs_a_googlenet(browser: &Browser) -> Outcome {
    let (dir, page, predicted) = published("googlenet-original", "models/googlenet_bvlc.safetensors", &[]);
    assert_agrees(&tried(browser, &page, &dir.read("photo.png"), 40), &predicted, 0.05);
    // In more bits, the page would be too large.
    let weights = shared("models/googlenet_bvlc.safetensors").display().to_string();
    let large = ["see", "googlenet-original", &weights, "--data", "photo.png", "--weights-in", "f32"];
    assert_refused(&mut striate(&dir, &large), &["more than 21.0 MB", "give --weights-in i8"]);
    Ok(())
}

pub fn add(suite: &mut Suite) {
    let own: &Named<fn(&Browser) -> Outcome> = named![
        the_page_runs_the_network,
        an_image_chosen_before_the_network_is_ready_is_run,
        a_page_without_webgpu_says_so
    ];
    let published: &Named<fn(&Browser) -> Outcome> =
        named![the_page_runs_a_published_resnet, the_page_runs_a_googlenet];
    for (tests, available) in
        [(own, true), (live_inputs::TESTS, true), (published, shared("models").is_dir())]
    {
        for (name, test) in tests {
            suite.add_if(available && Browser::find().is_some(), *name, || {
                test(&Browser::find().expect("found before"))
            });
        }
    }
}
