// Small points on a canvas, drawn pixel by pixel: without a GPU, browsers take several times as long for as many circles.

/** Draws discs into an image, in the order of the calls. */
class Dots {
  #image;
  #mask;
  #radius;
  #left = 0;

  /** Starts with an empty image of `side` pixels, for discs of a radius in pixels. */
  start(side, radius) {
    if (this.#image?.width !== side) this.#image = new ImageData(side, side);
    this.#image.data.fill(0);
    if (radius !== this.#radius) {
      this.#radius = radius;
      this.#left = Math.ceil(radius);
      const width = 2 * this.#left + 1;
      // The part of each pixel under the disc.
      this.#mask = Float32Array.from({ length: width * width }, (_, i) =>
        Math.min(1, Math.max(0, radius + .5 - Math.hypot(i % width - this.#left, Math.floor(i / width) - this.#left))));
    }
  }

  /** Draws a disc around a point, over what is there. */
  dot(x, y, [red, green, blue], alpha) {
    const { data, width: side } = this.#image, width = 2 * this.#left + 1;
    const [left, top] = [Math.floor(x) - this.#left, Math.floor(y) - this.#left];
    for (let row = Math.max(0, -top); row < width && top + row < side; row++) {
      for (let column = Math.max(0, -left); column < width && left + column < side; column++) {
        const over = alpha * this.#mask[row * width + column];
        if (over === 0) continue;
        const at = 4 * ((top + row) * side + left + column), under = data[at + 3] / 255 * (1 - over), sum = over + under;
        data[at] = (red * over + data[at] * under) / sum;
        data[at + 1] = (green * over + data[at + 1] * under) / sum;
        data[at + 2] = (blue * over + data[at + 2] * under) / sum;
        data[at + 3] = 255 * sum;
      }
    }
  }

  /** Replaces what is on a canvas of the same size. */
  show(context) { context.putImageData(this.#image, 0, 0); }
}

/** Red, green and blue of a CSS color. */
function channelsOf(color) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
