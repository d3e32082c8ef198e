// Renders captionable 128x128 portraits into shards: NAME.rgb (uint8, N x 128 x 128 x 3, row by row) and NAME.jsonl (attributes, one line a picture).
// usage: node draw/generate.mjs OUT_DIR [--shards 20] [--per-shard 2048] [--seed 1] [--heldout 512] [--takes 1]
// With --takes N each figure comes N times in a row: the turn of its head, pose, background and, of our own figures, expression differ.
// A finished shard is skipped, so the command can be stopped and repeated; heldout.* is drawn from another seed and is never trained on.
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { anyFigure } from './portrait.mjs';
import { Random } from './random.mjs';
import { HELDOUT_SEED_OFFSET, writeShard } from './shard.mjs';

const TAKES_SEED_OFFSET = 0x7a4e5;

/** Picture `index` of `seed`, where every figure comes `takes` times: [attributes, SVG body]. */
function portrait(seed, index, takes = 1) {
  const r = new Random(seed, Math.floor(index / takes)), again = takes > 1 ? new Random(seed + TAKES_SEED_OFFSET, index) : r;
  const { attributes, behind, figure } = anyFigure(r, again);
  return [attributes, behind + figure];
}

const number = { type: 'string' };
const { values, positionals } = parseArgs({ allowPositionals: true, options: { shards: number, 'per-shard': number, seed: number, heldout: number, takes: number } });
const [dir] = positionals;
if (!dir) throw new Error('usage: node draw/generate.mjs OUT_DIR [--shards N] [--per-shard N] [--seed N] [--heldout N] [--takes N]');
fs.mkdirSync(dir, { recursive: true });
const shards = Number(values.shards ?? 20), perShard = Number(values['per-shard'] ?? 2048), seed = Number(values.seed ?? 1), takes = Number(values.takes ?? 1);
const started = Date.now();
const draw = (from) => (index) => portrait(from, index, takes);
writeShard(dir, 'heldout', draw(seed + HELDOUT_SEED_OFFSET), 0, Number(values.heldout ?? 512));
for (let k = 0; k < shards; k++) {
  const drawn = writeShard(dir, `shard_${String(k).padStart(4, '0')}`, draw(seed), k * perShard, perShard);
  if (drawn) console.log(`shard ${k}: ${perShard} pictures, ${((Date.now() - started) / 1000).toFixed(0)} s since start`);
}
