// Is a snapshot whole and right? Chunks put together, and files that are there entirely or not at all.

import { open, readFile, rename } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { join } from 'node:path';
import { LIMITS } from './protocol.mjs';

/** The chunks of one snapshot from one sender in one term (SNAP-2). */
export class Assembly {
  #chunks = [];
  #wanted = 0n;

  constructor(sender, m) {
    this.key = Assembly.#key(sender, m);
  }

  static #key(sender, m) {
    return [sender.node, sender.store, m.term, m.last_included_index, m.last_included_term, m.size, m.checksum].join();
  }

  static checksum(data) {
    return crc32(data);
  }

  continues(sender, m) {
    return m.offset !== 0n && this.key === Assembly.#key(sender, m); // offset 0 starts anew
  }

  /** {wanted} the next byte; {data} when it is complete; {fault, wanted: 0n} when it cannot be right (SNAP-3). */
  take(m, verify) {
    if (m.size > LIMITS.snapshotBytes) {
      return { wanted: 0n, fault: `a snapshot of ${m.size} bytes; the limit is ${LIMITS.snapshotBytes}` };
    }
    if (m.offset !== this.#wanted) return { wanted: this.#wanted };
    this.#chunks.push(m.data);
    this.#wanted += BigInt(m.data.length);
    if (this.#wanted > m.size || (m.done && this.#wanted !== m.size)) {
      return { wanted: 0n, fault: `${this.#wanted} bytes of a snapshot of ${m.size}` };
    }
    if (!m.done) return { wanted: this.#wanted };
    const data = Buffer.concat(this.#chunks);
    if (BigInt(crc32(data)) !== m.checksum) return { wanted: 0n, fault: `checksum ${crc32(data)}; expected ${m.checksum}` };
    verify(data); // throws where it cannot be restored
    return { wanted: m.size, data };
  }
}

export async function syncDirectory(path) {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Writes a file so that it is durable under its name, or not there: written aside, synced, renamed, directory synced. */
export async function writeWhole(directory, name, data) {
  const aside = join(directory, `${name}.tmp`);
  const file = await open(aside, 'w');
  try {
    for (let at = 0; at < data.length; at += (await file.write(data, at)).bytesWritten);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, join(directory, name));
  await syncDirectory(directory);
}

export const snapshotName = ({ index, term }) => `snapshot-${index}-${term}`;

/** The data of the snapshot a log refers to; throws where file, size or checksum do not fit. */
export async function readSnapshot(directory, { file, size, checksum }) {
  const data = await readFile(join(directory, file));
  if (data.length !== size) throw new Error(`${data.length} bytes; the log says ${size}`);
  if (crc32(data) !== checksum) throw new Error(`checksum ${crc32(data)} of bytes 0 to ${size}; the log says ${checksum}`);
  return data;
}
