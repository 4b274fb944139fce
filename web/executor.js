// Runs the plans of a file written by striate (README.md beside this file) on a WebGPU device, as the executors in src/runtime/ do.
// Every buffer, pipeline and bind group is created once; a step only writes its inputs, records and submits.

const FORMAT = "striate plans", VERSION = 1;

/** WebGPU's default `minUniformBufferOffsetAlignment`. */
const UNIFORM_ALIGNMENT = 256;

/** Requests a WebGPU device, or throws an error that says why there is none. */
async function requestDevice() {
  if (!globalThis.navigator?.gpu) throw new Error(
    "This browser has no WebGPU. Chrome and Edge have it since version 113, Safari since 26 and Firefox since 141.");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("The browser has WebGPU, but offers no graphics adapter.");
  return adapter.requestDevice();
}

/** Whether a device is a software adapter, for which a page has plans with other kernels. */
function isSoftware(device) {
  const { isFallbackAdapter, architecture, description } = device.adapterInfo ?? {};
  return isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|warp|basic render/i.test(`${architecture} ${description}`);
}

class Executor {
  #device;
  #file;
  #buffers;
  #persistent = new Map();
  #programs = new Map();
  /** Unused buffers for reading back, by size. */
  #staging = new Map();
  #lost = null;

  /**
   * Prepares the plans of a parsed file. `onKernel(done, total)` is called whenever a kernel is compiled.
   * Persistent values are 0 until they are written or initialized.
   */
  static async create(device, file, onKernel = () => {}) {
    if (file.format !== FORMAT || file.version !== VERSION)
      throw new Error(`expected ${FORMAT}, version ${VERSION}, found ${file.format}, version ${file.version}`);
    const executor = new Executor();
    executor.#device = device;
    executor.#file = file;
    device.lost.then(({ message }) => { executor.#lost = message || "unknown reason"; });
    const pipelines = await executor.#compile(onKernel);
    device.pushErrorScope("validation");
    device.pushErrorScope("out-of-memory");
    executor.#allocate(pipelines);
    const [memory, validation] = [await device.popErrorScope(), await device.popErrorScope()];
    if (memory ?? validation) throw new Error((memory ?? validation).message);
    return executor;
  }

  /** Compiles every kernel, all at once, since browsers compile in other threads. */
  async #compile(onKernel) {
    const kernels = Object.entries(this.#file.kernels);
    let done = 0;
    const compile = async ([name, { entry, reads, writes, source }]) => {
      const buffer = binding => binding === 0 ? "uniform" : binding <= reads ? "read-only-storage" : "storage";
      const entries = Array.from({ length: 1 + reads + writes }, (_, binding) =>
        ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type: buffer(binding) } }));
      const bindings = this.#device.createBindGroupLayout({ label: name, entries });
      const pipeline = await this.#device.createComputePipelineAsync({
        label: name,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [bindings] }),
        compute: { module: this.#device.createShaderModule({ label: name, code: source }), entryPoint: entry },
      });
      onKernel(++done, kernels.length);
      return [name, { pipeline, bindings }];
    };
    return new Map(await Promise.all(kernels.map(compile)));
  }

  #allocate(pipelines) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#buffers = this.#file.buffers.map((size, i) => this.#device.createBuffer({ label: `buffer ${i}`, size, usage }));
    for (const { name, plan, locations } of this.#file.programs) {
      const region = storage => ({ buffer: this.#buffers[locations[storage][0]], offset: locations[storage][1] });
      const place = value => [value.name, { ...value, ...region(value.storage), length: count(value.ty.shape) }];
      for (const { value, persistence } of plan.persistent)
        this.#persistent.set(value.name, { ...place(value)[1], persistence });
      this.#programs.set(name, {
        inputs: new Map(plan.inputs.map(place)),
        outputs: new Map(plan.outputs.map(place)),
        dispatches: this.#bind(plan, region, pipelines),
        submissions: plan.submissions.map(submission => submission.dispatches),
      });
    }
  }

  /** Creates the bind group of every dispatch. All parameters of a plan share one uniform buffer. */
  #bind(plan, region, pipelines) {
    const words = plan.dispatches.map(d => [...plan.launches[d.launch].params, d.first_workgroup]);
    const step = Math.ceil(4 * Math.max(1, ...words.map(w => w.length)) / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
    const uniforms = new Uint32Array(step / 4 * Math.max(1, words.length));
    words.forEach((w, i) => uniforms.set(w, step / 4 * i));
    const buffer = this.#device.createBuffer(
      { label: "parameters", size: uniforms.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.#device.queue.writeBuffer(buffer, 0, uniforms);
    // Kernels may load and store vec4s, so bindings are rounded up.
    const bound = storage => ({ ...region(storage), size: Math.ceil(plan.storages[storage].bytes / 16) * 16 });
    return plan.dispatches.map(({ launch, workgroups }, i) => {
      const { kernel, reads, writes } = plan.launches[launch];
      const { pipeline, bindings } = pipelines.get(kernel);
      const resources = [{ buffer, offset: step * i, size: step }, ...[...reads, ...writes].map(bound)];
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      return { pipeline, bindings: this.#device.createBindGroup({ label: kernel, layout: bindings, entries }), workgroups };
    });
  }

  /** Names, types and purposes of the persistent values, in order of creation. */
  get persistent() { return [...this.#persistent.values()].map(({ name, ty, persistence }) => ({ name, ty, ...persistence })); }

  /** Whether there is a program of this name. */
  has(program) { return this.#programs.has(program); }

  /** The inputs of a program: names, types and valid labels. */
  inputs(program) { return [...this.#program(program).inputs.values()]; }

  /** The outputs of a program: names and types. */
  outputs(program) { return [...this.#program(program).outputs.values()]; }

  /** Replaces a persistent value. `data` is a typed array of its type and size. */
  write(name, data) { this.#write(find(this.#persistent, name, "persistent value"), data); }

  /** Submits one step. `inputs` has a typed array for each input of the program. Outputs stay on the device. */
  submit(program, inputs) {
    if (this.#lost) throw new Error(`The graphics device was lost (${this.#lost}). Reload the page.`);
    const { inputs: expected, dispatches, submissions } = this.#program(program);
    for (const name of Object.keys(inputs)) find(expected, name, "input");
    for (const [name, input] of expected) {
      if (!inputs[name]) throw new Error(`${name}: this input is missing`);
      this.#write(input, inputs[name]);
    }
    for (const { start, end } of submissions) {
      const encoder = this.#device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { pipeline, bindings, workgroups } of dispatches.slice(start, end)) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindings);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
      this.#device.queue.submit([encoder.finish()]);
    }
  }

  /** The named outputs of a program, or all of them, as an object of typed arrays. They last until the next step of any program. */
  async read(program, names = [...this.#program(program).outputs.keys()]) {
    const { outputs } = this.#program(program);
    return this.#read(names.map(name => find(outputs, name, "output")));
  }

  /** The named persistent values, or all of them, as an object of typed arrays. */
  async readPersistent(names = [...this.#persistent.keys()]) {
    return this.#read(names.map(name => find(this.#persistent, name, "persistent value")));
  }

  /** Submits one step and reads its outputs, or only those named. */
  async run(program, inputs, names) {
    this.submit(program, inputs);
    return this.read(program, names);
  }

  /** Initializes every persistent value as `Session::initialize` does: the elements depend only on the seed and the name. */
  initialize(seed) {
    for (const { name, length, persistence } of this.#persistent.values())
      this.write(name, initial(persistence.init, length, seed, name));
  }

  /** Frees the memory on the device. */
  destroy() { this.#buffers.forEach(buffer => buffer.destroy()); }

  #program(name) { return find(this.#programs, name, "program"); }

  #write({ name, ty, labels, length, buffer, offset }, data) {
    const type = arrayOf(ty.dtype);
    if (!(data instanceof type) || data.length !== length)
      throw new Error(`${name}: expected a ${type.name} of ${length} elements, found a ${data?.constructor?.name} of ${data?.length}`);
    const wrong = labels ? data.findIndex(l => l >= labels.classes && l !== labels.ignore_index) : -1;
    if (wrong >= 0)
      throw new Error(`${name}: label ${data[wrong]} at index ${wrong} is not below ${labels.classes}, the number of classes`);
    this.#device.queue.writeBuffer(buffer, offset, data);
  }

  async #read(values) {
    const size = values.reduce((sum, value) => sum + 4 * value.length, 0);
    if (size === 0) return {};
    const free = this.#staging.get(size) ?? [];
    this.#staging.set(size, free);
    const staging = free.pop() ?? this.#device.createBuffer({ label: "readback", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.#device.createCommandEncoder();
    let start = 0;
    for (const { buffer, offset, length } of values) {
      encoder.copyBufferToBuffer(buffer, offset, staging, start, 4 * length);
      start += 4 * length;
    }
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    free.push(staging);
    const read = {};
    start = 0;
    for (const { name, ty, length } of values) {
      read[name] = new (arrayOf(ty.dtype))(bytes, start, length);
      start += 4 * length;
    }
    return read;
  }
}

function find(map, name, kind) {
  if (!map.has(name)) throw new Error(`there is no ${kind} ${name}; there is ${[...map.keys()].join(", ")}`);
  return map.get(name);
}

function count(shape) { return shape.reduce((product, size) => product * size, 1); }

function arrayOf(dtype) { return dtype === "f32" ? Float32Array : Uint32Array; }
