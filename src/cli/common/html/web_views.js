// Drawings of the page of `striate web` that follow each test: filters, map, confusion matrix.

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
  const canvas = titled(panel, model, "canvas"), gap = 1, columns = Math.ceil(Math.sqrt(count)), rows = Math.ceil(count / columns);
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

function legendItem(color, text) {
  const swatch = element("i", { className: "dot" });
  swatch.style.background = color;
  return element("li", {}, swatch, ` ${text}`);
}

/** A button for the weights of each network. */
function saves() {
  byId("saves").replaceChildren(...active().map(training => {
    const button = element("button", { textContent: `Save the weights of ${training.model}` });
    button.onclick = async () => {
      const link = element("a", { download: `${training.model}.safetensors`, href: URL.createObjectURL(new Blob([await training.weights()])) });
      link.click();
      URL.revokeObjectURL(link.href);
    };
    return button;
  }));
}
