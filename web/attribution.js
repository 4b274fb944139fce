// Where a class comes from: Grad-CAM and occlusion, as src/interpret/ computes them.

/** Grad-CAM: a layer's channels, each weighted by the mean of its gradient, summed; negative sums are 0. */
function gradCamMap(activation, gradient, [channels, rows, columns]) {
  const pixels = rows * columns, map = new Float32Array(pixels);
  for (let channel = 0; channel < channels; channel++) {
    const plane = array => array.subarray(channel * pixels, (channel + 1) * pixels);
    const weight = plane(gradient).reduce((sum, value) => sum + value, 0) / pixels;
    plane(activation).forEach((value, i) => { map[i] += weight * value; });
  }
  return map.map(value => Math.max(0, value));
}

/** Covers less than this, in differences of probability, and a larger patch is tried. */
const MATTERS = 0.1;

/**
 * Slides patches over an image of normalized values, small ones first, until one matters. `fill` has a value for each channel, and
 * `probabilitiesOf` classifies `batch` images at once. Yields a map of the probabilities after each batch, with `done` from 0 to 1.
 */
async function* occlusionMaps(image, { size: [height, width], fill, batch }, probabilitiesOf) {
  const patches = [...new Set([2, 3, 4].map(eighths => Math.max(1, Math.floor(Math.min(height, width) * eighths / 8))))];
  const stride = Math.max(1, Math.floor(patches[0] / 4));
  const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  for (const patch of patches) {
    const probabilities = new Float32Array(rows * columns);
    for (let from = 0; from < probabilities.length; from += batch) {
      const covered = new Float32Array(batch * image.length), cells = Math.min(batch, probabilities.length - from);
      for (let i = 0; i < batch; i++) {
        const own = covered.subarray(i * image.length, (i + 1) * image.length), cell = from + i;
        own.set(image);
        if (i < cells) cover(own, width, fill, patchOn(Math.floor(cell / columns), patch, stride, height), patchOn(cell % columns, patch, stride, width));
      }
      probabilities.set((await probabilitiesOf(covered)).slice(0, cells), from);
      yield { patch, stride, columns, probabilities, reached: from + cells, done: (from + cells) / probabilities.length };
    }
    const range = Math.max(...probabilities) - Math.min(...probabilities);
    if (range >= MATTERS) return;
  }
}

/** The range of pixels under a patch that is centered on a cell. */
function patchOn(cell, patch, stride, side) {
  const middle = cell * stride + Math.floor(stride / 2);
  return [Math.max(0, middle + 1 - Math.ceil(patch / 2)), Math.min(middle + 1 + Math.floor(patch / 2), side)];
}

function cover(image, width, fill, [top, bottom], [left, right]) {
  const pixels = image.length / fill.length;
  fill.forEach((value, channel) => {
    for (let row = top; row < bottom; row++) image.fill(value, channel * pixels + row * width + left, channel * pixels + row * width + right);
  });
}
