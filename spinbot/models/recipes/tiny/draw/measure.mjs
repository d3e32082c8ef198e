// Where eyes and mouths of published parts are: each part is rendered alone, and its ink measured.
import { Resvg } from '@resvg/resvg-js';
import svgs from '../node_modules/facesjs/build/svgs.js';
import { eyes as loreleiEyes } from '../node_modules/@dicebear/lorelei/lib/components/eyes.js';
import { mouth as loreleiMouth } from '../node_modules/@dicebear/lorelei/lib/components/mouth.js';
import { eyes as notionistsEyes } from '../node_modules/@dicebear/notionists/lib/components/eyes.js';
import { lips as notionistsLips } from '../node_modules/@dicebear/notionists/lib/components/lips.js';

// The packages export no parts, so their files are named.
const PARTS = { lorelei: { eyes: loreleiEyes, mouth: loreleiMouth }, notionists: { eyes: notionistsEyes, lips: notionistsLips } };
// Parts are drawn within a square of that side around their origin, seen at half the size.
const SIDE = 1200, HALF = 2;
const known = new Map();

/** Columns of ink, left to right: [x, top, bottom] in the part's units. */
function columns(body) {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}" viewBox="${-SIDE / 4} ${-SIDE / 4} ${SIDE} ${SIDE}">${body}</svg>`;
  const { pixels, width } = new Resvg(svg, { fitTo: { mode: 'width', value: SIDE / HALF }, font: { loadSystemFonts: false } }).render();
  const out = [];
  for (let x = 0; x < width; x++) {
    let top = -1, bottom = -1;
    for (let y = 0; y < width; y++) {
      if (pixels[(y * width + x) * 4 + 3] > 96) {
        if (top < 0) top = y;
        bottom = y;
      }
    }
    if (top >= 0) out.push([(x + 0.5) * HALF - SIDE / 4, top * HALF - SIDE / 4, (bottom + 1) * HALF - SIDE / 4]);
  }
  return out;
}

function part(library, name, id) {
  return library === 'facesjs' ? svgs[name][id] : PARTS[library][name][id]({}, new Proxy({}, { get: () => '#000' }));
}

function once(key, measure) {
  if (!known.has(key)) known.set(key, measure());
  return known.get(key);
}

/** The middles of the two eyes of a part that has both, left one first, in its units. */
export function eyesOf(library, name, id) {
  return once(`${library} ${name} ${id}`, () => {
    const ink = columns(part(library, name, id));
    // The widest gap between columns of ink is the one between the eyes.
    let cut = 1;
    for (let i = 1; i < ink.length; i++) if (ink[i][0] - ink[i - 1][0] > ink[cut][0] - ink[cut - 1][0]) cut = i;
    const middle = (eye) => [(eye[0][0] + eye[eye.length - 1][0]) / 2, (Math.min(...eye.map((c) => c[1])) + Math.max(...eye.map((c) => c[2]))) / 2];
    return [middle(ink.slice(0, cut)), middle(ink.slice(cut))];
  });
}

/** The corners of a mouth, left one first, in its part's units; of faces.js in the face's, which centres it on (200, 440). */
export function cornersOf(library, name, id, flip = false) {
  return once(`${library} ${name} ${id} ${flip}`, () => {
    const ink = columns(part(library, name, id)), end = Math.max(1, Math.round(ink.length * 0.05));
    const mean = (side) => [side.reduce((sum, c) => sum + c[0], 0) / side.length, side.reduce((sum, c) => sum + (c[1] + c[2]) / 2, 0) / side.length];
    const corners = [mean(ink.slice(0, end)), mean(ink.slice(-end))];
    corners[0][0] = ink[0][0];
    corners[1][0] = ink[ink.length - 1][0];
    if (library !== 'facesjs') return corners;
    const middle = [(ink[0][0] + ink[ink.length - 1][0]) / 2, (Math.min(...ink.map((c) => c[1])) + Math.max(...ink.map((c) => c[2]))) / 2];
    const centred = corners.map(([x, y]) => [200 + (x - middle[0]) * (flip ? -1 : 1), 440 + y - middle[1]]);
    return flip ? centred.reverse() : centred;
  });
}
