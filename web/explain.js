// The arithmetic behind one value of a layer.

/** Input channels listed one by one. */
const LISTED = 6;

/**
 * Computes one value of a layer by its steps. `values` and `weights` are typed arrays by name, `shapes` the shapes of values, and
 * `names` the layers they are from. Returns the value, its `lines` of arithmetic, and what the first step has to show.
 */
function explain(steps, [channel, row, column], { values, weights, shapes, names = {} }) {
  const [first, ...rest] = steps;
  const source = SOURCES[first.op](first, [channel, row, column], { values, weights, shapes });
  let { value } = source;
  const lines = rest.map(step => {
    const before = value;
    if (step.op === "relu") {
      value = Math.max(0, before);
      return { name: "ReLU", text: `max(0, ${number(before)}) = ${number(value)}` };
    }
    if (step.op === "add") {
      const [, height = 1, width = 1] = shapes[step.other];
      const other = values[step.other][(channel * height + row) * width + column];
      value = before + other;
      const from = names[step.other] ? ` (${names[step.other]}, channel ${channel}, row ${row}, column ${column})` : "";
      return { name: "shortcut", text: `${number(before)} + ${bracketed(other)}${from} = ${number(value)}` };
    }
    const [scale, shift, mean, variance] = ["weight", "bias", "mean", "variance"].map(part => weights.get(step[part]).data[channel]);
    value = (before - mean) / Math.sqrt(variance + step.eps) * scale + shift;
    return {
      name: "batch norm",
      text: `(${number(before)} ${minus(mean)}) / √(${number(variance + step.eps)}) × ${number(scale)} ${plus(shift)} = ${number(value)}`,
    };
  });
  return { ...source, lines: [...source.lines, ...lines], value };
}

/** The first steps of layers: each returns its value, lines of arithmetic, and products or a window to show. */
const SOURCES = {
  conv: convolve,

  max_pool({ input, window }, [channel, row, column], { values, shapes }) {
    const pooled = pixelsUnder(window, values[input], shapes[input], [channel, row, column]);
    // The first of equal values wins, and what is not a number always does.
    const winner = pooled.plane.reduce((best, value, i) => value > pooled.plane[best] || Number.isNaN(value) ? i : best, 0);
    const value = pooled.plane[winner], [y, x] = [pooled.top + Math.floor(winner / pooled.width), pooled.left + winner % pooled.width];
    const text = `the largest of ${pooled.plane.length} values of channel ${channel} is at row ${y}, column ${x} of the input: ${number(value)}`;
    return { value, lines: [{ name: "max-pooling", text }], window: pooled };
  },

  avg_pool({ input, window, count_include_pad }, [channel, row, column], { values, shapes }) {
    const pooled = pixelsUnder(window, values[input], shapes[input], [channel, row, column]);
    const sum = pooled.plane.reduce((sum, value) => sum + value, 0), count = count_include_pad ? pooled.padded : pooled.plane.length;
    const text = `the sum of ${pooled.plane.length} values of channel ${channel}, ${number(sum)} / ${count} = ${number(sum / count)}`;
    return { value: sum / count, lines: [{ name: "average pooling", text }], window: pooled };
  },

  concat({ inputs }, [channel, row, column], { values, shapes }) {
    let from = channel, branch = 0;
    while (from >= shapes[inputs[branch].input][0]) from -= shapes[inputs[branch++].input][0];
    const { input, layer } = inputs[branch];
    const [, height = 1, width = 1] = shapes[input], value = values[input][(from * height + row) * width + column];
    return { value, lines: [{ name: "concatenation", text: `channel ${channel} is channel ${from} of ${layer}: ${number(value)}` }] };
  },

  local_response_norm({ input, size, alpha, beta, k }, [channel, row, column], { values, shapes }) {
    const [channels, height = 1, width = 1] = shapes[input], at = from => values[input][(from * height + row) * width + column];
    const [start, end] = [Math.max(0, channel - Math.floor(size / 2)), Math.min(channels, channel + Math.floor((size - 1) / 2) + 1)];
    const neighbors = Array.from({ length: end - start }, (_, i) => at(start + i));
    const squares = neighbors.reduce((sum, value) => sum + value * value, 0), base = k + alpha / size * squares;
    const value = at(channel) / base ** beta;
    return { value, lines: [
      { name: `squares of channels ${start} to ${end - 1}`, text: `${neighbors.map(value => `${bracketed(value)}²`).join(" + ")} = ${number(squares)}` },
      { name: "local response normalization", text: `${number(at(channel))} / (${number(k)} + ${number(alpha)} / ${size} × ${number(squares)})^${number(beta)} = ${number(value)}` },
    ] };
  },
};

