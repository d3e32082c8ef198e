// People drawn from our own shapes: two styles, fourteen hair shapes, beards; everything named in the attributes.
import { background } from './background.mjs';
import { MOUTHS, accessory, clothes, eyes, facePoints, geometry, glasses, hat, mouth, moved, outline, pose, posed } from './figure.mjs';
import { HAIR, SKIN, shade, shapes, skinName, tone } from './palette.mjs';

const SHAPES = ['bald', 'short', 'spiky', 'mohawk', 'bob', 'long', 'curly', 'afro', 'bun', 'ponytail', 'pigtails', 'side part', 'bangs', 'braids'];

/** Hair of `a.hair` in color c. Returns [behind the head, in front of it]. */
function hair(r, a, s, g, c) {
  const { cx, cy, w, top, h } = g, d = r.range(13, 17), x = cx + r.range(-7, 7);
  const cap = (depth) => s.path(`M${cx - w - 1.5} ${cy - 2} Q${cx - w - 4} ${top - 7} ${cx} ${top - 7} Q${cx + w + 4} ${top - 7} ${cx + w + 1.5} ${cy - 2} Q${cx + w - 2} ${cy - depth} ${x} ${cy - depth - 3} Q${cx - w + 2} ${cy - depth} ${cx - w - 1.5} ${cy - 2}Z`, c);
  const fall = (bottom, wide) => s.path(`M${cx - w - wide} ${bottom} Q${cx - w - 9} ${top - 11} ${cx} ${top - 9} Q${cx + w + 9} ${top - 11} ${cx + w + wide} ${bottom}Z`, c);
  switch (a.hair) {
    case 'short': return ['', cap(d + 1)];
    case 'side part': return ['', s.path(`M${cx - w - 1} ${cy - 4} Q${cx - w - 4} ${top - 6} ${cx} ${top - 8} Q${cx + w + 5} ${top - 6} ${cx + w + 1} ${cy - 4} Q${cx + w - 5} ${cy - 15} ${cx - 10} ${cy - 18} Q${cx - w + 4} ${cy - 13} ${cx - w - 1} ${cy - 4}Z`, c)];
    case 'spiky': {
      let p = `M${cx - w - 1} ${cy - 6}`;
      for (let i = 0; i < 6; i++) {
        const t = Math.PI * (1 - (i + 0.5) / 6), u = Math.PI * (1 - (i + 1) / 6);
        p += ` L${cx + Math.cos(t) * (w + 10)} ${cy - 9 - Math.sin(t) * (h + 6)} L${cx + Math.cos(u) * (w + 1)} ${cy - 8 - Math.sin(u) * (h - 8)}`;
      }
      return ['', s.path(`${p} Q${cx} ${cy - 22} ${cx - w - 1} ${cy - 6}Z`, c)];
    }
    case 'mohawk': return ['', s.path(`M${cx - 8} ${top + 10} Q${cx - 12} ${top - 16} ${cx} ${top - 19} Q${cx + 12} ${top - 16} ${cx + 8} ${top + 10} Q${cx} ${top + 5} ${cx - 8} ${top + 10}Z`, c)];
    case 'bob': return [fall(cy + 25, 7), cap(d - 2)];
    case 'bangs': return [fall(cy + 30, 8), s.path(`M${cx - w - 1} ${cy - 3} Q${cx - w - 4} ${top - 7} ${cx} ${top - 7} Q${cx + w + 4} ${top - 7} ${cx + w + 1} ${cy - 3} L${cx + w - 4} ${cy - 12} H${cx - w + 4}Z`, c)];
    case 'long': return [fall(110, 10), s.path(`M${cx - w - 2} ${cy + 6} Q${cx - w - 3} ${top - 6} ${cx} ${top - 8} Q${cx + w + 3} ${top - 6} ${cx + w + 2} ${cy + 6} Q${cx + w - 4} ${cy - 14} ${cx} ${top + 6} Q${cx - w + 4} ${cy - 14} ${cx - w - 2} ${cy + 6}Z`, c)];
    case 'curly': {
      let back = '', front = '';
      for (let i = 0; i <= 10; i++) {
        const t = Math.PI * (1.1 - (i * 1.2) / 10);
        back += s.circle(cx + Math.cos(t) * w, cy - 7 - Math.sin(t) * (h - 5), r.range(8, 10), c);
      }
      for (let i = 0; i < 5; i++) front += s.circle(cx - 18 + i * 9, top + 4 - (2 - Math.abs(i - 2)) * 2, 7, c, '');
      return [back, front];
    }
    case 'afro': return [s.circle(cx, cy - 12, w + 15, c), s.path(`M${cx - w - 1.5} ${cy - 4} Q${cx - w} ${top - 5} ${cx} ${top - 5} Q${cx + w} ${top - 5} ${cx + w + 1.5} ${cy - 4} Q${cx} ${cy - 28} ${cx - w - 1.5} ${cy - 4}Z`, c, '')];
    case 'bun': return [s.circle(cx, top - 9, 11, c), cap(d)];
    case 'ponytail': {
      const q = r.pick([-1, 1]);
      return [s.path(`M${cx + q * (w - 4)} ${top + 8} Q${cx + q * (w + 26)} ${top + 6} ${cx + q * (w + 17)} ${cy + 36} Q${cx + q * (w + 6)} ${cy + 18} ${cx + q * (w - 4)} ${top + 26}Z`, c), cap(d)];
    }
    case 'pigtails': return [[1, -1].map((q) => s.ellipse(cx + q * (w + 9), cy + 9, 9, 19, c)).join(''), cap(d - 1)];
    case 'braids': return [[1, -1].map((q) => [0, 1, 2, 3].map((k) => s.circle(cx + q * (w + 5 - k * 0.6), cy + 6 + k * 11, 7.2 - k * 0.6, k % 2 ? shade(c, -16) : c)).join('')).join(''), cap(d - 1)];
    default: return ['', '']; // bald
  }
}

