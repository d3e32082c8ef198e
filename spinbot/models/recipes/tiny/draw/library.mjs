// Portraits assembled from published parts whose licences allow it (see README.md): Lorelei, Open Peeps, Notionists, faces.js.
// Only what the parts are known to show goes into the attributes; what a library draws unpredictably is not claimed. Where eyes and mouth
// are parts of their own, they are measured for the face; Open Peeps draws them in one part, and no face is told of it.
import { createAvatar } from '@dicebear/core';
import * as lorelei from '@dicebear/lorelei';
import * as notionists from '@dicebear/notionists';
import * as peeps from '@dicebear/open-peeps';
import { faceToSvgString, generate } from 'facesjs';
import { background } from './background.mjs';
import { moved, posed } from './figure.mjs';
import { cornersOf, eyesOf } from './measure.mjs';
import { COLORS, HAIR, SKIN, freeColor, shapes, skinName, tone } from './palette.mjs';

const one = (color) => [color.slice(1)];

/** Nests a square avatar SVG, `scale` pictures wide, its centre `dy` below the picture's, with a small pose jitter.
 * Returns [SVG, `face` as it comes to lie]; `face` is told in sides of the avatar. */
function nested(r, svg, scale, dy, face) {
  const k = 128 * scale;
  const inner = svg.replace(/<metadata[\s\S]*?<\/metadata>/, '').replace('<svg ', `<svg x="${-k / 2}" y="${-k / 2}" width="${k}" height="${k}" `);
  const p = { x: 64 + r.range(-3, 3), y: 64 + dy + r.range(-3, 3), turn: r.range(-4, 4), scale: r.range(0.92, 1.05), from: [0, 0] };
  return [posed(p, inner), face && face.map(([x, y]) => moved(p, [(x - 0.5) * k, (y - 0.5) * k]))];
}

/** The face of an avatar of DiceBear's whose parts `eyes` and `mouth` lie (dx, dy) from their own origin in a square of `side`. */
function partsFace(json, library, side, eyes, mouth) {
  const face = [...eyesOf(library, eyes.part, json[eyes.part]), ...cornersOf(library, mouth.part, json[mouth.part])];
  return face.map(([x, y], n) => [(x + (n < 2 ? eyes : mouth).at[0]) / side, (y + (n < 2 ? eyes : mouth).at[1]) / side]);
}

const PEEP_FACES = {
  smiling: ['smile', 'smileBig', 'cute', 'lovingGrin1', 'lovingGrin2', 'cheeky', 'calm'], laughing: ['smileLOL', 'smileTeethGap', 'eatingHappy'], angry: ['rage', 'veryAngry', 'angryWithFang', 'driven'],
  sad: ['concerned', 'solemn', 'tired'], surprised: ['fear', 'concernedFear', 'hectic', 'awe'], neutral: ['serious', 'blank', 'contempt', 'suspicious'], talking: ['explaining'],
};
const PEEP_HEADS = {
  afro: ['afro', 'longAfro'], bun: ['bun', 'bun2', 'buns', 'bantuKnots'], bald: ['noHair1', 'noHair2', 'noHair3'], short: ['short1', 'short2', 'short3', 'short4', 'short5', 'shaved1', 'shaved2', 'shaved3', 'pomp', 'flatTop'],
  long: ['long', 'longBangs', 'medium1', 'medium2', 'medium3', 'mediumStraight'], curly: ['longCurly', 'twists', 'twists2', 'cornrows'], mohawk: ['mohawk', 'mohawk2'], bangs: ['bangs', 'bangs2', 'mediumBangs', 'mediumBangs2', 'mediumBangs3'],
};
const PEEP_BEARDS = { none: [], 'full beard': ['full', 'full2', 'full3'], moustache: ['moustache1', 'moustache2', 'moustache4', 'moustache7'], goatee: ['goatee1', 'goatee2'] };

