// The named colours of the drawings, and SVG shapes. A name must look like its name: hues of two names never meet after jitter.

const clamp = (x, lo, hi) => Math.max(lo, Math.min(hi, x));

/** Backgrounds, clothes, hats, metal: hue (degrees), saturation, lightness (percent). */
export const COLORS = {
  red: [0, 78, 47], orange: [27, 92, 54], yellow: [51, 94, 58], green: [128, 52, 39], teal: [178, 62, 40], blue: [217, 76, 50],
  purple: [276, 52, 48], pink: [334, 78, 74], white: [0, 0, 97], gray: [220, 5, 57], black: [230, 10, 12], brown: [23, 48, 30],
};
export const HAIR = {
  black: [230, 12, 11], brown: [22, 50, 25], blonde: [46, 78, 64], ginger: [18, 84, 46], gray: [215, 4, 60], white: [40, 8, 94],
  blue: [215, 74, 50], pink: [330, 75, 68], green: [135, 54, 40], purple: [276, 52, 46],
};
export const SKIN = {
  pale: [26, 75, 90], light: [26, 68, 79], tan: [27, 54, 64], brown: [23, 48, 45], dark: [19, 44, 26],
  green: [108, 46, 58], blue: [204, 58, 66], purple: [275, 42, 70],
};
export const FUR_COLORS = { orange: [26, 85, 56], brown: [23, 48, 36], black: [230, 10, 18], white: [40, 12, 95], gray: [215, 6, 58], yellow: [44, 80, 64], pink: [340, 70, 78], blue: [212, 60, 58] };
export const INK = '#1d1a22';

export function hex(h, s, l) {
  s /= 100;
  l /= 100;
  const channel = (n) => {
    const k = (n + h / 30) % 12;
    const v = l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * v).toString(16).padStart(2, '0');
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

/** A named colour with a little jitter; greys keep their saturation so that they stay grey. */
export function tone(r, [h, s, l], lighter = 0) {
  const sat = s > 15 ? clamp(s + r.range(-6, 6), 0, 100) : s;
  return hex((h + 360 + r.range(-5, 5)) % 360, sat, clamp(l + r.range(-4, 4) + lighter, 3, 98));
}

/** `color` with `d` (-255..255) added to every channel. */
export function shade(color, d) {
  const n = parseInt(color.slice(1), 16);
  const part = (v) => clamp(Math.round(v + d), 0, 255).toString(16).padStart(2, '0');
  return `#${part(n >> 16)}${part((n >> 8) & 255)}${part(n & 255)}`;
}

/** Shades away from the end of the scale, so that a pattern on black or white still shows. */
export function contrast(color, d) {
  const n = parseInt(color.slice(1), 16);
  const mean = ((n >> 16) + ((n >> 8) & 255) + (n & 255)) / 3;
  return shade(color, mean > 120 ? -d : d);
}

export function skinName(r) {
  return r.chance(0.86) ? r.pick(['pale', 'light', 'tan', 'brown', 'dark']) : r.pick(['green', 'blue', 'purple']);
}

/** A colour name that is none of `taken`: neighbours of one colour would teach nothing about either. */
export function freeColor(r, ...taken) {
  return r.pick(Object.keys(COLORS).filter((c) => !taken.includes(c)));
}

/** Shapes that share one outline (`stroke` attributes, '' for none). */
export function shapes(outline) {
  return {
    path: (d, fill, o = outline) => `<path d="${d}" fill="${fill}" ${o}/>`,
    circle: (x, y, radius, fill, o = outline) => `<circle cx="${x}" cy="${y}" r="${radius}" fill="${fill}" ${o}/>`,
    ellipse: (x, y, rx, ry, fill, o = outline) => `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${ry}" fill="${fill}" ${o}/>`,
    rect: (x, y, w, h, fill, rx = 0, o = outline) => `<rect x="${x}" y="${y}" width="${w}" height="${h}" rx="${rx}" fill="${fill}" ${o}/>`,
    line: (d, color, width) => `<path d="${d}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"/>`,
  };
}
