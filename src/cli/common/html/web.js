// The page of `striate web`: controls, and drawings that follow the training.

const byId = id => document.getElementById(id);

/** Colors of the two networks, legible on light and dark. */
const SIDES = ["#0a84c1", "#d9662b"];
/** Shortest time between two tests, in seconds, and how many times as long the training between them takes at least. */
const TEST_PAUSE = 2, TEST_SHARE = 4;
/** Test images that a software adapter classifies in a bearable time. */
const FEW = 200;

const page = { trainings: [null, null], running: false, device: null, software: false };

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
  page.device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") fail(new Error(`The graphics processor stopped (${message}). Reload the page to start again.`));
  });
  legends();
  controls();
  await prepare();
}

/** Creates the chosen networks, or keeps those that are there. */
async function prepare() {
  const chosen = [0, 1].map(side => byId(`model-${side}`).value);
  byId("finding").textContent = "";
  for (const side of [0, 1]) {
    await page.trainings[side]?.destroy();
    page.trainings[side] = null;
    if (!chosen[side]) continue;
    const file = await embeddedJson(`${chosen[side]}-${page.software ? "software" : "gpu"}`);
    const onKernel = (done, total) => say(`Compiling ${chosen[side]}: kernel ${done} of ${total}`);
    page.trainings[side] = await Training.create(page.device, chosen[side], file, page.data, onKernel);
  }
  await reset();
}

async function reset() {
  const seed = Math.trunc(Number(byId("seed").value)) || 0;
  for (const training of active()) await training.reset(seed);
  await test();
  draw();
  say(page.software ? `Ready. There is no graphics processor for WebGPU here, so a software adapter is used, which is slow: only ${FEW} test images are classified.` : "Ready.");
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
    if (now - tested > Math.max(1000 * TEST_PAUSE, TEST_SHARE * testing)) {
      await test();
      tested = performance.now();
      testing = tested - now;
    }
    if (now - start > 500) {
      speak(steps / (now - start) * 1000);
      curves();
      [start, steps] = [performance.now(), 0];
      // Lets the browser draw.
      await new Promise(requestAnimationFrame);
    }
    const broken = active().find(training => training.broken);
    if (broken) {
      stop(`The loss of ${broken.model} is not a number any more: the learning rate is too large. Lower it and start again.`);
    }
  }
  await test();
  draw();
}

async function oneStep() {
  for (const training of active()) {
    await training.step(batch(), rate());
    await training.finish();
  }
  await test();
  draw();
  speak();
}

async function test() {
  for (const training of active()) await training.test(page.software ? FEW : undefined);
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
  byId("rate").oninput = byId("batch").oninput = shown;
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

/** Pauses; the button is back after a last test. */
function stop(why) {
  page.running = false;
  Object.assign(byId("run"), { textContent: "Start", disabled: true });
  say(why);
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
  say(error.message);
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
    return `After ${step} steps, ${training.model} recognizes ${(100 * accuracy).toFixed(1)} % of ${tested} test images.${mistake}`;
  });
  byId("finding").textContent = words.join(" ");
}

/** Everything that needs a test. */
async function pictures() {
  for (const [side, training] of page.trainings.entries()) {
    for (const name of ["filters", "map", "confusion"]) byId(`${name}-${side}`).hidden = !training;
    if (!training) continue;
    filters(byId(`filters-${side}`), training.model, await training.filters());
    map(byId(`map-${side}`), training);
    confusion(byId(`confusion-${side}`), training);
  }
  finding();
  curves();
}

function titled(panel, title, tag) {
  let drawn = panel.querySelector(tag);
  if (!drawn) panel.append(element("h4"), drawn = element(tag));
  panel.querySelector("h4").textContent = title;
  return drawn;
}

