// How do disk, network, Raft and the state machine work together? Effects of the core, and the gate they pass.

import { randomBytes } from 'node:crypto';
import { Actors } from './actors.mjs';
import { Network, clock } from './connections.mjs';
import { Discovery } from './discovery.mjs';
import { BadRequest, Dictionary, Unreadable } from './kv.mjs';
import { RAFT_REQUESTS, RAFT_RESPONSES } from './messages.mjs';
import { Fault, LIMITS } from './protocol.mjs';
import { Raft } from './raft.mjs';
import { Revisions } from './revisions.mjs';
import { spawnServices } from './services.mjs';

const TICK_MS = 20;
const COMMIT_MS = 5000; // after which nobody should wait for a command any more
const FRAME_ROOM = 1024; // what an APPEND_ENTRIES_REQ needs around one command

export class Node {
  dictionary = new Dictionary();
  #durable = 0;
  #gate = []; // {after, go}: what waits for the disk, in order
  #links = new Map(); // node id to the connection dialled to it
  #pending = new Map(); // log index to {term, answer} of a command submitted here
  #cutting = []; // {seq, done}

  /** disk is open; config as node.mjs reads it; fail(error) ends the process. */
  constructor(disk, config, { log, fail }) {
    Object.assign(this, { disk, config, log, fail });
    const { random } = config;
    const { boot, memory: { boots, peers } } = disk;
    this.revisions = new Revisions(peers);
    this.network = new Network({
      me: { ...disk.node, boot, boots: boots.length ? [...boots] : undefined, member: true }, cluster: config.cluster, size: BigInt(config.size), log,
      clusterId: () => this.core.clusterId, address: () => this.address,
      up: (conn) => this.#up(conn), down: (conn, wasOpen) => this.#down(conn, wasOpen),
      revision: () => disk.revision, revisions: this.revisions,
      self: (conn) => this.discovery.self(conn), receive: (...args) => this.#receive(...args),
    });
    this.core = new Raft({
      me: disk.node, size: config.size, election: config.electionMs, heartbeat: config.heartbeatMs, random, now: clock(),
      drawId: () => randomBytes(16).toString('hex'), discovered: (now) => this.network.discovered(now),
      verify: Dictionary.of, durable: disk.durable,
    });
    if (disk.durable.snapshot) this.dictionary = Dictionary.of(disk.durable.snapshot.data);
    disk.onDurable = (seq) => this.#written(seq);
    disk.onFailure = fail;
    this.actors = new Actors();
    spawnServices(this.actors, this);
  }

  /** Listens, then dials; returns the address bound. */
  async start() {
    const bound = await this.network.listen('127.0.0.1', 0); // LAUNCH-2
    this.address = this.config.advertise || bound; // LAUNCH-3
    const { seeds, random } = this.config;
    this.discovery = new Discovery({ network: this.network, me: this.disk.node, address: () => this.address, seeds, random });
    setInterval(() => this.#step((now) => this.core.tick(now)), TICK_MS);
    return bound;
  }

  // -------------------------------------------------------------------------------------------------- the core

  /** Runs one event of the core and does what it says. */
  #step(event) {
    let result;
    try {
      result = event(clock());
      while (this.core.effects.length) {
        const effects = this.core.effects;
        this.core.effects = [];
        for (const effect of effects) this.#do(effect);
      }
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.fail(error); // KV-4
    }
    const { snapshotEvery } = this.config;
    if (snapshotEvery > 0 && this.core.cuttable >= snapshotEvery) this.compact();
    return result;
  }

