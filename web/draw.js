// Maps as colors: the scales of src/interpret/drawing.rs.

const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
const [NEGATIVE, ZERO, POSITIVE] = [[110, 180, 255], [18, 18, 22], [255, 150, 80]];

/** A scale from the smallest value to the 99.5th percentile, `most` is the largest value; with signs, symmetric around 0. */
function scaleOf(values, diverging = false) {
  const sorted = Float32Array.from(values, diverging ? Math.abs : value => value).sort();
  const most = sorted.at(-1), end = sorted[Math.ceil(0.995 * sorted.length) - 1];
  const high = end > sorted[0] ? end : most;
  return { low: diverging ? -high : sorted[0], high, diverging, most };
}

/** A scale for values that may have signs. */
function scaleBySign(values) { return scaleOf(values, values.some(value => value < 0)); }

function mix(from, to, t) { return from.map((value, i) => value + (to[i] - value) * t); }

function colorOf(value, { low, high, diverging }) {
  const t = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
  if (diverging) return mix(ZERO, t < 0.5 ? NEGATIVE : POSITIVE, Math.abs(2 * t - 1));
  const at = Math.min(VIRIDIS.length - 2, Math.floor(9 * t));
  return mix(VIRIDIS[at], VIRIDIS[at + 1], 9 * t - at);
}

/** Draws a row-major plane, one pixel per value. */
function drawMap(canvas, plane, width, scale) {
  const image = new ImageData(width, plane.length / width);
  plane.forEach((value, i) => image.data.set([...colorOf(value, scale), 255], 4 * i));
  drawPixels(canvas, image);
  return canvas;
}

function drawPixels(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.classList.toggle("small", image.width < 100);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draws an image, and over it a map of cells of `cell` pixels, or as large as the image. */
function drawOver(canvas, image, plane, columns, scale, cell = null) {
  const map = drawMap(document.createElement("canvas"), plane, columns, scale);
  drawPixels(canvas, image);
  const context = canvas.getContext("2d");
  context.globalAlpha = 0.6;
  context.imageSmoothingEnabled = cell === null;
  context.drawImage(map, 0, 0, cell ? cell * map.width : image.width, cell ? cell * map.height : image.height);
}

/** Enlarges a canvas by a whole factor to about `side` pixels, and outlines boxes of its pixels `[left, top, width, height]`. */
function outlined(canvas, source, side, box) {
  const factor = Math.max(1, Math.floor(side / source.width));
  canvas.width = factor * source.width;
  canvas.height = factor * source.height;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  for (const [color, thickness] of [["#000", 5], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = thickness;
    context.strokeRect(...box.map(pixels => factor * pixels));
  }
}

/** A legend for a scale, which says if larger values look alike. */
function colorBar({ low, high, diverging, most = high }, unit) {
  const clipped = most > high, about = clipped ? `${unit}, at most ${diverging ? "±" : ""}${number(most)}` : unit;
  const [first, last] = [(clipped && diverging ? "≤ " : "") + number(low), (clipped ? "≥ " : "") + number(high)];
  const bar = element("span", { className: "bar", role: "img", ariaLabel: `Colors from ${first} to ${last}, ${about}` });
  bar.append(element("b", {}, first), element("i", { className: diverging ? "diverging" : "sequential" }), element("b", {}, last), element("small", {}, about));
  return bar;
}

/** An element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
