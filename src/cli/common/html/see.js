// One selection for all sections: an image, a unit (the id of its panel), a true class and the class it was called. Each section
// listens and shows its part of it.
const selection = { image: null, unit: null, class: null, predicted: null };
const listeners = [];

function select(change) {
  Object.assign(selection, change);
  for (const listener of listeners) listener(change);
}

// Whatever has one of these attributes selects it when chosen.
document.addEventListener("click", event => {
  const chosen = event.target.closest("[data-image], [data-unit], [data-class]");
  if (!chosen) return;
  const change = {};
  for (const key of Object.keys(selection)) if (key in chosen.dataset) change[key] = chosen.dataset[key];
  // A class on its own, as in the legend of the map, means whatever it was called; the same class again, none.
  if ("class" in change && !("image" in change)) change.unit = null;
  if ("class" in change && !("image" in change) && !("predicted" in change)) {
    change.predicted = null;
    if (change.class === selection.class && selection.predicted === null) change.class = null;
  }
  select(change);
});

const all = query => [...document.querySelectorAll(query)];

// What a unit is called: "channel 9 of layer3", or a class.
function unitName(id) {
  const tab = document.getElementById(id + "-tab");
  const layer = tab?.closest("[role=tabpanel]").querySelector("h3").textContent;
  return tab && `${tab.textContent.trim()} of ${layer}`;
}
const unitLink = id => Object.assign(document.createElement("a"), { href: "#" + id, textContent: unitName(id) });

// Links to units show what excites these most, as their tabs do.
for (const link of all("a[data-unit]")) link.prepend(document.querySelector(`#${link.dataset.unit}-tab img`).cloneNode());

// Images to compare a channel's with come from the map, whose images are ready by then.
addEventListener("load", () => {
  for (const button of all(".compared button")) button.prepend(imageMap.thumbnail(button.dataset.image));
});

// Panels.
listeners.push(({ image, unit }) => {
  if (image) open("image-" + image);
  if (unit) open(unit);
});

// Mistakes: those of the class selected, or the worst.
const WORST = matchMedia("(max-width: 40rem)").matches ? 9 : 20;
const mistakes = all("#results .picks [data-class]");
const title = document.getElementById("mistakes-title");
const about = document.getElementById("mistakes-about");
const fits = (element, { class: own, predicted }) =>
  element.dataset.class === own && (predicted === null || element.dataset.predicted === predicted);

// The page has right answers only as small copies on the map.
const right = document.getElementById("right-answers");
function showRight() {
  const { class: own, predicted } = selection;
  const images = own !== null && own === predicted ? imageMap?.called(own, predicted).slice(0, WORST) ?? [] : [];
  right.replaceChildren(...images.map(image => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.dataset.image = image;
    button.append(imageMap.thumbnail(image), imageMap.describe(image));
    return button;
  }));
  return images.length;
}

function showMistakes() {
  const { class: own, predicted } = selection;
  mistakes.forEach((mistake, index) => { mistake.hidden = own === null ? index >= WORST : !fits(mistake, selection); });
  if (!title) return;
  const cell = document.querySelector(`.matrix [data-class="${own}"][data-predicted="${predicted}"]`);
  const name = document.querySelector(`#map .legend [data-class="${own}"]`);
  title.textContent = own === null ? "The worst mistakes" : (own === predicted ? "Right: " : "Mistakes: ") + (cell?.getAttribute("aria-label") ?? name?.textContent ?? "");
  const { shown, all: count } = about.dataset;
  const [seen, many] = [mistakes.filter(mistake => !mistake.hidden).length, shown === count ? "" : `, of the ${shown} worst`];
  const rights = showRight();
  document.getElementById("mistakes-why").hidden = own !== null && own === predicted;
  about.textContent = own === null ? `The ${seen} of ${count} mistakes whose true class got the lowest probability`
    : own === predicted ? (rights ? `The first ${rights} of them` : "These answers are right")
    : `${seen} of the ${count} mistakes${many}, the lowest probability of the true class first`;
  document.getElementById("no-mistakes").hidden = rights > 0 || seen > 0;
}
listeners.push(change => {
  if (!("class" in change) || "image" in change) return;
  showMistakes();
  // A cell of the matrix shows its images below.
  if (change.predicted) title?.scrollIntoView({ block: "center", behavior: "smooth" });
});
showMistakes();

// Marks what is selected, in every section.
const marked = all("[data-image], .matrix [data-class], .links [data-class], .legend [data-class]").filter(e => !e.matches("[role=tab]"));
listeners.push(() => {
  for (const element of marked) {
    const { image, class: own, predicted } = element.dataset;
    const chosen = image !== undefined ? image === selection.image
      : own === selection.class && (predicted ?? null) === selection.predicted;
    element.setAttribute("aria-pressed", chosen);
  }
});

