// What every figure of our own shares: clothes, expression, glasses, hats and accessories, drawn around one head geometry.
import { COLORS, INK, freeColor, shade, shapes, tone } from './palette.mjs';

export const MOUTHS = ['smiling', 'laughing', 'neutral', 'sad', 'surprised', 'talking', 'angry'];

/** Head centre, half axes and the shift (tx, ty) of the face when the head turns a little (which `again` draws), in 128-unit pixels. */
export function geometry(r, again = r) {
  const g = { cx: 64, cy: 52, w: r.range(23, 27), h: r.range(26, 30), tx: again.range(-4, 4), ty: again.range(-2, 2) };
  return { ...g, top: g.cy - g.h, fx: g.cx + g.tx, ey: g.cy - 2 + g.ty, my: g.cy + 15 + g.ty, ex: r.range(9.5, 12) };
}

/** Outline attributes of a style, '' for flat drawings. */
export function outline(r, style) {
  return style === 'outlined cartoon' ? `stroke="${INK}" stroke-width="${r.range(1.8, 2.6).toFixed(2)}" stroke-linejoin="round"` : '';
}

/** A pose: the whole figure moved, turned (degrees) and scaled a little about the middle of the picture. */
export function pose(r) {
  return { x: 64 + r.range(-4, 4), y: 64 + r.range(-2, 5), turn: r.range(-5, 5), scale: r.range(0.9, 1.06), from: [64, 64] };
}

/** The SVG `body` in a pose. */
export function posed({ x, y, turn, scale, from }, body) {
  return `<g transform="translate(${x} ${y}) rotate(${turn}) scale(${scale}) translate(${-from[0]} ${-from[1]})">${body}</g>`;
}

/** Where a pose puts the point (px, py). */
export function moved({ x, y, turn, scale, from }, [px, py]) {
  const t = (turn * Math.PI) / 180, [u, v] = [(px - from[0]) * scale, (py - from[1]) * scale];
  return [x + u * Math.cos(t) - v * Math.sin(t), y + u * Math.sin(t) + v * Math.cos(t)];
}

/** The eyes' centres and the mouth's corners of a figure whose `mouth` is drawn, left ones first. */
export function facePoints(g) {
  return [[g.fx - g.ex, g.ey], [g.fx + g.ex, g.ey], ...g.corners];
}

/** Shoulders with the neck `skin`; sets wear and clothes. `against` are colour names the clothes must not have. */
export function clothes(r, a, s, skin, ...against) {
  a.wear = r.weighted({ 't-shirt': 1.3, 'striped shirt': 1, hoodie: 1, suit: 1, sweater: 0.9, overalls: 0.8, dress: 0.8, jacket: 0.8 });
  a.clothes = freeColor(r, ...against);
  const c = tone(r, COLORS[a.clothes]), dark = shade(c, -34), bright = shade(c, 45);
  const body = 'M14 175 V116 Q16 92 50 87 Q64 97 78 87 Q112 92 114 116 V175Z';
  const neck = s.path('M54 70 h20 v22 q-10 9 -20 0Z', shade(skin, -24));
  let g = neck + s.path(body, c);
  switch (a.wear) {
    case 'striped shirt': {
      let stripes = '';
      for (let y = 97; y < 150; y += 11) stripes += s.rect(10, y, 108, 5, a.clothes === 'white' ? '#27408b' : '#f7f7f7', 0, '');
      g = neck + s.path(body, c, '') + `<clipPath id="torso"><path d="${body}"/></clipPath><g clip-path="url(#torso)">${stripes}</g>` + s.path(body, 'none');
      break;
    }
    case 'hoodie':
      g += s.path('M44 87 Q40 106 64 108 Q88 106 84 87 Q64 106 44 87Z', dark) + s.line('M57 107 v13 M71 107 v13', '#f4f4f4', 2.4);
      break;
    case 'suit':
      g += s.path('M50 87 L64 122 L78 87 Q64 98 50 87Z', '#f6f6f6') + s.path('M60 97 h8 l-2.5 6 l4 19 h-11 l4 -19Z', r.pick(['#c9242f', '#1f3f8f', '#2a2a33', '#7d2fa0'])) +
        s.line('M50 88 L63 124 M78 88 L65 124', dark, 2.6);
      break;
    case 'sweater':
      g += s.line('M49 89 Q64 102 79 89', dark, 6) + s.line('M26 108 l8 7 l8 -7 l8 7 l8 -7 l8 7 l8 -7 l8 7 l8 -7 l8 7', bright, 3);
      break;
    case 'overalls':
      g = neck + s.path(body, a.clothes === 'white' ? '#c33b3b' : '#f3f0ea') + s.path('M40 175 V104 H88 V175Z', c) + s.path('M40 106 L34 90 L42 89 L48 106Z M88 106 L94 90 L86 89 L80 106Z', c) +
        s.circle(45, 109, 2.4, '#f2c230', '') + s.circle(83, 109, 2.4, '#f2c230', '');
      break;
    case 'dress':
      g = neck + s.path('M26 175 Q20 120 28 98 Q36 90 50 87 Q64 97 78 87 Q92 90 100 98 Q108 120 102 175Z', skin) + s.path('M32 175 L38 100 Q46 96 46 88 H52 Q54 104 64 105 Q74 104 76 88 H82 Q82 96 90 100 L96 175Z', c);
      break;
    case 'jacket':
      g += s.path('M52 88 Q64 98 76 88 L72 150 H56Z', '#f6f3ea') + s.path('M50 87 L44 101 L57 118 L55 93Z M78 87 L84 101 L71 118 L73 93Z', dark);
      break;
  }
  return g;
}

