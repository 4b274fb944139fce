// The two directions in which features vary most, as a map that moves smoothly while a network learns.

class Pca {
  #axes = null;

  /** Projects `count` rows of features onto their first two principal components; returns x and y for each row. */
  project(features, count) {
    const width = features.length / count;
    const means = new Float64Array(width);
    features.forEach((value, i) => { means[i % width] += value / count; });
    const centered = Float64Array.from(features, (value, i) => value - means[i % width]);
    // Starting at the axes of the last map keeps the new ones near them, and keeps their signs.
    this.#axes ??= [0, 1].map(axis => Float64Array.from({ length: width }, (_, i) => Math.cos((axis + 1) * (i + 1))));
    if (this.#axes[0].length !== width) throw new Error(`expected ${this.#axes[0].length} features, found ${width}`);
    for (let round = 0; round < 12; round++) this.#axes.forEach((axis, index) => this.#improve(centered, axis, this.#axes.slice(0, index)));
    const points = [];
    for (let row = 0; row < count; row++) points.push(this.#axes.map(axis => dot(centered.subarray(row * width, (row + 1) * width), axis)));
    return points;
  }

  /** A step of power iteration on the covariance, orthogonal to the axes before it. */
  #improve(centered, axis, before) {
    const width = axis.length, next = new Float64Array(width);
    for (let start = 0; start < centered.length; start += width) {
      const row = centered.subarray(start, start + width), along = dot(row, axis);
      for (let i = 0; i < width; i++) next[i] += along * row[i];
    }
    for (const other of before) {
      const along = dot(next, other);
      for (let i = 0; i < width; i++) next[i] -= along * other[i];
    }
    const length = Math.sqrt(dot(next, next));
    // Features that do not vary have no direction.
    if (length > 0) axis.set(next.map(value => value / length));
  }
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
