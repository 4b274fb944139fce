//! Opens pages in headless Chromium.

#![allow(dead_code, reason = "no test program uses everything")]

use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Selects channels and an image by mouse and keyboard.
pub const PICK_UNITS: &str = r##"
  click("unit-layer2-tab");
  click(document.querySelectorAll("#unit-layer2 [role=tab]")[1].id);
  press("ArrowRight");
  press("Home");
  click("image-2-tab");
"##;

/// Selects a kind of mistake and an image, and answers a round of the test; tells what the other sections show.
pub const FOLLOW_LINKS: &str = r##"
  const seen = query => [...document.querySelectorAll(query)].filter(e => e.getClientRects().length);
  const cell = document.querySelectorAll(".matrix button");
  const wrong = [...cell].find(e => e.dataset.class !== e.dataset.predicted);
  wrong.click();
  const mistakes = seen("#results .picks button");
  const fit = mistakes.filter(e => e.dataset.class === wrong.dataset.class && e.dataset.predicted === wrong.dataset.predicted);
  shown.push(`${mistakes.length == wrong.textContent} ${fit.length == wrong.textContent} ${wrong.ariaPressed}`);
  shown.push(document.getElementById("mistakes-about").textContent.startsWith(wrong.textContent + " of the "));
  const right = [...cell].find(e => e.dataset.class === e.dataset.predicted);
  right.click();
  shown.push(seen("#results .picks button").length == right.textContent && !seen("#results .picks [data-class]").length);
  mistakes[0].click();
  const image = mistakes[0].dataset.image;
  shown.push(`${seen("#selection")[0].textContent.startsWith("mnist " + image + ":")}`);
  const legend = document.querySelector("#map .legend button");
  legend.click();
  shown.push(seen("#results .picks button").every(e => e.dataset.class === legend.dataset.class));
  shown.push(seen("#selection .excites a").length === imageMap.unusual(image).length);
  const first = document.querySelector("#units .unit");
  select({ image: String(imageMap.top(first.id)[1]) });
  shown.push([...first.querySelectorAll("figure.holds")].indexOf(first.querySelectorAll('[data-group="Their images"] figure')[1]));
  const unusual = document.querySelector("#images a[data-unit]");
  unusual.click();
  shown.push(seen(unusual.hash).length);
  location.hash = "image-1";
  shown.push(seen("#test .round .group:first-child img").length);
  seen("#test .round button")[0].click();
  const verdict = seen("#test [role=status]")[0];
  shown.push(/^(Right|Wrong).* It is channel \d+ of layer3\. Your score: [01] of 1 with real patches\.$/.test(verdict.textContent));
  shown.push(document.querySelector(verdict.querySelector("a").hash).matches(".unit"));
  seen("#test .next")[0].click();
  shown.push(seen("#test .round .group:first-child img").length);
  shown.push(seen("#test .round button:disabled").length);
"##;

