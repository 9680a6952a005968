// What does a leader send to whom? Its view of each other server, and the three modes of raft.md.
//
//   probe      it is not known where the logs part: one request at a time, from `next`, which stays
//   replicate  a request was agreed to: entries as they come, without waiting; `next` runs ahead
//   snapshot   the entry at `next` is gone: the snapshot, a chunk at a time

import { least, most } from './state.mjs';
import { Assembly } from './snapshots.mjs';
import { LIMITS } from './protocol.mjs';

const WINDOW_BYTES = 8 << 20; // of entries on their way to one follower
const ENTRY_BYTES = 32; // what an entry needs beside its data
const OPEN_MAX = 256; // unanswered requests after which a follower is probed afresh
const BATCH_COUNT = 1024; // keeps a batch of empty entries from exceeding a frame

/** One other server: what is known to match there, and what is on its way. */
class Follower {
  match = 0n; // durable there, and equal; never falls while leader and boot last (LEADER-6)
  acknowledged = 0n; // the most that the listed store has had, over all its boots (LEADER-10)
  lost = false; // the listed store does not have that in this boot
  mode = 'probe';
  open = new Map(); // seq to {prev, end, bytes, idle}: requests without their last answer
  flying = 0; // bytes of entries in open requests
  told = 0n; // the commit index it was sent
  transfer = null;
  stranger = false; // its store is not the list's: a learner, which does not count (FORM-9)

  constructor({ node, store }, next, now) {
    Object.assign(this, { node, listed: store, next, heard: now });
  }

  /** A new boot or store begins anew (LEADER-7). */
  meet({ store, boot }) {
    if (this.store === store && this.boot === boot) return false;
    Object.assign(this, { store, boot, match: 0n, told: 0n, stranger: store !== this.listed, lost: false });
    return true;
  }

  /** It has everything up to an index, durably. */
  took(index) {
    this.match = most(this.match, index);
    if (!this.stranger) this.acknowledged = most(this.acknowledged, index);
  }

  /** What was in flight is forgotten (LEADER-7). */
  probe(next) {
    Object.assign(this, { mode: 'probe', next, flying: 0, transfer: null });
    this.open.clear();
  }

  close(seq) {
    this.flying -= this.open.get(seq).bytes;
    this.open.delete(seq);
  }
}

export class Replication {
  #followers;

  /** core: a leader; others: the rest of its list. send(node, type, body), nextSeq() and acknowledged(now) are the core's. */
  constructor(core, others, now, { send, nextSeq, acknowledged }) {
    Object.assign(this, { core, send, nextSeq, acknowledged });
    this.#followers = new Map(others.map((server) => [server.node, new Follower(server, core.log.last + 1n, now)]));
    for (const [node, link] of core.links) this.#followers.get(node)?.meet(link);
  }