/** The pixels of a channel under a window: row-major `plane` of `width`, its place, and how many there are with padding. */
function pixelsUnder(window, input, [, height = 1, width = 1], [channel, ...place]) {
  const [down, across] = [height, width].map((side, axis) => {
    const index = place[axis];
    if (window.adaptive) {
      const outs = window.adaptive.output_size[axis], start = Math.floor(index * side / outs), end = Math.ceil((index + 1) * side / outs);
      return { start, end, padded: end - start };
    }
    const [size, stride, padding] = ["kernel_size", "stride", "padding"].map(name => window.sliding[name][axis]);
    const first = index * stride - padding, last = Math.min(first + size, side + padding);
    return { start: Math.max(0, first), end: Math.min(last, side), padded: last - first };
  });
  const rows = Array.from({ length: down.end - down.start }, (_, i) => (channel * height + down.start + i) * width);
  const plane = Float32Array.from(rows.flatMap(row => [...input.subarray(row + across.start, row + across.end)]));
  return { plane, width: across.end - across.start, top: down.start, left: across.start, padded: down.padded * across.padded };
}

/** The products of one value of a convolution, by input channel, largest sums first. */
function convolve({ input, weight, bias, stride, padding, dilation, groups }, [channel, row, column], { values, weights, shapes }) {
  const { shape: [outs, perGroup, kernelHeight = 1, kernelWidth = 1], data } = weights.get(weight);
  const [, height = 1, width = 1] = shapes[input];
  const group = Math.floor(channel / (outs / groups));
  const taps = kernelHeight * kernelWidth;
  const channels = Array.from({ length: perGroup }, (_, i) => {
    const from = group * perGroup + i;
    const filter = data.subarray((channel * perGroup + i) * taps).subarray(0, taps);
    const patch = Float32Array.from(filter, (_, tap) => {
      const y = row * stride[0] - padding[0] + Math.floor(tap / kernelWidth) * dilation[0];
      const x = column * stride[1] - padding[1] + tap % kernelWidth * dilation[1];
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      return inside ? values[input][(from * height + y) * width + x] : 0;
    });
    return { channel: from, filter, patch, sum: filter.reduce((sum, w, tap) => sum + w * patch[tap], 0) };
  });
  const offset = bias ? weights.get(bias).data[channel] : null;
  const value = channels.reduce((sum, own) => sum + own.sum, offset ?? 0);
  channels.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const together = channels.length === 1 ? "the sum of the products" : `the sums of all ${channels.length} input channels`;
  const text = `${together}${offset === null ? "" : ` ${plus(offset)} (bias)`} = ${number(value)}`;
  return { value, lines: [{ name: "weighted sum", text }], products: { channels, width: kernelWidth } };
}

/** The arithmetic in words, numbers and drawings, as elements. */
function arithmetic({ products, window, lines, value }) {
  return [
    ...(products ? tableOfProducts(products) : []),
    ...(window ? drawingOfWindow(window) : []),
    element("ul", {}, ...lines.map(({ name, text }) => element("li", {}, element("strong", {}, name), `: ${text}`))),
    element("p", {}, `So the value is ${number(value)}.`),
  ];
}

function drawingOfWindow({ plane, width }) {
  const scale = scaleBySign([...plane]);
  return [drawMap(document.createElement("canvas"), plane, width, scale), colorBar(scale, "input")];
}

function tableOfProducts({ channels, width }) {
  const patches = scaleBySign(channels.flatMap(({ patch }) => [...patch]));
  const filters = scaleOf(channels.flatMap(({ filter }) => [...filter]), true);
  const cells = (name, ...contents) => element("tr", {}, element("th", { scope: "row" }, name), ...contents.map(content => element("td", {}, content)));
  const small = (plane, scale) => drawMap(document.createElement("canvas"), plane, width, scale);
  const rows = channels.slice(0, LISTED).map(({ channel, filter, patch, sum }) =>
    cells(String(channel), small(patch, patches), small(filter, filters), number(sum)));
  const others = channels.slice(LISTED);
  if (others.length) rows.push(cells(`${others.length} more`, "", "", number(others.reduce((all, { sum }) => all + sum, 0))));
  const head = element("tr", {}, ...["input channel", "input", "filter", "sum of products"].map(name => element("th", { scope: "col" }, name)));
  const products = channels.map(({ channel, filter, patch, sum }) => {
    const summed = Array.from(filter, (weight, i) => `${number(patch[i])} × ${bracketed(weight)}`).join(" + ");
    return element("p", {}, `Input channel ${channel}: `, element("code", {}, `${summed} = ${number(sum)}`));
  });
  return [
    element("div", { className: "wide" }, element("table", {}, head, ...rows)),
    colorBar(patches, "input"), colorBar(filters, "weight"),
    element("details", {}, element("summary", {}, "All products"), ...products),
  ];
}

/** A number with about four digits. */
function number(value) {
  const text = value === 0 || Math.abs(value) >= 0.001 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
  return text.replace("-", "−");
}

function bracketed(value) { return value < 0 ? `(${number(value)})` : number(value); }

function minus(value) { return value < 0 ? `+ ${number(-value)}` : `− ${number(value)}`; }

function plus(value) { return value < 0 ? `− ${number(-value)}` : `+ ${number(value)}`; }
