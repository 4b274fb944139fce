// Runs of the page of `striate web`: those on show and earlier ones, which stay for comparison, and what the data say about them.

/** Earlier runs on show at most; the oldest goes first. */
const KEPT = 6;
/** Points of a curve, and of an earlier run's. */
const SHOWN_POINTS = 400, KEPT_POINTS = 200;
/** Colors of earlier runs, legible on light and dark. */
const KEPT_COLORS = ["#8a63c9", "#2f9e63", "#b58900", "#d0478c", "#6b8794", "#a0714f"];
/** Steps over which losses are averaged. */
const SMOOTHED = 20;

/**
 * A training as a run: its settings, mean losses `[step, loss]` and tests `[step, percent]`. Rates and batches are `[step, value]`,
 * from which step on each was used.
 */
function runOf({ model, seed, rates, batches, losses, tests, steps, broken }, color) {
  const settings = { model, rate: rates.length ? rates : [[0, rate()]], batch: batches.length ? batches : [[0, batch()]], seed };
  return { settings, losses: pointsOf(losses, SMOOTHED), tests: tests.map(({ step, accuracy }) => [step, 100 * accuracy]), steps, broken, color };
}

/** Every n-th index below `length` and the last one, about `most`. */
function sampled(length, most) {
  const every = Math.ceil(length / most), indices = Array.from({ length: Math.ceil(length / every) || 0 }, (_, i) => i * every);
  return length && indices.at(-1) !== length - 1 ? [...indices, length - 1] : indices;
}

/** Some of the losses as `[step, loss]`, each the mean of `width` losses up to its step. More points than pixels cannot be seen. */
function pointsOf(losses, width) {
  return sampled(losses.length, SHOWN_POINTS).map(i => {
    const part = losses.slice(Math.max(0, i - width + 1), i + 1);
    return [i + 1, part.reduce((sum, loss) => sum + loss, 0) / part.length];
  });
}

function thinned(points, most) { return sampled(points.length, most).map(i => points[i]); }

/** The earlier runs with another one. The same settings give the same curve, so only the longer one of such runs stays. */
function withRun(kept, run) {
  const same = JSON.stringify(run.settings), twin = kept.find(({ settings }) => JSON.stringify(settings) === same);
  if (run.steps === 0 || twin?.steps >= run.steps) return kept;
  const others = kept.filter(other => other !== twin).slice(1 - KEPT);
  const color = KEPT_COLORS.find(color => others.every(other => other.color !== color));
  return [...others, { ...run, color, losses: thinned(run.losses, KEPT_POINTS), tests: thinned(run.tests, KEPT_POINTS) }];
}

/** A setting that may have changed, such as "rate 0.1 (0.01 from step 60)". */
function inWords(setting, [[, first], ...changes]) {
  const value = number => Number(number.toPrecision(2));
  const later = changes.length > 2 ? [`${changes.length} changes to ${value(changes.at(-1)[1])}`] : changes.map(([step, number]) => `${value(number)} from step ${step}`);
  return `${setting} ${value(first)}${later.length ? ` (${later.join(", ")})` : ""}`;
}

/** What tells each run from the others, such as "resnet8, rate 0.1"; the network if nothing does. */
function namesOf(runs) {
  const written = runs.map(({ settings: { model, rate, batch, seed } }) => [model, inWords("rate", rate), inWords("batch", batch), `seed ${seed}`]);
  const differs = [0, 1, 2, 3].map(i => new Set(written.map(words => words[i])).size > 1);
  return written.map(words => words.filter((_, i) => differs[i]).join(", ") || words[0]);
}

/** Whose test was first at the highest accuracy, in steps of 5 %, that two of them reached; empty if there is nothing to compare. */
function comparison(runs) {
  const trained = runs.filter(({ steps }) => steps > 0), names = namesOf(trained);
  const first = (tests, goal) => tests.find(([step, percent]) => step > 0 && percent >= goal)?.[0];
  const goals = Array.from({ length: 20 }, (_, i) => 100 - 5 * i);
  const goal = goals.find(goal => trained.filter(({ tests }) => first(tests, goal)).length > 1);
  if (!goal) return "";
  const ranked = trained.map(({ tests, steps, broken }, i) => ({ name: names[i], reached: first(tests, goal), steps, broken }));
  ranked.sort((a, b) => (a.reached ?? Infinity) - (b.reached ?? Infinity));
  const words = ranked.map(({ name, reached, steps, broken }, place) => {
    if (reached && reached === ranked[place - 1]?.reached) return `${name} too`;
    if (reached) return `${name} after step ${reached}`;
    return broken ? `${name} diverged` : `${name} not in ${steps} steps`;
  });
  return `First test with ${goal} % or more recognized: ${words.join("; ")}. Tests are some steps apart, and each run has one seed: small differences may be chance.`;
}
