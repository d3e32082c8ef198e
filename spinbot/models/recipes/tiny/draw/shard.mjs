// From SVG to files of pixels: NAME.rgb (uint8, N x 128 x 128 x 3, row by row) and NAME.jsonl (what is told of each, one line a picture).
import fs from 'node:fs';
import path from 'node:path';
import { Resvg } from '@resvg/resvg-js';

export const SIZE = 128, HELDOUT_SEED_OFFSET = 0x5eed;
const OVER = 2;

/** Renders at twice the size and averages 2x2 pixels: lines come out as a camera or a browser at that size would show them. */
function rasterize(body) {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">${body}</svg>`;
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

/** Draws pictures `first` to `first + count`, each of which `draw` makes from its index as [what is told of it, SVG body].
 * False where the shard was there. */
export function writeShard(dir, name, draw, first, count) {
  const target = path.join(dir, `${name}.rgb`);
  if (fs.existsSync(target) && fs.statSync(target).size === count * SIZE * SIZE * 3) return false;
  const fd = fs.openSync(`${target}.part`, 'w'), lines = [];
  for (let i = 0; i < count; i++) {
    const [told, body] = draw(first + i);
    fs.writeSync(fd, rasterize(body));
    lines.push(JSON.stringify(told));
  }
  fs.closeSync(fd);
  fs.writeFileSync(path.join(dir, `${name}.jsonl`), `${lines.join('\n')}\n`);
  fs.renameSync(`${target}.part`, target); // last: a shard that is there is whole
  return true;
}
