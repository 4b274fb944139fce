// The map: all images on a canvas, as points from afar and as themselves from near. It shows the selection of the page, and sets
// it. `imageMap` describes images to the other sections; it is null for too few images.
const imageMap = connectMap(document.getElementById("map"));

function connectMap(section) {
  const canvas = section.querySelector("canvas");
  if (!canvas) return null;
  const { images: rows, known, names, classes, units, unusual, side, columns } = JSON.parse(document.getElementById("map-data").textContent);
  const ids = Object.keys(units);
  const images = rows.map(([x, y, own, predicted, percent, name]) => {
    const words = [names[own], known && predicted !== own ? `, called ${names[predicted]}` : "", ` (${percent.toFixed(1)} %)`].join("");
    return { x, y, own: String(own), predicted: String(predicted), words, name, text: `${words} ${names[predicted]} ${name}`.toLowerCase() };
  });
  const colors = new Map(classes.map(entry => [String(entry.class), { css: entry.color, channels: channelsOf(entry.color) }]));
  const atlas = section.querySelector(".atlas img");
  const [tip, found, search] = [".tip", ".found", "input"].map(query => section.querySelector(query));

  // Distances in CSS pixels: of a point that can be hit, of the margin, and the sides of images.
  const [REACH, MARGIN, SMALLEST, RINGED, LARGEST] = [12, 40, 16, 28, 72];
  const MOST = 60;
  // More images than these at once are points: they would cover each other, and take long to draw.
  const CROWD = 800;
  const view = { x: .5, y: .5, scale: 1 };
  let query = "";
  let cursor = null;

  const extent = () => canvas.clientWidth;
  const unitLength = () => (extent() - 2 * MARGIN) * view.scale;
  const place = image => ["x", "y"].map(axis => (images[image][axis] - view[axis]) * unitLength() + extent() / 2);
  const thumbnailSide = () => Math.min(LARGEST, .6 * extent() / Math.sqrt(images.length) * view.scale);
  const describe = image => `${images[image].name}: ${images[image].words}`;

  function fits({ own, predicted, text }) {
    const { class: chosen, predicted: called } = selection;
    return (chosen === null || own === chosen && (called === null || predicted === called)) && text.includes(query);
  }
  // The images that fit, also as a flag for each image.
  let lit = [];
  const isLit = new Uint8Array(images.length);

  // The part of the atlas with an image. Few pixels are shown sharp.
  const small = side < 64;
  const source = image => [image % columns * side, Math.floor(image / columns) * side, side, side];
  function thumbnail(image) {
    const own = Object.assign(document.createElement("canvas"), { width: side, height: side, className: small ? "small" : "" });
    own.getContext("2d").drawImage(atlas, ...source(image), 0, 0, side, side);
    return own;
  }

  // Draws everything, at most once in a frame of the screen.
  let due = false;
  function draw() {
    if (due) return;
    due = true;
    requestAnimationFrame(paint);
  }

  const dots = new Dots();
  function paint() {
    due = false;
    const size = extent();
    if (!size) return;
    const pixels = Math.round(size * devicePixelRatio), ratio = pixels / size;
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, size, size);
    const length = unitLength(), own = thumbnailSide(), [left, top] = [view.x, view.y].map(middle => size / 2 - middle * length);
    // What matters most is drawn last.
    const visible = [[], []];
    images.forEach(({ x, y }, image) => {
      const away = Math.max(Math.abs(left + x * length - size / 2), Math.abs(top + y * length - size / 2));
      if (away <= size / 2 + own) visible[isLit[image]].push(image);
    });
    const faint = [.12, 1];
    if (own < SMALLEST || visible[0].length + visible[1].length > CROWD) {
      dots.start(pixels, ratio * Math.max(3, Math.min(own, SMALLEST) / 3));
      visible.forEach((group, rank) => {
        for (const image of group) {
          const { x, y, own } = images[image];
          dots.dot(ratio * (left + x * length), ratio * (top + y * length), colors.get(own).channels, faint[rank]);
        }
      });
      dots.show(context);
    } else visible.forEach((group, rank) => {
      context.globalAlpha = faint[rank];
      for (const image of group) drawImage(context, image, own, 2, colors.get(images[image].own).css);
    });
    context.globalAlpha = 1;
    const style = getComputedStyle(section);
    for (const image of units[selection.unit] ?? []) drawImage(context, image, Math.max(own, RINGED), 3, style.getPropertyValue("--mark"));
    for (const image of [selection.image, cursor]) if (image !== null) drawImage(context, Number(image), Math.max(own, RINGED), 3, style.color);
    canvas.style.touchAction = view.scale > 1 ? "none" : "pan-y";
  }

  function drawImage(context, image, own, border, color) {
    const [x, y] = place(image);
    context.fillStyle = color;
    context.imageSmoothingEnabled = own < side || !small;
    context.fillRect(x - own / 2 - border, y - own / 2 - border, own + 2 * border, own + 2 * border);
    context.drawImage(atlas, ...source(image), x - own / 2, y - own / 2, own, own);
  }

  // Finds what is lit, and says so, and what is framed.
  function filter() {
    lit = [];
    images.forEach((image, index) => {
      isLit[index] = fits(image);
      if (isLit[index]) lit.push(index);
    });
    const conditions = [
      ...(selection.class === null ? [] : [`class ${names[selection.class]}${selection.predicted === null ? "" : `, called ${names[selection.predicted]}`}`]),
      ...(query ? [`“${query}” in the class, the answer or the name`] : []),
    ];
    const framed = units[selection.unit] ? ` Framed: those that excite ${unitName(selection.unit)} most.` : "";
    found.textContent = `${lit.length} of ${images.length} images${conditions.length ? `: ${conditions.join("; ")}` : ""}.${framed}`;
  }

  // Shows what an image is, beside it.
  function point(image) {
    if (image === cursor) return;
    cursor = image;
    tip.hidden = image === null;
    if (image !== null) {
      const text = Object.assign(document.createElement("span"), { textContent: describe(image) });
      tip.replaceChildren(thumbnail(image), text);
      const [x, y] = place(image);
      const away = Math.max(thumbnailSide(), RINGED) / 2 + 8;
      tip.style.left = `${Math.max(0, Math.min(x + away, extent() - tip.offsetWidth))}px`;
      tip.style.top = `${y < extent() / 2 ? y + away : y - away - tip.offsetHeight}px`;
    }
    draw();
  }

  function moveTo(x, y, scale = view.scale) {
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    view.scale = clamp(scale, 1, MOST);
    // The whole map, at least in part, stays in view.
    const slack = .5 - .5 / view.scale;
    view.x = clamp(x, .5 - slack, .5 + slack);
    view.y = clamp(y, .5 - slack, .5 + slack);
    point(null);
    draw();
  }

  // Zooms; what is at a point of the canvas stays there.
  function zoom(factor, [left, top] = [extent() / 2, extent() / 2]) {
    const scale = Math.min(Math.max(view.scale * factor, 1), MOST);
    const kept = 1 / unitLength() - view.scale / scale / unitLength();
    moveTo(view.x + (left - extent() / 2) * kept, view.y + (top - extent() / 2) * kept, scale);
  }

  function pan(right, down) {
    moveTo(view.x - right / unitLength(), view.y - down / unitLength());
  }

  function reveal(image) {
    const inside = place(image).every(pixels => pixels > MARGIN / 2 && pixels < extent() - MARGIN / 2);
    if (!inside) moveTo(images[image].x, images[image].y);
  }

  const at = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  };

  function hit(event) {
    const [left, top] = at(event);
    let [nearest, least] = [null, Math.max(REACH, thumbnailSide() / 2)];
    const length = unitLength(), [x, y] = [left, top].map((pixels, axis) => (pixels - extent() / 2) / length + [view.x, view.y][axis]);
    for (const image of lit) {
      const distance = length * Math.max(Math.abs(images[image].x - x), Math.abs(images[image].y - y));
      if (distance <= least) [nearest, least] = [image, distance];
    }
    return nearest;
  }

  // Mouse, pen and fingers: one pans, two also zoom.
  const pointers = new Map();
  let dragged = false;
  const middle = () => [0, 1].map(axis => [...pointers.values()].reduce((sum, p) => sum + p[axis], 0) / pointers.size);
  const spread = () => { const [a, b] = pointers.values(); return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 1; };
  canvas.addEventListener("pointerdown", event => {
    if (!pointers.size) dragged = false;
    pointers.set(event.pointerId, at(event));
  });
  addEventListener("pointermove", event => {
    if (!pointers.has(event.pointerId)) return;
    const [from, before] = [middle(), spread()];
    const last = pointers.get(event.pointerId);
    const next = at(event);
    // A hand is not steady.
    if (!dragged && Math.hypot(next[0] - last[0], next[1] - last[1]) < 4) return;
    dragged = true;
    pointers.set(event.pointerId, next);
    const to = middle();
    pan(to[0] - from[0], to[1] - from[1]);
    if (pointers.size > 1) zoom(spread() / before, to);
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, event => pointers.delete(event.pointerId));
  canvas.addEventListener("pointermove", event => { if (!pointers.size) point(hit(event)); });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", event => {
    const image = dragged ? null : hit(event);
    if (image === null) return;
    select({ image: String(image) });
    point(image);
  });
  // The wheel scrolls the page until the map has the focus. A pinch on a touchpad is a wheel with Ctrl.
  canvas.addEventListener("wheel", event => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 400)), at(event));
  }, { passive: false });

  // The keyboard: arrows go to the next image in their direction.
  function step(right, down) {
    const from = cursor === null ? [extent() / 2, extent() / 2] : place(cursor);
    let [next, least] = [null, Infinity];
    for (const image of lit) {
      const [x, y] = place(image);
      const [dx, dy] = [x - from[0], y - from[1]];
      const [along, across] = [dx * right + dy * down, Math.abs(dx * down) + Math.abs(dy * right)];
      if (image !== cursor && along > 0 && across <= along && along + across < least) [next, least] = [image, along + across];
    }
    if (next === null) return;
    reveal(next);
    point(next);
  }
  const keys = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
    "+": () => zoomAtCursor(1.5), "=": () => zoomAtCursor(1.5), "-": () => zoomAtCursor(1 / 1.5), 0: () => moveTo(.5, .5, 1),
    Enter: () => { if (cursor !== null) select({ image: String(cursor) }); },
  };
  function zoomAtCursor(factor) {
    const image = cursor;
    zoom(factor, place(image ?? central()));
    point(image);
  }
  // The image nearest to the middle of the view, so that zooming ends at an image: the one selected, if it is in view.
  function central() {
    const away = image => Math.hypot(...place(image).map(pixels => pixels - extent() / 2));
    if (selection.image !== null && away(selection.image) < extent() / 2) return selection.image;
    const among = lit.length ? lit : images.keys();
    return [...among].reduce((best, image) => away(image) < away(best) ? image : best);
  }
  canvas.addEventListener("keydown", event => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });

  const buttons = { in: () => zoomAtCursor(1.5), out: () => zoomAtCursor(1 / 1.5), whole: () => moveTo(.5, .5, 1), all: showAll };
  for (const [name, act] of Object.entries(buttons)) section.querySelector(`[data-map="${name}"]`).addEventListener("click", act);
  function showAll() {
    search.value = query = "";
    select({ class: null, predicted: null, unit: null });
  }
  search.addEventListener("input", () => {
    query = search.value.trim().toLowerCase();
    filter();
    draw();
  });
  search.addEventListener("keydown", event => {
    const [first] = lit;
    if (event.key === "Enter" && first !== undefined) select({ image: String(first) });
  });

  // The selection. An image also marks its cell of the confusion matrix and the units that it excites most.
  const cells = all(".matrix button");
  const tabs = all("[data-unit]");
  listeners.push(({ image }) => {
    if (image !== undefined) {
      const { own, predicted } = images[image] ?? {};
      for (const cell of cells) cell.classList.toggle("holds", cell.dataset.class === own && cell.dataset.predicted === predicted);
      for (const tab of tabs) tab.classList.toggle("holds", image !== null && (units[tab.dataset.unit]?.includes(Number(image)) ?? false));
      if (image !== null) reveal(image);
    }
    filter();
    draw();
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (!atlas.complete) atlas.addEventListener("load", draw);
  filter();
  draw();
  const truth = image => known ? names[images[image].own] : undefined;
  const called = (own, predicted) => [...images.keys()].filter(image => images[image].own === own && images[image].predicted === predicted);
  const top = unit => units[unit] ?? [];
  return { describe, truth, thumbnail, called, top, place, paint, unusual: image => unusual[image].map(index => ids[index]) };
}