function filters(panel, model, { shape: [count, channels, height, width], data }) {
  const canvas = titled(panel, model, "canvas"), gap = 1, columns = Math.min(count, 8), rows = Math.ceil(count / columns);
  canvas.width = columns * (width + gap) - gap;
  canvas.height = rows * (height + gap) - gap;
  canvas.className = "filters";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${count} filters of ${height} by ${width} pixels`);
  const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12), context = canvas.getContext("2d");
  const plane = height * width, level = value => Math.round(127.5 + 127.5 * value / largest);
  for (let filter = 0; filter < count; filter++) {
    const at = (channel, i) => level(data[(filter * channels + channel) * plane + i]);
    const color = channels === 3 ? i => [at(0, i), at(1, i), at(2, i)] : i => Array(3).fill(at(0, i));
    drawTile(context, filter % columns * (width + gap), Math.floor(filter / columns) * (height + gap), height, width, color);
  }
}

/** Draws `height` x `width` pixels; `color(index)` returns red, green and blue from 0 to 255. */
function drawTile(context, x, y, height, width, color) {
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) image.data.set([...color(i), 255], 4 * i);
  context.putImageData(image, x, y);
}

function map(panel, training) {
  const canvas = titled(panel, training.model, "canvas"), size = 480, points = training.tests.at(-1).points;
  canvas.width = canvas.height = size;
  canvas.className = "points";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Map of ${points.length} test images`);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, size, size);
  // A few points far from all others would squeeze the rest.
  const scales = [0, 1].map(axis => {
    const values = points.map(point => Math.abs(point[axis])).sort((a, b) => a - b);
    return 0.47 * size / (values[Math.floor(0.99 * (values.length - 1))] || 1);
  });
  canvas.places = points.map(point => [0, 1].map(axis => Math.min(Math.max(size / 2 + point[axis] * scales[axis], 4), size - 4)));
  canvas.places.forEach(([x, y], i) => {
    context.fillStyle = page.about.colors[page.data.testLabels[i]];
    context.beginPath();
    context.arc(x, y, 4, 0, 2 * Math.PI);
    context.fill();
  });
  canvas.onpointermove = canvas.onpointerdown = event => nearest(canvas, training, event);
}

/** Shows the test image nearest to the pointer. */
function nearest(canvas, training, { offsetX, offsetY }) {
  const factor = canvas.width / canvas.clientWidth, distance = ([x, y]) => Math.hypot(x - offsetX * factor, y - offsetY * factor);
  const shown = byId("map-image");
  if (!canvas.places.length) return;
  const best = canvas.places.reduce((best, place, i) => distance(place) < distance(canvas.places[best]) ? i : best, 0);
  if (distance(canvas.places[best]) > 20) return;
  const [channels, height, width] = page.about.shape, plane = height * width;
  const picture = element("canvas", { width, height, className: "picture" });
  const byte = (channel, i) => page.testBytes[(best * channels + channel) * plane + i];
  drawTile(picture.getContext("2d"), 0, 0, height, width, i => channels === 3 ? [0, 1, 2].map(c => byte(c, i)) : Array(3).fill(byte(0, i)));
  const [right, answer] = [page.data.testLabels[best], training.tests.at(-1).predicted[best]].map(i => page.about.classes[i]);
  shown.replaceChildren(picture, right === answer ? `${right}, recognized` : `${right}, called ${answer}`);
}

function confusion(panel, training) {
  const table = titled(panel, training.model, "table"), names = page.about.classes, counts = training.tests.at(-1).confusion;
  table.className = "matrix";
  const cell = (row, count) => {
    const share = count / Math.max(1, row.reduce((sum, n) => sum + n));
    const value = element("i", { textContent: count, className: share > 0.6 ? "bright" : "" });
    value.style.background = `rgb(${colorOf(share, { low: 0, high: 1 }).join(" ")})`;
    return element("td", {}, value);
  };
  const head = element("tr", {}, element("th"), ...names.map(name => element("th", { scope: "col" }, element("span", { textContent: name }))));
  table.replaceChildren(head, ...counts.map((row, i) =>
    element("tr", {}, element("th", { scope: "row", textContent: names[i] }), ...row.map(count => cell(row, count)))));
  if (!panel.querySelector(".wide")) {
    const wide = element("div", { className: "wide" });
    table.replaceWith(wide);
    wide.append(table);
  }
}

