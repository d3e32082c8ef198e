// Robots and animals from our own shapes, wearing what people wear: the product's bots, and faces that are not human.
import { background } from './background.mjs';
import { MOUTHS, accessory, clothes, eyes, facePoints, geometry, glasses, hat, mouth, moved, outline, pose, posed } from './figure.mjs';
import { COLORS, FUR_COLORS, INK, freeColor, shade, shapes, tone } from './palette.mjs';

const LIGHTS = { green: '#4dff9b', blue: '#4fc8ff', yellow: '#ffe45c', red: '#ff4d4d', white: '#ffffff' };

/** One robot; `again` and what is returned as of a person. */
export function robot(r, again = r) {
  const a = { style: r.pick(['flat cartoon', 'outlined cartoon']), kind: 'robot', metal: r.pick(Object.keys(COLORS).filter((c) => c !== 'black')), mouth: again.pick(MOUTHS) };
  a.head = r.pick(['square', 'round', 'wide']);
  a.eyes = r.pick(['round', 'visor', 'square']);
  a.light = r.pick(Object.keys(LIGHTS));
  const s = shapes(outline(r, a.style)), g = geometry(r, again), c = tone(r, COLORS[a.metal]), dark = shade(c, -48), light = LIGHTS[a.light], { cx, cy } = g;
  const w = { square: 29, round: 29, wide: 35 }[a.head], h = { square: 28, round: 29, wide: 23 }[a.head];
  g.w = w;
  g.top = cy - h;
  a.wear = 'body';
  a.clothes = freeColor(r, a.metal);
  const body = tone(r, COLORS[a.clothes]);
  let torso = s.rect(54, 76, 20, 16, dark) + s.path('M16 175 V112 Q18 91 42 89 H86 Q110 91 112 112 V175Z', body);
  torso += r.pick([
    s.circle(64, 108, 8, light), s.rect(46, 100, 36, 18, shade(body, -45), 3) + s.circle(55, 109, 3.5, light, '') + s.circle(66, 109, 3.5, '#ff6b57', '') + s.circle(76, 109, 2.6, '#ffffff', ''),
    s.line('M40 104 H88 M40 112 H88 M40 120 H88', shade(body, -45), 3), s.path('M64 98 L72 108 L64 120 L56 108Z', light),
  ]);
  a.antenna = r.weighted({ one: 3, two: 1.5, none: 1.5 });
  const bulb = r.pick(['#ff4d3d', '#ffd23f', light]);
  let top = '';
  for (const x of { one: [0], two: [-15, 15], none: [] }[a.antenna]) top += s.line(`M${cx + x} ${g.top + 3} V${g.top - 11}`, shade(dark, -20), 3.4) + s.circle(cx + x, g.top - 13, 5, bulb);
  const ears = [-1, 1].map((q) => s.rect(cx + q * (w + 3) - 5, cy - 9, 10, 20, dark, 4)).join('');
  const skull = a.head === 'round' ? s.ellipse(cx, cy, w, h, c) : s.rect(cx - w, cy - h, 2 * w, 2 * h, c, 11);
  let look = '';
  const ex = w * 0.43;
  if (a.eyes === 'visor') look += s.rect(g.fx - w * 0.76, g.ey - 9, w * 1.52, 18, '#18222b', 9);
  for (const q of [-1, 1]) {
    const x = g.fx + q * ex;
    if (a.eyes === 'round') look += s.circle(x, g.ey, 8.4, '#18222b') + s.circle(x, g.ey, 5, light, '');
    if (a.eyes === 'square') look += s.rect(x - 8, g.ey - 7, 16, 14, '#18222b', 2) + s.rect(x - 4.5, g.ey - 4, 9, 8, light, 0, '');
    if (a.eyes === 'visor') look += s.circle(x, g.ey, 5, light, '');
    const tilt = a.mouth === 'angry' ? 3.4 : a.mouth === 'sad' ? -3 : 0;
    if (tilt) look += s.line(`M${x - q * 6} ${g.ey - 11 + tilt} L${x + q * 6} ${g.ey - 11 - tilt}`, INK, 3);
  }
  g.ex = ex;
  g.my = cy + (a.head === 'wide' ? 12 : 15) + g.ty;
  const onHead = hat(r, a, s, g, [a.metal, a.clothes], { none: 8, beanie: 0.6, cap: 0.6, 'top hat': 0.8, crown: 0.6, 'party hat': 0.6, 'cowboy hat': 0.5 });
  if (onHead) {
    top = '';
    a.antenna = 'none';
  }
  const worn = glasses(r, a, s, g, a.eyes === 'visor' ? { none: 1 } : { none: 7, 'round glasses': 1, sunglasses: 1 });
  const [bg, where] = background(again, a.metal, a.clothes, a.hat_color ?? '');
  const figure = top + torso + ears + skull + look + mouth(r, a, s, g, INK, 1.1) + onHead + worn, p = pose(again);
  return { attributes: { ...a, ...where }, behind: bg, figure: posed(p, figure), face: facePoints(g).map((at) => moved(p, at)) };
}

