// The page of `striate web`: controls, and drawings that follow the training.

const byId = id => document.getElementById(id);

/** Colors of the two networks, legible on light and dark. */
const SIDES = ["#0a84c1", "#d9662b"];
/** Shortest time between two tests, in seconds, and how many times as long the training between them takes at least. */
const TEST_PAUSE = 2, TEST_SHARE = 4;
/** Test images that a software adapter classifies in a bearable time. */
const FEW = 200;

const page = { trainings: [null, null], kept: [], running: false, why: "", device: null, software: false, lost: null };

async function load() {
  const about = await embeddedJson("about");
  const [channels, height, width] = about.shape, plane = height * width;
  const normalized = bytes => Float32Array.from(bytes, (byte, i) => {
    const channel = Math.floor(i / plane) % channels;
    return (byte / 255 - about.mean[channel]) / about.std[channel];
  });
  const bytes = async name => new Uint8Array(await embedded(`${name}-images`));
  const labels = async name => new Uint32Array(await embedded(`${name}-labels`));
  page.about = about;
  page.testBytes = await bytes("test");
  page.data = {
    classes: about.classes, metadata: about.metadata,
    images: normalized(await bytes("train")), labels: await labels("train"),
    testImages: normalized(page.testBytes), testLabels: await labels("test"),
  };
}

async function open() {
  say("Unpacking the images …");
  page.device = await requestDevice();
  await load();
  page.software = isSoftware(page.device);
  page.device.lost.then(({ message }) => {
    page.lost = new Error(`The graphics processor stopped (${message || "unknown reason"}), and the weights are lost with it; the curves stay. Reload the page to start again.`);
    fail(page.lost);
  });
  byId("map-legend").replaceChildren(...page.about.classes.map((name, i) => legendItem(page.about.colors[i], name)));
  if (page.software) byId("model-1").value = "";
  controls();
  await prepare();
}

/** Creates the chosen networks, or keeps those that are there. */
async function prepare() {
  const chosen = [0, 1].map(side => byId(`model-${side}`).value);
  keep();
  byId("finding").textContent = "";
  for (const side of [0, 1]) {
    await page.trainings[side]?.destroy();
    page.trainings[side] = null;
    if (!chosen[side]) continue;
    const file = await embeddedJson(`${chosen[side]}-${page.software ? "software" : "gpu"}`);
    const onKernel = (done, total) => say(`Compiling ${chosen[side]}: kernel ${done} of ${total}`);
    page.trainings[side] = await Training.create(page.device, chosen[side], file, page.data, onKernel);
  }
  saves();
  await reset();
}

/** Starts again; what was trained stays as an earlier run. */
async function reset() {
  say("Setting the initial weights …");
  keep();
  const seed = Math.trunc(Number(byId("seed").value)) || 0;
  for (const training of active()) await training.reset(seed);
  await test();
  draw();
  say(page.software ? `Ready. There is no graphics processor for WebGPU here, so a software adapter is used, which is slow: the page starts with one network, and classifies only ${FEW} test images.` : "Ready.");
}

const active = () => page.trainings.filter(Boolean);
const rate = () => 10 ** Number(byId("rate").value);
const batch = () => page.about.batches[Number(byId("batch").value)];

/** Trains until paused. */
async function train() {
  let tested = performance.now(), testing = 0, start = tested, steps = 0;
  while (page.running) {
    for (const training of active()) await training.step(batch(), rate());
    steps++;
    const now = performance.now();
    if (now - start > 500) {
      speak(steps / (now - start) * 1000);
      curves();
      // Lets the browser draw.
      await new Promise(requestAnimationFrame);
      [start, steps] = [performance.now(), 0];
    }
    if (now - tested > Math.max(1000 * TEST_PAUSE, TEST_SHARE * testing)) {
      await test();
      tested = performance.now();
      testing = tested - now;
      [start, steps] = [tested, 0];
    }
    const broken = active().find(training => training.broken);
    if (broken) {
      stop(`The loss of ${broken.model} is not a number any more: the learning rate is too large. Lower it and start again.`);
    }
  }
  if (active().some(({ steps, tests }) => tests.at(-1).step !== steps)) await test();
  draw();
  say(page.why);
}

async function oneStep() {
  say("Training …");
  for (const training of active()) {
    await training.step(batch(), rate());
    await training.finish();
  }
  await test();
  draw();
  speak();
}

async function test() {
  for (const training of active()) {
    const told = (done, all) => say(`Testing ${training.model}: ${done} of ${all} images …`);
    // Where it takes no time, saying it would only flicker.
    await (page.software ? training.test(FEW, told) : training.test());
  }
  await pictures();
}

function controls() {
  const exclusively = action => async () => {
    busy(true);
    try { await action(); } catch (e) { fail(e); return; }
    busy(false);
  };
  const shown = () => {
    byId("rate-shown").textContent = Number(rate().toPrecision(2));
    byId("batch-shown").textContent = batch();
  };
  byId("rate").oninput = byId("batch").oninput = () => {
    shown();
    curves();
  };
  shown();
  byId("run").onclick = () => page.running ? stop("Paused.") : start();
  byId("step").onclick = exclusively(oneStep);
  byId("reset").onclick = exclusively(reset);
  for (const side of [0, 1]) byId(`model-${side}`).onchange = exclusively(prepare);
}

function start() {
  page.running = true;
  byId("run").textContent = "Pause";
  say("Training …");
  others(true);
  train().then(() => busy(false), fail);
}

/** Pauses, after a last test, and says why. */
function stop(why) {
  Object.assign(page, { running: false, why });
  Object.assign(byId("run"), { textContent: "Start", disabled: true });
  say("Pausing after a last test …");
}

/** Disables what must not be used while something runs; `run` pauses it. */
function others(disabled) {
  for (const id of ["step", "reset", "model-0", "model-1", "seed"]) byId(id).disabled = disabled;
  for (const button of byId("saves").children) button.disabled = disabled;
}

function busy(disabled) {
  byId("run").disabled = disabled;
  others(disabled);
}

function say(text) { byId("state").textContent = text; }

function fail(error) {
  page.running = false;
  busy(true);
  // What fails after the device was lost fails because of that.
  say((page.lost ?? error).message);
}

function speak(perSecond) {
  const [{ steps, seen }] = active();
  const speed = perSecond ? `, ${perSecond.toPrecision(3)} steps a second, ${Math.round(perSecond * batch())} images a second` : "";
  say(`Step ${steps}${speed}. ${(seen / page.data.labels.length).toFixed(1)} times through the training images.`);
}

function draw() {
  curves();
  finding();
}

/** What the last tests say, in words. */
function finding() {
  const names = page.about.classes;
  const words = active().filter(training => training.tests.length > 0).map(training => {
    const { step, accuracy, confusion, predicted: { length: tested } } = training.tests.at(-1);
    const pairs = confusion.flatMap((row, i) => row.map((count, j) => ({ count, i, j }))).filter(({ i, j }) => i !== j);
    const { count, i, j } = pairs.reduce((most, pair) => pair.count > most.count ? pair : most, { count: 0 });
    const mistake = count ? ` Its most frequent mistake: ${names[i]} taken for ${names[j]}, ${count} times.` : "";
    return `After ${step} step${step === 1 ? "" : "s"}, ${training.model} recognizes ${(100 * accuracy).toFixed(1)} % of ${tested} test images.${mistake}`;
  });
  byId("finding").textContent = [...words, comparison(runs().all)].join(" ").trim();
}

open().then(() => busy(false), fail);
