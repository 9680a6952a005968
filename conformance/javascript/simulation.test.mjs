// Does the core keep its promises when everything fails that may? Three or five servers in one thread, with disks that are
// slow and lose what was not synced, connections that break, and processes that crash. The same seed is the same run.

import test from 'node:test';
import assert from 'node:assert/strict';
import { FrameReader } from './frames.mjs';
import { Memory } from './log.mjs';
import { readMessage, writeMessage, RAFT_REQUESTS } from './messages.mjs';
import { Raft } from './raft.mjs';

const STEP_MS = 10;

function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const hex = (text) => Buffer.from(text.padEnd(16).slice(0, 16)).toString('hex');

/** One server: a core, a disk with writes under way, a state machine, and the time until it is up again. */
class Server {
  boots = 0;
  upAt = 0;

  constructor(world, node) {
    Object.assign(this, { world, me: { node, store: hex(`store ${node}`) } });
    this.disk = new Memory();
    this.disk.apply({ kind: 'node', ...this.me });
    this.data = null; // of the snapshot
  }

  boot(now) {
    const { world } = this;
    this.boots += 1;
    this.writes = [];
    this.gate = [];
    this.done = 0;
    this.core = new Raft({
      me: this.me, size: world.size, election: 300, heartbeat: 60, random: world.random, now, verify: () => {},
      drawId: () => hex('cluster'), discovered: () => world.everyone, durable: this.disk.durable(this.data),
    });
    this.state = this.data ? JSON.parse(this.data) : [];
    for (const other of world.servers) if (other !== this && other.core) world.connect(this, other);
    for (const other of world.servers) if (other !== this && other.core) world.connect(other, this);
  }

  /** What was written last may or may not have reached the disk, in order. */
  crash(now) {
    const survive = Math.floor(this.world.random() * (this.writes.length + 1));
    for (const write of this.writes.slice(0, survive)) this.store(write);
    this.core = null;
    this.upAt = now + 20 + this.world.random() ** 2 * 5000;
    for (const other of this.world.servers) if (other !== this) this.world.cut(this, other);
  }

  store({ record, meta, data }) {
    if (meta) this.data = data;
    this.disk.apply(meta ? { kind: 'snapshot', ...meta } : record);
  }

  step(now, event) {
    event(this.core);
    while (this.core.effects.length) {
      for (const effect of this.core.effects.splice(0)) this.do(now, effect);
    }
  }

  do(now, effect) {
    const { world } = this;
    switch (effect.do) {
      case 'write': case 'snapshot': return this.writes.push({ ...effect, at: now + 5 + world.random() ** 3 * 300 });
      case 'send': return this.pass(effect.after, () => world.send(now, this, effect));
      case 'reply': return this.pass(effect.after, () => world.reply(now, this, effect));
      case 'apply': return this.apply(effect);
      case 'restore': this.state = JSON.parse(effect.data); return;
      case 'error': assert.fail(`${this.me.node}: ${effect.code} ${effect.text}`);
    }
  }

  pass(after, go) {
    if (after <= this.done) go();
    else this.gate.push({ after, go });
  }

  apply({ index, entry }) {
    const said = `${entry.term} ${entry.kind} ${entry.data.toString('hex')}`;
    const { committed } = this.world;
    assert.equal(committed.get(index) ?? said, said, `entry ${index} was committed with another content`); // state machine safety
    committed.set(index, said);
    if (entry.kind === 'command') this.state.push(entry.data.toString());
  }

  tick(now) {
    const { random, everySnapshot } = this.world;
    while (this.writes[0]?.at <= now) {
      const write = this.writes.shift();
      this.store(write);
      this.done = write.seq;
      for (const { go } of this.gate.filter(({ after }) => after <= write.seq)) go();
      this.gate = this.gate.filter(({ after }) => after > write.seq);
      this.step(now, (core) => core.persisted(now, write.seq));
    }
    this.step(now, (core) => core.tick(now));
    if (this.core.role === 'leader' && random() < 0.1) this.step(now, (core) => core.propose(now, Buffer.from(`c${this.world.commands++}`)));
    if (this.core.cuttable >= everySnapshot) this.step(now, (core) => core.compact(Buffer.from(JSON.stringify(this.state))));
    if (this.core.role !== 'leader') return;
    const other = this.world.leaders.get(this.core.term) ?? this.me.node;
    assert.equal(other, this.me.node, `two leaders in term ${this.core.term}`); // election safety
    this.world.leaders.set(this.core.term, this.me.node);
  }
}

