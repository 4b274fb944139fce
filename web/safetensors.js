// Weights as files in the safetensors format of Hugging Face.

/** Reads a file: metadata, and tensors by name, `{ shape, data }`. Half precision and bytes with scales become f32. */
function readSafetensors(buffer) {
  const fail = problem => { throw new Error(`This is not a safetensors file: ${problem}.`); };
  if (buffer.byteLength < 8) fail("it is too short");
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  if (size > buffer.byteLength - 8) fail("its header is cut off");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  } catch {
    fail("its header is not JSON");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(entries)) {
    const bytes = buffer.slice(8 + size + start, 8 + size + end);
    const type = { F32: Float32Array, F16: Uint16Array, I8: Int8Array, U32: Uint32Array }[dtype];
    if (!type) fail(`${name} has element type ${dtype}`);
    const length = shape.reduce((product, n) => product * n, 1);
    if (bytes.byteLength !== length * type.BYTES_PER_ELEMENT) fail(`${name} is cut off`);
    const data = new type(bytes);
    tensors.set(name, { shape, data: dtype === "F16" ? Float32Array.from(data, halfToNumber) : data });
  }
  for (const [name, { data: scales }] of [...tensors].filter(([name]) => name.endsWith(SCALE))) {
    const tensor = tensors.get(name.slice(0, -SCALE.length));
    const row = tensor.data.length / scales.length;
    tensor.data = Float32Array.from(tensor.data, (value, i) => value * scales[Math.floor(i / row)]);
    tensors.delete(name);
  }
  return { metadata, tensors };
}

/** Ending of the names of the scales of 8-bit weights, one for each output channel. */
const SCALE = ".scale";

function halfToNumber(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A file with these tensors, `{ name, shape, data }` of f32, and metadata, whose values are strings. */
function writeSafetensors(tensors, metadata) {
  const entries = { __metadata__: metadata };
  let start = 0;
  for (const { name, shape, data } of tensors) {
    entries[name] = { dtype: "F32", shape, data_offsets: [start, start + data.byteLength] };
    start += data.byteLength;
  }
  const header = new TextEncoder().encode(JSON.stringify(entries));
  // The data starts at a multiple of 8.
  const size = Math.ceil(header.length / 8) * 8;
  const file = new Uint8Array(8 + size + start).fill(32, 8, 8 + size);
  new DataView(file.buffer).setBigUint64(0, BigInt(size), true);
  file.set(header, 8);
  let at = 8 + size;
  for (const { data } of tensors) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
