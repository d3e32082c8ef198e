// What is behind the figure: a named colour, plain or patterned, or a named scene. It fills the 128x128 square.
import { COLORS, contrast, freeColor, shapes, shade, tone } from './palette.mjs';

const { path, circle, ellipse, rect, line } = shapes('');
const fill = (c) => rect(0, 0, 128, 128, c);

function vertical(from, to) {
  return `<defs><linearGradient id="bg" x1="0" y1="0" x2="0" y2="1"><stop stop-color="${from}"/><stop offset="1" stop-color="${to}"/></linearGradient></defs>${fill('url(#bg)')}`;
}

const PATTERNS = {
  plain: (r, c) => fill(c),
  gradient: (r, c) => vertical(shade(c, 22), shade(c, -55)),
  striped: (r, c) => {
    const w = r.range(9, 14), turn = r.pick([0, 45, 90]);
    let g = '';
    for (let x = -80; x < 210; x += 2 * w) g += rect(x, -80, w, 300, contrast(c, 42));
    return `${fill(c)}<g transform="rotate(${turn} 64 64)">${g}</g>`;
  },
  dotted: (r, c) => {
    const step = r.range(19, 25), radius = r.range(4, 6);
    let g = fill(c);
    for (let i = 0; i < 8; i++) for (let j = 0; j < 8; j++) g += circle(i * step + ((j % 2) * step) / 2, j * step, radius, contrast(c, 45));
    return g;
  },
  checkered: (r, c) => {
    const s = r.range(15, 20);
    let g = fill(c);
    for (let i = 0; i < 9; i++) for (let j = 0; j < 9; j++) if ((i + j) % 2) g += rect(i * s, j * s, s, s, contrast(c, 38));
    return g;
  },
  sunburst: (r, c) => {
    let g = fill(c);
    for (let i = 0; i < 12; i++) g += `<path d="M64 64 L54 -60 H74Z" transform="rotate(${i * 30} 64 64)" fill="${contrast(c, 36)}"/>`;
    return g;
  },
};

