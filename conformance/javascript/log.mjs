// What does the disk remember, and is it true? One append-only file of checksummed batches, and a snapshot beside it.
//
//   batch    length u32 · CRC-32 of the payload u32 · CRC-32 of these eight bytes u32 · payload
//   payload  msgpack: an array of records
//   node     who keeps this directory; the first record, and only that
//   state    term, vote and locked list, together (PERSIST-1)
//   entries  the log from an index on; what stood there is removed by the same record (APPEND-3)
//   snapshot the file that stands for all entries up to an index
//   boot     a start of a process (HELLO-10)
//   peers    what other nodes said of their directories (HELLO-11)
//   past     after a compaction: how many batches there were before, and the latest boots
//
// The directory's revision is the number of batches it has ever held: each is durable before the next.
//
// A batch is what one fdatasync made durable, so at most the last one can be torn, and a tear is visible: the file ends
// within the batch, or a whole sector of it holds zeros. Anything else that does not add up is corruption (PERSIST-5).
// Compaction writes a new file aside and renames it, so that no moment is without a whole log.

import { createServer } from 'node:net';
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { decode, encode } from './msgpack.mjs';
import { Entries } from './entries.mjs';
import { LIMITS, isNodeId } from './protocol.mjs';
import { readSnapshot, snapshotName, syncDirectory, writeWhole } from './snapshots.mjs';

const HEAD = 12;
const SECTOR = 512;
const BATCH_BYTES = 8 << 20;

/** The data directory cannot be used: exit status 78. The message names the file and the place (PERSIST-5). */
export class Unusable extends Error {}

/** Nobody has said which node it is: neither the caller nor the directory. */
export class Nameless extends Error {}

// --------------------------------------------------------------------------------------------- records and bytes

const pairOut = (server) => server && [server.node, server.store];
const pairIn = (pair) => pair && { node: pair[0], store: pair[1] };
const entryIn = ([term, kind, data]) => ({ term, kind, data: Buffer.from(data) });

const encodeRecord = (r) => {
  switch (r.kind) {
    case 'node': return ['node', 1n, r.node, r.store];
    case 'state': return ['state', r.term, pairOut(r.votedFor), r.list && r.list.map(pairOut)];
    case 'entries': return ['entries', r.from, r.entries.map((e) => [e.term, e.kind, e.data])];
    case 'snapshot':
      return ['snapshot', r.index, r.term, r.cluster_id, r.members.map(pairOut), r.file, BigInt(r.size), BigInt(r.checksum)];
    case 'boot': return ['boot', r.id];
    case 'peers': return ['peers', r.peers.map((p) => [p.node, p.store, p.revision, p.boot, p.refused])];
    case 'past': return ['past', r.revision, r.boots.map(({ id, revision }) => [id, revision])];
    default: throw new Error(`no record is of kind ${r.kind}`);
  }
};

const decodeRecord = ([kind, ...f]) => {
  switch (kind) {
    case 'node': return { kind, version: f[0], node: f[1], store: f[2] };
    case 'state': return { kind, term: f[0], votedFor: pairIn(f[1]), list: f[2] && f[2].map(pairIn) };
    case 'entries': return { kind, from: f[0], entries: f[1].map(entryIn) };
    case 'snapshot': {
      const [index, term, cluster_id, members, file, size, checksum] = f;
      const meta = { index, term, cluster_id, members: members.map(pairIn) };
      return { kind, ...meta, file, size: Number(size), checksum: Number(checksum) };
    }
    case 'boot': return { kind, id: f[0] };
    case 'peers': {
      return { kind, peers: f[0].map(([node, store, revision, boot, refused]) => ({ node, store, revision, boot, refused })) };
    }
    case 'past': return { kind, revision: f[0], boots: f[1].map(([id, revision]) => ({ id, revision })) };
    default: throw new Error(`no record is of kind ${kind}`);
  }
};