/// Selects images, a class, a kind of mistake and a channel on the map or elsewhere; searches the map, zooms and moves it.
pub const USE_MAP: &str = r##"
  const canvas = document.querySelector("#map canvas");
  const found = () => document.querySelector("#map .found").textContent;
  const status = () => document.querySelector("#selection span").textContent;
  const at = image => {
    const [box, [x, y]] = [canvas.getBoundingClientRect(), imageMap.place(image)];
    return { clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true };
  };
  const tell = (name, value) => shown.push(`${name}: ${value}`);
  const drawn = () => {
    // Otherwise it waits for the next frame.
    imageMap.paint();
    return canvas.toDataURL();
  };
  const redraws = act => { const before = drawn(); act(); return drawn() !== before; };
  const button = name => document.querySelector(`#map [data-map=${name}]`);
  tell("all", found());
  // Every image is there twice, in the same place; the later one is in front.

  tell("image", redraws(() => canvas.dispatchEvent(new MouseEvent("click", at(37)))));
  tell("selected", status().startsWith("mnist 37: "));
  tell("its cell", document.querySelectorAll(".matrix .holds").length);
  canvas.dispatchEvent(new PointerEvent("pointermove", at(35)));
  tell("hover", document.querySelector("#map .tip").textContent.startsWith("mnist 35: "));

  const [legend] = document.querySelectorAll("#map .legend button");
  tell("class", redraws(() => legend.click()));
  tell("of the class", found());
  button("all").click();
  const wrong = [...document.querySelectorAll(".matrix button")].find(e => e.dataset.class !== e.dataset.predicted);
  wrong.click();
  tell("mistakes", found() === `${wrong.textContent} of 40 images: class ${wrong.dataset.class}, called ${wrong.dataset.predicted}.`);
  button("all").click();
  const tab = document.querySelector("#unit-layer2 [data-unit]");
  tell("unit", redraws(() => tab.click()));
  tell("framed", found().replace(tab.textContent.trim(), "CHANNEL"));
  legend.click();
  tell("a class instead", found());
  button("all").click();

  const search = document.querySelector("#map input");
  const type = text => { search.value = text; search.dispatchEvent(new Event("input")); };
  type("mnist 23");
  tell("search", found());
  search.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  tell("by name", status().startsWith("mnist 23: "));
  button("all").click();
  tell("again", found());
  for (let zooms = 0; zooms < 8; zooms++) button("in").click();
  tell("in view", Array.from({ length: 40 }, (_, image) => imageMap.place(image)).some(place => place.every(side => side > 0 && side < canvas.clientWidth)));
  button("whole").click();

  const distance = () => Math.hypot(...[0, 1].map(axis => imageMap.place(3)[axis] - imageMap.place(9)[axis]));
  const near = distance();
  const zoomed = (name, act) => { button("whole").click(); act(); tell(name, (distance() / near).toFixed(2)); };
  const wheel = (deltaY, ctrlKey) => canvas.dispatchEvent(new WheelEvent("wheel", { ...at(9), deltaY, ctrlKey }));
  const touch = (type, pointerId, [x, y]) => canvas.dispatchEvent(new PointerEvent(type, { pointerId, clientX: x, clientY: y, bubbles: true }));
  zoomed("button", () => button("in").click());
  zoomed("key", () => { canvas.focus(); press("+"); press("+"); press("-"); shown.splice(-3); });
  zoomed("wheel with focus", () => wheel(-400 * Math.log(2), false));
  canvas.blur();
  zoomed("wheel without focus", () => wheel(-400, false));
  zoomed("touchpad", () => wheel(-100 * Math.log(3), true));
  zoomed("fingers", () => {
    touch("pointerdown", 1, [300, 300]);
    touch("pointerdown", 2, [400, 300]);
    touch("pointermove", 2, [500, 300]);
    for (const pointer of [1, 2]) touch("pointerup", pointer, [300, 300]);
  });
  zoomed("drag", () => {
    button("in").click();
    const [before] = imageMap.place(9);
    touch("pointerdown", 1, [300, 300]);
    touch("pointermove", 1, [270, 300]);
    touch("pointerup", 1, [270, 300]);
    tell("moved by", Math.round(imageMap.place(9)[0] - before));
  });

  canvas.focus();
  press("0");
  press("ArrowRight");
  press("ArrowUp");
  shown.splice(-3);
  const tip = document.querySelector("#map .tip").textContent;
  press("Enter");
  shown.pop();
  tell("keyboard", tip !== "" && status() === tip);
"##;

/// Collects errors and blocked requests, from before the page's own content is loaded.
pub const WATCH: &str = r##"<script>
const problems = [];
addEventListener("error", e => problems.push("error: " + (e.message || e.target.outerHTML.slice(0, 80))), true);
addEventListener("unhandledrejection", e => problems.push("rejection: " + e.reason));
addEventListener("securitypolicyviolation", e => problems.push("requests " + e.blockedURI + " " + e.violatedDirective));
for (const level of ["error", "warn"]) console[level] = (...words) => problems.push(level + ": " + words.join(" "));
</script>"##;