  /** How many of the list, the leader included, have answered within this time. */
  heard(now, withinMs) {
    return [...this.#followers.values()].filter((f) => !f.stranger && !f.lost && now - f.heard < withinMs).length + 1;
  }

  /** The highest index that so many of the list have durably; `own` is the leader's. */
  durableAt(majority, own) {
    const indices = [own, ...[...this.#followers.values()].map((f) => (f.stranger || f.lost ? 0n : f.match))];
    return indices.sort((a, b) => (a < b ? 1 : a > b ? -1 : 0))[majority - 1];
  }

  feedAll(now, beat = false) {
    for (const follower of this.#followers.values()) this.#feed(now, follower, beat);
  }

  /** The news of a commit goes out at once, if there is nothing else to send. */
  tellCommit(now) {
    for (const follower of this.#followers.values()) if (follower.mode === 'replicate') this.#feed(now, follower);
  }

  linkUp(now, node) {
    const follower = this.#followers.get(node);
    if (!follower) return;
    const isNew = follower.meet(this.core.links.get(node));
    const { stranger, acknowledged } = follower;
    const asksBack = isNew && !stranger && acknowledged > 0n && acknowledged >= this.core.log.base; // for what it has acknowledged (LEADER-10)
    follower.probe(asksBack ? acknowledged + 1n : this.#restart(follower));
    this.#feed(now, follower);
  }

  linkDown(node) {
    const follower = this.#followers.get(node);
    follower?.probe(this.#restart(follower));
  }

  /** From what is known to match, or where nothing is, from the next it had (LEADER-7). */
  #restart({ match, next }) {
    return match > 0n ? match + 1n : next;
  }

  /** A response in the leader's term; `counts` is false for a learner's. */
  answered(now, { node, store }, m, counts) {
    const follower = this.#followers.get(node);
    if (follower?.store !== store || follower.lost) return;
    if (counts) follower.heard = now; // LEADER-4
    if (m.type === 'APPEND_ENTRIES_RES') this.#appended(now, follower, m);
    else if (m.type === 'INSTALL_SNAPSHOT_RES') this.#chunkTaken(now, follower, m);
  }

  /** Sends a follower what it may have now: entries, news of the commit, a chunk, and with each beat something (LEADER-1). */
  #feed(now, f, beat = false) {
    const { core } = this;
    if (!core.links.has(f.node) || f.lost) return;
    if (f.open.size > OPEN_MAX) f.probe(this.#restart(f));
    if (f.mode !== 'snapshot' && f.next <= core.log.base) this.#startTransfer(f); // SNAP-8
    if (f.mode === 'snapshot') return this.#feedSnapshot(now, f, beat);
    if (f.mode === 'probe') {
      if (f.open.size && !beat) return;
      return this.#sendEntries(f, f.next, f.open.size ? [] : core.log.batch(f.next, LIMITS.batchBytes, BATCH_COUNT));
    }
    let sent = false;
    while (f.next <= core.log.last && f.flying < WINDOW_BYTES) {
      const entries = core.log.batch(f.next, LIMITS.batchBytes, BATCH_COUNT);
      this.#sendEntries(f, f.next, entries);
      f.next += BigInt(entries.length);
      sent = true;
    }
    if (!sent && (beat || f.told < core.commit)) this.#sendEntries(f, f.next, []);
  }

  #sendEntries(f, next, entries, idle = false) {
    const { term, log, commit } = this.core;
    const prev = next - 1n;
    const seq = this.nextSeq();
    const bytes = entries.reduce((sum, { data }) => sum + ENTRY_BYTES + data.length, 0);
    const sure = !f.stranger && prev > 0n && prev <= f.acknowledged; // it cannot be refused, unless that was lost
    f.open.set(seq, { prev, end: prev + BigInt(entries.length), bytes, idle, sure });
    f.flying += bytes;
    if (!idle) f.told = commit;
    this.send(f.node, 'APPEND_ENTRIES_REQ', {
      term, seq, prev_log_index: prev, prev_log_term: prev === 0n ? 0n : log.term(prev), entries, leader_commit: commit,
    });
  }

  #appended(now, f, m) {
    const request = f.open.get(m.seq);
    if (!request) return; // TERM-3
    if (!m.success && request.sure && m.conflict_index <= request.prev) return this.#lose(f); // undefined is not
    if (!m.success) {
      f.close(m.seq);
      if (request.idle || f.mode === 'snapshot' || request.prev <= f.match) return; // old news
      f.probe(this.#retreat(f, request.prev, m));
      return this.#feed(now, f);
    }
    if (m.match_index > request.end) return; // claims more than was sent (LEADER-6)
    if (m.match_index === request.end) f.close(m.seq); // else the rest of the answer follows (APPEND-8)
    if (request.idle || f.mode === 'snapshot') return; // it was asked nothing
    f.took(m.match_index);
    f.mode = 'replicate';
    f.next = most(f.next, request.end + 1n);
    this.acknowledged(now);
    this.#feed(now, f);
  }

  /** It refuses what it had acknowledged before it was asked: its disk is an older copy, or lies (LEADER-10). */
  #lose(f) {
    f.lost = true;
    f.match = 0n;
    f.probe(f.acknowledged + 1n);
    const { node, store, boot, acknowledged } = f;
    this.core.effects.push({ do: 'stale', server: { node, store, boot }, acknowledged });
  }

  /** Where to go on after a refusal of prev: by the hints, or one entry earlier (LEADER-5). */
  #retreat(f, prev, { conflict_index: index, conflict_term: term }) {
    const { log } = this.core;
    let next = index ?? prev;
    if (index !== undefined && term !== undefined) {
      let i = least(prev, log.last);
      while (i > log.base && log.term(i) > term) i -= 1n;
      if (log.term(i) === term) next = i + 1n;
    }
    return most(f.match + 1n, least(next, prev));
  }

  // ------------------------------------------------------------------------------------------------- snapshots

  /** A transfer is finished with the snapshot it began with. */
  #startTransfer(f) {
    const { snapshot } = this.core;
    f.probe(f.next);
    f.mode = 'snapshot';
    const [size, checksum] = [snapshot.data.length, Assembly.checksum(snapshot.data)].map(BigInt);
    f.transfer = { snapshot, size, checksum, offset: 0n, end: 0n, seq: null, sentAt: null, stuck: false };
  }

  #feedSnapshot(now, f, beat) {
    const { sentAt, stuck } = f.transfer;
    if (sentAt === null || now - sentAt >= 2 * this.core.election || (stuck && beat)) this.#sendChunk(now, f);
    if (beat) this.#sendEntries(f, 1n, [], true); // a heartbeat that claims nothing
  }

  #sendChunk(now, { node, transfer }) {
    const { snapshot, size, checksum, offset } = transfer;
    const data = snapshot.data.subarray(Number(offset), Number(offset) + LIMITS.chunkBytes);
    Object.assign(transfer, { seq: this.nextSeq(), sentAt: now, stuck: false, end: offset + BigInt(data.length) });
    this.send(node, 'INSTALL_SNAPSHOT_REQ', {
      term: this.core.term, seq: transfer.seq, last_included_index: snapshot.index, last_included_term: snapshot.term,
      cluster_id: snapshot.cluster_id, members: snapshot.members, size, checksum, offset, data, done: transfer.end === size,
    });
  }

  #chunkTaken(now, f, m) {
    const { transfer } = f;
    if (!transfer || transfer.seq !== m.seq || m.last_included_index !== transfer.snapshot.index) return;
    if (m.installed) {
      f.took(transfer.snapshot.index);
      f.probe(f.match + 1n); // SNAP-8: the entry after it
      this.acknowledged(now);
    } else if (m.offset === transfer.end && m.offset < transfer.size) {
      Object.assign(transfer, { offset: m.offset, sentAt: null });
    } else { // it wants another part, or none of it was right: not faster than the beat
      Object.assign(transfer, { offset: m.offset < transfer.size ? m.offset : 0n, stuck: true });
    }
    this.#feed(now, f);
  }
}
