//! How images get to the network on the page, what it says about them, and what happens when the graphics device is lost.

use super::browser::{Browser, WATCH};
use super::common::{Named, Outcome, named};
use super::live::reported;
use super::workspace::*;
use super::{SEE, striate, trained, written};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json as value;

pub const TESTS: &Named<fn(&Browser) -> Outcome> = named![
    maps_are_those_of_the_program,
    an_image_can_be_pasted,
    the_camera_is_an_input,
    a_lost_device_is_replaced,
    an_image_unlike_the_examples_is_noticed,
];

/// Runs `STEPS` on a page that may report, and whose devices can be lost.
const SCRIPT: &str = r##"<script>
const devices = [];
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function () {
  devices.push(await request.call(this));
  return devices.at(-1);
};
addEventListener("load", async () => {
  const part = name => document.querySelector("#live .live-" + name);
  const status = document.querySelector("#live [role=status]");
  const until = async test => { while (!test()) await new Promise(done => setTimeout(done, 10)); };
  const transfer = base64 => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(base64), letter => letter.charCodeAt(0))], "image.png", { type: "image/png" }));
    return data;
  };
  const drop = base64 => document.body.dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer(base64), bubbles: true, cancelable: true }));
  const says = () => status.textContent.startsWith("The network says");
  const answered = async act => {
    status.textContent = "";
    await act();
    await until(says);
    return status.textContent;
  };
  const classes = () => [...part("classes").querySelectorAll("tr")].map(row => [row.querySelector("button").textContent, +row.dataset.probability]);
  let report = {};
  try {
    await until(() => !part("app").hidden);
    STEPS
  } catch (error) {
    problems.push("failed: " + error.stack);
  }
  parent.postMessage(JSON.stringify({ ...report, problems }), "*");
});
</script>"##;

/// What steps on a page report; `IMAGE` is an image in them.
fn run(browser: &Browser, page: &str, image: &[u8], steps: &str) -> Value {
    let steps = steps.replace("IMAGE", &format!("\"{}\"", BASE64_STANDARD.encode(image)));
    let report = reported(browser, page, &(WATCH.to_owned() + &SCRIPT.replace("STEPS", &steps)), "");
    assert_eq!(report["problems"], value!([]), "{report}");
    report
}

/// A page, and an image to show to its network.
fn page_and_photo() -> (Workspace, String, Vec<u8>) {
    let dir = trained();
    let photo = image::RgbImage::from_fn(61, 47, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 90]));
    dir.save("photo.png", &photo);
    let page = written(&dir, &[&SEE[..], &["--images", "12"]].concat(), "report/index.html");
    let photo = dir.read("photo.png");
    (dir, page, photo)
}

/// The values of an array that a view has written.
fn array(dir: &Workspace, name: &str) -> Vec<f64> {
    let bytes = dir.read(name);
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[start..].chunks_exact(4);
    values.map(|value| f64::from(f32::from_le_bytes(value.try_into().unwrap()))).collect()
}

fn maps_are_those_of_the_program(browser: &Browser) -> Outcome {
    let (dir, page, photo) = page_and_photo();
    let seen = run(
        browser,
        &page,
        &photo,
        r##"
    await answered(() => drop(IMAGE));
    if (!part("cover").hidden) part("cover").click();
    await until(() => part("occlusion").values);
    report = { "saliency-grad-cam": [...part("cam").values], "occlusion-0": [...part("occlusion").values] };"##,
    );
    for (view, file) in [("saliency", "saliency-grad-cam"), ("occlusion", "occlusion-0")] {
        printed(&mut striate(&dir, &["see", view, "run", "--data", "photo.png", "--out", "seen"]));
        let expected = array(&dir, &format!("seen/{file}.npy"));
        let found = seen[file].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{file}");
        let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{file} is empty");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found.as_f64().unwrap() - expected).abs();
            assert!(difference <= 1e-4 * largest, "{file}: {found} instead of {expected}");
        }
    }
    Ok(())
}

fn an_image_can_be_pasted(browser: &Browser) -> Outcome {
    let (dir, page, photo) = page_and_photo();
    let seen = run(
        browser,
        &page,
        &photo,
        r##"
    const clipboardData = transfer(IMAGE);
    await answered(() => document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true })));
    report = { classes: classes(), shown: [...document.querySelectorAll(".live-result")].map(result => result.getClientRects().length) };
    // Nothing of the last layer stays while the next one is computed.
    part("layer").selectedIndex = 2;
    part("layer").dispatchEvent(new Event("change"));
    report.layer = [part("about").textContent, part("maps").children.length, part("scale").children.length];
    await until(() => part("maps").children.length);
    report.layer.push(part("about").textContent);
    report.hint = part("hint").textContent;
    const mistake = document.querySelector("#results .picks [data-class]");
    report.wrong = (await answered(() => mistake.click())).includes(`This is wrong: the true class is ${mistake.dataset.class}.`);"##,
    );
    // Before the first image, there are no empty headings.
    assert_eq!(page.matches("live-result\" hidden").count(), 5);
    assert_eq!(seen["shown"], value!([1, 1, 1, 1, 1]));
    assert_eq!(
        (&seen["hint"], &seen["wrong"]),
        (&"The network sees only the middle 47 × 47 pixels of this image of 61 × 47.".into(), &true.into())
    );
    assert_eq!(seen["layer"], value!(["relu: computing …", 0, 0, "relu: 16 × 8 × 8, strongest first"]));
    let predicted = json(&mut striate(&dir, &["predict", "run", "photo.png", "--json"]));
    let expected = predicted["pictures"][0]["top"].as_array().unwrap();
    for (found, expected) in seen["classes"].as_array().unwrap().iter().zip(expected) {
        let difference = found[1].as_f64().unwrap() - expected["probability"].as_f64().unwrap();
        assert!(found[0] == expected["name"] && difference.abs() < 1e-5, "{found} instead of {expected}");
    }
    Ok(())
}