function beard(r, a, s, g, c) {
  const { cx, cy, w, h, fx, my } = g;
  if (a.beard === 'full beard') return s.path(`M${cx - w} ${cy + 1} Q${cx - w} ${cy + h + 9} ${cx} ${cy + h + 9} Q${cx + w} ${cy + h + 9} ${cx + w} ${cy + 1} Q${cx + w - 6} ${cy + 10} ${fx} ${my - 7} Q${cx - w + 6} ${cy + 10} ${cx - w} ${cy + 1}Z`, c);
  if (a.beard === 'goatee') return s.ellipse(fx, my + 8, 8, 8.5, c);
  if (a.beard === 'moustache') return s.path(`M${fx} ${my - 7} Q${fx + 12} ${my - 9} ${fx + 15} ${my + 1} Q${fx + 6} ${my - 1} ${fx} ${my - 2.5} Q${fx - 6} ${my - 1} ${fx - 15} ${my + 1} Q${fx - 12} ${my - 9} ${fx} ${my - 7}Z`, c);
  return '';
}

function headShape(r, s, { cx, cy, w, h, top }, c) {
  const jaw = r.pick(['round', 'oval', 'square']);
  if (jaw === 'round') return s.ellipse(cx, cy, w, h, c);
  const [side, inset] = jaw === 'oval' ? [6, w - 3] : [12, w - 14];
  return s.path(`M${cx - w} ${cy - 8} Q${cx - w} ${top} ${cx} ${top} Q${cx + w} ${top} ${cx + w} ${cy - 8} V${cy + side} Q${cx + w - (jaw === 'oval' ? 3 : 0)} ${cy + h} ${cx + (jaw === 'oval' ? 0 : inset)} ${cy + h} H${cx - (jaw === 'oval' ? 0 : inset)} Q${cx - w + (jaw === 'oval' ? 3 : 0)} ${cy + h} ${cx - w} ${cy + side}Z`, c);
}

/** One person; `again` draws the turn of the head, expression, background and pose. Returns its attributes, the SVG of what is behind it
 * and of itself, and its face (figure.mjs's facePoints in the picture's pixels). */
export function person(r, again = r) {
  const a = { style: r.pick(['flat cartoon', 'outlined cartoon']), kind: 'person', skin: skinName(r), hair: r.pick(SHAPES), hair_color: r.pick(Object.keys(HAIR)), mouth: again.pick(MOUTHS) };
  a.beard = ['pigtails', 'braids', 'bun'].includes(a.hair) ? 'none' : r.weighted({ none: 6, 'full beard': 1.2, moustache: 1, goatee: 0.8 });
  const skin = tone(r, SKIN[a.skin]), c = tone(r, HAIR[a.hair_color]), s = shapes(outline(r, a.style)), g = geometry(r, again);
  const body = clothes(r, a, s, skin, a.hair_color, a.skin);
  const [behind, fringe] = hair(r, a, s, g, c);
  const onHead = hat(r, a, s, g, [a.hair_color, a.clothes]);
  const worn = glasses(r, a, s, g), extra = accessory(r, a, s, g, [a.clothes, a.hair_color]);
  const [bg, where] = background(again, a.clothes, a.hair === 'bald' ? '' : a.hair_color, a.hat_color ?? '');
  const covers = onHead && a.hat !== 'headband' && a.hat !== 'crown';
  const ear = (q) => s.ellipse(g.cx + q * g.w, g.cy + 3, 5, 7, shade(skin, -8));
  const nose = s.line(r.pick([`M${g.fx - 2.5} ${g.cy + 6 + g.ty} q2.5 3 5 0`, `M${g.fx} ${g.cy - 1 + g.ty} q4.5 6 -1.5 8`]), shade(skin, -58), 2.2);
  const brow = shade(a.hair === 'bald' ? skin : c, a.hair_color === 'black' ? -20 : -48);
  const face = beard(r, a, s, g, c);
  const lower = a.beard === 'moustache' ? mouth(r, a, s, g) + face : face + mouth(r, a, s, g);
  const figure = (covers && ['bun', 'mohawk'].includes(a.hair) ? '' : behind) + body + ear(-1) + ear(1) + headShape(r, s, g, skin) + lower + nose + eyes(r, a, s, g, brow) +
    (covers && ['spiky', 'mohawk', 'curly'].includes(a.hair) ? '' : fringe) + onHead + worn + extra;
  const p = pose(again);
  return { attributes: { ...a, ...where }, behind: bg, figure: posed(p, figure), face: facePoints(g).map((at) => moved(p, at)) };
}
