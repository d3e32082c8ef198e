// Any figure of the drawings, by their shares.
import { animal, robot } from './creature.mjs';
import { libraryPortrait } from './library.mjs';
import { person } from './person.mjs';

const KINDS = { person: 56, robot: 15, animal: 9, library: 20 };
const DRAW = { person, robot, animal, library: libraryPortrait };

/** One figure; `again` draws what its takes differ in. Returns what `person` returns. */
export function anyFigure(r, again = r) {
  return DRAW[r.weighted(KINDS)](r, again);
}
