// What does a server have, and what must be durable before what leaves? The state of Figure 2, and the gate of raft.md.

import { Entries } from './entries.mjs';
import { readConfiguration } from './messages.mjs';

export const same = (a, b) => a !== null && b !== null && a.node === b.node && a.store === b.store;
export const sameList = (a, b) => a.length === b.length && a.every((server, i) => same(server, b[i]));
export const names = (list, server) => list.some((other) => same(other, server));
export const least = (a, b) => (a < b ? a : b);
export const most = (a, b) => (a > b ? a : b);

/** What raft.mjs decides with, and the writes and messages that follow from it. */
export class State {
  effects = [];
  links = new Map(); // node id to {store, boot}: whom this node can send requests to
  written = 0; // number of the last write
  durable = 0; // number of the last durable write
  stateWrite = 0; // the write that made the present term and vote durable (TERM-4)
  #tails = []; // {seq, last}: where the durable log ends when a write is done
  #restoring = null; // a received snapshot on its way to the disk
  #compacting = null; // one of this server's own

  constructor(me, { term, votedFor, list, snapshot, entries }) {
    Object.assign(this, { me, term, votedFor, locked: list, snapshot });
    this.log = new Entries(snapshot?.index, snapshot?.term, entries);
    this.commit = this.log.base; // COMMIT-3: after a restart from the snapshot's index on
    this.applied = this.log.base;
    this.durableIndex = this.log.last;
    this.configuration = snapshot ?? (this.log.at(1n) ? readConfiguration(this.log.at(1n).data) : null);
  }

  /** What the log and the lock say (FORM-2). */
  get standing() {
    if (!this.configuration) return this.locked ? 'LOCKED' : 'FRESH';
    return names(this.configuration.members, this.me) ? 'MEMBER' : 'LEARNER';
  }

  /** The member list this server is bound to, or null. */
  get list() {
    return this.configuration?.members ?? this.locked;
  }

  get clusterId() {
    return this.configuration?.cluster_id ?? null;
  }

  get majority() {
    return Math.floor(this.list.length / 2) + 1;
  }

  // ------------------------------------------------------------------------------------------------------ writes

  #write(effect) {
    this.effects.push({ ...effect, seq: ++this.written });
    return this.written;
  }

  /** Term, vote and list are one write (PERSIST-1), and so is all that one event does to them. */
  saveState() {
    const record = { kind: 'state', term: this.term, votedFor: this.votedFor, list: this.locked };
    const last = this.effects.at(-1);
    if (last?.do === 'write' && last.record.kind === 'state') last.record = record;
    else this.stateWrite = this.#write({ do: 'write', record });
  }

  /** A removal and what replaces it are one write (APPEND-3). */
  saveEntries(from, entries) {
    this.log.replace(from, entries);
    if (from === 1n) this.configuration = readConfiguration(entries[0].data);
    this.durableIndex = least(this.durableIndex, from - 1n);
    for (const tail of this.#tails) tail.last = least(tail.last, from - 1n);
    this.#tails.push({ seq: this.#write({ do: 'write', record: { kind: 'entries', from, entries } }), last: this.log.last });
  }

  /** A received snapshot replaces log and state machine, in one write (SNAP-6). */
  saveSnapshot(meta, data) {
    const { index, term } = meta;
    this.snapshot = this.configuration = { ...meta, data };
    this.log.rebase(index, term);
    this.durableIndex = 0n;
    this.#compacting = null;
    const seq = this.#write({ do: 'snapshot', meta, data });
    this.#tails = [{ seq, last: index }];
    this.#restoring = { seq, index, data };
  }

  /** The write that a snapshot is on its way to the disk with, or 0. */
  get cutting() {
    return this.#restoring?.seq ?? this.#compacting?.seq ?? 0;
  }

  /** How many entries could be cut off now. */
  get cuttable() {
    return this.cutting ? 0n : this.applied - this.log.base;
  }

  /** Cuts the log up to what is applied, of which data is the state; the number of the write, or 0 (SNAP-9). */
  compact(data) {
    if (this.cuttable === 0n) return 0;
    const { applied: index, clusterId, list: members } = this;
    const meta = { index, term: this.log.term(index), cluster_id: clusterId, members };
    this.#compacting = { seq: this.#write({ do: 'snapshot', meta, data }), snapshot: { ...meta, data } };
    return this.written;
  }

  /** All writes up to this number are durable. */
  settle(seq) {
    this.durable = seq;
    while (this.#tails[0]?.seq <= seq) this.durableIndex = most(this.durableIndex, this.#tails.shift().last);
    if (this.#restoring && this.#restoring.seq <= seq) {
      const { index, data } = this.#restoring;
      this.#restoring = null;
      this.applied = index;
      this.effects.push({ do: 'restore', index, data });
    }
    if (this.#compacting && this.#compacting.seq <= seq) {
      const { snapshot } = this.#compacting;
      this.#compacting = null;
      this.log.rebase(snapshot.index, snapshot.term); // only now (SNAP-9)
      this.snapshot = snapshot;
    }
  }

  /** Gives the state machine what is committed, and durable here (COMMIT-3). */
  apply() {
    const end = least(this.commit, this.durableIndex);
    while (this.applied < end && !this.#restoring) {
      this.applied += 1n;
      this.effects.push({ do: 'apply', index: this.applied, entry: this.log.at(this.applied) });
    }
  }

  // --------------------------------------------------------------------------------------------- what is sent

  /** A request leaves when the term it carries is durable (TERM-4, PERSIST-3), a vote request with its vote (VOTE-4). */
  send(node, type, body) {
    if (this.links.has(node)) this.effects.push({ do: 'send', after: this.stateWrite, node, type, body });
  }

  /** A response leaves when all that was written before it is durable (PERSIST-2). */
  reply(conn, request, type, body, after = this.written) {
    const { term: request_term, seq } = request;
    this.effects.push({ do: 'reply', after, conn, type, body: { term: this.term, request_term, seq, ...body } });
  }

  fault(conn, code, rule, text) {
    this.effects.push({ do: 'error', conn, code, rule, text });
  }

  note(text) {
    this.effects.push({ do: 'log', text });
  }
}