// The image selected, wherever it was selected.
const status = document.getElementById("selection");
listeners.push(({ image }) => {
  if (image === undefined) return;
  if (image === null) return hideSelection();
  const shown = document.querySelector(`[data-image="${image}"] img`)?.cloneNode() ?? imageMap.thumbnail(image);
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "\u00d7", ariaLabel: "Close" });
  close.addEventListener("click", hideSelection);
  const below = document.getElementById("live") ? [Object.assign(document.createElement("a"), { href: "#live", textContent: "Try it" })] : [];
  const words = Object.assign(document.createElement("span"), { textContent: imageMap?.describe(image) ?? shown.alt });
  const units = (imageMap?.unusual(image) ?? []).map(unitLink);
  const excites = Object.assign(document.createElement("small"), { className: "excites", hidden: !units.length });
  excites.append("Excites as few images do: ", ...units.flatMap((unit, index) => index ? [", ", unit] : [unit]));
  status.replaceChildren(shown, words, excites, ...below, close);
  status.hidden = false;
});

// It is marked among the images that excite a channel most.
listeners.push(({ image }) => {
  if (image === undefined || !imageMap) return;
  for (const panel of all(".unit")) {
    const top = imageMap.top(panel.id);
    panel.querySelectorAll('[data-group="Their images"] figure').forEach((figure, rank) => figure.classList.toggle("holds", top[rank] === Number(image)));
  }
});

function hideSelection() { status.hidden = true; }
document.addEventListener("keydown", event => { if (event.key === "Escape") hideSelection(); });

// The test: rounds with two patches to choose from, and scores by kind of example.
const test = document.getElementById("test");
if (test) {
  const rounds = [...test.querySelectorAll("li")];
  const [stage, verdict, next] = [".round", "[role=status]", ".next"].map(query => test.querySelector(query));
  const kinds = { patches: "real patches", synthetic: "synthetic images" };
  const examples = { patches: "real patch", synthetic: "synthetic image" };
  const score = { patches: [0, 0], synthetic: [0, 0] };
  let number = 0;
  const imagesOf = (unit, group) => all(`#${unit} [data-group="${group}"] img`).map(image => image.cloneNode());
  const part = (name, ...children) => {
    const element = document.createElement("div");
    element.className = name;
    element.append(...children);
    return element;
  };
  const heading = text => Object.assign(document.createElement("h4"), { textContent: text });
  const tell = (...parts) => {
    const scores = Object.keys(kinds).filter(kind => score[kind][1]).map(kind => `${score[kind][0]} of ${score[kind][1]} with ${kinds[kind]}`);
    verdict.replaceChildren(...parts, scores.length ? ` Your score: ${scores.join(", ")}.` : "");
  };

  function ask() {
    const { layer, of, rank, other, otherRank, synthetic, swapped } = rounds[number].dataset;
    const right = imagesOf(of, "Top patches")[rank];
    const wrong = imagesOf(other, "Top patches")[otherRank];
    const kind = synthetic === undefined ? "patches" : "synthetic";
    const example = imagesOf(of, kind === "patches" ? "Top patches" : "Synthetic image")[0];
    example.alt = "What excites the channel";
    const options = (swapped === undefined ? [right, wrong] : [wrong, right]).map((image, index) => {
      const button = document.createElement("button");
      button.type = "button";
      image.alt = "Patch " + (index + 1);
      button.append(image);
      button.addEventListener("click", () => answer(image === right, kind, options, right, of));
      return button;
    });
    stage.replaceChildren(
      part("group", heading(`Round ${number + 1} of ${rounds.length}: this ${examples[kind]} excites a channel of ${layer}`), part("picks", example)),
      part("group", heading("Which of these patches excites it too?"), part("picks", ...options)));
    next.hidden = true;
    tell("");
  }

  function answer(isRight, kind, options, right, unit) {
    for (const option of options) {
      option.disabled = true;
      if (option.contains(right)) option.classList.add("answer");
    }
    score[kind][0] += isRight;
    score[kind][1] += 1;
    number = (number + 1) % rounds.length;
    next.textContent = number ? "Next" : "Again";
    next.hidden = false;
    next.focus();
    tell((isRight ? "Right." : "Wrong: it was the framed one.") + " It is ", unitLink(unit), "." + (number ? "" : " That was the last round."));
  }

  next.addEventListener("click", () => {
    if (number === 0) for (const kind in score) score[kind] = [0, 0];
    ask();
  });
  ask();
  test.hidden = false;
}