const SCENES = {
  beach: (r) => vertical('#6ec3ef', '#c9ecfa') + rect(0, 70, 128, 26, '#2487c4') + rect(0, 92, 128, 36, '#efd592') + circle(r.range(14, 30), r.range(16, 26), 11, '#ffe14d'),
  'night sky': (r) => {
    let g = vertical('#0d1238', '#28306e') + circle(r.range(96, 112), r.range(16, 28), 11, '#f6efc4');
    for (let i = 0; i < 22; i++) g += circle(r.range(2, 126), r.range(2, 100), r.range(0.9, 1.9), '#ffffff');
    return g;
  },
  forest: (r) => {
    let g = vertical('#bfe3c4', '#7fb98a') + rect(0, 100, 128, 28, '#3e7a3c');
    for (let i = 0; i < 7; i++) {
      const x = i * 21 + r.range(-5, 5), h = r.range(50, 86);
      g += rect(x - 3, 92, 6, 18, '#5b3b22') + path(`M${x - 15} 100 L${x} ${100 - h} L${x + 15} 100Z`, r.pick(['#2f6b35', '#37803f', '#275a2d']));
    }
    return g;
  },
  city: (r) => {
    let g = vertical('#f6b27a', '#f7dba8');
    for (let i = 0; i < 6; i++) {
      const x = i * 22 - 2, h = r.range(40, 95), c = r.pick(['#4a4e69', '#565b7c', '#3b3f58']);
      g += rect(x, 128 - h, 21, h, c);
      for (let y = 134 - h; y < 122; y += 10) for (const dx of [3, 12]) if (r.chance(0.7)) g += rect(x + dx, y, 5, 5, '#ffe08a');
    }
    return g;
  },
  mountains: (r) => {
    let g = vertical('#8cc6ee', '#dff1fb');
    for (const [x, h] of [[18, 66], [108, 78], [62, 52]]) {
      const y = 112 - h + r.range(-6, 6);
      g += path(`M${x - 52} 128 L${x} ${y} L${x + 52} 128Z`, '#71809a') + path(`M${x - 13} ${y + 16} L${x} ${y} L${x + 13} ${y + 16} L${x + 4} ${y + 13} L${x - 3} ${y + 18}Z`, '#ffffff');
    }
    return g + rect(0, 112, 128, 16, '#6aa15e');
  },
  'red curtain': (r) => {
    const w = r.range(12, 16);
    let g = fill('#b3141f');
    for (let x = -4; x < 128; x += w) g += rect(x, 0, w * 0.45, 128, '#860b16');
    return g + path('M0 0 H128 V12 Q112 22 96 12 Q80 22 64 12 Q48 22 32 12 Q16 22 0 12Z', '#d8a531');
  },
  'brick wall': (r) => {
    const c = r.pick(['#a8492f', '#b0573a']);
    let g = fill('#d9c3b0');
    for (let j = 0; j < 11; j++) for (let i = -1; i < 6; i++) g += rect(i * 26 + (j % 2) * 13 + 1, j * 12 + 1, 24, 10, shade(c, r.range(-14, 14)));
    return g;
  },
  space: (r) => {
    let g = fill('#120a24');
    for (let i = 0; i < 26; i++) g += circle(r.range(2, 126), r.range(2, 126), r.range(0.8, 1.6), '#ffffff');
    const x = r.range(100, 112), y = r.range(18, 30);
    return g + circle(x, y, 13, '#e08a3c') + line(`M${x - 19} ${y + 5} Q${x} ${y + 10} ${x + 19} ${y - 5}`, '#f3d9a0', 3) + circle(r.range(12, 24), r.range(60, 84), 7, '#4aa3c9');
  },
  sunset: () => vertical('#7b2d8b', '#ff9a4a') + circle(64, 82, 34, '#ffd34d') + rect(0, 104, 128, 24, '#3f1f54'),
  snow: (r) => {
    let g = vertical('#9fb8d6', '#d5e2f0') + path('M0 104 Q40 90 70 104 Q100 112 128 98 V128 H0Z', '#ffffff');
    for (let i = 0; i < 26; i++) g += circle(r.range(2, 126), r.range(2, 100), r.range(1.4, 2.6), '#ffffff');
    return g;
  },
  'living room': (r) => {
    const wall = r.pick(['#e9d8b8', '#d8c3c9', '#c9d8c3']);
    return fill(wall) + rect(0, 108, 128, 20, '#8a5a35') + rect(6, 14, 30, 26, '#ffffff') + rect(9, 17, 24, 20, '#78b7d8') + rect(100, 40, 4, 68, '#5b3b22') + path('M88 44 L94 20 H110 L116 44Z', '#f2b84b');
  },
  garden: (r) => {
    let g = vertical('#aee0f7', '#e3f6fb') + rect(0, 72, 128, 56, '#69b34c');
    for (let i = 0; i < 14; i++) {
      const x = r.range(4, 124), y = r.range(78, 122), c = r.pick(['#f24c6a', '#ffd23f', '#ffffff', '#b05ad6']);
      for (let k = 0; k < 5; k++) g += circle(x + 3 * Math.cos(k * 1.257), y + 3 * Math.sin(k * 1.257), 2.3, c);
      g += circle(x, y, 1.8, '#f5a623');
    }
    return g;
  },
};

/** Draws a background whose colour is none of `taken`. Returns [SVG, attributes {bg, pattern} or {scene}]. */
export function background(r, ...taken) {
  if (r.chance(0.26)) {
    const scene = r.pick(Object.keys(SCENES));
    return [SCENES[scene](r), { scene }];
  }
  const bg = freeColor(r, ...taken);
  const pattern = r.weighted({ plain: 6, gradient: 1, striped: 1, dotted: 1, checkered: 0.8, sunburst: 0.8 });
  return [PATTERNS[pattern](r, tone(r, COLORS[bg])), { bg, pattern }];
}