/** Open Peeps: bold hand-drawn outlines; most hair is black whatever colour is asked for, so no hair colour is claimed. */
function sketch(r, again) {
  const a = { style: 'sketch', kind: 'person', skin: skinName(r), clothes: freeColor(r, 'black'), wear: 'shirt', mouth: r.pick(Object.keys(PEEP_FACES)), hair: r.pick(Object.keys(PEEP_HEADS)) };
  a.glasses = r.weighted({ none: 3, 'round glasses': 1, sunglasses: 0.7 });
  a.beard = r.weighted({ none: 5, 'full beard': 1, moustache: 1, goatee: 0.5 });
  const svg = createAvatar(peeps, {
    seed: String(r.next()), skinColor: one(tone(r, SKIN[a.skin])), clothingColor: one(tone(r, COLORS[a.clothes])), headContrastColor: one(tone(r, HAIR[r.pick(Object.keys(HAIR))])),
    head: [r.pick(PEEP_HEADS[a.hair])], face: [r.pick(PEEP_FACES[a.mouth])], accessories: a.glasses === 'sunglasses' ? ['sunglasses', 'sunglasses2'] : ['glasses', 'glasses2', 'glasses3'],
    accessoriesProbability: a.glasses === 'none' ? 0 : 100, maskProbability: 0, facialHair: PEEP_BEARDS[a.beard], facialHairProbability: a.beard === 'none' ? 0 : 100,
  }).toString();
  const [bg, where] = background(again, a.clothes, 'black');
  const [figure] = nested(again, svg, 1.0, 4);
  return { attributes: { ...a, ...where }, behind: bg, figure };
}

/** Lorelei: fine ink faces without clothes; the shoulders under them are ours, so that clothes are never missing. */
function ink(r, again) {
  const a = { style: 'ink drawing', kind: 'person', skin: skinName(r), hair_color: r.pick(Object.keys(HAIR)), mouth: r.chance(0.65) ? 'smiling' : 'sad' };
  a.clothes = freeColor(r, a.hair_color, a.skin);
  a.wear = 'shirt';
  a.glasses = r.chance(0.3) ? 'round glasses' : 'none';
  a.beard = r.chance(0.12) ? 'full beard' : 'none';
  if (r.chance(0.15)) a.accessory = 'earrings';
  const mouths = lorelei.schema.properties.mouth.items.enum.filter((m) => m.startsWith(a.mouth === 'sad' ? 'sad' : 'happy'));
  const avatar = createAvatar(lorelei, {
    seed: String(r.next()), skinColor: one(tone(r, SKIN[a.skin])), hairColor: one(tone(r, HAIR[a.hair_color])), mouth: mouths, glassesProbability: a.glasses === 'none' ? 0 : 100,
    beardProbability: a.beard === 'none' ? 0 : 100, earringsProbability: a.accessory ? 100 : 0, frecklesProbability: 5, hairAccessoriesProbability: 0,
  });
  const s = shapes('stroke="#000000" stroke-width="1.6"');
  const [bg, where] = background(again, a.hair_color, a.clothes);
  const shoulders = s.path('M18 150 V124 Q22 106 48 103 Q66 112 82 103 Q108 106 110 124 V150Z', tone(r, COLORS[a.clothes]));
  const own = partsFace(avatar.toJson().extra, 'lorelei', 980, { part: 'eyes', at: [10, -60] }, { part: 'mouth', at: [10, -60] });
  const [head, face] = nested(again, avatar.toString(), 0.92, -2, own);
  return { attributes: { ...a, ...where }, behind: bg, figure: shoulders + head, face };
}

/** Notionists: black and white brush drawings; colour only behind them. */
function brush(r, again) {
  const a = { style: 'black and white drawing', kind: 'person', glasses: r.chance(0.3) ? 'glasses' : 'none', beard: r.chance(0.2) ? 'beard' : 'none' };
  const avatar = createAvatar(notionists, { seed: String(r.next()), glassesProbability: a.glasses === 'none' ? 0 : 100, beardProbability: a.beard === 'none' ? 0 : 100, gestureProbability: 0, hair: notionists.schema.properties.hair.items.enum.filter((h) => h !== 'hat') });
  const [bg, where] = background(again, 'black', 'white');
  const own = partsFace(avatar.toJson().extra, 'notionists', 1744, { part: 'eyes', at: [610, 680] }, { part: 'lips', at: [791, 871] });
  const [figure, face] = nested(again, avatar.toString(), 1.0, 2, own);
  return { attributes: { ...a, ...where }, behind: bg, figure, face };
}