fn the_camera_is_an_input(browser: &Browser) -> Outcome {
    let (_dir, page, photo) = page_and_photo();
    let seen = run(
        browser,
        &page,
        &photo,
        r##"
    const video = document.querySelector("#live video");
    const colors = () => new Set(part("input").getContext("2d").getImageData(0, 0, 8, 8).data).size;
    await answered(() => part("camera").click());
    report.on = [part("camera").ariaPressed, video.hidden, video.videoWidth > 0, colors() > 2];
    await answered(() => {});
    const [track] = video.srcObject.getTracks();
    await answered(() => part("camera").click());
    report.off = [part("camera").ariaPressed, video.hidden, track.readyState];
    // A file ends the camera too.
    await answered(() => part("camera").click());
    drop(IMAGE);
    report.file = [part("camera").ariaPressed, video.hidden];
    // A reader who does not allow it is told so.
    navigator.mediaDevices.getUserMedia = async () => { throw new Error("Permission denied"); };
    part("camera").click();
    await until(() => status.textContent === "The camera cannot be used: Permission denied.");"##,
    );
    assert_eq!(seen["on"], value!(["true", false, true, true]));
    assert_eq!(seen["off"], value!(["false", true, "ended"]));
    assert_eq!(seen["file"], value!(["false", true]));
    Ok(())
}

fn a_lost_device_is_replaced(browser: &Browser) -> Outcome {
    let (_dir, page, photo) = page_and_photo();
    let seen = run(
        browser,
        &page,
        &photo,
        r##"
    const said = [];
    new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    const lose = () => devices.at(-1).destroy();
    const lost = () => said.some(text => text.includes("was lost"));
    report.said = await answered(() => drop(IMAGE));
    part("classes").querySelectorAll("button")[1].click();
    report.before = classes();
    await answered(async () => {
      lose();
      await until(lost);
    });
    const chosen = [...part("classes").querySelectorAll("button")].findIndex(button => button.ariaPressed === "true");
    report.after = [classes(), chosen];
    // An image whose answer is due is answered by the next device, and if that is lost too, by the one after it.
    await answered(async () => {
      drop(IMAGE);
      lose();
      await until(() => devices.length === 3);
      lose();
      await until(() => devices.length === 4);
    });
    report.due = classes();
    lose();
    await until(() => part("app").hidden);
    report.devices = devices.length;
    report.end = status.textContent;
    report.hidden = part("app").hidden;"##,
    );
    let before = &seen["before"];
    assert!(before.as_array().unwrap().len() > 1, "{seen}");
    assert_eq!((&seen["after"], &seen["due"]), (&value!([before, 1]), before), "{seen}");
    assert_eq!((&seen["devices"], &seen["hidden"]), (&4.into(), &true.into()), "{seen}");
    let end = seen["end"].as_str().unwrap();
    assert!(end.contains("was lost") && end.ends_with("Reload the page to try again."), "{end}");
    Ok(())
}

fn an_image_unlike_the_examples_is_noticed(browser: &Browser) -> Outcome {
    let dir = trained();
    let bright_on_dark = |bright: u8| {
        image::RgbImage::from_fn(16, 16, move |x, y| {
            let inside = (4..12).contains(&x) && (4..12).contains(&y);
            image::Rgb([if inside { bright } else { 20 }; 3])
        })
    };
    for bright in [150, 200, 250] {
        dir.save(&format!("known/{bright}.png"), &bright_on_dark(bright));
    }
    let mut negative = bright_on_dark(200);
    image::imageops::invert(&mut negative);
    dir.save("negative.png", &negative);
    let see = ["see", "run", "--data", "known", "--units", "3"];
    let page = written(&dir, &see, "report/index.html");
    let seen = run(
        browser,
        &page,
        &dir.read("negative.png"),
        r##"
    const seen = () => part("input").getContext("2d").getImageData(0, 0, 1, 1).data[0];
    const hint = () => part("hint").hidden ? "" : part("hint").textContent;
    await answered(() => drop(IMAGE));
    await until(hint);
    report.hint = hint();
    report.seen = [seen()];
    await answered(() => part("invert").click());
    await until(() => !hint());
    report.seen.push(seen());
    await answered(() => part("invert").click());
    await until(hint);
    // It is for one image.
    part("invert").click();
    await until(() => !hint());
    await answered(() => document.querySelector("#images [role=tab]").click());
    report.seen.push(seen());
    report.known = hint();
    await answered(() => part("invert").click());
    report.seen.push(seen());
    // An image from elsewhere ends the selection, and what is no image the answer.
    const left = () => [document.getElementById("selection").hidden, selection.image !== null];
    report.selected = left();
    await answered(() => drop(IMAGE));
    report.seen.push(seen());
    report.elsewhere = left();
    drop("");
    await until(() => status.textContent === "image.png is not an image that the browser can read.");
    report.results = document.querySelectorAll(".live-result:not([hidden])").length;"##,
    );
    let hint = seen["hint"].as_str().unwrap();
    assert!(hint.contains("is bright, but those of the examples are dark"), "{hint}");
    assert_eq!((&seen["seen"], &seen["known"]), (&value!([235, 20, 20, 235, 235]), &"".into()));
    assert_eq!((&seen["selected"], &seen["elsewhere"]), (&value!([false, true]), &value!([true, false])));
    assert_eq!(seen["results"], 0);
    Ok(())
}