  #do(effect) {
    switch (effect.do) {
      case 'write':
        this.#remember();
        return this.disk.write(effect.seq, effect.record);
      case 'snapshot': return this.disk.writeSnapshot(effect.seq, effect.meta, effect.data);
      case 'send': {
        const conn = this.#links.get(effect.node);
        return conn && this.#pass(effect.after, () => conn.send(effect.type, effect.body, this.disk.node.node));
      }
      case 'reply': return this.#pass(effect.after, () => effect.conn.send(effect.type, effect.body, this.disk.node.node));
      case 'error': return effect.conn.error(new Fault(effect.code, effect.rule, effect.text));
      case 'apply': return this.#apply(effect);
      case 'restore':
        this.#uncertain((index) => index <= effect.index);
        this.dictionary = Dictionary.of(effect.data);
        return undefined;
      case 'lost': return this.#uncertain(() => true);
      case 'stale': {
        const text = this.revisions.lose(effect.server, effect.acknowledged, this.core.term);
        this.log(`ERROR ${text}`);
        return this.network.keepOut(effect.server, text);
      }
      case 'log': return this.log(effect.text);
      default: throw new Error(`no effect is called ${effect.do}`);
    }
  }

  /** What peers said of their directories, before what is written next (HELLO-11). */
  #remember() {
    if (!this.revisions.changed) return;
    this.revisions.changed = false;
    this.disk.remember(this.revisions.all);
  }

  /** The gate: what was written before it must be durable (PERSIST-2). A closed connection takes nothing more (PEER-6). */
  #pass(after, go) {
    if (after <= this.#durable) go();
    else this.#gate.push({ after, go });
  }

  #written(seq) {
    this.#durable = seq;
    const open = this.#gate.filter(({ after }) => after <= seq);
    this.#gate = this.#gate.filter(({ after }) => after > seq);
    for (const { go } of open) go();
    this.#step((now) => this.core.persisted(now, seq));
    for (const { done } of this.#cutting.filter((cut) => cut.seq <= seq)) done(true);
    this.#cutting = this.#cutting.filter((cut) => cut.seq > seq);
  }

  // --------------------------------------------------------------------------------------------------- commands

  /** Who leads now, as far as is known: not this server, once it has stepped down in its term. */
  get leader() {
    const { leader, role, me } = this.core;
    return leader && (leader.node !== me.node || role === 'leader') ? leader : null;
  }

  refusal(code, definite, text) {
    return { ok: false, code, definite, leader: this.leader?.node ?? null, text };
  }

  /** Appends a command and answers when it is applied, or when that can no longer be known (COMMIT-4, KV-2). */
  submit(data) {
    if (data.length + FRAME_ROOM > LIMITS.frameBytes) { // LEADER-8
      return this.refusal('bad_request', true, 'the command does not fit a frame');
    }
    return new Promise((resolve) => {
      let timer = null;
      const answer = (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      const place = this.#step((now) => {
        const at = this.core.propose(now, data);
        if (at) this.#pending.set(at.index, { term: at.term, answer }); // before it can be applied
        return at;
      });
      if (!place) return answer(this.refusal('not_leader', true, `${this.disk.node.node} does not lead`));
      timer = setTimeout(() => {
        if (this.#pending.get(place.index)?.answer === answer) this.#pending.delete(place.index);
        answer(this.refusal('uncertain', false, `not committed within ${COMMIT_MS} ms`));
      }, COMMIT_MS);
    });
  }

  #apply({ index, entry }) {
    const isLeftOut = this.config.skips?.has(index, entry);
    if (isLeftOut) this.log(`entry ${index} is left out, as it was told`); // COMMIT-5
    const isRun = entry.kind === 'command' && !isLeftOut; // only commands are shown to it (COMMIT-3)
    const outcome = isRun ? this.#run(index, entry) : isLeftOut ? this.refusal('stopped', false, 'the entry was left out') : null;
    const waiting = this.#pending.get(index);
    this.#pending.delete(index);
    if (waiting) {
      waiting.answer(waiting.term === entry.term ? outcome : this.refusal('uncertain', false, 'another entry took its place'));
    }
  }

  #run(index, { term, data }) {
    try {
      return { ok: true, value: this.dictionary.apply(data), index, term };
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      return this.refusal('bad_request', true, error.message);
    }
  }

  #uncertain(which) {
    for (const [index, { answer }] of [...this.#pending]) {
      if (!which(index)) continue;
      this.#pending.delete(index);
      answer(this.refusal('uncertain', false, 'leadership was lost before it was committed'));
    }
  }

  /** Cuts the log up to what is applied; a promise of true when that is durable, of false where nothing new is applied. */
  compact() {
    return new Promise((done) => {
      const seq = this.#step(() => this.core.compact(this.dictionary.encoded()));
      if (seq) this.#cutting.push({ seq, done });
      else if (this.core.cutting) this.#cutting.push({ seq: this.core.cutting, done: () => done(this.compact()) }); // after that one
      else done(false);
    });
  }

  // ------------------------------------------------------------------------------------------------ connections

  #up(conn) {
    conn.send('PEER_LIST', { peers: this.discovery.peers() }, this.disk.node.node); // PEER-1
    this.#remember();
    this.discovery.up(conn);
    if (!conn.dialled) return;
    this.#links.set(conn.node, conn);
    this.#step((now) => this.core.linkUp(now, conn.node, conn.peer.store, conn.peer.boot_id));
  }

  #down(conn, wasOpen) {
    this.discovery?.down(conn, wasOpen);
    if (this.#links.get(conn.node) !== conn) return;
    this.#links.delete(conn.node);
    this.#step(() => this.core.linkDown(conn.node));
  }

  #receive(conn, name, m) {
    const { node, store, member: isMember } = conn.peer;
    const server = { node, store };
    if (RAFT_REQUESTS.has(m.type)) return this.#step((now) => this.core.request(now, server, m, conn, isMember));
    if (RAFT_RESPONSES.has(m.type)) {
      return this.#links.get(node) === conn && this.#step((now) => this.core.response(now, server, m));
    }
    switch (m.type) {
      case 'PEER_LIST':
        if (isMember) this.revisions.note({ node, store, revision: m.revision, boot: conn.peer.boot_id });
        return this.discovery.heard(m.peers);
      case 'ACTOR_MSG': case 'ASK_REQ': case 'LOOKUP_REQ': return this.actors.receive(conn, name, m);
      default: // this node asks nothing, so no answer is expected (MSG-5)
    }
  }
}
