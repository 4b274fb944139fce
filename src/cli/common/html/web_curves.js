// Curves of the page of `striate web`, of the networks in training and of earlier runs.

/** The runs on show: first the networks in training, then earlier ones. */
function runs() {
  const live = page.trainings.flatMap((training, side) => training ? [runOf(training, SIDES[side])] : []);
  return { live, all: [...live, ...page.kept] };
}

/** Keeps what was trained, before it starts again. */
function keep() { for (const run of runs().live) page.kept = withRun(page.kept, run); }

function curves() {
  const { live, all } = runs(), isLive = run => live.includes(run);
  legend(all, isLive);
  const losses = active().map((training, i) => ({ points: pointsOf(training.losses, 1), color: live[i].color, style: "faint" }))
    .concat(all.map(run => ({ points: run.losses, color: run.color, style: isLive(run) ? "line" : "earlier" })));
  const values = losses.flatMap(({ points }) => points.map(([, loss]) => loss)).filter(Number.isFinite).sort((a, b) => a - b);
  // Single steps may be far above the rest, and all of them once the learning rate is too large.
  const usual = values[Math.floor(0.98 * (values.length - 1))] || 1, start = Math.max(1, ...all.map(run => run.losses[0]?.[1] ?? 0));
  plot(byId("loss-plot"), losses, divisible(Math.min(1.1 * usual, 2 * start)));
  plot(byId("accuracy-plot"), all.map(run => ({ points: thinned(run.tests, SHOWN_POINTS), color: run.color, style: isLive(run) ? "line" : "earlier", dots: true })), 100);
}

/** Names the curves; earlier runs can be removed. It stays as it is while it says the same, so that its buttons can be used during training. */
function legend(all, isLive) {
  const names = namesOf(all), state = JSON.stringify(all.map((run, i) => [names[i], run.color]));
  if (byId("plot-legend").dataset.state === state) return;
  byId("plot-legend").dataset.state = state;
  byId("plot-legend").replaceChildren(...all.map((run, i) => {
    if (isLive(run)) return legendItem(run.color, names[i]);
    const button = element("button", { type: "button", textContent: "Remove", ariaLabel: `Remove the earlier run, ${names[i]}` });
    button.onclick = () => {
      page.kept = page.kept.filter(other => other !== run);
      draw();
    };
    const item = legendItem(run.color, `${names[i]}, earlier `);
    item.append(button);
    return item;
  }));
}

/** The least value, from this one on, whose fourth has few digits. */
function divisible(value) {
  const unit = 10 ** Math.floor(Math.log10(value / 4));
  return 4 * unit * [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find(digits => digits * unit >= value / 4);
}

/** Lines over steps, from 0 to `top`; what is higher is drawn at the top. */
function plot(svg, lines, top) {
  const [width, height, left, bottom] = [440, 240, 42, 24];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  // A multiple of 4, for whole numbers at the axis.
  const last = 4 * Math.ceil(Math.max(3, ...lines.map(({ points }) => points.at(-1)?.[0] ?? 0)) / 4);
  const x = step => left + step / last * (width - left - 8), y = value => 8 + (1 - Math.min(value / top, 1)) * (height - bottom - 8);
  const shape = (name, attributes, text = "") => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) drawn.setAttribute(key, value);
    drawn.textContent = text;
    return drawn;
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1], empty = lines.every(({ points }) => !points.length);
  const grid = ticks.flatMap(share => [
    shape("line", { x1: left, x2: width - 8, y1: y(share * top), y2: y(share * top), class: "grid" }),
    shape("text", { x: left - 5, y: y(share * top) + 4, "text-anchor": "end" }, empty ? "" : Number((share * top).toPrecision(2))),
  ]).concat(ticks.filter(share => share > 0).map(share =>
    shape("text", { x: x(share * last), y: height - 6, "text-anchor": share === 1 ? "end" : "middle" }, Math.round(share * last))));
  const drawn = lines.flatMap(({ points, color, style, dots }) => {
    // A loss that is not a number has no place.
    const kept = points.filter(([, value]) => Number.isFinite(value));
    if (!kept.length) return [];
    const path = shape("path", { d: "M" + kept.map(([step, value]) => `${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("L"), stroke: color, class: style });
    return [path, ...(dots || kept.length === 1 ? kept.map(([step, value]) => shape("circle", { cx: x(step), cy: y(value), r: 3, fill: color })) : [])];
  });
  svg.replaceChildren(...grid, ...drawn);
}
