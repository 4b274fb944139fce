// Trains one network in the page.

/** Training images over which batch norm's statistics for a test are averaged. */
const STATISTICS = 256;
/** Steps whose losses may be on their way from the device at once. */
const IN_FLIGHT = 4;

class Training {
  losses = [];
  /** Learning rates and batch sizes so far: `[step, value]`, from which step on each was used. */
  rates = [];
  batches = [];
  /** Training images so far, each as often as it was used. */
  seen = 0;
  /** Whether a loss was NaN or infinite. */
  broken = false;
  /** `{ step, accuracy, confusion, points }` after each test. */
  tests = [];
  #executor;
  #data;
  #pca = new Pca();
  #order = [];
  #epoch = 0;
  #pending = [];

  /** `data`: `images` and `labels` for training, `testImages` and `testLabels`, and `classes`; images are normalized. */
  static async create(device, model, file, data, onKernel) {
    const training = new Training();
    training.model = model;
    training.#executor = await Executor.create(device, file, onKernel);
    training.#data = data;
    return training;
  }

  get steps() { return this.losses.length + this.#pending.length; }

  /** Starts again from the initial weights of a seed. */
  async reset(seed) {
    await this.finish();
    Object.assign(this, { seed, losses: [], rates: [], batches: [], seen: 0, broken: false, tests: [] });
    this.#order = [];
    this.#epoch = 0;
    this.#pca = new Pca();
    this.#executor.initialize(seed);
  }

  /** Submits one step, and waits if too many are in flight. */
  async step(batch, rate) {
    const picked = this.#next(batch);
    this.seen += batch;
    for (const [used, value] of [[this.rates, rate], [this.batches, batch]]) if (used.at(-1)?.[1] !== value) used.push([this.steps, value]);
    const labels = picked.map(i => this.#data.labels[i]), schedule = new Float32Array([rate, 1, 1]);
    this.#pending.push(this.#run(`train ${batch}`, { images: this.#images(picked), labels, schedule }, ["loss"]));
    if (this.#pending.length > IN_FLIGHT) await this.#collect();
  }

  /** Runs a step of a program, which may have dropout. */
  #run(program, inputs, outputs) {
    const counter = this.#executor.inputs(program).some(({ name }) => name === "counter");
    return this.#executor.run(program, counter ? { ...inputs, counter: new Uint32Array([this.steps, this.seed]) } : inputs, outputs);
  }

  /** Training images by index. */
  #images(picked) {
    const { images, labels } = this.#data, size = images.length / labels.length;
    const values = new Float32Array(picked.length * size);
    picked.forEach((image, i) => values.set(images.subarray(image * size, (image + 1) * size), i * size));
    return values;
  }

  /**
   * Replaces batch norm's running averages, which lag behind quickly changing weights, by means over training images, as
   * src/train/statistics.rs does.
   */
  async #recomputeStatistics() {
    if (!this.#executor.has("statistics")) return;
    const size = this.#executor.inputs("statistics")[0].ty.shape[0], batches = Math.floor(Math.min(STATISTICS, this.#data.labels.length) / size);
    const means = {};
    for (let batch = 0; batch < batches; batch++) {
      const picked = Uint32Array.from({ length: size }, (_, i) => batch * size + i);
      for (const [name, values] of Object.entries(await this.#run("statistics", { images: this.#images(picked) }))) {
        means[name] ??= new Float64Array(values.length);
        values.forEach((value, i) => { means[name][i] += value / batches; });
      }
    }
    for (const [name, mean] of Object.entries(means)) this.#executor.write(name, Float32Array.from(mean));
  }

  /** Waits for all steps. */
  async finish() { while (this.#pending.length > 0) await this.#collect(); }

  async #collect() {
    const { loss: [loss] } = await this.#pending.shift();
    this.losses.push(loss);
    this.broken ||= !Number.isFinite(loss);
  }

  /** Indices of the next batch: every image once per epoch, in an order that depends on the seed and the epoch alone. */
  #next(batch) {
    if (this.#order.length < batch) this.#order = [...new SplitMix64(this.seed, [this.#epoch++]).permutation(this.#data.labels.length)];
    return Uint32Array.from(this.#order.splice(0, batch));
  }

  /** Classifies the first `count` test images; `onImages` is told how many are done. */
  async test(count = this.#data.testLabels.length, onImages = () => {}) {
    const { testImages, classes } = this.#data, size = testImages.length / this.#data.testLabels.length;
    const testLabels = this.#data.testLabels.subarray(0, count);
    onImages(0, testLabels.length);
    await this.finish();
    await this.#recomputeStatistics();
    const [images] = this.#executor.inputs("test"), batch = images.ty.shape[0];
    const confusion = classes.map(() => classes.map(() => 0)), features = [];
    const predicted = new Uint32Array(testLabels.length);
    for (let start = 0; start < testLabels.length; start += batch) {
      // The last batch may have zeros, or images that do not count.
      const inputs = { images: new Float32Array(batch * size) };
      inputs.images.set(testImages.subarray(start * size, (start + batch) * size));
      const outputs = await this.#executor.run("test", inputs);
      const rows = Math.min(batch, testLabels.length - start);
      for (let i = 0; i < rows; i++) {
        const logits = outputs.logits.subarray(i * classes.length, (i + 1) * classes.length);
        predicted[start + i] = logits.indexOf(Math.max(...logits));
        confusion[testLabels[start + i]][predicted[start + i]]++;
      }
      const width = outputs.features.length / batch;
      features.push(outputs.features.subarray(0, rows * width));
      onImages(start + rows, testLabels.length);
    }
    const right = confusion.reduce((sum, row, i) => sum + row[i], 0);
    const all = new Float32Array(features.reduce((sum, part) => sum + part.length, 0));
    features.reduce((at, part) => { all.set(part, at); return at + part.length; }, 0);
    const points = all.every(Number.isFinite) ? this.#pca.project(all, testLabels.length) : [];
    const test = { step: this.steps, accuracy: right / testLabels.length, confusion, predicted, points };
    this.tests.push(test);
    return test;
  }

  /** The filters of the first convolution: `{ shape, data }`. */
  async filters() {
    const { name, ty } = this.#executor.persistent.find(({ ty }) => ty.shape.length === 4);
    return { shape: ty.shape, data: (await this.#executor.readPersistent([name]))[name] };
  }

  /** The weights as a safetensors file, which striate loads. */
  async weights() {
    await this.finish();
    const values = this.#executor.persistent.filter(({ kind }) => kind !== "optimizer");
    const read = await this.#executor.readPersistent(values.map(({ name }) => name));
    const tensors = values.map(({ name, ty }) => ({ name, shape: ty.shape, data: read[name] }));
    return writeSafetensors(tensors, { ...this.#data.metadata, model: this.model });
  }

  /** Frees the memory on the device. */
  async destroy() {
    await this.finish();
    this.#executor.destroy();
  }
}