/** Eyes and eyebrows for the expression in `a.mouth`. */
export function eyes(r, a, s, g, brow) {
  const kind = r.weighted({ dots: 1, round: 1.7, closed: a.mouth === 'laughing' ? 0.5 : 0.06 });
  const iris = tone(r, r.pick([COLORS.blue, COLORS.green, COLORS.brown, COLORS.brown, COLORS.black]));
  let out = '';
  for (const q of [-1, 1]) {
    const x = g.fx + q * g.ex, y = g.ey;
    if (kind === 'dots') out += s.ellipse(x, y, 2.9, 3.4, INK, '');
    if (kind === 'round') out += s.ellipse(x, y, 5.8, 6.2, '#ffffff', `stroke="${INK}" stroke-width="1.2"`) + s.circle(x + g.tx * 0.25, y + 0.5, 3.6, iris, '') + s.circle(x + g.tx * 0.25, y + 0.5, 2, INK, '');
    if (kind === 'closed') out += s.line(`M${x - 5} ${y + 1} Q${x} ${y - 5} ${x + 5} ${y + 1}`, INK, 2.3);
    const tilt = a.mouth === 'angry' ? 3.6 : a.mouth === 'sad' ? -2.8 : 0, up = a.mouth === 'surprised' ? 3 : 0;
    out += s.line(`M${x - q * 5.5} ${y - 9.5 - up + tilt} Q${x} ${y - 11.5 - up} ${x + q * 5.5} ${y - 9.5 - up - tilt}`, brow, 2.6);
  }
  return out;
}

/** The mouth of `a.mouth` in color `lip`, `k` times the usual size; sets g.corners. */
export function mouth(r, a, s, g, lip = '#6b1420', k = 1) {
  const { fx: x, my: y } = g, m = r.range(8.5, 10.5) * k;
  // How far the corners are from the middle, and how far below it.
  const [out, down] = { smiling: [m, -1], laughing: [m + 1, -3], neutral: [m - 1, 1], sad: [m, 5], angry: [m, 5], surprised: [5, 2] }[a.mouth] ?? [8, 2];
  g.corners = [[x - out, y + down], [x + out, y + down]];
  switch (a.mouth) {
    case 'smiling': return s.line(`M${x - m} ${y - 1} Q${x} ${y + 9} ${x + m} ${y - 1}`, lip, 2.7);
    case 'laughing': return s.path(`M${x - m - 1} ${y - 3} H${x + m + 1} Q${x + m} ${y + 10} ${x} ${y + 10} Q${x - m} ${y + 10} ${x - m - 1} ${y - 3}Z`, lip, '') +
      s.path(`M${x - m} ${y - 3} H${x + m} L${x + m - 1} ${y + 1} H${x - m + 1}Z`, '#ffffff', '') + s.ellipse(x, y + 7, 5, 2.4, '#e8697a', '');
    case 'neutral': return s.line(`M${x - m + 1} ${y + 1} H${x + m - 1}`, lip, 2.7);
    case 'sad': return s.line(`M${x - m} ${y + 5} Q${x} ${y - 5} ${x + m} ${y + 5}`, lip, 2.7);
    case 'angry': return s.path(`M${x - m} ${y + 5} Q${x} ${y - 4} ${x + m} ${y + 5} Q${x} ${y + 7} ${x - m} ${y + 5}Z`, '#ffffff', `stroke="${lip}" stroke-width="2"`);
    case 'surprised': return s.ellipse(x, y + 2, 5, 6.6, lip, '');
    default: return s.ellipse(x, y + 2, 8, 5, lip, '') + s.ellipse(x, y + 4.8, 4.5, 1.9, '#e8697a', ''); // talking
  }
}

const GLASSES = { none: 4.6, 'round glasses': 1.3, 'square glasses': 1.3, sunglasses: 1.3, 'an eye patch': 0.35 };

