// Faces of every proportion and manner, for a network that must find the faces others draw: nothing in them keeps the measures of our own
// figures. Units: the eyes lie at (-1, 0) and (1, 0), the picture's y downwards.
import { COLORS, FUR_COLORS, INK, SKIN, hex, shade, tone } from './palette.mjs';

const any = (r) => (r.chance(0.25) ? hex(r.range(0, 360), r.range(0, 100), r.range(5, 95)) : tone(r, r.pick(Object.values(r.pick([COLORS, SKIN, FUR_COLORS])))));
const bright = (color) => {
  const n = parseInt(color.slice(1), 16);
  return 0.3 * (n >> 16) + 0.59 * ((n >> 8) & 255) + 0.11 * (n & 255);
};
const n = (v) => v.toFixed(3);
const ellipse = (x, y, rx, ry, fill, more = '') => `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${n(rx)}" ry="${n(ry)}" fill="${fill}" ${more}/>`;
const rect = (x, y, w, h, fill, round = 0, more = '') => `<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" rx="${n(round)}" fill="${fill}" ${more}/>`;
const path = (d, fill, more = '') => `<path d="${d}" fill="${fill}" ${more}/>`;
const line = (d, color, width) => `<path d="${d}" fill="none" stroke="${color}" stroke-width="${n(width)}" stroke-linecap="round" stroke-linejoin="round"/>`;

/** A blob of `corners` points about (x, y). */
function blob(r, x, y, rx, ry, fill, more, corners = 8) {
  const at = Array.from({ length: corners }, (_, k) => {
    const t = (k / corners) * 2 * Math.PI, far = r.range(0.82, 1.12);
    return [x + Math.cos(t) * rx * far, y + Math.sin(t) * ry * far];
  });
  const mid = (a, b) => `${n((a[0] + b[0]) / 2)} ${n((a[1] + b[1]) / 2)}`;
  return path(`M${mid(at[corners - 1], at[0])} ${at.map((p, k) => `Q${n(p[0])} ${n(p[1])} ${mid(p, at[(k + 1) % corners])}`).join(' ')}Z`, fill, more);
}

function eye(r, kind, x, size, ink, light, iris, side, gaze) {
  const w = size, tall = size * (kind === 'tall' ? 1.6 : 1);
  const edge = `stroke="${ink}" stroke-width="${n(size * 0.18)}"`;
  switch (kind) {
    case 'dot': return ellipse(x, 0, w * 0.55, w * 0.65, ink);
    case 'disc': return ellipse(x, 0, w, w, light);
    case 'square': return rect(x - w, -w * 0.9, 2 * w, 1.8 * w, ink, w * 0.2) + rect(x - w * 0.55, -w * 0.5, w * 1.1, w, light);
    case 'ring': return ellipse(x, 0, w, w, light, edge) + ellipse(x + gaze[0] * w * 0.4, gaze[1] * w * 0.4, w * 0.4, w * 0.4, ink);
    case 'lamp': return ellipse(x, 0, w, w, ink) + ellipse(x, 0, w * 0.6, w * 0.6, light);
    case 'hollow': return ellipse(x, 0, w, w, 'none', `stroke="${ink}" stroke-width="${n(size * 0.3)}"`);
    case 'iris': case 'tall': return ellipse(x, 0, w, tall, light, edge) + ellipse(x + gaze[0] * w * 0.25, gaze[1] * w * 0.3, w * 0.62, tall * 0.66, iris) +
      ellipse(x + gaze[0] * w * 0.25, gaze[1] * w * 0.3, w * 0.34, tall * 0.4, ink) + ellipse(x - w * 0.25, -tall * 0.3, w * 0.2, w * 0.2, '#ffffff');
    case 'almond': return path(`M${n(x - w * 1.2)} ${n(w * 0.15)} Q${n(x)} ${n(-w * 1.1)} ${n(x + w * 1.2)} 0 Q${n(x)} ${n(w * 1.0)} ${n(x - w * 1.2)} ${n(w * 0.15)}Z`, light, edge) +
      ellipse(x + gaze[0] * w * 0.3, 0, w * 0.5, w * 0.52, iris) + ellipse(x + gaze[0] * w * 0.3, 0, w * 0.25, w * 0.27, ink);
    case 'half': return path(`M${n(x - w)} 0 A${n(w)} ${n(w)} 0 0 0 ${n(x + w)} 0Z`, light, edge) + ellipse(x + gaze[0] * w * 0.4, w * 0.35, w * 0.35, w * 0.35, ink) + line(`M${n(x - w * 1.1)} 0 H${n(x + w * 1.1)}`, ink, w * 0.3);
    case 'dome': return path(`M${n(x - w)} ${n(w * 0.6)} A${n(w)} ${n(w * 1.2)} 0 0 1 ${n(x + w)} ${n(w * 0.6)}Z`, light, edge) + ellipse(x + gaze[0] * w * 0.3, 0, w * 0.38, w * 0.38, ink);
    case 'shut': return line(`M${n(x - w)} ${n(w * 0.3)} Q${n(x)} ${n(-w * 0.9)} ${n(x + w)} ${n(w * 0.3)}`, ink, size * 0.4);
    case 'asleep': return line(`M${n(x - w)} ${n(-w * 0.3)} Q${n(x)} ${n(w * 0.8)} ${n(x + w)} ${n(-w * 0.3)}`, ink, size * 0.4);
    case 'slit': return line(`M${n(x - w)} 0 H${n(x + w)}`, ink, size * 0.45);
    case 'cross': return line(`M${n(x - w * 0.7)} ${n(-w * 0.7)} L${n(x + w * 0.7)} ${n(w * 0.7)} M${n(x + w * 0.7)} ${n(-w * 0.7)} L${n(x - w * 0.7)} ${n(w * 0.7)}`, ink, size * 0.4);
    default: return path(`M${n(x - side * w * 0.9)} ${n(-w * 0.6)} L${n(x + side * w * 0.9)} ${n(-w * 0.1)} Q${n(x)} ${n(w * 1.1)} ${n(x - side * w * 0.9)} ${n(-w * 0.6)}Z`, light, edge); // wedge
  }
}

