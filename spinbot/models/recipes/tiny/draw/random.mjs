// Seeded randomness for the drawings. One `Random` per picture, so that picture i is the same whatever was drawn before it.

/** mulberry32 (public domain, T. Ettinger): 32-bit state, enough for drawing choices. */
export class Random {
  constructor(seed, index = 0) {
    // Two rounds of the murmur3 finaliser, so that neighbouring indices share nothing.
    let h = (seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0;
    for (let i = 0; i < 2; i++) {
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      h = (h ^ (h >>> 16)) >>> 0;
    }
    this.state = h;
  }

  /** Uniform in [0, 1). */
  next() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Uniform in [a, b). */
  range(a, b) {
    return a + (b - a) * this.next();
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  chance(p) {
    return this.next() < p;
  }

  /** A key of `weights` with probability proportional to its value. */
  weighted(weights) {
    const keys = Object.keys(weights);
    let t = this.next() * keys.reduce((sum, k) => sum + weights[k], 0);
    for (const k of keys) if ((t -= weights[k]) < 0) return k;
    return keys[keys.length - 1];
  }
}