/** Eyewear on the eyes; sets glasses. */
export function glasses(r, a, s, g, weights = GLASSES) {
  a.glasses = r.weighted(weights);
  if (a.glasses === 'none') return '';
  const { fx: x, ey: y, ex } = g;
  if (a.glasses === 'an eye patch') {
    const q = r.pick([-1, 1]);
    return s.line(`M${g.cx - q * g.w * 0.8} ${g.top + 9} L${g.cx + q * g.w} ${y + 7}`, INK, 2.4) + s.ellipse(x + q * ex, y, 8, 7.4, '#16161d', '');
  }
  const dark = a.glasses === 'sunglasses', frame = dark || r.chance(0.6) ? INK : tone(r, COLORS[r.pick(['red', 'blue', 'purple', 'brown'])]);
  const lens = dark ? '#15151c' : 'rgba(255,255,255,.35)', stroke = `stroke="${frame}" stroke-width="2.6"`;
  let out = '';
  for (const q of [-1, 1]) {
    out += a.glasses === 'round glasses' ? s.circle(x + q * ex, y, 9.2, lens, stroke) : s.rect(x + q * ex - 9.4, y - 6.8, 18.8, dark ? 13 : 14.5, lens, dark ? 5 : 1.5, stroke);
    if (dark) out += s.line(`M${x + q * ex - 5} ${y + 1} L${x + q * ex - 1} ${y - 4}`, '#7d8796', 1.8);
  }
  return out + s.line(`M${x - ex + 9} ${y - 1} H${x + ex - 9}`, frame, 2.4) + s.line(`M${x - ex - 9.4} ${y - 1} L${g.cx - g.w} ${g.cy} M${x + ex + 9.4} ${y - 1} L${g.cx + g.w} ${g.cy}`, frame, 2);
}

const HATS = { none: 6.4, beanie: 1, cap: 1, 'top hat': 0.8, 'cowboy hat': 0.7, crown: 0.8, 'party hat': 0.6, 'wizard hat': 0.6, headband: 0.5, 'hard hat': 0.5 };

/** A hat on the head; sets hat and hat_color (never one of `against`). It replaces what of the hair is in front. */
export function hat(r, a, s, g, against, weights = HATS) {
  a.hat = r.weighted(weights);
  if (a.hat === 'none') return '';
  a.hat_color = a.hat === 'crown' ? 'yellow' : freeColor(r, ...against);
  const c = tone(r, COLORS[a.hat_color]), dark = shade(c, -34), bright = shade(c, 34), { cx, cy, w, top } = g;
  const dome = (rise) => s.path(`M${cx - w - 3} ${cy - 11} Q${cx - w - 2} ${top - rise} ${cx} ${top - rise} Q${cx + w + 2} ${top - rise} ${cx + w + 3} ${cy - 11}Z`, c);
  switch (a.hat) {
    case 'beanie': return dome(13) + s.rect(cx - w - 5, cy - 18, 2 * w + 10, 9, dark, 3) + s.circle(cx, top - 13, 6, bright);
    case 'cap': return dome(10) + s.path(`M${cx - w - 2} ${cy - 14} Q${cx} ${cy - 25} ${cx + w + 2} ${cy - 14} Q${cx} ${cy - 6} ${cx - w - 2} ${cy - 14}Z`, dark);
    case 'top hat': return s.path(`M${cx - 18} ${top + 9} L${cx - 20} ${top - 19} h40 L${cx + 18} ${top + 9}Z`, c) + s.rect(cx - 18.5, top + 1, 37, 6, a.hat_color === 'white' ? '#c9242f' : '#f4efe2', 0, '') + s.ellipse(cx, top + 10, w + 9, 5, dark);
    case 'cowboy hat': return s.path(`M${cx - 19} ${top + 8} Q${cx - 17} ${top - 15} ${cx - 6} ${top - 12} Q${cx} ${top - 8} ${cx + 6} ${top - 12} Q${cx + 17} ${top - 15} ${cx + 19} ${top + 8}Z`, c) +
      s.path(`M${cx - w - 15} ${top + 2} Q${cx - w} ${top + 12} ${cx} ${top + 7} Q${cx + w} ${top + 12} ${cx + w + 15} ${top + 2} Q${cx + w + 2} ${top + 20} ${cx} ${top + 15} Q${cx - w - 2} ${top + 20} ${cx - w - 15} ${top + 2}Z`, dark);
    case 'crown': return s.path(`M${cx - 20} ${top + 9} L${cx - 23} ${top - 13} L${cx - 10} ${top - 2} L${cx} ${top - 16} L${cx + 10} ${top - 2} L${cx + 23} ${top - 13} L${cx + 20} ${top + 9} Q${cx} ${top + 14} ${cx - 20} ${top + 9}Z`, '#f6c928') + s.circle(cx, top + 3, 3, '#d42a3a', '') + s.circle(cx - 12, top + 3, 2.4, '#2a6fd4', '') + s.circle(cx + 12, top + 3, 2.4, '#2a6fd4', '');
    case 'party hat': return s.path(`M${cx - 16} ${top + 9} L${cx} ${top - 21} L${cx + 16} ${top + 9} Q${cx} ${top + 14} ${cx - 16} ${top + 9}Z`, c) + s.circle(cx - 4, top + 3, 2.5, '#ffffff', '') + s.circle(cx + 5, top + 6, 2.5, '#ffffff', '') + s.circle(cx + 1, top - 8, 2.3, '#ffffff', '') + s.circle(cx, top - 21, 4, bright);
    case 'wizard hat': return s.path(`M${cx - 21} ${top + 9} Q${cx - 6} ${top - 4} ${cx + 5} ${top - 23} Q${cx + 10} ${top - 2} ${cx + 21} ${top + 9}Z`, c) + s.ellipse(cx, top + 10, w + 12, 5.5, dark) + s.circle(cx - 2, top - 1, 2.2, '#ffe066', '') + s.circle(cx + 7, top + 2, 2, '#ffe066', '');
    case 'headband': return s.path(`M${cx - w - 1} ${cy - 10} Q${cx - w + 2} ${cy - 20} ${cx} ${cy - 21} Q${cx + w - 2} ${cy - 20} ${cx + w + 1} ${cy - 10} L${cx + w - 1} ${cy - 17} Q${cx} ${top - 1} ${cx - w + 1} ${cy - 17}Z`, c);
    default: return dome(9) + s.path(`M${cx - 4} ${top - 9} h8 L${cx + 5} ${cy - 12} h-10Z`, bright, '') + s.rect(cx - w - 6, cy - 15, 2 * w + 12, 5, dark, 2); // hard hat
  }
}