class World {
  now = 0;
  commands = 0;
  committed = new Map();
  leaders = new Map();
  links = new Map(); // 'a b' to {open, queue}: the connection that a dialled to b
  everySnapshot = 15n;

  constructor(seed, size) {
    this.random = generator(seed);
    this.size = size;
    this.servers = Array.from({ length: size }, (_, i) => new Server(this, `n${i + 1}`));
    this.everyone = this.servers.map(({ me }) => me);
    for (const server of this.servers) server.boot(0);
  }

  key(a, b) {
    return `${a.me.node} ${b.me.node}`;
  }

  connect(a, b) {
    if (this.links.has(this.key(a, b))) return;
    this.links.set(this.key(a, b), { a, b, queue: [], free: 0 });
    a.step(this.now, (core) => core.linkUp(this.now, b.me.node, b.me.store, `boot ${b.boots}`));
  }

  cut(a, b) {
    for (const [from, to] of [[a, b], [b, a]]) {
      if (this.links.delete(this.key(from, to)) && from.core) from.step(this.now, (core) => core.linkDown(to.me.node));
    }
  }

  /** In order on each connection, later or much later. */
  carry(now, link, from, to, type, body, conn) {
    link.free = Math.max(link.free, now + 1 + this.random() ** 6 * 400);
    link.queue.push({ at: link.free, from, to, bytes: writeMessage(type, from.me.node, body), conn });
  }

  send(now, from, { node, type, body }) {
    const link = [...this.links.values()].find(({ a, b }) => a === from && b.me.node === node);
    if (link) this.carry(now, link, from, link.b, type, body, link);
  }

  reply(now, from, { conn: link, type, body }) {
    if (this.links.get(this.key(link.a, link.b)) === link) this.carry(now, link, from, link.a, type, body, link);
  }

  deliver(now) {
    for (const link of [...this.links.values()]) {
      while (link.queue[0]?.at <= now && this.links.get(this.key(link.a, link.b)) === link) {
        const { from, to, bytes, conn } = link.queue.shift();
        const reader = new FrameReader();
        reader.push(bytes);
        const m = readMessage(reader.next(1 << 24));
        to.step(now, (core) => (RAFT_REQUESTS.has(m.type) ? core.request(now, from.me, m, conn) : core.response(now, from.me, m)));
      }
    }
  }

  run(ms, trouble) {
    for (const end = this.now + ms; this.now < end; this.now += STEP_MS) {
      const { now, random, servers } = this;
      for (const server of servers) if (!server.core && server.upAt <= now) server.boot(now);
      const up = servers.filter(({ core }) => core);
      const [a, b] = [0, 0].map(() => up[Math.floor(random() * up.length)]);
      if (trouble && up.length > 1 && a !== b) {
        const dice = random();
        if (dice < 0.012) a.crash(now);
        else if (dice < 0.02) this.cut(a, b);
        else if (dice < 0.05) this.connect(a, b);
      } else if (!trouble) for (const x of up) for (const y of up) if (x !== y) this.connect(x, y);
      this.deliver(now);
      for (const server of servers) if (server.core) server.tick(now);
    }
  }
}

for (const [size, seeds] of [[3, 20], [5, 8]]) {
  test(`${size} servers, crashes and broken connections: one leader a term, one history, and all agree in the end`, () => {
    let reached = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new World(seed, size);
      world.run(3000, false); // formation needs everybody
      world.run(30_000, true);
      world.run(6000, false);
      const histories = world.servers.map(({ state }) => state);
      const shortest = Math.min(...histories.map((history) => history.length));
      for (const history of histories) assert.deepEqual(history.slice(0, shortest), histories[0].slice(0, shortest), `seed ${seed}`);
      assert.ok(Math.max(...histories.map((history) => history.length)) - shortest < 20, `seed ${seed}: ${histories.map((h) => h.length)}`);
      reached += shortest;
    }
    assert.ok(reached > seeds * 30, `only ${reached} commands in ${seeds} runs`);
  });
}
