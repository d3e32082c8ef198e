// Renders captionable 128x128 portraits into shards: NAME.rgb (uint8, N x 128 x 128 x 3, row by row) and NAME.jsonl (attributes, one line a picture).
// usage: node draw/generate.mjs OUT_DIR [--shards 20] [--per-shard 2048] [--seed 1] [--heldout 512] [--takes 1]
// With --takes N each figure comes N times in a row: the turn of its head, pose, background and, of our own figures, expression differ.
// A finished shard is skipped, so the command can be stopped and repeated; heldout.* is drawn from another seed and is never trained on.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Resvg } from '@resvg/resvg-js';
import { animal, robot } from './creature.mjs';
import { libraryPortrait } from './library.mjs';
import { person } from './person.mjs';
import { Random } from './random.mjs';

const SIZE = 128, OVER = 2, HELDOUT_SEED_OFFSET = 0x5eed, TAKES_SEED_OFFSET = 0x7a4e5;
const KINDS = { person: 56, robot: 15, animal: 9, library: 20 };
const DRAW = { person, robot, animal, library: libraryPortrait };

/** Picture `index` of `seed`, where every figure comes `takes` times: [attributes, SVG]. */
export function portrait(seed, index, takes = 1) {
  const r = new Random(seed, Math.floor(index / takes)), again = takes > 1 ? new Random(seed + TAKES_SEED_OFFSET, index) : r;
  const [attributes, body] = DRAW[r.weighted(KINDS)](r, again);
  return [attributes, `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">${body}</svg>`];
}

/** Renders at twice the size and averages 2x2 pixels: lines come out as a camera or a browser at that size would show them. */
function rasterize(svg) {
  const px = new Resvg(svg, { fitTo: { mode: 'width', value: SIZE * OVER }, font: { loadSystemFonts: false } }).render().pixels;
  const out = Buffer.alloc(SIZE * SIZE * 3), row = SIZE * OVER * 4;
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      const p = y * OVER * row + x * OVER * 4, o = (y * SIZE + x) * 3;
      for (let c = 0; c < 3; c++) out[o + c] = (px[p + c] + px[p + 4 + c] + px[p + row + c] + px[p + row + 4 + c] + 2) >> 2;
    }
  }
  return out;
}

function writeShard(dir, name, seed, first, count, takes) {
  const target = path.join(dir, `${name}.rgb`);
  if (fs.existsSync(target) && fs.statSync(target).size === count * SIZE * SIZE * 3) return false;
  const fd = fs.openSync(`${target}.part`, 'w'), lines = [];
  for (let i = 0; i < count; i++) {
    const [attributes, svg] = portrait(seed, first + i, takes);
    fs.writeSync(fd, rasterize(svg));
    lines.push(JSON.stringify(attributes));
  }
  fs.closeSync(fd);
  fs.writeFileSync(path.join(dir, `${name}.jsonl`), `${lines.join('\n')}\n`);
  fs.renameSync(`${target}.part`, target); // last: a shard that is there is whole
  return true;
}

const number = { type: 'string' };
const { values, positionals } = parseArgs({ allowPositionals: true, options: { shards: number, 'per-shard': number, seed: number, heldout: number, takes: number } });
const [dir] = positionals;
if (!dir) throw new Error('usage: node draw/generate.mjs OUT_DIR [--shards N] [--per-shard N] [--seed N] [--heldout N] [--takes N]');
fs.mkdirSync(dir, { recursive: true });
const shards = Number(values.shards ?? 20), perShard = Number(values['per-shard'] ?? 2048), seed = Number(values.seed ?? 1), takes = Number(values.takes ?? 1);
const started = Date.now();
writeShard(dir, 'heldout', seed + HELDOUT_SEED_OFFSET, 0, Number(values.heldout ?? 512), takes);
for (let k = 0; k < shards; k++) {
  const drawn = writeShard(dir, `shard_${String(k).padStart(4, '0')}`, seed, k * perShard, perShard, takes);
  if (drawn) console.log(`shard ${k}: ${perShard} pictures, ${((Date.now() - started) / 1000).toFixed(0)} s since start`);
}
