// Pictures to learn from where a drawn face's eyes and mouth are: our figures and published ones, faces of every proportion, and pictures
// without a face. Beside each picture's pixels is told {kind, face}: the eyes' centres and the mouth's corners in pixels, left ones first;
// null where there is no face, missing where there is one whose points are not known.
// usage: node draw/faces.mjs OUT_DIR [--shards 12] [--per-shard 2048] [--seed 1] [--heldout 1024]
// A finished shard is skipped, as by generate.mjs.
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { background } from './background.mjs';
import { doodle } from './doodle.mjs';
import { moved, posed } from './figure.mjs';
import { nothing } from './nothing.mjs';
import { anyFigure } from './portrait.mjs';
import { Random } from './random.mjs';
import { HELDOUT_SEED_OFFSET, SIZE, writeShard } from './shard.mjs';

// Of the pictures, and of the figures whether they stay where the drawings have them.
const KINDS = { figure: 34, doodle: 44, nothing: 22 }, IN_PLACE = 0.35;
// Points lie so far within the picture, in pixels.
const MARGIN = 3;
// Figures stand on their heads or lie on their sides in this share of the pictures without a face.
const FALLEN = 0.18;

const middleOf = (face) => [0, 1].map((k) => face.reduce((sum, p) => sum + p[k], 0) / 4);
const apart = (face) => Math.hypot(face[1][0] - face[0][0], face[1][1] - face[0][1]);
const inside = (face) => face.every((p) => p.every((v) => v >= MARGIN && v <= SIZE - MARGIN));

/** A pose that makes the face as large as chance has it (a head is some 2.7 times as wide as its eyes are apart) and keeps it in the picture. */
function spread(r, face, turn) {
  const from = middleOf(face);
  for (;;) {
    const head = 0.25 * 3.7 ** r.next() * SIZE, scale = head / 2.7 / apart(face);
    const p = { x: r.range(0.1, 0.9) * SIZE, y: r.range(0.1, 0.9) * SIZE, turn, scale, from };
    if (inside(face.map((at) => moved(p, at)))) return p;
  }
}

/** Turns that hands and cameras make: mostly small ones. */
const tilt = (r) => (r.chance(0.5) ? r.range(-6, 6) : r.range(-22, 22));

/** Only lines: everything light becomes paper, everything else gets an outline and keeps its fill where it is dark. */
function lines(r, svg) {
  const paper = r.pick(['#ffffff', '#f6f1e3', '#e8e8ea']), ink = r.pick(['#000000', '#1d1a22', '#27408b', '#5b3b22']), width = r.range(0.012, 0.022);
  const drawn = svg.replace(/<[^>]*>/g, (tag) => {
    const [, fill] = /fill="(#[0-9a-f]{6}|rgba[^"]*|url[^"]*)"/i.exec(tag) ?? [];
    if (!fill) return tag;
    const v = parseInt(fill.slice(1), 16), dark = fill[0] === '#' && 0.3 * (v >> 16) + 0.59 * ((v >> 8) & 255) + 0.11 * (v & 255) < 60;
    return tag.replace(`fill="${fill}"`, `fill="${dark ? ink : paper}"${tag.includes('stroke') ? '' : ` stroke="${ink}" stroke-width="WIDTH"`}`);
  });
  return [paper, drawn.replace(/stroke="#[0-9a-f]{6}"/gi, `stroke="${ink}"`), width];
}

/** All strokes `by` times as wide. */
const inked = (svg, by) => svg.replace(/stroke-width="([\d.]+)"/g, (_, w) => `stroke-width="${(w * by).toFixed(3)}"`);

/** Things around: discs, boxes and lines that are no faces. */
function clutter(r) {
  let g = '';
  for (let k = Math.floor(r.range(1, 6)); k > 0; k--) {
    const x = r.range(0, SIZE), y = r.range(0, SIZE), w = r.range(3, 30), c = `hsl(${r.range(0, 360).toFixed(0)},${r.range(10, 90).toFixed(0)}%,${r.range(10, 90).toFixed(0)}%)`;
    g += r.pick([`<circle cx="${x}" cy="${y}" r="${w / 2}" fill="${c}"/>`, `<rect x="${x}" y="${y}" width="${w}" height="${w * r.range(0.3, 2)}" fill="${c}"/>`, `<path d="M${x} ${y} l${r.range(-60, 60)} ${r.range(-60, 60)}" stroke="${c}" stroke-width="${r.range(1, 6)}"/>`]);
  }
  return g;
}

/** Picture `index` of `seed`: [{kind, face}, SVG body]. */
function picture(seed, index) {
  const r = new Random(seed, index), kind = r.weighted(KINDS);
  if (kind === 'nothing' && !r.chance(FALLEN)) return [{ kind, face: null }, nothing(r)];
  const drawn = kind === 'doodle' || (kind === 'nothing' && r.chance(0.5)) ? doodle(r) : anyFigure(r);
  let behind = drawn.behind ?? background(r)[0], { figure } = drawn;
  if (r.chance(0.15)) behind += clutter(r);
  const unit = drawn.behind ? 100 : 5; // lengths that strokes are told in: pictures, or half the eyes' distance
  if (r.chance(0.12)) {
    const [paper, outlines, width] = lines(r, figure);
    behind = r.chance(0.8) ? `<rect width="${SIZE}" height="${SIZE}" fill="${paper}"/>` : behind;
    figure = outlines.replaceAll('WIDTH', (width * unit * (drawn.behind ? 1 : 1.5)).toFixed(3));
  } else if (r.chance(0.25)) {
    figure = inked(figure, r.range(0.5, 1.7));
  }
  if (!drawn.face) return [{ kind: 'library' }, behind + figure];
  if (kind === 'nothing') { // upside down or on its side
    const turn = r.chance(0.6) ? 180 + r.range(-40, 40) : r.pick([-1, 1]) * r.range(75, 130);
    return [{ kind: 'fallen', face: null }, behind + posed(spread(r, drawn.face, turn), figure)];
  }
  if (kind === 'figure' && r.chance(IN_PLACE)) return [{ kind, face: drawn.face }, behind + figure];
  const p = spread(r, drawn.face, tilt(r));
  return [{ kind, face: drawn.face.map((at) => moved(p, at)) }, behind + posed(p, figure)];
}

const number = { type: 'string' };
const { values, positionals } = parseArgs({ allowPositionals: true, options: { shards: number, 'per-shard': number, seed: number, heldout: number } });
const [dir] = positionals;
if (!dir) throw new Error('usage: node draw/faces.mjs OUT_DIR [--shards N] [--per-shard N] [--seed N] [--heldout N]');
fs.mkdirSync(dir, { recursive: true });
const shards = Number(values.shards ?? 12), perShard = Number(values['per-shard'] ?? 2048), seed = Number(values.seed ?? 1);
const draw = (from) => (index) => {
  const [told, body] = picture(from, index);
  if (told.face) told.face = told.face.map((p) => p.map((v) => Number(v.toFixed(2))));
  return [told, body];
};
const started = Date.now();
writeShard(dir, 'heldout', draw(seed + HELDOUT_SEED_OFFSET), 0, Number(values.heldout ?? 1024));
for (let k = 0; k < shards; k++) {
  const drawn = writeShard(dir, `shard_${String(k).padStart(4, '0')}`, draw(seed), k * perShard, perShard);
  if (drawn) console.log(`shard ${k}: ${perShard} pictures, ${((Date.now() - started) / 1000).toFixed(0)} s since start`);
}