export function encodeBatch(records) {
  const payload = encode(records.map(encodeRecord));
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(payload.length, 0);
  head.writeUInt32BE(crc32(payload), 4);
  head.writeUInt32BE(crc32(head.subarray(0, 8)), 8);
  return Buffer.concat([head, payload]);
}

/** Whether a sector of the file, as far as it lies between two offsets, holds only zeros. */
function hasHole(bytes, from, to) {
  for (let at = from; at < to; ) {
    const end = Math.min(to, (Math.floor(at / SECTOR) + 1) * SECTOR);
    if (bytes.subarray(at, end).every((byte) => byte === 0)) return true;
    at = end;
  }
  return false;
}

/** Yields the records of a log and returns where it ends; what follows is a torn tail. Throws an Error with a place. */
export function* readBatches(bytes) {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < HEAD) return at;
    const whole = crc32(bytes.subarray(at, at + 8)) === bytes.readUInt32BE(at + 8);
    if (!whole) {
      if (bytes.subarray(at).every((byte) => byte === 0)) return at;
      throw new Error(`offset ${at}: the head of a batch is corrupt`);
    }
    const end = at + HEAD + bytes.readUInt32BE(at);
    if (end > bytes.length) return at;
    const payload = bytes.subarray(at + HEAD, end);
    if (crc32(payload) !== bytes.readUInt32BE(at + 4)) {
      if (end === bytes.length && hasHole(bytes, at, end)) return at;
      throw new Error(`offset ${at}: the checksum of a batch of ${end - at} bytes is wrong`);
    }
    try {
      yield decode(payload).map(decodeRecord);
    } catch (error) {
      throw new Error(`offset ${at}: ${error.message}`);
    }
    at = end;
  }
  return at;
}

/** What a log says, record by record; the same for reading it and for knowing what to keep of it. */
export class Memory {
  node = null;
  state = { kind: 'state', term: 0n, votedFor: null, list: null };
  snapshot = null;
  log = new Entries();
  revision = 0n;
  boots = []; // the latest, newest first, as {id, revision}
  peers = [];

  /** The records of one batch, which makes the revision a new one. */
  take(records) {
    for (const record of records) this.apply(record);
    this.revision += 1n;
  }

  apply(record) {
    if ((record.kind === 'node') !== (this.node === null)) throw new Error('the first record, and only that, names the node');
    if (record.kind === 'node') this.node = record;
    else if (record.kind === 'state') this.state = record;
    else if (record.kind === 'boot') {
      this.boots = [{ id: record.id, revision: this.revision + 1n }, ...this.boots].slice(0, LIMITS.boots);
    } else if (record.kind === 'peers') this.peers = record.peers;
    else if (record.kind === 'past') Object.assign(this, { revision: record.revision, boots: record.boots });
    else if (record.kind === 'snapshot') {
      this.snapshot = record;
      this.log.rebase(record.index, record.term);
    } else {
      const { base, last } = this.log;
      if (record.from <= base || record.from > last + 1n) {
        throw new Error(`entries from ${record.from} on; the log has ${base + 1n} to ${last}`);
      }
      this.log.replace(record.from, record.entries);
    }
  }

  /** The batches of a log that says all this. */
  *batches() {
    yield [this.node, this.state, ...(this.snapshot ? [this.snapshot] : [])];
    let from = this.log.base + 1n;
    while (from <= this.log.last) {
      const entries = this.log.batch(from, BATCH_BYTES, 10_000);
      yield [{ kind: 'entries', from, entries }];
      from += BigInt(entries.length);
    }
    const { revision, boots, peers } = this; // last, for each batch before it counts
    yield [{ kind: 'past', revision, boots }, { kind: 'peers', peers }];
  }

  durable(data) {
    const { term, votedFor, list } = this.state;
    return { term, votedFor, list, snapshot: this.snapshot && { ...this.snapshot, data }, entries: this.log };
  }
}

// ---------------------------------------------------------------------------------------------------- the lock