const FACES_HAIR = {
  afro: ['afro', 'afro2'], bald: ['bald'], curly: ['curly', 'curly2', 'curly3'], spiky: ['spike', 'spike2', 'spike3', 'spike4'], short: ['short', 'short2', 'short3', 'crop', 'crop-fade', 'short-fade'], long: ['longHair'],
  mohawk: ['faux-hawk', 'fauxhawk-fade'], 'side part': ['parted', 'middle-part'],
};
const FACES_BEARD = { none: ['none'], 'full beard': ['beard1', 'beard2', 'beard3', 'beard4', 'beard5', 'beard6'], moustache: ['mustache1', 'mustache-thin'], goatee: ['goatee1', 'goatee2', 'goatee3', 'fullgoatee', 'fullgoatee2'] };
const FACES_MOUTH = { smiling: ['smile', 'smile2', 'smile3', 'smile4', 'smile-closed'], neutral: ['straight', 'closed'], angry: ['angry'] };

/** faces.js: shaded cartoon faces in team jerseys. It draws from Math.random, which is ours for the length of the call. */
function athlete(r, again) {
  const system = Math.random;
  Math.random = () => r.next();
  try {
    const a = { style: 'shaded cartoon', kind: 'person', skin: r.pick(['pale', 'light', 'tan', 'brown', 'dark']), hair: r.pick(Object.keys(FACES_HAIR)), hair_color: r.pick(Object.keys(HAIR)), mouth: r.pick(Object.keys(FACES_MOUTH)) };
    a.clothes = freeColor(r, a.hair_color);
    a.wear = 'jersey';
    a.beard = r.weighted({ none: 5, 'full beard': 1.3, moustache: 0.8, goatee: 1 });
    a.glasses = r.chance(0.25) ? 'glasses' : 'none';
    a.hat = r.weighted({ none: 6, cap: 1, headband: 1 });
    const face = generate();
    const shirt = tone(r, COLORS[a.clothes]);
    face.teamColors = [shirt, tone(r, COLORS[freeColor(r, a.clothes)]), '#f4f4f4'];
    if (a.hat !== 'none') a.hat_color = a.clothes;
    face.body.color = tone(r, SKIN[a.skin]);
    face.hair = { id: r.pick(FACES_HAIR[a.hair]), color: tone(r, HAIR[a.hair_color]), flip: r.chance(0.5) };
    face.hairBg = { id: a.hair === 'long' ? 'longHair' : 'none' };
    face.head.shave = 'rgba(0,0,0,0)';
    face.facialHair = { id: r.pick(FACES_BEARD[a.beard]) };
    face.mouth.id = r.pick(FACES_MOUTH[a.mouth]);
    face.glasses = { id: a.glasses === 'none' ? 'none' : r.pick(['glasses1-primary', 'glasses2-black']) };
    face.accessories = { id: { none: 'none', cap: r.pick(['hat', 'hat2', 'hat3']), headband: r.pick(['headband', 'headband-high']) }[a.hat] };
    const svg = faceToSvgString(face).replace(/<svg[^>]*>/, '<svg x="15" y="-15" width="98" height="147" viewBox="0 0 400 600">');
    const [bg, where] = background(again, a.clothes, a.hair_color);
    const p = { x: 64 + again.range(-4, 4), y: 64 + again.range(-2, 3), turn: again.range(-4, 4), scale: again.range(0.94, 1.06), from: [64, 64] };
    // faces.js puts the middles of the eyes and of the mouth at fixed places of its 400 x 600.
    const own = [[140, 310], [260, 310], ...cornersOf('facesjs', 'mouth', face.mouth.id, face.mouth.flip)];
    return { attributes: { ...a, ...where }, behind: bg, figure: posed(p, svg), face: own.map(([x, y]) => moved(p, [15 + x * 0.245, -15 + y * 0.245])) };
  } finally {
    Math.random = system;
  }
}

const DRAWINGS = { sketch, ink, brush, athlete };

/** One portrait from published parts; `again` draws background and pose. Returns what person.mjs's `person` returns. */
export function libraryPortrait(r, again = r) {
  return DRAWINGS[r.weighted({ sketch: 3, ink: 3, brush: 1, athlete: 4 })](r, again);
}