/** Something extra; sets accessory (and accessory_color). Drawn over everything else. */
export function accessory(r, a, s, g, against) {
  a.accessory = r.weighted({ none: 5, earrings: 0.9, headphones: 0.9, 'bow tie': 0.8, scarf: 0.8, necklace: 0.6, freckles: 0.5, 'flower in the hair': a.hat === 'none' ? 0.6 : 0, 'rosy cheeks': 0.5 });
  const { cx, cy, w, top } = g;
  if (['headphones', 'bow tie', 'scarf'].includes(a.accessory)) a.accessory_color = freeColor(r, ...against);
  const c = a.accessory_color ? tone(r, COLORS[a.accessory_color]) : '';
  switch (a.accessory) {
    case 'earrings': return [-1, 1].map((q) => s.circle(cx + q * (w + 1.5), cy + 12, 3.4, '#f6c928')).join('');
    case 'headphones': return (a.hat === 'none' ? s.line(`M${cx - w - 3} ${cy} Q${cx - w - 4} ${top - 9} ${cx} ${top - 9} Q${cx + w + 4} ${top - 9} ${cx + w + 3} ${cy}`, shade(c, -30), 4.5) : '') + [-1, 1].map((q) => s.rect(cx + q * (w + 3) - 5, cy - 8, 10, 19, c, 4.5)).join('');
    case 'bow tie': return s.path('M64 93 L50 86 V101Z M64 93 L78 86 V101Z', c) + s.circle(64, 93.5, 3.4, shade(c, -30));
    case 'scarf': return s.path('M44 82 Q64 94 84 82 L86 93 Q64 106 42 93Z', c) + s.path('M72 95 L84 92 L88 118 L75 120Z', shade(c, -22));
    case 'necklace': return s.line('M50 87 Q64 108 78 87', '#f6c928', 2.4) + s.circle(64, 99, 3.6, '#d42a3a');
    case 'freckles': return [[-14, 5], [-11, 8], [-17, 8], [14, 5], [11, 8], [17, 8]].map(([x, y]) => s.circle(g.fx + x, g.ey + y, 1.1, '#8a4a2a', '')).join('');
    case 'flower in the hair': {
      let f = '';
      const x = cx + r.pick([-1, 1]) * (w - 5), y = top + 6, petal = r.pick(['#f24c6a', '#ffffff', '#ffd23f', '#b05ad6']);
      for (let k = 0; k < 5; k++) f += s.circle(x + 4.6 * Math.cos(k * 1.257), y + 4.6 * Math.sin(k * 1.257), 3.8, petal);
      return f + s.circle(x, y, 3, '#f5a623', '');
    }
    case 'rosy cheeks': return [-1, 1].map((q) => s.ellipse(g.fx + q * 14, g.ey + 9, 4.2, 2.8, 'rgba(240,80,90,.6)', '')).join('');
    default: return '';
  }
}
