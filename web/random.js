// Reproducible random numbers: SplitMix64 with keys, as in src/rng.rs, and the initial weights drawn from it.

const MASK = (1n << 64n) - 1n, GOLDEN = 0x9e3779b97f4a7c15n;

function scramble(z) {
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

class SplitMix64 {
  /** A generator derived from a seed and keys, whose order matters; all are integers. */
  constructor(seed, keys = []) {
    const keyed = (state, key) => scramble(((state ^ BigInt(key)) + GOLDEN) & MASK);
    this.state = keys.reduce(keyed, scramble((BigInt(seed) + GOLDEN) & MASK));
  }

  /** A uniform number in [0, 1), a multiple of 2^-53. */
  unit() {
    this.state = (this.state + GOLDEN) & MASK;
    return Number(scramble(this.state) >> 11n) / 2 ** 53;
  }

  /** A standard normal number, by the Box-Muller transform. */
  normal() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.unit()));
    return radius * Math.cos(2 * Math.PI * this.unit());
  }

  /** The numbers below `count` in random order (Fisher-Yates). */
  permutation(count) {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(this.unit() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

/** The initial elements of a persistent value. */
function initial(init, length, seed, name) {
  if ("constant" in init) return new Float32Array(length).fill(init.constant);
  // FNV-1a gives each name its own stream.
  const key = new TextEncoder().encode(name).reduce((h, byte) => ((h ^ BigInt(byte)) * 0x100000001b3n) & MASK, 0xcbf29ce484222325n);
  const rng = new SplitMix64(seed, [key]);
  const draw = "normal" in init
    ? () => Math.fround(rng.normal()) * init.normal.std
    : () => Math.fround(Math.fround(2 * Math.fround(rng.unit())) - 1) * init.uniform.bound;
  return Float32Array.from({ length }, draw);
}