const EYES = { dot: 3, disc: 1.6, square: 0.8, ring: 2.5, lamp: 1.2, hollow: 0.5, iris: 2, tall: 1.4, almond: 1.6, half: 0.7, dome: 1, shut: 0.7, asleep: 0.4, slit: 0.5, cross: 0.3, wedge: 0.5 };

/** A mouth whose middle is (x, y). Returns [SVG, corners]. */
function mouth(r, x, y, half, ink, light) {
  const kind = r.weighted({ line: 1.4, smile: 3, frown: 1.4, laugh: 1.6, talk: 1.4, o: 1, grille: 1, teeth: 1, zigzag: 0.4, cat: 0.6, lips: 1, smirk: 0.7, beam: 0.7, bars: 0.4, tooth: 0.5 });
  const m = kind === 'o' ? half * 0.45 : half, w = r.range(0.08, 0.2), tall = r.range(0.25, 0.75) * m;
  const inside = r.pick([ink, '#6b1420', '#8c2f39', '#3a1418', '#000000']), edge = `stroke="${ink}" stroke-width="${n(w * 0.8)}" stroke-linejoin="round"`;
  const level = [[x - m, y], [x + m, y]], bow = r.range(0.2, 0.8) * m;
  switch (kind) {
    case 'line': return [line(`M${n(x - m)} ${n(y)} H${n(x + m)}`, ink, w), level];
    case 'smile': return [line(`M${n(x - m)} ${n(y)} Q${n(x)} ${n(y + bow * 1.6)} ${n(x + m)} ${n(y)}`, ink, w), level];
    case 'frown': return [line(`M${n(x - m)} ${n(y)} Q${n(x)} ${n(y - bow * 1.4)} ${n(x + m)} ${n(y)}`, ink, w), level];
    case 'laugh': return [path(`M${n(x - m)} ${n(y)} H${n(x + m)} Q${n(x + m * 0.8)} ${n(y + tall * 1.7)} ${n(x)} ${n(y + tall * 1.7)} Q${n(x - m * 0.8)} ${n(y + tall * 1.7)} ${n(x - m)} ${n(y)}Z`, inside, r.chance(0.6) ? edge : '') +
      (r.chance(0.5) ? path(`M${n(x - m * 0.9)} ${n(y + w * 0.4)} H${n(x + m * 0.9)} L${n(x + m * 0.8)} ${n(y + tall * 0.5)} H${n(x - m * 0.8)}Z`, '#ffffff') : '') + (r.chance(0.4) ? ellipse(x, y + tall * 1.3, m * 0.45, tall * 0.35, '#e8697a') : ''), level];
    case 'talk': return [ellipse(x, y, m, tall, inside, r.chance(0.4) ? edge : ''), level];
    case 'o': return [ellipse(x, y, m, m * r.range(0.8, 1.5), inside, r.chance(0.4) ? edge : ''), level];
    case 'grille': {
      let bars = '';
      const count = Math.floor(r.range(3, 8));
      for (let k = 1; k < count; k++) bars += line(`M${n(x - m + (2 * m * k) / count)} ${n(y - tall * 0.6)} V${n(y + tall * 0.6)}`, ink, w * 0.7);
      return [rect(x - m, y - tall * 0.6, 2 * m, tall * 1.2, r.chance(0.5) ? light : 'none', w * r.range(0, 2), edge) + bars, level];
    }
    case 'teeth': return [path(`M${n(x - m)} ${n(y)} Q${n(x)} ${n(y - tall * r.range(-0.4, 0.6))} ${n(x + m)} ${n(y)} Q${n(x)} ${n(y + tall * 1.6)} ${n(x - m)} ${n(y)}Z`, '#ffffff', edge), level];
    case 'zigzag': return [line(`M${n(x - m)} ${n(y)} ${[1, 2, 3, 4, 5, 6].map((k) => `L${n(x - m + (k * m) / 3)} ${n(y + (k === 6 ? 0 : k % 2 ? -0.14 : 0.14))}`).join(' ')}`, ink, w), level];
    case 'cat': return [line(`M${n(x - m)} ${n(y)} Q${n(x - m / 2)} ${n(y + bow)} ${n(x)} ${n(y)} Q${n(x + m / 2)} ${n(y + bow)} ${n(x + m)} ${n(y)}`, ink, w), level];
    case 'lips': {
      const c = r.pick(['#c9242f', '#d8697a', '#a84a4a', '#7d2f4a', '#e08a8a']);
      return [path(`M${n(x - m)} ${n(y)} Q${n(x - m * 0.4)} ${n(y - tall)} ${n(x)} ${n(y - tall * 0.5)} Q${n(x + m * 0.4)} ${n(y - tall)} ${n(x + m)} ${n(y)} Q${n(x)} ${n(y + tall * 1.4)} ${n(x - m)} ${n(y)}Z`, c, r.chance(0.3) ? edge : '') + (r.chance(0.7) ? line(`M${n(x - m * 0.95)} ${n(y)} Q${n(x)} ${n(y + tall * 0.2)} ${n(x + m * 0.95)} ${n(y)}`, shade(c, -70), w * 0.6) : ''), level];
    }
    case 'smirk': {
      const q = r.pick([-1, 1]) * r.range(0.1, 0.3);
      return [line(`M${n(x - m)} ${n(y + q)} Q${n(x)} ${n(y + 0.2)} ${n(x + m)} ${n(y - q)}`, ink, w), [[x - m, y + q], [x + m, y - q]]];
    }
    case 'beam': return [rect(x - m, y - tall * 0.25, 2 * m, tall * 0.5, r.chance(0.5) ? light : ink, tall * r.pick([0, 0.25])), level];
    case 'bars': return [[-2, -1, 0, 1, 2].map((k) => line(`M${n(x + k * m * 0.48)} ${n(y - tall * 0.4)} V${n(y + tall * 0.4)}`, ink, m * 0.18)).join(''), [[x - m * 1.05, y], [x + m * 1.05, y]]];
    default: return [line(`M${n(x - m)} ${n(y)} Q${n(x)} ${n(y + bow)} ${n(x + m)} ${n(y)}`, ink, w) + rect(x - m * 0.2, y + bow * 0.45, m * 0.22, m * 0.25, '#ffffff', 0, edge), level]; // tooth
  }
}