/// Runs the steps that replace `STEPS`, and reports to the surrounding page.
const TRY: &str = r##"<script>
addEventListener("load", () => {
  const visible = query => [...document.querySelectorAll(query)].filter(e => e.getClientRects().length).map(e => e.id);
  const shown = [];
  const look = () => shown.push([...visible(".unit"), ...visible("#images > .panel")].join(" "));
  const click = id => { document.getElementById(id).click(); look(); };
  const press = key => { document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })); look(); };
  look();
  STEPS
  const images = [...document.images];
  for (const image of images) {
    if (!image.complete || !image.naturalWidth) problems.push("does not load: " + image.outerHTML.slice(0, 80));
    if (!image.alt) problems.push("has no alt text: " + image.outerHTML.slice(0, 80));
  }
  for (const fetched of performance.getEntriesByType("resource").map(e => e.name))
    if (!fetched.startsWith("data:")) problems.push("fetches " + fetched);
  const beyond = document.documentElement.scrollWidth - innerWidth;
  if (beyond > 0) problems.push("is " + beyond + " pixels too wide");
  parent.postMessage(JSON.stringify({ problems, shown, images: images.length }), "*");
});
</script>"##;

/// Shows the page in a frame, which can be as narrow as a phone, unlike a window.
const FRAME: &str = r##"<!DOCTYPE html><pre id="verdict"></pre>
<script>addEventListener("message", e => document.getElementById("verdict").textContent = e.data);</script>
<iframe src="page.html" width="WIDTH" height="844" style="border: 0"></iframe>"##;

/// A folder with a page in a frame of some width.
fn framed(page: &str, width: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.html"), page).unwrap();
    std::fs::write(dir.path().join("frame.html"), FRAME.replace("WIDTH", &width.to_string())).unwrap();
    dir
}

pub struct Browser(PathBuf);

impl Browser {
    pub fn find() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path)
            .flat_map(|dir| names.map(|name| dir.join(name)))
            .find(|p| p.is_file());
        found.map(Self)
    }

    /// Opens a page at this width, runs the steps, and returns the report.
    pub fn inspect(&self, page: &str, width: u32, steps: &str) -> Value {
        let page = page.replacen("<head>", &format!("<head>{WATCH}"), 1).replacen(
            "</body>",
            &format!("{}</body>", TRY.replace("STEPS", steps)),
            1,
        );
        let dir = framed(&page, width);
        let output = self.open(dir.path(), &["--dump-dom"]);
        let verdict =
            output.split("<pre id=\"verdict\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let verdict = verdict.unwrap_or_else(|| panic!("no report in {output:.500}"));
        let verdict = verdict.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&verdict).unwrap_or_else(|e| panic!("{e}: {verdict:?}"))
    }

    /// The number of colors in a screenshot of the page.
    pub fn colors(&self, page: &str, width: u32) -> usize {
        self.screenshot(page, width, &[]).pixels().collect::<HashSet<_>>().len()
    }

    /// The fraction of almost white pixels in a screenshot of the page for a reader who prefers dark pages.
    pub fn white_in_dark_mode(&self, page: &str, width: u32) -> f64 {
        let image = self.screenshot(page, width, &["--blink-settings=preferredColorScheme=0"]);
        let frame = image::imageops::crop_imm(&image, 8, 8, width, 844).to_image();
        let white = frame.pixels().filter(|pixel| pixel.0.iter().all(|byte| *byte > 235)).count();
        white as f64 / frame.pixels().count() as f64
    }

    fn screenshot(&self, page: &str, width: u32, flags: &[&str]) -> image::RgbImage {
        let dir = framed(page, width);
        let shot = dir.path().join("shot.png");
        let to = format!("--screenshot={}", shot.display());
        self.open(dir.path(), &[&[to.as_str(), "--window-size=1300,900"], flags].concat());
        image::open(&shot).unwrap().into_rgb8()
    }

    /// Headless Chromium with its own profile.
    pub fn command(&self, profile: &Path) -> Command {
        let mut command = Command::new(&self.0);
        // The sandbox does not work for root in a container, and the pages can be trusted.
        command.args(["--headless", "--no-sandbox"]).arg(format!("--user-data-dir={}", profile.display()));
        command
    }

    /// Opens the framed page of a folder and returns standard output.
    fn open(&self, dir: &Path, flags: &[&str]) -> String {
        let mut command = self.command(&dir.join("profile"));
        command.args(["--disable-gpu", "--virtual-time-budget=30000"]).args(flags);
        let output = command.arg(format!("file://{}", dir.join("frame.html").display())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
