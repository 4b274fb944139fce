// Image files as a network's input, with the bytes that src/data/preprocess gives.

/** Fractional bits of a weight of the resampling filter. */
const PRECISION = 22;

const FILTERS = {
  bilinear: { support: 1, weight: x => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: signed => {
      const [x, a] = [Math.abs(signed), -0.5];
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
};

/** The first input pixel and the weights of each output pixel, for `length` pixels from `from` on of a side of `side` pixels scaled to `scaled`. */
function taps(side, { scaled, from, length }, { support, weight }) {
  const scale = side / scaled, width = Math.max(scale, 1), radius = support * width;
  return Array.from({ length }, (_, i) => {
    const center = (from + i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - radius + 0.5));
    const end = Math.min(side, Math.trunc(center + radius + 0.5));
    const weights = Array.from({ length: end - first }, (_, k) => weight((first + k - center + 0.5) / width));
    const sum = weights.reduce((a, b) => a + b, 0) || 1;
    return { first, weights: weights.map(w => Math.trunc(w / sum * 2 ** PRECISION + Math.sign(w) * 0.5)) };
  });
}

/** Scales RGBA pixels along rows. `step` and `line` are the distances of neighbors within and between rows of the input. */
function scaleRows(pixels, step, line, rows, all) {
  const scaled = new Uint8ClampedArray(4 * rows * all.length);
  for (let row = 0; row < rows; row++) {
    all.forEach(({ first, weights }, i) => {
      for (let channel = 0; channel < 3; channel++) {
        let [sum, at] = [2 ** (PRECISION - 1), row * line + first * step + channel];
        for (const weight of weights) {
          sum += weight * pixels[at];
          at += step;
        }
        scaled[4 * (row * all.length + i) + channel] = sum >> PRECISION;
      }
      scaled[4 * (row * all.length + i) + 3] = 255;
    });
  }
  return scaled;
}

/** Scales parts of an `ImageData`: of its rows and columns `{ scaled, from, length }`. */
function resample({ data, width, height }, columns, rows, filter) {
  const across = taps(width, columns, filter), down = taps(height, rows, filter);
  const between = scaleRows(data, 4, 4 * width, height, across);
  // Columns are the rows of the transposed image.
  const columnsFirst = scaleRows(between, 4 * across.length, 4, across.length, down);
  const image = new ImageData(across.length, down.length);
  for (let y = 0; y < down.length; y++)
    for (let x = 0; x < across.length; x++)
      image.data.set(columnsFirst.subarray(4 * (x * down.length + y)).subarray(0, 4), 4 * (y * across.length + x));
  return image;
}

/** Offset of a centered range, halves rounded to even. */
function centered(side, length) {
  const twice = side - length;
  return Math.floor(twice / 2) + (twice % 4 === 3);
}

function cropped({ data, width }, left, top, columns, rows) {
  const image = new ImageData(columns, rows);
  for (let y = 0; y < rows; y++)
    image.data.set(data.subarray(4 * ((top + y) * width + left)).subarray(0, 4 * columns), 4 * y * columns);
  return image;
}

/** Scales and crops an `ImageData` to the size of the network's input. */
function fitted(image, { size: [height, width], resize, interpolation }) {
  const filter = FILTERS[interpolation];
  if (resize) {
    const short = Math.min(image.width, image.height);
    const part = (full, length) => {
      const scaled = Math.floor(resize * full / short);
      return { scaled, from: centered(scaled, length), length };
    };
    return resample(image, part(image.width, width), part(image.height, height), filter);
  }
  const limited = (length, full) => Math.min(Math.max(length, 1), full);
  const columns = limited(Math.floor((image.height * width + Math.floor(height / 2)) / height), image.width);
  const rows = limited(Math.floor((image.width * height + Math.floor(width / 2)) / width), image.height);
  const part = cropped(image, centered(image.width, columns), centered(image.height, rows), columns, rows);
  const whole = scaled => ({ scaled, from: 0, length: scaled });
  return resample(part, whole(width), whole(height), filter);
}

/** How many columns and rows of an image `fitted` keeps. */
function kept({ width: columns, height: rows }, { size: [height, width], resize }) {
  const scale = resize ? resize / Math.min(columns, rows) : Math.max(width / columns, height / rows);
  return [Math.min(columns, width / scale), Math.min(rows, height / scale)].map(Math.round);
}

/** An `ImageData` as a network's input: its pixels, and the normalized values in the order of channels, rows and columns. */
function preprocess(image, settings) {
  const pixels = fitted(image, settings), { data } = pixels;
  const { mean, std } = settings.normalization;
  const count = pixels.width * pixels.height;
  if (mean.length === 1)
    for (let i = 0; i < 4 * count; i += 4)
      data.fill(Math.floor((299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2] + 500) / 1000), i, i + 3);
  const values = new Float32Array(mean.length * count);
  mean.forEach((_, channel) => {
    for (let i = 0; i < count; i++) values[channel * count + i] = (data[4 * i + channel] / 255 - mean[channel]) / std[channel];
  });
  return { pixels, values };
}

/** The pixels of an `ImageBitmap`, canvas, video or image element. */
function pixelsOf(source, width = source.width, height = source.height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** Decodes an image file as the network expects it: without color management. */
async function decoded(blob, { exif_rotation }) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: exif_rotation ? "from-image" : "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, options);
  } catch {
    throw new Error(`${blob.name ?? "This"} is not an image that the browser can read.`);
  }
  const pixels = pixelsOf(bitmap);
  bitmap.close();
  return pixels;
}

/** The negative of an `ImageData`. */
function inverted({ data, width, height }) {
  return new ImageData(data.map((byte, i) => i % 4 === 3 ? byte : 255 - byte), width, height);
}

/** The mean brightness of the outermost pixels, from 0 to 255. */
function borderOf({ data, width, height }) {
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x += y % (height - 1) && width > 1 ? width - 1 : 1) {
      const at = 4 * (y * width + x);
      sum += (data[at] + data[at + 1] + data[at + 2]) / 3;
      count++;
    }
  return sum / count;
}

/** Whether a border is bright where those of all examples are dark, or dark where they are bright. A few examples say nothing. */
function unlikeBorders(border, examples) {
  if (examples.length < 3) return false;
  const [least, most] = [Math.min(...examples), Math.max(...examples)];
  return border > 127 ? most < 64 : least > 191;
}
