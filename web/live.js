// The section of the page of `striate see` that runs the network on the reader's images.

(() => {
  const section = document.getElementById("live");
  const part = name => section.querySelector(".live-" + name);
  const status = section.querySelector("[role=status]");
  const { classes, preprocessing, layers, grad_cam, occluded } = JSON.parse(document.getElementById("live-network").textContent);
  const { size: [height, width], normalization: { mean, std } } = preprocessing;
  const SHOWN_CLASSES = 5, SHOWN_MAPS = 64, ENLARGED = 224;
  /** On devices that take longer for an image, occlusion waits to be asked for, in milliseconds. */
  const SLOW = 500;
  /** If less than this of an image is used, the page says so. */
  const MUCH = 0.8;
  /** After more lost devices than this, the page gives up. */
  const MOST_LOSSES = 3;

  let device, executor, weights, shapes, preparation, losses = 0;
  /** The image on show and what is known about it. */
  let shown = null;
  /** Counts images, so that work on an earlier one stops. */
  let turn = 0;
  /** Where the last image comes from: `read` returns its `ImageData`, and `truth` is its true class if known. */
  let source = null;
  /** Whether its answer is due. */
  let due = false;
  /** Brightness of the borders of the examples, once they are needed. */
  let borders = null;
  /** The value to explain: channel, row and column in the layer chosen. */
  let unit = null;

  /** Reports the errors of an action. */
  const guarded = action => async (...words) => {
    try {
      return await action(...words);
    } catch (error) {
      status.textContent = error.message;
      console.info(error);
    }
  };

  async function open() {
    try {
      await connect();
    } catch (error) {
      status.textContent = `The network cannot run here. ${error.message} The rest of the page is complete.`;
      return;
    }
    status.textContent = "Choose an image.";
    part("app").hidden = false;
    new IntersectionObserver(guarded(async (entries, observer) => {
      if (!entries.some(entry => entry.isIntersecting)) return;
      observer.disconnect();
      await prepare();
      const example = part("examples").querySelector("img");
      if (example && !turn) await answerPicture(example);
    })).observe(section);
  }

  async function connect() {
    device = await requestDevice();
    preparation = null;
    device.lost.then(guarded(recover));
  }

  /** Goes on with another device after one was lost. All that is on show is on the page, so nothing is lost with the device. */
  async function recover({ message }) {
    const own = ++losses, why = `The graphics device was lost (${message || "unknown reason"}).`;
    try {
      if (losses > MOST_LOSSES) throw new Error("This happens again and again.");
      status.textContent = `${why} Trying another one.`;
      await connect();
      await prepare();
    } catch (error) {
      // The new device may have been lost too, and is being replaced.
      if (own !== losses) return;
      part("app").hidden = true;
      status.textContent = `${why} ${error.message} Reload the page to try again.`;
      return;
    }
    if (own !== losses) return;
    if (due) await answer(source);
    else if (shown) {
      tell();
      await Promise.all([explainClass(false), showLayer()]);
    } else status.textContent = "Choose an image.";
  }

  /** Compiles the kernels and uploads the weights, once. */
  function prepare() {
    return preparation ??= (async () => {
      const file = await embeddedJson(isSoftware(device) ? "live-software" : "live-gpu");
      const made = await Executor.create(device, file, (done, all) => { status.textContent = `Preparing the network: ${done} of ${all} kernels.`; });
      weights = readSafetensors(await embedded("live-weights")).tensors;
      for (const { name } of made.persistent) made.write(name, weights.get(name).data);
      shapes = { images: [mean.length, height, width] };
      for (const { name, ty } of made.outputs("inspect")) shapes[name] = ty.shape.slice(1);
      executor = made;
    })();
  }

  const adapter = () => device.adapterInfo ?? {};

  /** Classifies an image and shows all that follows. `moving` images are followed by others soon, so slow views wait. */
  async function answer(from, moving = false) {
    const own = ++turn;
    // Images may need to be inverted or not, each on its own.
    if (from !== source) part("invert").checked = false;
    [source, due] = [from, true];
    await prepare();
    const start = performance.now();
    const image = await readOf(from);
    if (own !== turn) return;
    const { pixels, values } = preprocess(part("invert").checked ? inverted(image) : image, preprocessing);
    const { logits } = await executor.run("predict", { images: values });
    if (own !== turn) return;
    const milliseconds = performance.now() - start;
    const probabilities = softmax(logits);
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    shown = { truth: from.truth, pixels, probabilities, order, class: order[0], milliseconds, values: { images: values } };
    due = false;
    for (const result of section.querySelectorAll(".live-result")) result.hidden = false;
    tell();
    drawPixels(part("input"), pixels);
    showClasses();
    await Promise.all([warn(image, pixels), explainClass(moving), showLayer()]);
  }

  /** The image of a source. Without one, nothing of an earlier image stays. */
  async function readOf(from) {
    try {
      return await from.read();
    } catch (error) {
      forget(from);
      throw error;
    }
  }

  /** Clears what is on show if it is from this source. */
  function forget(from = source) {
    if (from !== source) return;
    turn++;
    [source, due, shown] = [null, false, null];
    status.textContent = "Choose an image.";
    part("invert").checked = false;
    part("hint").hidden = true;
    for (const result of section.querySelectorAll(".live-result")) result.hidden = true;
  }

  function tell() {
    const { truth, order: [best], probabilities, milliseconds } = shown;
    const wrong = truth !== undefined && truth !== classes[best] ? ` This is wrong: the true class is ${truth}.` : "";
    status.textContent = `The network says ${classes[best]}, ${percent(probabilities[best])} %.${wrong} It took ${Math.round(milliseconds)} ms on ${adapter().description || adapter().architecture || "this device"}.`;
  }

  /** Says if much of an image is cut off, or if it is bright on dark and those of the page are dark on bright or the other way round. */
  async function warn(image, pixels) {
    const examples = await (borders ??= Promise.all([...part("examples").querySelectorAll("img")].map(async picture => {
      await picture.decode();
      return borderOf(pixelsOf(picture, picture.naturalWidth, picture.naturalHeight));
    })));
    if (pixels !== shown?.pixels) return;
    const [columns, rows] = kept(image, preprocessing), hints = [];
    if (columns < MUCH * image.width || rows < MUCH * image.height)
      hints.push(`The network sees only the middle ${columns} × ${rows} pixels of this image of ${image.width} × ${image.height}.`);
    const border = borderOf(pixels), [own, other] = border > 127 ? ["bright", "dark"] : ["dark", "bright"];
    if (unlikeBorders(border, examples))
      hints.push(`The border of this image is ${own}, but those of the examples are ${other}. The network learned from images like the examples, and may misread this one. ${part("invert").checked ? "Untick" : "Try"} “Invert”.`);
    part("hint").hidden = !hints.length;
    part("hint").textContent = hints.join(" ");
  }

  const answerPicture = guarded((picture, image = picture.closest("[data-image]").dataset.image) => {
    const read = async () => {
      // A canvas is there at once.
      await picture.decode?.();
      return pixelsOf(picture, picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height);
    };
    return answer({ read, truth: imageMap?.truth(image) });
  });

  function softmax(logits) {
    const largest = maximum(logits);
    const powers = Array.from(logits, logit => Math.exp(logit - largest));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map(power => power / sum);
  }

  const maximum = values => values.reduce((largest, value) => Math.max(largest, value));

  const percent = probability => (100 * probability).toFixed(1);

  function showClasses() {
    const rows = shown.order.slice(0, SHOWN_CLASSES).map(index => {
      const value = 100 * shown.probabilities[index];
      const button = element("button", { type: "button", textContent: classes[index], ariaPressed: index === shown.class });
      button.addEventListener("click", guarded(async () => {
        shown.class = index;
        showClasses();
        [...part("classes").querySelectorAll("button")].find(other => other.textContent === classes[index])?.focus();
        await explainClass(false);
      }));
      const row = element("tr", {}, element("th", { scope: "row" }, button), element("td", {}, `${percent(shown.probabilities[index])} %`),
        element("td", {}, element("meter", { min: 0, max: 100, value, textContent: `${value} %` })));
      row.dataset.class = index;
      row.dataset.probability = shown.probabilities[index];
      return row;
    });
    part("classes").querySelector("table").replaceChildren(...rows);
  }

  /** The image and class to explain, and whether they have changed since. */
  function subject() {
    const [own, explained] = [shown, shown.class];
    return [own, explained, () => own !== shown || explained !== own.class];
  }

  /** Grad-CAM and occlusion for the class chosen. */
  async function explainClass(moving) {
    const [own, explained, stale] = subject();
    if (grad_cam) await gradCam(own, explained, stale);
    if (stale()) return;
    const waits = moving || own.milliseconds > SLOW;
    part("cover").hidden = !waits;
    if (waits) {
      drawPixels(part("occlusion"), own.pixels);
      part("occlusion").nextElementSibling.textContent = "";
    } else await occlusion(own, explained, stale);
  }

  /** Draws a map over the image, and below it its scale and what it shows. */
  function showOver(canvas, pixels, { values, columns, cell, high, unit }, words) {
    const scale = { low: 0, high };
    drawOver(canvas, pixels, values, columns, scale, cell);
    canvas.nextElementSibling.replaceChildren(colorBar(scale, unit), words);
  }

  async function gradCam({ pixels, values: { images } }, explained, stale) {
    const upstream = new Float32Array(classes.length);
    upstream[explained] = 1;
    const { activation, gradient } = await executor.run("grad_cam", { images, upstream });
    if (stale()) return;
    const { shape } = layers.find(layer => layer.name === grad_cam);
    const support = gradCamMap(activation, gradient, shape);
    part("cam").values = support;
    const map = { values: support, columns: shape[2], high: maximum(support), unit: "support" };
    showOver(part("cam"), pixels, map, `Bright: where ${grad_cam} supports ${classes[explained]}.`);
  }

  async function occlusion({ pixels, probabilities, values: { images } }, explained, stale) {
    const before = probabilities[explained];
    const settings = { size: preprocessing.size, fill: mean.map((mean, channel) => (0.5 - mean) / std[channel]), batch: occluded };
    const classify = async covered => {
      const { logits } = await executor.run("occlude", { images: covered });
      return Array.from({ length: occluded }, (_, i) => softmax(logits.subarray(i * classes.length, (i + 1) * classes.length))[explained]);
    };
    let values = null;
    for await (const { patch, stride, columns, probabilities: covered, reached, done } of occlusionMaps(images, settings, classify)) {
      if (stale()) return;
      const drops = covered.map((probability, i) => i < reached ? 100 * Math.max(0, before - probability) : 0), largest = maximum(drops);
      values = covered;
      const map = { values: drops, columns, cell: stride, high: Math.max(10, largest), unit: "percentage points" };
      showOver(part("occlusion"), pixels, map, `${done < 1 ? `${Math.floor(100 * done)} % covered so far. ` : ""}Bright: covering it with a gray patch of ${patch} pixels makes ${classes[explained]} less likely, ${(100 * before).toFixed(1)} to ${(100 * before - largest).toFixed(1)} %.`);
    }
    part("occlusion").values = values;
  }

  /** Values of the image on show, by name. */
  async function inspect(names) {
    const { values } = shown;
    const missing = names.filter(name => !(name in values));
    if (missing.length) Object.assign(values, await executor.run("inspect", { images: values.images }, missing));
    return values;
  }

  /** The outputs are classes. */
  const channelName = ({ value }, channel) => value === layers.at(-1).value ? classes[channel] : String(channel);
  const names = Object.fromEntries(layers.toReversed().map(({ name, value }) => [value, name]));

  const chosenLayer = () => layers[part("layer").selectedIndex];
  const planeOf = (values, { value, shape }, channel) => {
    const pixels = count(shape.slice(1));
    return values[value].subarray(channel * pixels, (channel + 1) * pixels);
  };

  /** The feature maps of the layer chosen, strongest first. */
  async function showLayer() {
    const layer = chosenLayer(), own = shown;
    part("about").textContent = `${layer.name}: computing …`;
    const values = await inspect([layer.value]);
    if (own !== shown || layer !== chosenLayer()) return;
    const [channels, rows = 1, columns = 1] = layer.shape;
    const largest = Float32Array.from({ length: channels }, (_, channel) => maximum(planeOf(values, layer, channel)));
    const strongest = [...largest.keys()].sort((a, b) => largest[b] - largest[a]).slice(0, SHOWN_MAPS);
    const planes = strongest.map(channel => planeOf(values, layer, channel));
    own.scale = scaleBySign(planes.flatMap(plane => [...plane]));
    part("about").textContent = `${layer.name}: ${layer.shape.join(" × ")}${channels > SHOWN_MAPS ? `, the ${SHOWN_MAPS} strongest channels` : ", strongest first"}`;
    part("scale").replaceChildren(colorBar(own.scale, "activation"));
    part("maps").replaceChildren(...strongest.map((channel, i) => {
      const canvas = drawMap(document.createElement("canvas"), planes[i], columns, own.scale);
      const button = element("button", { type: "button", ariaLabel: `Channel ${channelName(layer, channel)}, at most ${number(largest[channel])}` }, canvas, element("span", {}, channelName(layer, channel)));
      button.dataset.channel = channel;
      button.addEventListener("click", guarded(event => {
        const box = canvas.getBoundingClientRect();
        const clicked = event.detail && [(event.clientY - box.top) / box.height * rows, (event.clientX - box.left) / box.width * columns].map(Math.floor);
        const inside = clicked && clicked[0] >= 0 && clicked[0] < rows && clicked[1] >= 0 && clicked[1] < columns;
        const at = planes[i].indexOf(largest[channel]);
        return showUnit([channel, ...(inside ? clicked : [Math.floor(at / columns), at % columns])]);
      }));
      return button;
    }));
    if (unit) await showUnit(unit);
  }

  /** One value of the layer: what it can depend on, and its arithmetic. */
  async function showUnit(chosen) {
    const layer = chosenLayer(), own = shown;
    const needed = layer.steps.flatMap(({ input, other, inputs = [] }) => [input, other, ...inputs.map(branch => branch.input)].filter(Boolean));
    const values = await inspect([layer.value, ...needed]);
    if (own !== shown || layer !== chosenLayer()) return;
    unit = chosen;
    const [channel, row, column] = unit;
    const [, rows = 1, columns = 1] = layer.shape;
    const plane = planeOf(values, layer, channel);
    part("unit").hidden = false;
    for (const button of part("maps").children) button.ariaPressed = Number(button.dataset.channel) === channel;
    part("unit-name").textContent = `${layer.name}, channel ${channelName(layer, channel)}, row ${row}, column ${column} of ${rows} × ${columns}`;
    outlined(part("map"), drawMap(document.createElement("canvas"), plane, columns, own.scale), ENLARGED, [column, row, 1, 1]);
    const fields = layer.field ?? [{ start: 0, size: height, stride: 0 }, { start: 0, size: width, stride: 0 }];
    const [top, left] = fields.map(({ start, stride }, axis) => start + stride * [row, column][axis]);
    outlined(part("field"), part("input"), ENLARGED, [left, top, fields[1].size, fields[0].size]);
    const computed = plane[row * columns + column];
    const explained = layer.steps.length ? explain(layer.steps, unit, { values, weights, shapes, names }) : null;
    const inside = fields.map(({ size }, axis) => Math.min([top, left][axis] + size, [height, width][axis]) - Math.max([top, left][axis], 0));
    const beyond = inside.some((side, axis) => side < fields[axis].size) ? `: its receptive field of ${fields[0].size} × ${fields[1].size} reaches beyond the edge` : "";
    const about = `The network computed ${number(computed)}. It can depend on ${inside.join(" × ")} pixels of the image${beyond}.`;
    part("arithmetic").replaceChildren(...(explained ? arithmetic(explained) : []), element("p", {}, about));
    Object.assign(part("arithmetic").dataset, { explained: explained?.value, computed });
  }

  const inputs = connectInputs(section, {
    answer: guarded((from, moving) => {
      // It is none of the images of the page.
      if (selection.image !== null) select({ image: null });
      return answer(from, moving);
    }),
    forget,
    guarded,
    decode: file => decoded(file, preprocessing),
    isOpen: () => device !== undefined,
  });
  part("invert").addEventListener("change", guarded(() => source && answer(source)));

  // Images of the page: the selection of all sections.
  listeners.push(({ image }) => {
    if (image === undefined || image === null || !device) return;
    inputs.stopCamera();
    const picture = pictureOf(image);
    if (picture) return answerPicture(picture, image);
    forget();
    status.textContent = "The page has only a small copy of the image chosen. Choose another one, or give it as a file.";
  });
  // The map has all of its images; small ones in full.
  const pictureOf = image => [...document.querySelectorAll(`[data-image="${image}"] img`)].find(img => img.naturalWidth >= width) ??
    [imageMap?.thumbnail(image)].find(copy => copy?.width >= width);
  for (const tab of document.querySelectorAll("#images [role=tab]")) {
    const button = element("button", { type: "button" }, tab.querySelector("img").cloneNode(), element("span", {}, tab.textContent.trim()));
    button.dataset.image = tab.dataset.image;
    part("examples").append(button);
  }

  part("cover").addEventListener("click", guarded(() => {
    part("cover").hidden = true;
    return occlusion(...subject());
  }));

  // Layers and pixels.
  if (!grad_cam) part("cam").parentElement.remove();
  part("layer").append(...layers.map(({ name, shape }) => element("option", {}, `${name} (${shape.join(" × ")})`)));
  part("layer").addEventListener("change", guarded(async () => {
    unit = null;
    part("unit").hidden = true;
    part("maps").replaceChildren();
    part("scale").replaceChildren();
    if (shown) await showLayer();
  }));
  const map = part("map");
  const within = (value, side) => Math.min(Math.max(value, 0), side - 1);
  map.addEventListener("click", guarded(event => {
    const [, rows = 1, columns = 1] = chosenLayer().shape;
    const box = map.getBoundingClientRect();
    return showUnit([unit[0], within(Math.floor((event.clientY - box.top) / box.height * rows), rows), within(Math.floor((event.clientX - box.left) / box.width * columns), columns)]);
  }));
  map.addEventListener("keydown", event => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined) return;
    event.preventDefault();
    const [, rows = 1, columns = 1] = chosenLayer().shape;
    guarded(showUnit)([unit[0], within(unit[1] + down, rows), within(unit[2] + right, columns)]);
  });

  open();
})();
