// Which entries has an operator decided to leave out? Named by index, term and checksum, alike on every member (COMMIT-5).

import { crc32 } from 'node:zlib';
import { Unreadable } from './kv.mjs';

const NAME = /^([1-9]\d{0,18}):[1-9]\d{0,18}:[0-9a-f]{8}$/;

export class Skips {
  #names = new Map();

  /** names: index:term:checksum. Throws a RangeError for what is none, and for two of one index. */
  constructor(names) {
    for (const name of names) {
      const [, index] = NAME.exec(name) ?? [];
      const other = this.#names.get(BigInt(index ?? 0));
      if (index === undefined || (other ?? name) !== name) throw new RangeError(`an entry is named 4711:3:9a0b1c2d, once, not ${name.slice(0, 80)}`);
      this.#names.set(BigInt(index), name);
    }
  }

  /** Whether the entry is left out; throws Unreadable where another one is named for its index. */
  has(index, { term, kind, data }) {
    const name = this.#names.get(index);
    if (name === undefined) return false;
    const here = `${index}:${term}:${crc32(data).toString(16).padStart(8, '0')}`;
    if (kind !== 'command' || name !== here) throw new Unreadable(`${name} is to be left out, but here is the ${kind} ${here}`);
    return true;
  }
}
