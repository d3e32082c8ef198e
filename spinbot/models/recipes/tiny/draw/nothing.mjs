// Pictures without a face: what is behind figures, things, clothes without a head, and pieces of faces that make none.
import { background } from './background.mjs';
import { clothes, geometry } from './figure.mjs';
import { COLORS, INK, hex, shapes, tone } from './palette.mjs';

const { path, circle, ellipse, rect, line } = shapes('');
const any = (r) => hex(r.range(0, 360), r.range(5, 95), r.range(8, 92));

const THINGS = {
  landscape: () => '',
  shapes: (r) => {
    let g = '';
    for (let k = Math.floor(r.range(3, 24)); k > 0; k--) {
      const x = r.range(0, 128), y = r.range(0, 128), w = r.range(3, 40), c = any(r);
      g += r.pick([circle(x, y, w / 2, c), ellipse(x, y, w, w * r.range(0.3, 1), c), rect(x, y, w, w * r.range(0.3, 2), c, r.range(0, 6)), path(`M${x} ${y} l${w} ${r.range(-w, w)} l${-w * r.range(0.2, 1.5)} ${w}Z`, c), line(`M${x} ${y} q${r.range(-50, 50)} ${r.range(-50, 50)} ${r.range(-50, 50)} ${r.range(-50, 50)}`, c, r.range(1, 6))]);
    }
    return g;
  },
  writing: (r) => { // signs that look like letters, in rows
    let g = rect(0, 0, 128, 128, r.pick(['#ffffff', '#f6f1e3', '#1d1a22', any(r)])), ink = r.pick([INK, '#ffffff', any(r)]);
    const size = r.range(4, 14), from = r.range(2, 20);
    for (let y = from; y < 126; y += size * 1.9) {
      for (let x = from; x < r.range(60, 126); x += size * 0.95) {
        if (r.chance(0.16)) continue;
        const at = () => `${(x + r.range(0, size * 0.6)).toFixed(1)} ${(y + r.range(0, size)).toFixed(1)}`;
        g += line(r.chance(0.4) ? `M${at()} Q${at()} ${at()}` : `M${at()} L${at()} L${at()}`, ink, size * 0.14);
      }
    }
    return g;
  },
  texture: (r) => {
    let g = rect(0, 0, 128, 128, any(r));
    const step = r.range(5, 18), c = any(r), kind = Math.floor(r.range(0, 4));
    for (let x = 0; x < 130; x += step) for (let y = 0; y < 130; y += step) {
      const j = () => r.range(-0.3, 0.3) * step;
      g += [() => circle(x + j(), y + j(), step * r.range(0.1, 0.5), c), () => line(`M${x} ${y} l${step + j()} ${j()}`, c, step * 0.2), () => rect(x, y, step * 0.9, step * 0.9, r.chance(0.5) ? c : any(r)), () => path(`M${x + j()} ${y + j()} l${step * 0.6} ${j()} l${j()} ${step * 0.6}Z`, any(r))][kind]();
    }
    return g;
  },
  car: (r) => {
    const c = any(r), x = r.range(5, 40), y = r.range(50, 80), w = r.range(50, 80);
    return rect(x, y, w, 20, c, 6) + path(`M${x + w * 0.2} ${y} L${x + w * 0.35} ${y - 16} H${x + w * 0.7} L${x + w * 0.85} ${y}Z`, c) + [0.22, 0.78].map((q) => circle(x + w * q, y + 20, 9, INK) + circle(x + w * q, y + 20, 4, '#bbbbbb')).join('');
  },
  flowers: (r) => {
    let g = '';
    for (let f = Math.floor(r.range(1, 5)); f > 0; f--) {
      const x = r.range(20, 108), y = r.range(20, 90), s = r.range(5, 16), c = any(r);
      g += line(`M${x} ${y} V128`, '#3f8f3f', s * 0.25);
      for (let k = 0; k < 6; k++) g += circle(x + s * Math.cos(k * 1.047), y + s * Math.sin(k * 1.047), s * 0.6, c);
      g += circle(x, y, s * 0.6, '#f5c623');
    }
    return g;
  },
  house: (r) => {
    const x = r.range(10, 50), y = r.range(40, 70), w = r.range(40, 66), c = any(r);
    let g = rect(x, y, w, 128 - y, c) + path(`M${x - 6} ${y} L${x + w / 2} ${y - r.range(15, 35)} L${x + w + 6} ${y}Z`, any(r));
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) g += rect(x + w * (0.1 + i * 0.3), y + 8 + j * 18, w * 0.2, 11, r.pick(['#78b7d8', '#ffe08a']));
    return g;
  },
  clock: (r) => {
    const x = r.range(40, 88), y = r.range(40, 88), s = r.range(15, 38), at = (turn, far) => `${x + Math.cos(turn) * s * far} ${y + Math.sin(turn) * s * far}`;
    let g = circle(x, y, s, '#ffffff', `stroke="${any(r)}" stroke-width="4"`);
    for (let k = 0; k < 12; k++) g += line(`M${at(k * 0.5236, 0.8)} L${at(k * 0.5236, 0.9)}`, INK, 1.6);
    return g + line(`M${x} ${y} L${at(r.range(0, 6.3), 0.5)} M${x} ${y} L${at(r.range(0, 6.3), 0.75)}`, INK, 2.4);
  },
  bust: (r) => clothes(r, {}, shapes(''), tone(r, COLORS.brown)),
  blank: (r) => { // a head on which nothing is
    const g = geometry(r), c = any(r), body = clothes(r, {}, shapes(''), c);
    return body + r.pick([ellipse(g.cx, g.cy, g.w, g.h, c), rect(g.cx - g.w, g.top, 2 * g.w, 2 * g.h, c, 9)]) + (r.chance(0.5) ? path(`M${g.cx - g.w} ${g.cy - 8} Q${g.cx} ${g.top - 20} ${g.cx + g.w} ${g.cy - 8} Q${g.cx} ${g.cy - 22} ${g.cx - g.w} ${g.cy - 8}Z`, any(r)) : '');
  },
  pieces: (r) => { // a head with an eye too few, a mouth above or none
    const g = geometry(r), c = any(r), eye = (x, y) => circle(x, y, 6, '#ffffff', `stroke="${INK}" stroke-width="1.4"`) + circle(x, y, 3, INK), smile = (y) => line(`M54 ${y} q10 9 20 0`, INK, 2.6);
    return ellipse(g.cx, g.cy, g.w, g.h, c) + r.pick([eye(g.cx, g.cy), eye(g.cx - 10, g.cy) + eye(g.cx + 10, g.cy), smile(g.cy + 12), eye(g.cx - 11, g.cy + 12) + eye(g.cx + 11, g.cy + 12) + smile(g.cy - 14), eye(g.cx - 10, g.cy - 12) + eye(g.cx - 10, g.cy + 12) + line(`M${g.cx + 10} ${g.cy - 10} v20`, INK, 2.6)]);
  },
};

/** One picture without a face: SVG body. */
export function nothing(r) {
  const [behind] = background(r);
  const drawn = THINGS[r.weighted({ landscape: 2.2, shapes: 2, writing: 1, texture: 1.4, car: 0.6, flowers: 0.6, house: 0.8, clock: 0.4, bust: 0.8, blank: 1.2, pieces: 1.6 })](r);
  return behind + drawn;
}