/**
 * Keeps other processes out of a directory. The kernel holds the lock, a socket in the abstract namespace of Linux
 * named after the directory's device and inode: it cannot be stale, and ends with the process however that ends.
 * Its limits: Linux only, and processes in other network namespaces (containers) that share the directory do not see it.
 */
async function lock(directory) {
  const { dev, ino } = await stat(directory, { bigint: true });
  const holder = createServer((socket) => socket.destroy());
  await new Promise((resolve, reject) => {
    const inUse = new Unusable(`${directory}: in use by another process`);
    holder.once('error', (error) => reject(error.code === 'EADDRINUSE' ? inUse : error));
    holder.listen(`\0casty-js-${dev}-${ino}`, resolve);
  });
  holder.unref();
  return holder;
}

// ---------------------------------------------------------------------------------------------------- the disk

/**
 * The durable state of one node. `node` is {node, store}, `durable` what raft.mjs begins with. write() and
 * writeSnapshot() return at once; onDurable(seq) is called when that write and all before it are durable, onFailure(error)
 * when a write failed, after which nothing is ever durable again (PERSIST-4).
 */
export class Disk {
  onDurable = () => {};
  onFailure = () => {};
  #queue = [];
  #busy = false;
  #failed = false;
  #last = 0; // seq of the latest write

  /** Opens or makes a directory. Without a node id, the one it remembers. Throws Unusable or Nameless. */
  static async open(path, nodeId) {
    const disk = new Disk();
    disk.directory = resolve(path);
    try {
      const made = await mkdir(disk.directory, { recursive: true });
      for (let at = disk.directory; made && at.length >= made.length; at = dirname(at)) await syncDirectory(dirname(at));
      disk.lock = await lock(disk.directory);
      await disk.#recover(nodeId);
    } catch (error) {
      await disk.close();
      if (error instanceof Unusable || error instanceof Nameless) throw error;
      throw new Unusable(`${error.path ?? disk.directory}: ${error.message}`);
    }
    return disk;
  }

  async close() {
    await this.file?.close();
    if (this.lock) await new Promise((closed) => this.lock.close(closed));
  }