/** One animal; `again` and what is returned as of a person. */
export function animal(r, again = r) {
  const a = { style: r.pick(['flat cartoon', 'outlined cartoon']), kind: r.pick(['cat', 'dog', 'bear', 'rabbit', 'fox', 'panda']), mouth: again.pick(MOUTHS) };
  a.fur = a.kind === 'fox' ? 'orange' : a.kind === 'panda' ? 'white' : r.pick(Object.keys(FUR_COLORS));
  const s = shapes(outline(r, a.style)), g = geometry(r, again), c = tone(r, FUR_COLORS[a.fur]), { cx, cy, fx } = g, inner = '#f3a6ad';
  g.w = r.range(27, 31);
  g.h = r.range(25, 28);
  g.top = cy - g.h;
  const { w, top } = g, second = a.kind === 'panda' ? '#1c1b22' : a.kind === 'fox' ? '#fbf3e6' : shade(c, a.fur === 'white' ? -18 : 48);
  const body = clothes(r, a, s, c, a.fur);
  const ears = [-1, 1].map((q) => {
    const x = cx + q * (w - 8);
    switch (a.kind) {
      case 'cat': case 'fox': return s.path(`M${x - q * 10} ${top + 8} L${x + q * 5} ${top - 16} L${x + q * 12} ${top + 17}Z`, c) + s.path(`M${x - q * 4} ${top + 5} L${x + q * 4} ${top - 7} L${x + q * 8} ${top + 10}Z`, inner, '');
      case 'rabbit': return s.ellipse(cx + q * 12, top - 10, 7.5, 21, c) + s.ellipse(cx + q * 12, top - 9, 3.6, 15, inner, '');
      case 'dog': return s.ellipse(cx + q * (w + 1), cy + 1, 9, 20, shade(c, -42));
      default: return s.circle(x + q * 2, top + 3, 11, a.kind === 'panda' ? second : c) + (a.kind === 'bear' ? s.circle(x + q * 2, top + 3, 5.5, shade(c, 44), '') : '');
    }
  }).join('');
  const skull = s.ellipse(cx, cy, w, g.h, c);
  let patches = s.ellipse(fx, cy + 12 + g.ty, 15, 12, a.kind === 'panda' ? c : second, '');
  if (a.kind === 'panda') patches += [-1, 1].map((q) => s.ellipse(fx + q * g.ex, g.ey + 1, 8.6, 10, second, '')).join('');
  const nose = s.path(`M${fx - 5} ${cy + 4 + g.ty} h10 q0 5 -5 7 q-5 -2 -5 -7Z`, a.kind === 'cat' || a.kind === 'rabbit' ? '#e8697a' : '#201c22', '');
  const whiskers = a.kind === 'cat' ? s.line([-1, 1].map((q) => `M${fx + q * 15} ${cy + 9} L${fx + q * 31} ${cy + 6} M${fx + q * 15} ${cy + 12} L${fx + q * 31} ${cy + 14}`).join(' '), INK, 1.5) : '';
  g.my = cy + 16 + g.ty;
  const onHead = hat(r, a, s, g, [a.fur, a.clothes], { none: 8, 'top hat': 0.7, crown: 0.6, 'party hat': 0.6, beanie: a.kind === 'rabbit' ? 0 : 0.6, cap: a.kind === 'rabbit' ? 0 : 0.5 });
  const worn = glasses(r, a, s, g), extra = accessory(r, a, s, g, [a.clothes, a.fur]);
  const [bg, where] = background(again, a.clothes, a.fur, a.hat_color ?? '');
  const face = patches + whiskers + nose + mouth(r, a, s, g, '#3a1418', 0.8) + eyes(r, a, s, g, shade(c, a.fur === 'black' ? 60 : -60));
  const p = pose(again);
  return { attributes: { ...a, ...where }, behind: bg, figure: posed(p, body + ears + skull + face + onHead + worn + extra), face: facePoints(g).map((at) => moved(p, at)) };
}