/** One face. Returns { figure (SVG), face: eyes' centres and mouth's corners, colour of the head }. */
export function doodle(r) {
  const head = any(r), lit = bright(head) > 95;
  const ink = lit ? r.pick([INK, INK, INK, '#000000', '#27303a', shade(head, -120), shade(head, -90)]) : r.pick(['#ffffff', '#f4ead0', '#4dff9b', '#4fc8ff', '#ffe45c', shade(head, 130)]);
  const light = r.pick(['#ffffff', '#ffffff', '#ffffff', '#4dff9b', '#4fc8ff', '#ffe45c', '#ff4d4d', '#fff6d8']);
  const down = r.range(0.9, 2.5), half = r.range(0.3, Math.min(1.5, 0.5 + down * 0.5)), mx = r.range(-0.12, 0.12);
  const [up, side, chin] = [r.range(1.1, 2.8), r.range(1.7, 3.1), down + r.range(0.55, 1.5)], lean = r.range(-0.3, 0.3);
  const rim = r.chance(0.55) ? `stroke="${r.chance(0.8) ? INK : shade(head, -60)}" stroke-width="${n(r.range(0.06, 0.22))}" stroke-linejoin="round"` : '';
  const cy = (chin - up) / 2, ry = (chin + up) / 2, around = (color, grow) => {
    switch (shape) {
      case 'ellipse': return ellipse(lean, cy, side + grow, ry + grow, color, rim);
      case 'box': return rect(lean - side - grow, -up - grow, 2 * (side + grow), 2 * (ry + grow), color, round * Math.min(side, ry), rim);
      case 'egg': return path(`M${n(lean - side)} ${n(-up * 0.2)} Q${n(lean - side)} ${n(-up)} ${n(lean)} ${n(-up)} Q${n(lean + side)} ${n(-up)} ${n(lean + side)} ${n(-up * 0.2)} Q${n(lean + side * 0.95)} ${n(chin)} ${n(lean)} ${n(chin)} Q${n(lean - side * 0.95)} ${n(chin)} ${n(lean - side)} ${n(-up * 0.2)}Z`, color, rim);
      case 'jaw': return path(`M${n(lean - side)} ${n(-up * 0.4)} Q${n(lean - side)} ${n(-up)} ${n(lean)} ${n(-up)} Q${n(lean + side)} ${n(-up)} ${n(lean + side)} ${n(-up * 0.4)} L${n(lean + side * 0.8)} ${n(down)} L${n(lean + side * 0.35)} ${n(chin)} H${n(lean - side * 0.35)} L${n(lean - side * 0.8)} ${n(down)}Z`, color, rim);
      default: return blob(r, lean, cy, (side + grow) * 1.05, (ry + grow) * 1.1, color, rim);
    }
  }, shape = r.weighted({ ellipse: 3, box: 2.4, egg: 2, jaw: 1, blob: 1 }), round = r.range(0, 0.9);
  let g = '';
  if (r.chance(0.75)) { // a body
    const c = any(r), w = r.range(1.2, 4), top = chin + r.range(-0.5, 0.6);
    if (r.chance(0.7)) g += rect(lean - r.range(0.4, 0.9), chin - 0.6, r.range(0.8, 1.8), top - chin + 1.6, shade(head, -30), 0, rim);
    g += r.pick([rect(lean - w, top, 2 * w, 6, c, r.range(0, 1.4), rim), ellipse(lean, top + 3, w * 1.1, 3, c, rim), path(`M${n(lean - w * 1.3)} ${n(top + 6)} Q${n(lean - w * 1.2)} ${n(top)} ${n(lean)} ${n(top)} Q${n(lean + w * 1.2)} ${n(top)} ${n(lean + w * 1.3)} ${n(top + 6)}Z`, c, rim)]);
    // Buttons and lights, which are no eyes.
    if (r.chance(0.4)) for (let k = 0; k < 3; k++) g += ellipse(lean + r.pick([0, (k - 1) * 0.9]), top + 1 + k * 0.9, 0.3, 0.3, any(r), rim);
  }
  const hair = any(r);
  if (r.chance(0.35)) g += r.pick([ellipse(lean, cy - ry * 0.3, side * 1.3, ry * r.range(0.9, 1.4), hair, rim), rect(lean - side * 1.2, -up * 1.2, side * 2.4, ry * r.range(1.2, 2.6), hair, r.range(0, 2), rim), blob(r, lean, -up * 0.5, side * 1.35, ry, hair, rim, 11)]);
  const ears = r.weighted({ none: 3, round: 1.5, boxes: 1, pointed: 1, long: 0.5 }), ear = r.chance(0.6) ? head : any(r);
  for (const q of [-1, 1]) {
    const x = lean + q * side;
    if (ears === 'round') g += ellipse(x, r.range(-0.2, 0.5), 0.5, 0.65, ear, rim);
    if (ears === 'boxes') g += rect(x - 0.4, -0.6, 0.8, 1.4, ear, 0.2, rim);
    if (ears === 'pointed') g += path(`M${n(lean + q * side * 0.35)} ${n(-up * 0.8)} L${n(lean + q * side * 0.95)} ${n(-up * 1.5)} L${n(lean + q * side)} ${n(-up * 0.2)}Z`, ear, rim);
    if (ears === 'long') g += ellipse(lean + q * side * 0.5, -up * 1.4, 0.55, 1.6, ear, rim);
  }
  if (r.chance(0.18)) g += line(`M${n(lean)} ${n(-up)} V${n(-up - 1)}`, shade(head, -60), 0.2) + ellipse(lean, -up - 1.1, 0.35, 0.35, any(r), rim);
  if (r.chance(0.9)) g += around(head, 0); // else the face is drawn on what is behind it
  if (r.chance(0.15)) g += ellipse(lean, cy + 0.5, side * 0.85, ry * 0.8, shade(head, r.pick([-18, 22])));
  if (r.chance(0.14)) g += ellipse(mx, down - 0.1, half * r.range(1.2, 1.8), r.range(0.6, 1.0), shade(head, 40)); // a snout
  if (r.chance(0.1)) g += r.pick([ellipse(mx, down + 0.2, half * 1.4, 0.9, hair, rim), path(`M${n(lean - side)} ${n(0.4)} Q${n(lean - side)} ${n(chin + 0.7)} ${n(lean)} ${n(chin + 0.7)} Q${n(lean + side)} ${n(chin + 0.7)} ${n(lean + side)} 0.4 Q${n(lean + side * 0.7)} ${n(down - 0.6)} ${n(mx)} ${n(down - 0.6)} Q${n(lean - side * 0.7)} ${n(down - 0.6)} ${n(lean - side)} 0.4Z`, hair, rim)]);
  const mouthInk = r.chance(0.7) ? ink : lit ? r.pick(['#6b1420', '#a03040', '#3a1418']) : ink;
  const [lips, corners] = mouth(r, mx, down, half, mouthInk, light);
  g += lips;
  if (r.chance(0.65)) { // a nose
    const y = down * r.range(0.42, 0.66), c = r.chance(0.5) ? ink : shade(head, r.pick([-50, -35, 40]));
    g += r.pick([ellipse(mx, y, 0.14, 0.1, c), line(`M${n(mx)} ${n(y - 0.4)} q0.35 0.5 -0.15 0.6`, c, 0.12), line(`M${n(mx - 0.25)} ${n(y)} q0.25 0.25 0.5 0`, c, 0.12), path(`M${n(mx - 0.3)} ${n(y - 0.15)} h0.6 l-0.3 0.35Z`, c), ellipse(mx, y, 0.36, 0.3, r.pick(['#e8697a', c]), rim), line(`M${n(mx - 0.12)} ${n(y)} v0.01 M${n(mx + 0.12)} ${n(y)} v0.01`, c, 0.12)]);
  }
  const size = r.range(0.2, 0.75), kind = r.weighted(EYES), winks = r.chance(0.04), iris = any(r), gaze = r.chance(0.5) ? [0, 0] : [r.range(-1, 1), r.range(-0.7, 0.7)];
  const visor = ['disc', 'lamp', 'square'].includes(kind) ? r.chance(0.5) : r.chance(0.04), dark = visor ? r.pick(['#18222b', '#101018', '#2a2a33', shade(head, -70)]) : '';
  if (visor) g += rect(mx - 1 - size * 1.6, -size * 1.5, 2 + size * 3.2, size * 3, dark, size * r.range(0, 1.5), rim);
  else if (r.chance(0.08)) for (const q of [-1, 1]) g += ellipse(q, 0.1, size * 1.3, size * 1.4, shade(head, r.pick([-60, 60])));
  const eyeInk = visor ? light : ink, eyeLight = visor ? light : kind === 'disc' ? (lit ? r.pick([ink, '#ffffff', any(r)]) : light) : light;
  for (const q of [-1, 1]) {
    g += `<g transform="translate(0 0)">${eye(r, winks && q > 0 ? 'shut' : kind, q, size, kind === 'lamp' || kind === 'square' ? '#18222b' : eyeInk, eyeLight, iris, q, gaze)}</g>`;
  }
  if (r.chance(0.5)) { // brows
    const y = -size - r.range(0.2, 0.6), tilt = r.range(-0.25, 0.25), w = r.range(0.08, 0.25), c = r.chance(0.5) ? hair : ink;
    for (const q of [-1, 1]) g += line(`M${n(q * 0.55)} ${n(y + tilt)} Q${n(q)} ${n(y - r.range(0, 0.25))} ${n(q * 1.5)} ${n(y - tilt)}`, c, w);
  }
  if (r.chance(0.16)) { // glasses
    const w = size + r.range(0.1, 0.3), edge = `stroke="${r.pick([INK, any(r)])}" stroke-width="${n(r.range(0.1, 0.2))}"`, lens = r.weighted({ none: 2, 'rgba(255,255,255,.35)': 2, '#15151c': 1 });
    const glass = Math.min(w, 0.92), round2 = r.chance(0.5);
    for (const q of [-1, 1]) g += round2 ? ellipse(q, 0, glass, glass, lens, edge) : rect(q - glass, -glass * 0.8, 2 * glass, glass * 1.6, lens, 0.1, edge);
  }
  if (r.chance(0.12)) for (const q of [-1, 1]) g += ellipse(q * 1.3, down * 0.6, 0.35, 0.22, 'rgba(240,80,90,.55)');
  const fringe = r.weighted({ none: 3, cap: 1.4, band: 0.7, hat: 0.8, tuft: 0.8, swept: 0.8 }), low = -size - r.range(0.25, 0.6);
  if (fringe === 'cap') g += path(`M${n(lean - side * 1.05)} ${n(low + 0.6)} Q${n(lean - side * 1.1)} ${n(-up * 1.25)} ${n(lean)} ${n(-up * 1.25)} Q${n(lean + side * 1.1)} ${n(-up * 1.25)} ${n(lean + side * 1.05)} ${n(low + 0.6)} Q${n(lean + side * 0.7)} ${n(low)} ${n(lean + r.range(-1, 1))} ${n(low)} Q${n(lean - side * 0.7)} ${n(low)} ${n(lean - side * 1.05)} ${n(low + 0.6)}Z`, hair, rim);
  if (fringe === 'swept') g += path(`M${n(lean - side * 1.05)} 0.8 Q${n(lean - side * 1.2)} ${n(-up * 1.3)} ${n(lean)} ${n(-up * 1.2)} Q${n(lean + side * 1.2)} ${n(-up * 1.2)} ${n(lean + side * 1.05)} 0.6 Q${n(lean + side * 0.8)} ${n(low)} ${n(lean)} ${n(-up * 0.9)} Q${n(lean - side * 0.6)} ${n(low)} ${n(lean - side * 1.05)} 0.8Z`, hair, rim);
  if (fringe === 'band') g += rect(lean - side, low - 0.5, 2 * side, 0.6, any(r), 0.1, rim);
  if (fringe === 'hat') g += rect(lean - side * 0.7, -up * 1.7, side * 1.4, up, hair, r.range(0, 0.8), rim) + rect(lean - side * 1.2, -up * 0.95, side * 2.4, 0.4, shade(hair, -30), 0.2, rim);
  if (fringe === 'tuft') g += line(`M${n(lean)} ${n(-up)} q-0.4 -0.8 0.3 -1 M${n(lean + 0.2)} ${n(-up)} q0.3 -0.7 0.9 -0.7`, hair, 0.25);
  return { figure: g, face: [[-1, 0], [1, 0], ...corners], head };
}