  async #recover(nodeId) {
    this.path = join(this.directory, 'log');
    const names = await readdir(this.directory);
    for (const name of names.filter((n) => n.endsWith('.tmp'))) await unlink(join(this.directory, name)); // unfinished
    if (!names.includes('log')) {
      const others = names.filter((n) => !n.endsWith('.tmp'));
      if (others.length) throw new Unusable(`${this.path}: missing, though the directory holds ${others[0]}`);
      if (nodeId === null) throw new Nameless(`${this.directory}: a new data directory needs a node id`);
      const node = { kind: 'node', node: nodeId, store: randomBytes(16).toString('hex') }; // FORM-1
      await writeWhole(this.directory, 'log', encodeBatch([node]));
    }
    this.file = await open(this.path, 'r+');
    const bytes = await this.file.readFile();
    const end = this.#replay(bytes);
    const { node, snapshot } = this.memory;
    if (!isNodeId(node.node)) throw new Unusable(`${this.path}: offset 0: no node id`);
    if (nodeId !== null && node.node !== nodeId) {
      throw new Unusable(`${this.path}: offset 0: belongs to node ${node.node}, not ${nodeId}`);
    }
    if (end < bytes.length) await this.file.truncate(end); // the torn tail of the last write
    this.size = end;
    await this.file.sync(); // PERSIST-6
    await syncDirectory(this.directory);
    let data = null;
    if (snapshot) {
      data = await readSnapshot(this.directory, snapshot).catch((error) => {
        throw new Unusable(`${join(this.directory, snapshot.file)}: ${error.message}`);
      });
    }
    await this.#sweep();
    this.boot = randomBytes(16).toString('hex');
    await this.#append([{ kind: 'boot', id: this.boot }]); // before the first hello (HELLO-10)
    this.node = { node: node.node, store: node.store };
    this.durable = this.memory.durable(data);
  }

  #replay(bytes) {
    this.memory = new Memory();
    const batches = readBatches(bytes);
    for (;;) {
      let step;
      try {
        step = batches.next();
        if (!step.done) this.memory.take(step.value);
      } catch (error) {
        throw new Unusable(`${this.path}: ${error.message}`);
      }
      if (!step.done) continue;
      if (!this.memory.node) throw new Unusable(`${this.path}: offset 0: does not say whose it is`);
      return step.value;
    }
  }

  /** Removes snapshots that the log no longer refers to. */
  async #sweep() {
    for (const name of await readdir(this.directory)) {
      if (name.startsWith('snapshot-') && name !== this.memory.snapshot?.file) await unlink(join(this.directory, name));
    }
  }

  /** How far the directory has come, durably (HELLO-10). */
  get revision() {
    return this.memory.revision;
  }

  write(seq, record) {
    this.#last = seq;
    this.#queue.push({ seq, record });
    this.#work();
  }

  writeSnapshot(seq, meta, data) {
    this.#last = seq;
    this.#queue.push({ seq, meta, data });
    this.#work();
  }

  /** Keeps what is known of peers' directories, after what was written before. */
  remember(peers) {
    this.write(this.#last, { kind: 'peers', peers });
  }

  /** Does the writes in order, as many as wait with one fdatasync. */
  async #work() {
    if (this.#busy || this.#failed) return;
    this.#busy = true;
    try {
      while (this.#queue.length) {
        const job = this.#queue[0].data ? this.#queue.splice(0, 1) : this.#queue.splice(0, this.#together());
        if (job[0].data) await this.#cut(job[0]);
        else await this.#append(job.map(({ record }) => record));
        this.onDurable(job.at(-1).seq);
      }
    } catch (error) {
      this.#failed = true; // nothing is tried again: what the kernel did with the pages is unknown (PERSIST-4)
      this.onFailure(error);
    } finally {
      this.#busy = false;
    }
  }

  #together() {
    let bytes = 0;
    let n = 0;
    while (n < this.#queue.length && !this.#queue[n].data && bytes < BATCH_BYTES) {
      bytes += this.#queue[n].record.entries?.reduce((sum, e) => sum + e.data.length, 0) ?? 0;
      n += 1;
    }
    return n;
  }

  async #append(records) {
    const bytes = encodeBatch(records);
    await this.#put(this.file, bytes, this.size);
    await this.file.datasync();
    this.size += bytes.length;
    this.memory.take(records);
  }

  async #put(file, bytes, position) {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
      if (bytesWritten === 0) throw new Error('nothing was written');
      at += bytesWritten;
    }
  }

  /** A snapshot and the log that refers to it: file, rename, directory, then a new log the same way (SNAP-4, SNAP-9). */
  async #cut({ meta, data }) {
    const file = snapshotName(meta);
    await writeWhole(this.directory, file, data);
    this.memory.apply({ ...meta, kind: 'snapshot', file, size: data.length, checksum: crc32(data) });
    const aside = await open(`${this.path}.tmp`, 'w');
    let size = 0;
    for (const records of this.memory.batches()) {
      const bytes = encodeBatch(records);
      await this.#put(aside, bytes, size);
      size += bytes.length;
    }
    await aside.sync();
    await rename(`${this.path}.tmp`, this.path);
    await syncDirectory(this.directory);
    const old = this.file;
    this.file = aside;
    this.size = size;
    await old.close();
    this.memory.revision += 1n; // as it will be found: the last batch counts, too
    await this.#sweep();
  }
}

/** A node without a data directory: it remembers as long as its process lasts, under a store id of its own. */
export class NoDisk {
  onDurable = () => {};
  onFailure = () => {};

  constructor(nodeId) {
    this.node = { node: nodeId, store: randomBytes(16).toString('hex') };
    this.boot = randomBytes(16).toString('hex');
    this.memory = new Memory();
    this.durable = this.memory.durable(null);
  }

  remember() {}

  write(seq) {
    setImmediate(() => this.onDurable(seq));
  }

  writeSnapshot(seq) {
    this.write(seq);
  }
}
