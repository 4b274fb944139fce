// The arithmetic behind one value of a layer.

/** Input channels listed one by one. */
const LISTED = 6;

/** Computes one value of a layer by its steps, from a convolution on. `values` and `weights` are typed arrays by name, `shapes` the shapes of values. */
function explain(steps, [channel, row, column], values, weights, shapes) {
  const [first, ...rest] = steps;
  const convolved = convolve(first, [channel, row, column], values[first.input], shapes[first.input], weights);
  let value = convolved.sum;
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
      return { name: "shortcut", text: `${number(before)} + ${number(other)} = ${number(value)}` };
    }
    const [scale, shift, mean, variance] = ["weight", "bias", "mean", "variance"].map(part => weights.get(step[part]).data[channel]);
    value = (before - mean) / Math.sqrt(variance + step.eps) * scale + shift;
    return {
      name: "batch norm",
      text: `(${number(before)} ${minus(mean)}) / √(${number(variance + step.eps)}) × ${number(scale)} ${plus(shift)} = ${number(value)}`,
    };
  });
  return { ...convolved, lines, value };
}

/** The products of one value of a convolution, by input channel, largest sums first. */
function convolve({ weight, bias, stride, padding, dilation, groups }, [channel, row, column], input, [, height = 1, width = 1], weights) {
  const { shape: [outs, perGroup, kernelHeight = 1, kernelWidth = 1], data } = weights.get(weight);
  const group = Math.floor(channel / (outs / groups));
  const taps = kernelHeight * kernelWidth;
  const channels = Array.from({ length: perGroup }, (_, i) => {
    const from = group * perGroup + i;
    const filter = data.subarray((channel * perGroup + i) * taps).subarray(0, taps);
    const patch = Float32Array.from(filter, (_, tap) => {
      const y = row * stride[0] - padding[0] + Math.floor(tap / kernelWidth) * dilation[0];
      const x = column * stride[1] - padding[1] + tap % kernelWidth * dilation[1];
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      return inside ? input[(from * height + y) * width + x] : 0;
    });
    return { channel: from, filter, patch, sum: filter.reduce((sum, w, tap) => sum + w * patch[tap], 0) };
  });
  const offset = bias ? weights.get(bias).data[channel] : null;
  const sum = channels.reduce((sum, own) => sum + own.sum, offset ?? 0);
  channels.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  return { channels, bias: offset, sum, width: kernelWidth };
}

/** The arithmetic in words, numbers and drawings, as elements. */
function arithmetic({ channels, bias, sum, lines, value, width }) {
  const patches = scaleBySign(channels.flatMap(({ patch }) => [...patch]));
  const filters = scaleOf(channels.flatMap(({ filter }) => [...filter]), true);
  const cells = (name, ...contents) => element("tr", {}, element("th", { scope: "row" }, name), ...contents.map(content => element("td", {}, content)));
  const small = (plane, scale) => drawMap(document.createElement("canvas"), plane, width, scale);
  const rows = channels.slice(0, LISTED).map(({ channel, filter, patch, sum }) =>
    cells(String(channel), small(patch, patches), small(filter, filters), number(sum)));
  const others = channels.slice(LISTED);
  if (others.length) rows.push(cells(`${others.length} more`, "", "", number(others.reduce((all, { sum }) => all + sum, 0))));
  const head = element("tr", {}, ...["input channel", "input", "filter", "sum of products"].map(name => element("th", { scope: "col" }, name)));
  const [{ channel, filter, patch, sum: first }] = channels;
  const products = Array.from(filter, (weight, i) => `${number(patch[i])} × ${weight < 0 ? `(${number(weight)})` : number(weight)}`).join(" + ");
  const together = channels.length === 1 ? "the sum of the products" : `the sums of all ${channels.length} input channels`;
  const steps = [{ name: "weighted sum", text: `${together}${bias === null ? "" : ` ${plus(bias)} (bias)`} = ${number(sum)}` }, ...lines];
  return [
    element("div", { className: "wide" }, element("table", {}, head, ...rows)),
    colorBar(patches, "input"), colorBar(filters, "weight"),
    element("details", {}, element("summary", {}, `The products of input channel ${channel}`), element("p", {}, element("code", {}, `${products} = ${number(first)}`))),
    element("ul", {}, ...steps.map(({ name, text }) => element("li", {}, element("strong", {}, name), `: ${text}`))),
    element("p", {}, `So the value is ${number(value)}.`),
  ];
}

/** A number with about four digits. */
function number(value) {
  const text = value === 0 || Math.abs(value) >= 0.001 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
  return text.replace("-", "−");
}

function minus(value) { return value < 0 ? `+ ${number(-value)}` : `− ${number(value)}`; }

function plus(value) { return value < 0 ? `− ${number(-value)}` : `+ ${number(value)}`; }