function legends() {
  const item = (color, text) => {
    const swatch = element("i", { className: "dot" });
    swatch.style.background = color;
    return element("li", {}, swatch, ` ${text}`);
  };
  byId("map-legend").replaceChildren(...page.about.classes.map((name, i) => item(page.about.colors[i], name)));
  page.legend = item;
}

function curves() {
  byId("plot-legend").replaceChildren(...page.trainings.flatMap((training, side) => training ? [page.legend(SIDES[side], training.model)] : []));
  byId("saves").replaceChildren(...active().map(training => {
    const button = element("button", { textContent: `Save the weights of ${training.model}`, disabled: page.running });
    button.onclick = async () => {
      const link = element("a", { download: `${training.model}.safetensors`, href: URL.createObjectURL(new Blob([await training.weights()])) });
      link.click();
      URL.revokeObjectURL(link.href);
    };
    return button;
  }));
  const smooth = losses => losses.map((_, i) => {
    const part = losses.slice(Math.max(0, i - 19), i + 1);
    return [i + 1, part.reduce((sum, loss) => sum + loss, 0) / part.length];
  });
  const sides = page.trainings.map((training, side) => ({ training, color: SIDES[side] })).filter(({ training }) => training);
  const losses = sides.flatMap(({ training, color }) => [
    { points: training.losses.map((loss, i) => [i + 1, loss]), color, faint: true }, { points: smooth(training.losses), color },
  ]);
  const all = sides.flatMap(({ training }) => training.losses).sort((a, b) => a - b);
  // Single steps may be far above the rest, and all of them once the learning rate is too large.
  const usual = all[Math.floor(0.98 * (all.length - 1))] || 1, start = Math.max(1, ...sides.map(({ training }) => training.losses[0] ?? 0));
  plot(byId("loss-plot"), losses, Math.min(1.1 * usual, 2 * start));
  plot(byId("accuracy-plot"), sides.map(({ training, color }) =>
    ({ points: training.tests.map(({ step, accuracy }) => [step, 100 * accuracy]), color, dots: true })), 100);
}

/** Lines over steps, from 0 to `top`; what is higher is drawn at the top. */
function plot(svg, lines, top) {
  const [width, height, left, bottom] = [440, 240, 42, 24];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  // A multiple of 4, for whole numbers at the axis.
  const last = 4 * Math.ceil(Math.max(3, ...lines.map(({ points }) => points.at(-1)?.[0] ?? 0)) / 4);
  const x = step => left + step / last * (width - left - 8), y = value => 8 + (1 - Math.min(value / top, 1)) * (height - bottom - 8);
  const shape = (name, attributes, text = "") => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) drawn.setAttribute(key, value);
    drawn.textContent = text;
    return drawn;
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.flatMap(share => [
    shape("line", { x1: left, x2: width - 8, y1: y(share * top), y2: y(share * top), class: "grid" }),
    shape("text", { x: left - 5, y: y(share * top) + 4, "text-anchor": "end" }, Number((share * top).toPrecision(2))),
  ]).concat(ticks.filter(share => share > 0).map(share =>
    shape("text", { x: x(share * last), y: height - 6, "text-anchor": share === 1 ? "end" : "middle" }, Math.round(share * last))));
  const drawn = lines.filter(({ points }) => points.length > 0).flatMap(({ points, color, faint, dots }) => {
    // More points than pixels cannot be seen.
    const every = Math.ceil(points.length / 400), kept = points.filter((_, i) => i % every === 0 || i === points.length - 1);
    const path = shape("path", { d: "M" + kept.map(([step, value]) => `${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("L"), stroke: color, class: faint ? "faint" : "line" });
    return [path, ...(dots ? kept.map(([step, value]) => shape("circle", { cx: x(step), cy: y(value), r: 3, fill: color })) : [])];
  });
  svg.replaceChildren(...grid, ...drawn);
}

open().then(() => busy(false), fail);
