// node --test: the golden vectors, the codec, the Raft core, the log on disk, and a cluster of three processes.

import test from 'node:test';
import assert from 'node:assert/strict';
import { decode, encode, Dict, Ext } from './msgpack.mjs';
import { FrameReader, encodeFrame } from './frames.mjs';
import { readHello, readMessage } from './messages.mjs';
import { readValue } from './values.mjs';
import { fromJson, opened, shop, vectors } from './vectors.mjs';
import { Raft } from './raft.mjs';
import { writeConfiguration } from './messages.mjs';
import { Disk, Unusable } from './log.mjs';
import { Client } from './client.mjs';
import { crc32 } from 'node:zlib';
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a node makes of the bytes of a vector: frame and message, or the Fault. An end of the stream is null. */
function receive(vector) {
  const reader = new FrameReader();
  for (const chunk of vector.chunks ?? [vector.wire]) reader.push(Buffer.from(chunk, 'hex'));
  const frame = reader.next(vector.limit ?? (vector.form === 'hello' ? 4096 : 16_777_216));
  if (frame === null) return null;
  const message = vector.form === 'hello' ? readHello(frame) : readMessage(frame);
  const user = message.type === 'ACTOR_MSG' || message.type === 'ASK_REQ' ? 'message' : 'value';
  if (user in message && ['ACTOR_MSG', 'ASK_REQ', 'ASK_RES'].includes(message.type)) message[user] = readValue(message[user], shop());
  return { frame, message };
}

test('valid vectors decode as they say', () => {
  for (const vector of vectors('valid')) {
    const { frame, message } = receive(vector);
    assert.equal(frame.type, vector.frame.type, vector.id);
    assert.equal(frame.name, vector.frame.name, vector.id);
    if (vector.frame.payload?.$raw) continue;
    const payload = fromJson(vector.frame.payload);
    if (vector.id !== 'LOOKUP-REPEATED-KEY') assert.deepEqual(opened(decode(frame.payload, { valueField: '*' })), payload, vector.id);
    if (!vector.canonical) continue;
    assert.equal(encodeFrame(frame.type, frame.name, encode(payload)).toString('hex'), vector.wire, vector.id); // PAYLOAD-7
    if (message.type === 'ACTOR_MSG') assert.equal(encode(message.message).toString('hex'), frame.payload.toString('hex'), vector.id);
  }
});

test('invalid vectors fail at their stage with one of their codes', () => {
  for (const vector of vectors('invalid')) {
    let fault = null;
    let result;
    try {
      result = receive(vector);
    } catch (error) {
      fault = error;
    }
    if (vector.error.length === 0) {
      assert.equal(result, null, vector.id); // the stream just ends
      continue;
    }
    assert.ok(fault, `${vector.id} was accepted`);
    assert.ok(vector.error.includes(fault.code), `${vector.id}: ${fault.code} ${fault.message}`);
    assert.equal(fault.stage, vector.stage, vector.id);
  }
});

// ------------------------------------------------------------------------------------------------------ msgpack

test('every integer takes its shortest form and comes back exactly', () => {
  const edges = [0n, 127n, 128n, 255n, 256n, 65535n, 65536n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n];
  const lengths = [1, 1, 2, 2, 3, 3, 5, 5, 9, 9, 9, 9];
  edges.forEach((n, i) => {
    assert.equal(encode(n).length, lengths[i], `${n}`);
    assert.equal(decode(encode(n)), n);
    assert.equal(decode(encode(-n > -(2n ** 63n) ? -n : 0n)), -n > -(2n ** 63n) ? -n : 0n);
  });
  assert.throws(() => encode(2n ** 64n), RangeError);
});

test('kinds stay apart', () => {
  for (const v of [1n, 1, -0, true, null, '1', Buffer.from('1'), [1n], new Dict([[-0, 1n]]), '\ufeffx']) assert.deepEqual(decode(encode(v)), v);
  assert.equal(typeof decode(encode(1)), 'number');
  assert.throws(() => encode('\ud800'), TypeError);
  assert.throws(() => encode(undefined), TypeError);
});

test('nothing is reserved for what is only announced, and nobody recurses deeper than 256', () => {
  assert.throws(() => decode(Buffer.from('ddffffffff', 'hex')), { code: 'BAD_PAYLOAD' });
  assert.throws(() => decode(Buffer.alloc(100_000, 0x91)), { code: 'BAD_PAYLOAD', rule: 'PAYLOAD-6' });
  let deep = new Ext(3, []);
  for (let i = 0; i < 127; i++) deep = new Ext(3, [deep]);
  readValue(decode(encode(deep)), shop()); // 128 tuples are 256 levels
  assert.throws(() => readValue(decode(encode([deep])), shop()), { code: 'BAD_PAYLOAD' });
});

test('a reader takes the limit of each frame by itself', () => {
  const reader = new FrameReader();
  const large = encodeFrame(1, 'a', encode('x'.repeat(5000)));
  reader.push(Buffer.concat([encodeFrame(17, '', encode({ id: 1n, pong: false })), large]));
  assert.equal(reader.next(4096).type, 17);
  assert.throws(() => reader.next(4096), { code: 'FRAME_TOO_LARGE' });
  assert.equal(reader.next(6000).payload.length, large.length - 8);
  assert.equal(reader.next(6000), null);
});

// ---------------------------------------------------------------------------------------------------- the core

const servers = (...names) => names.map((node) => ({ node, store: Buffer.from(node.repeat(8)).toString('hex') }));
const TRIO = servers('n1', 'n2', 'n3');
const [N1, N2, N3] = TRIO;
const ID = 'c1'.repeat(16);
const FRESH = { term: 0n, votedFor: null, list: null, snapshot: null, entries: [] };
const FIRST = { term: 1n, kind: 'members', data: writeConfiguration({ cluster_id: ID, members: TRIO }) };
const command = (term, text = 'x') => ({ term, kind: 'command', data: Buffer.from(text) });

/** A core with a disk that is done when the script says so, and what it sent since it was last asked. */
class Script {
  now = 0;
  out = [];

  constructor(me = N1, durable = FRESH, { found = TRIO, size = 3 } = {}) {
    this.core = new Raft({
      me, size, election: 1000, heartbeat: 300, random: () => 0.5, drawId: () => ID, discovered: () => found, readable: () => true, durable, now: 0,
    });
    for (const other of TRIO) if (other.node !== me.node) this.event((core) => core.linkUp(0, other.node, other.store, 'boot'));
  }

  event(run) {
    run(this.core, this.now);
    while (this.core.effects.length) this.out.push(this.core.effects.shift());
    return this;
  }

  tick(ms = 1600) {
    this.now += ms;
    return this.event((core, now) => core.tick(now));
  }

  /** Makes durable what was written. */
  sync() {
    for (let seq = this.last('write', 'snapshot')?.seq; seq && seq > (this.synced ?? 0); seq = this.last('write', 'snapshot').seq) {
      this.synced = seq;
      this.event((core, now) => core.persisted(now, seq));
    }
    return this;
  }

  last(...kinds) {
    return this.out.findLast((effect) => kinds.includes(effect.do));
  }

  /** What may leave now; what waits for the disk stays. */
  sent(type = null) {
    const may = this.out.filter((e) => (e.do === 'send' || e.do === 'reply') && e.after <= (this.synced ?? 0) && (!type || e.type === type));
    this.out = this.out.filter((e) => !may.includes(e));
    return may;
  }

  errors() {
    return this.out.filter((e) => e.do === 'error').map((e) => e.code);
  }

  request(from, type, fields) {
    return this.event((core, now) => core.request(now, from, { type, seq: 1n, ...fields }, 'conn'));
  }

  response(from, type, to, fields) {
    return this.event((core, now) => core.response(now, from, { type, term: core.term, request_term: to.body.term, seq: to.body.seq, ...fields }));
  }
}

const ballot = (fields) => ({ last_log_index: 0n, last_log_term: 0n, formation: true, members: TRIO, ...fields });
const append = (fields) => ({ prev_log_index: 0n, prev_log_term: 0n, entries: [], leader_commit: 0n, ...fields });
const member = (entries = [], fields = {}) => ({ ...FRESH, term: 1n, list: TRIO, entries: [FIRST, ...entries], ...fields });

/** n1 elected in the term after its own. */
function leader(durable = FRESH) {
  const s = new Script(N1, durable);
  s.tick();
  for (const to of s.sent('PRE_VOTE_REQUEST')) s.response(to.node === 'n2' ? N2 : N3, 'PRE_VOTE_RESPONSE', to, { vote_granted: true });
  s.sync();
  for (const to of s.sent('VOTE_REQUEST')) s.response(to.node === 'n2' ? N2 : N3, 'VOTE_RESPONSE', to, { vote_granted: true });
  assert.equal(s.core.role, 'leader');
  return s;
}

test('formation: nothing is locked before a unanimous pre-vote, and all votes are needed (FORM-3, VOTE-4)', () => {
  const s = new Script().tick();
  const asked = s.sent('PRE_VOTE_REQUEST');
  assert.deepEqual(asked.map(({ node, body }) => [node, body.term, body.formation]), [['n2', 0n, true], ['n3', 0n, true]]);
  s.response(N2, 'PRE_VOTE_RESPONSE', asked[0], { vote_granted: true });
  assert.equal(s.core.standing, 'FRESH');
  s.response(N2, 'PRE_VOTE_RESPONSE', asked[0], { vote_granted: true }); // counted once
  assert.equal(s.core.role, 'pre-candidate');
  s.response(N3, 'PRE_VOTE_RESPONSE', asked[1], { vote_granted: true });
  assert.equal(s.core.standing, 'LOCKED');
  assert.deepEqual(s.last('write').record, { kind: 'state', term: 1n, votedFor: N1, list: TRIO });
  assert.equal(s.sent('VOTE_REQUEST').length, 0); // not before term and vote are durable
  s.sync();
  const [second, third] = s.sent('VOTE_REQUEST');
  s.response(N2, 'VOTE_RESPONSE', second, { vote_granted: true });
  assert.equal(s.core.role, 'candidate');
  s.response(N3, 'VOTE_RESPONSE', third, { vote_granted: true });
  assert.equal(s.core.role, 'leader');
  assert.equal(s.core.standing, 'MEMBER');
  const first = s.sent('APPEND_ENTRIES_REQ'); // before its own disk is done (PERSIST-3)
  assert.deepEqual(first.map(({ body }) => body.entries[0].kind), ['members', 'members']); // FORM-6
  s.response(N2, 'APPEND_ENTRIES_RES', first[0], { success: true, match_index: 1n });
  assert.equal(s.core.commit, 0n); // it does not count itself yet (COMMIT-2)
  s.sync();
  assert.equal(s.core.commit, 1n);
});

test('a fresh server does nothing with one server more or fewer, and grants only its own list (FORM-4, FORM-5)', () => {
  for (const found of [TRIO.slice(0, 2), servers('n1', 'n2', 'n3', 'n4')]) assert.equal(new Script(N1, FRESH, { found }).tick().sent().length, 0);
  const s = new Script();
  const other = servers('n1', 'n2', 'n4');
  for (const fields of [{ members: other }, { formation: false }]) {
    s.request(N2, 'VOTE_REQUEST', { term: 1n, ...ballot(fields) }).request(N2, 'PRE_VOTE_REQUEST', { term: 1n, ...ballot(fields) }).sync();
    assert.deepEqual([s.sent(), s.core.term], [[], 0n]); // neither answered nor read
  }
  s.request(N2, 'VOTE_REQUEST', { term: 2n, ...ballot() });
  assert.equal(s.sent().length, 0);
  assert.deepEqual(s.last('write').record, { kind: 'state', term: 2n, votedFor: N2, list: TRIO });
  assert.equal(s.sync().sent('VOTE_RESPONSE')[0].body.vote_granted, true);
});

test('election restriction: a shorter or older log gets no vote, and a vote is given once (VOTE-2, VOTE-3)', () => {
  const cases = [[2n, 1n, true], [1n, 1n, false], [1n, 2n, true], [9n, 0n, false]];
  for (const [last_log_index, last_log_term, granted] of cases) {
    const s = new Script(N1, member([command(1n)]));
    s.request(N2, 'VOTE_REQUEST', { term: 3n, ...ballot({ formation: false, last_log_index, last_log_term }) }).sync();
    assert.equal(s.sent('VOTE_RESPONSE')[0].body.vote_granted, granted, `${last_log_index} ${last_log_term}`);
  }
  const s = new Script(N1, member());
  const ask = ballot({ formation: false, last_log_index: 5n, last_log_term: 1n });
  for (const [from, granted] of [[N2, true], [N3, false], [N2, true]]) {
    s.request(from, 'VOTE_REQUEST', { term: 3n, ...ask }).sync();
    assert.equal(s.sent('VOTE_RESPONSE')[0].body.vote_granted, granted);
  }
});

test('pre-votes change nothing, and are denied while a leader is heard (PREVOTE-1, PREVOTE-2)', () => {
  const s = new Script(N1, member());
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append() });
  s.sent();
  const ask = ballot({ term: 9n, formation: false, last_log_index: 5n, last_log_term: 5n });
  s.request(N3, 'PRE_VOTE_REQUEST', ask);
  assert.equal(s.sent('PRE_VOTE_RESPONSE')[0].body.vote_granted, false);
  s.now += 1000;
  s.request(N3, 'PRE_VOTE_REQUEST', ask);
  assert.equal(s.sent('PRE_VOTE_RESPONSE')[0].body.vote_granted, true);
  assert.equal(s.core.term, 1n);
  assert.equal(s.core.votedFor, null);
});

test('strangers are not heard: not their terms, not their votes (FORM-7)', () => {
  const s = new Script(N1, member());
  const stranger = { node: 'n2', store: 'ff'.repeat(16) };
  s.request(stranger, 'VOTE_REQUEST', { term: 99n, ...ballot({ formation: false }) });
  s.event((core, now) => core.response(now, stranger, { type: 'VOTE_RESPONSE', term: 99n, request_term: 1n, seq: 1n, vote_granted: true }));
  assert.equal(s.core.term, 1n);
  assert.deepEqual(s.errors(), ['NOT_A_MEMBER']);
  assert.equal(s.sent().length, 0);
});

test('log matching: hints, removal only with a conflict, and never below the commit index (APPEND-2 to 6)', () => {
  const s = new Script(N1, member([command(1n), command(1n), command(2n)], { term: 3n }));
  const answer = () => s.sync().sent('APPEND_ENTRIES_RES').at(-1).body;
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 9n, prev_log_term: 3n }) });
  assert.equal(answer().conflict_index, 5n);
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 3n, prev_log_term: 2n }) });
  const { success, match_index, conflict_index, conflict_term } = answer();
  assert.deepEqual([success, match_index, conflict_index, conflict_term], [false, 0n, 1n, 1n]);
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 1n, prev_log_term: 1n, entries: [command(1n)], leader_commit: 9n }) });
  assert.equal(answer().match_index, 2n); // and not the last index (APPEND-7)
  assert.equal(s.core.log.last, 4n); // without a conflict nothing is removed (APPEND-3)
  assert.equal(s.core.commit, 2n); // APPEND-5
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 2n, prev_log_term: 1n, entries: [command(3n)] }) });
  assert.equal(s.sent().length, 0); // the answer waits for the disk
  assert.equal(answer().match_index, 3n);
  assert.deepEqual([s.core.log.last, s.core.log.lastTerm], [3n, 3n]);
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 1n, prev_log_term: 1n, entries: [command(3n)] }) });
  assert.deepEqual(s.errors(), ['COMMITTED_CONFLICT']);
  assert.equal(answer().success, false);
  s.request(N3, 'APPEND_ENTRIES_REQ', { term: 3n, ...append() });
  assert.deepEqual(s.errors(), ['COMMITTED_CONFLICT', 'TWO_LEADERS']);
});

test('while the disk is at work a heartbeat is answered for what is durable, and again for all (APPEND-8)', () => {
  const s = new Script(N1, member());
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append({ prev_log_index: 1n, prev_log_term: 1n, entries: [command(1n)] }) });
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, seq: 2n, ...append({ prev_log_index: 2n, prev_log_term: 1n }) });
  assert.deepEqual(s.sent().map(({ body }) => [body.seq, body.match_index]), [[2n, 1n]]);
  assert.deepEqual(s.sync().sent().map(({ body }) => [body.seq, body.match_index]), [[1n, 2n], [2n, 2n]]);
});

test('what was removed while it was being written does not become durable by that write (APPEND-7)', () => {
  const s = new Script(N1, member([], { term: 2n }));
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 2n, ...append({ prev_log_index: 1n, prev_log_term: 1n, entries: [command(2n), command(2n)] }) });
  const first = s.last('write').seq;
  s.request(N3, 'APPEND_ENTRIES_REQ', { term: 3n, ...append({ prev_log_index: 2n, prev_log_term: 2n, entries: [command(3n)] }) });
  assert.ok(s.last('write').seq > first);
  s.event((core, now) => core.persisted(now, first));
  assert.equal(s.core.durableIndex, 2n); // entry 3 of term 2 is gone, that of term 3 not there yet
  s.request(N2, 'PRE_VOTE_REQUEST', { term: 3n, ...ballot({ formation: false }) });
  s.sync();
  assert.equal(s.core.durableIndex, 3n);
});

test('a new term has a leader of its own to be heard (PREVOTE-2)', () => {
  const s = new Script(N1, member());
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append() });
  s.request(N3, 'VOTE_REQUEST', { term: 2n, ...ballot({ formation: false }) }).sync();
  assert.equal(s.sent('VOTE_RESPONSE')[0].body.vote_granted, false);
  s.request(N3, 'PRE_VOTE_REQUEST', { term: 2n, ...ballot({ formation: false, last_log_index: 9n, last_log_term: 1n }) });
  assert.equal(s.sent('PRE_VOTE_RESPONSE')[0].body.vote_granted, true);
});

test('commit rule: entries of earlier terms are committed by one of the own term only (COMMIT-1)', () => {
  const s = leader(member([command(1n)], { term: 2n }));
  const [probe] = s.sync().sent('APPEND_ENTRIES_REQ').filter(({ node }) => node === 'n2');
  assert.equal(probe.body.prev_log_index, 2n); // its own last index before the no-op
  s.response(N2, 'APPEND_ENTRIES_RES', probe, { success: false, match_index: 0n, conflict_index: 2n });
  const [second] = s.sent('APPEND_ENTRIES_REQ');
  assert.deepEqual([second.body.prev_log_index, second.body.entries.map((e) => e.kind)], [1n, ['command', 'noop']]); // LEADER-5
  s.response(N2, 'APPEND_ENTRIES_RES', second, { success: true, match_index: 9n }); // claims too much (LEADER-6)
  s.response(N2, 'APPEND_ENTRIES_RES', second, { success: true, match_index: 2n });
  assert.equal(s.core.commit, 0n); // a majority has entry 2, of an earlier term
  s.response(N2, 'APPEND_ENTRIES_RES', second, { success: true, match_index: 3n });
  assert.equal(s.core.commit, 3n);
  assert.deepEqual(s.out.filter((e) => e.do === 'apply').map((e) => e.index), [1n, 2n, 3n]);
});

test('a leader without answers steps down in its term, and accepts no other in it (LEADER-4, APPEND-10)', () => {
  const s = leader().sync();
  s.tick(2100);
  assert.deepEqual([s.core.role, s.core.term, s.core.leader], ['follower', 1n, N1]);
  assert.ok(s.last('lost'));
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append() });
  assert.deepEqual(s.errors(), ['TWO_LEADERS']);
});

test('a snapshot is put together, refused or installed, and what it replaces goes in one write (SNAP-2 to 7)', () => {
  const data = Buffer.from('hello world');
  const chunk = (offset, length, fields = {}) => ({
    term: 5n, last_included_index: 9n, last_included_term: 4n, cluster_id: ID, members: TRIO, size: 11n, checksum: BigInt(crc32(data)),
    offset: BigInt(offset), data: data.subarray(offset, offset + length), done: offset + length === 11, ...fields,
  });
  const s = new Script(N1, member([command(1n)]));
  const say = (fields) => {
    const { offset, installed } = s.request(N2, 'INSTALL_SNAPSHOT_REQ', fields).sync().sent('INSTALL_SNAPSHOT_RES')[0].body;
    return [offset, installed];
  };
  assert.deepEqual(say(chunk(6, 5)), [0n, false]);
  assert.deepEqual(say(chunk(0, 6)), [6n, false]);
  assert.deepEqual(say(chunk(5, 6)), [6n, false]);
  assert.deepEqual(say(chunk(6, 5, { checksum: 1n })), [0n, false]); // another snapshot: begins anew
  assert.deepEqual(say(chunk(0, 11, { checksum: 1n })), [0n, false]);
  assert.deepEqual(s.errors(), ['BAD_SNAPSHOT']);
  assert.deepEqual(say(chunk(0, 6)), [6n, false]);
  s.request(N2, 'INSTALL_SNAPSHOT_REQ', chunk(6, 5));
  assert.equal(s.sent().length, 0); // SNAP-4
  assert.equal(s.sync().sent()[0].body.installed, true);
  assert.deepEqual([s.core.log.base, s.core.log.last, s.core.applied, s.core.commit], [9n, 9n, 9n, 9n]); // SNAP-6
  assert.equal(s.last('restore').data.toString(), 'hello world');
  assert.deepEqual(say(chunk(0, 1)), [11n, true]); // SNAP-7
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 5n, ...append({ prev_log_index: 8n, prev_log_term: 3n, entries: [command(4n), command(5n)] }) });
  assert.equal(s.sync().sent()[0].body.match_index, 10n); // skips what the snapshot holds (APPEND-4)
});

test('a snapshot that the log agrees with keeps the log (SNAP-5)', () => {
  const s = new Script(N1, member([command(1n), command(1n)]));
  const data = Buffer.from('x');
  s.request(N2, 'INSTALL_SNAPSHOT_REQ', {
    term: 1n, last_included_index: 2n, last_included_term: 1n, cluster_id: ID, members: TRIO, size: 1n, checksum: BigInt(crc32(data)), offset: 0n, data, done: true,
  });
  assert.deepEqual([s.core.log.base, s.core.log.last, s.core.commit], [0n, 3n, 2n]);
  assert.equal(s.last('restore'), undefined);
});

test('a leader sends its snapshot to who needs it, and goes on after it (SNAP-8)', () => {
  const data = Buffer.alloc(1_048_577, 7);
  const s = leader({ ...member(), term: 3n, entries: [], snapshot: { index: 9n, term: 2n, cluster_id: ID, members: TRIO, data } }).sync();
  const [probe] = s.sent('APPEND_ENTRIES_REQ').filter(({ node }) => node === 'n2');
  s.response(N2, 'APPEND_ENTRIES_RES', probe, { success: false, match_index: 0n, conflict_index: 2n });
  const [first] = s.sent('INSTALL_SNAPSHOT_REQ');
  assert.deepEqual([first.body.offset, first.body.data.length, first.body.done], [0n, 1_048_576, false]);
  s.tick(300);
  const beat = s.sent('APPEND_ENTRIES_REQ').find(({ node }) => node === 'n2');
  assert.deepEqual([beat.body.prev_log_index, beat.body.entries.length], [0n, 0]); // claims nothing
  s.response(N2, 'INSTALL_SNAPSHOT_RES', first, { last_included_index: 9n, offset: 1_048_576n, installed: false });
  const [second] = s.sent('INSTALL_SNAPSHOT_REQ');
  assert.deepEqual([second.body.data.length, second.body.done], [1, true]);
  s.response(N2, 'INSTALL_SNAPSHOT_RES', second, { last_included_index: 9n, offset: 1_048_577n, installed: true });
  assert.equal(s.sent('APPEND_ENTRIES_REQ')[0].body.prev_log_index, 9n);
});

test('a fresh server whose node id is listed with another store becomes a learner, and never votes (FORM-9)', () => {
  const newcomer = { node: 'n1', store: 'ee'.repeat(16) };
  const s = new Script(newcomer, FRESH, { found: [newcomer, N2, N3] });
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append({ entries: [FIRST] }) }).sync();
  assert.equal(s.core.standing, 'LEARNER');
  assert.equal(s.sent('APPEND_ENTRIES_RES')[0].body.match_index, 1n);
  s.request(N3, 'VOTE_REQUEST', { term: 2n, ...ballot({ formation: false, last_log_index: 9n, last_log_term: 9n }) }).sync();
  assert.equal(s.sent('VOTE_RESPONSE')[0].body.vote_granted, false);
  assert.equal(s.tick(9000).sent().length, 0);
  const own = new Script(N1); // one that lists its own pair it has forgotten about
  own.request(N2, 'APPEND_ENTRIES_REQ', { term: 1n, ...append({ entries: [FIRST] }) });
  assert.deepEqual(own.errors(), ['BAD_FORMATION']);
});

// ------------------------------------------------------------------------------------------------------ the disk

async function directory(t) {
  const path = await mkdtemp(join(tmpdir(), 'casty-js-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Writes records and waits until they are durable. */
function written(disk, ...records) {
  return new Promise((resolve, reject) => {
    disk.onDurable = (seq) => seq === records.length && resolve();
    disk.onFailure = reject;
    records.forEach((record, i) => (record.data ? disk.writeSnapshot(i + 1, record, record.data) : disk.write(i + 1, record)));
  });
}

const STATE = { kind: 'state', term: 3n, votedFor: N2, list: TRIO };

test('the log remembers, knows its node, and keeps others out (PERSIST-1, PERSIST-5, LAUNCH-6)', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE, { kind: 'entries', from: 1n, entries: [FIRST, command(1n), command(2n)] }, { kind: 'entries', from: 3n, entries: [command(3n)] });
  await assert.rejects(Disk.open(path, 'n1'), /in use/);
  await disk.close();
  await assert.rejects(Disk.open(path, 'n2'), /belongs to node n1/);
  const again = await Disk.open(path, null);
  assert.deepEqual(again.node, disk.node);
  const { term, votedFor, list, entries, snapshot } = again.durable;
  assert.deepEqual([term, votedFor, list, [...entries].map((e) => e.term), snapshot], [3n, N2, TRIO, [1n, 1n, 3n], null]);
  await again.close();
});

test('a snapshot cuts the log, and both come back', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE, { kind: 'entries', from: 1n, entries: [FIRST, command(1n), command(2n)] }, { index: 2n, term: 1n, cluster_id: ID, members: TRIO, data: Buffer.from('two') });
  await disk.close();
  const again = await Disk.open(path, 'n1');
  assert.equal(again.durable.snapshot.data.toString(), 'two');
  assert.deepEqual([...again.durable.entries], [command(2n)]);
  await again.close();
  const file = join(path, 'snapshot-2-1');
  await writeFile(file, 'twx');
  await assert.rejects(Disk.open(path, 'n1'), /snapshot-2-1: checksum/);
});

test('a torn tail is cut off at every length, and a flipped bit anywhere is refused (PERSIST-5)', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE);
  const { size } = await stat(disk.path);
  await written(disk, { kind: 'entries', from: 1n, entries: [FIRST] });
  await disk.close();
  const whole = await readFile(disk.path);
  for (const length of [size + 1, size + 13, whole.length - 1]) {
    await writeFile(disk.path, whole.subarray(0, length));
    const cut = await Disk.open(path, 'n1');
    assert.deepEqual([cut.durable.term, cut.durable.entries.last], [3n, 0n]);
    await cut.close();
    assert.equal((await stat(disk.path)).size, size);
  }
  for (const at of [0, 5, 20, size - 1, size, size + 9, size + 20, whole.length - 1]) {
    const flipped = Buffer.from(whole);
    flipped[at] ^= 1;
    await writeFile(disk.path, flipped);
    await assert.rejects(Disk.open(path, 'n1'), (error) => error instanceof Unusable && /log: offset \d+/.test(error.message), `byte ${at}`);
  }
});

// ---------------------------------------------------------------------------------------------------- the cluster

const PROGRAM = new URL('./node.mjs', import.meta.url).pathname;
const FAST = { CF_HEARTBEAT_MS: '100', CF_ELECTION_MS: '400', CF_EXIT_ON_EOF: '1' };

/** Asks until the answer satisfies, or the deadline is over; one question follows the answer to the last. */
async function until(what, ask, deadlineMs = 15_000) {
  const end = performance.now() + deadlineMs;
  let last;
  while (performance.now() < end) {
    last = await ask().catch((error) => error);
    if (last && !(last instanceof Error)) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come true in ${deadlineMs} ms; last: ${last}`);
}

/** Runs the program to its end. */
async function run(args, env = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (chunk) => (text[stream] += chunk));
  const [status] = await once(child, 'close');
  return { status, ...text };
}

class Process {
  constructor(id, root, env) {
    Object.assign(this, { id, data: join(root, id), env });
  }

  async start(seeds = []) {
    const args = [PROGRAM, '--node-id', this.id, '--data-dir', this.data, '--advertise', '', '--seeds', seeds.join(','), '--size', '3'];
    this.child = spawn(process.execPath, args, { env: { ...process.env, ...FAST, ...this.env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.errors = '';
    this.child.stderr.on('data', (chunk) => (this.errors += chunk));
    this.ended = once(this.child, 'exit');
    const line = await Promise.race([once(createInterface({ input: this.child.stdout }), 'line'), this.ended.then(() => Promise.reject(new Error(this.errors)))]);
    assert.match(line[0], /^READY \{/);
    this.listen = JSON.parse(line[0].slice(6)).listen;
    this.client = await Client.connect(this.listen);
    return this;
  }

  async kill(signal = 'SIGKILL') {
    this.client.close();
    this.child.kill(signal);
    return this.ended;
  }

  ask(actor, message) {
    return this.client.ask(actor, message);
  }
}

async function cluster(t, env = {}) {
  const root = await directory(t);
  const nodes = ['n1', 'n2', 'n3'].map((id) => new Process(id, root, env));
  t.after(() => Promise.all(nodes.map((node) => node.child?.exitCode === null && node.kill())));
  for (const node of nodes) await node.start(nodes.filter((other) => other.listen).map((other) => other.listen));
  return nodes;
}

const leading = (nodes) => until('a leader', async () => {
  for (const node of nodes) if ((await node.ask('$raft', { op: 'status' })).role === 'leader') return node;
  return null;
});

/** A command to whoever leads, until it is done; for commands that may be repeated. */
const done = (nodes, request) => until(`${request.op} ${request.key}`, async () => {
  const answer = await (await leading(nodes)).ask('$kv', request);
  return answer.ok && answer;
});

const agreed = (nodes) => until('equal digests', async () => {
  const digests = await Promise.all(nodes.map((node) => node.ask('$raft', { op: 'digest' })));
  const all = new Set(digests.map(({ last_applied, sha256 }) => `${last_applied} ${sha256}`));
  return all.size === 1 && digests[0];
});

test('three processes form a cluster, lose their leader to kill -9, go on, and agree', async (t) => {
  const nodes = await cluster(t);
  const first = await leading(nodes);
  for (let i = 0; i < 20; i++) assert.equal((await first.ask('$kv', { op: 'put', key: `k${i}`, value: BigInt(i) })).ok, true);
  assert.equal((await first.ask('$kv', { op: 'append', key: 's', value: 'aé😀' })).value, 3n);
  assert.equal((await first.ask('$kv', { op: 'cas', key: 'k1', expect: 1, value: null })).value, false); // 1.0 is not 1
  assert.equal((await first.ask('$kv', { op: 'incr', key: 's', value: 1n })).code, 'bad_request');
  const follower = nodes.find((node) => node !== first);
  const refused = await follower.ask('$kv', { op: 'get', key: 'k1' });
  assert.deepEqual([refused.code, refused.definite], ['not_leader', true]);

  await first.kill();
  const rest = nodes.filter((node) => node !== first);
  assert.equal((await done(rest, { op: 'get', key: 'k19' })).value, 19n); // nothing acknowledged is lost
  await done(rest, { op: 'put', key: 'later', value: 1.5 });

  await first.start(rest.map((node) => node.listen));
  await agreed(nodes);

  for (const node of nodes) await node.kill(); // all at once: the disks alone remember
  for (const node of nodes) await node.start(nodes.filter((other) => other !== node && other.child.exitCode === null).map((other) => other.listen));
  assert.equal((await done(nodes, { op: 'get', key: 'later' })).value, 1.5);
  await agreed(nodes);
});

test('a member that was away gets the snapshot', async (t) => {
  const nodes = await cluster(t, { CF_SNAPSHOT_EVERY: '10' });
  const first = await leading(nodes);
  const away = nodes.find((node) => node !== first);
  await away.kill();
  const rest = nodes.filter((node) => node !== away);
  for (let i = 0; i < 40; i++) await done(rest, { op: 'incr', key: 'n', value: 1n });
  await until('a cut log', async () => (await first.ask('$raft', { op: 'status' })).snapshot_index >= 30n);
  await away.start(rest.map((node) => node.listen));
  await agreed(nodes);
  assert.ok((await away.ask('$raft', { op: 'status' })).snapshot_index >= 30n);
  for (const node of nodes) assert.doesNotMatch(node.errors, /Error/);
});

test('services, errors, and mistakes of a peer (MSG-*, FRAME-6, PAYLOAD-2, HELLO-*)', async (t) => {
  const [node] = await cluster(t);
  const { client } = node;
  assert.equal(await client.lookup('$echo'), true);
  assert.equal(await client.lookup('nobody'), false);
  const slow = client.ask('$sleep', 0.3);
  assert.equal(await client.ask('$echo', 1n), 1n); // it does not wait for the sleeper
  assert.equal(await slow, 0.3);
  await assert.rejects(client.ask('nobody', 1n), { code: 'ACTOR_NOT_FOUND' });
  await assert.rejects(client.ask('$kv', 1n), { code: 'ACTOR_FAILED', error_type: 'UnhandledMessage' });
  await assert.rejects(client.ask('$echo', new Ext(99, Buffer.from('x'))), { code: 'BAD_MESSAGE' });
  await assert.rejects(client.ask('$echo', new Ext(1, ['no.such:Type', {}])), { code: 'UNKNOWN_TYPE' });
  for (let i = 0; i < 2; i++) client.socket.write(encodeFrame(99, 'x', Buffer.from([1])));
  client.socket.write(encodeFrame(17, '', Buffer.from([0xc1])));
  client.socket.write(encodeFrame(9, 'x', Buffer.from([0xc1])));
  assert.equal(await client.ask('$echo', 'still here'), 'still here');
  assert.deepEqual(client.frames.filter((m) => m.type === 'ERROR').map((m) => m.code), ['UNKNOWN_FRAME_TYPE', 'BAD_PAYLOAD']);
  client.send('PEER_LIST', { peers: [] }, 'somebody-else');
  await once(client.socket, 'close');
  assert.equal(client.frames.at(-1).code, 'IDENTITY_CHANGED');
  for (const [fields, code] of [[{ cluster: 'other' }, /ended/], [{ node: 'n1' }, /ended/], [{ member: true, size: 5n }, /ended/]]) {
    await assert.rejects(Client.connect(node.listen, fields), code);
  }
  const twin = await Client.connect(node.listen, { node: 'twin' });
  await assert.rejects(Client.connect(node.listen, { node: 'twin' }), /ended/); // it answers its pings (HELLO-7)
  twin.close();
  (await Client.connect(node.listen, { node: 'twin' })).close();
});

test('exit statuses: 0, 64, 78, 127 (LAUNCH-4, LAUNCH-5, PERSIST-5)', async (t) => {
  const root = await directory(t);
  const described = JSON.parse((await run(['--describe'])).stdout);
  assert.equal(described.protocol, 1);
  assert.equal((await run([], { CF_CAPS: 'introspect,time-travel' })).status, 127);
  for (const args of [['--sise', '3'], ['--node-id', 'a b', '--size', '3'], ['--node-id', 'n1'], ['--node-id', 'n1', '--size', '65']]) {
    const { status, stderr } = await run(args);
    assert.equal(status, 64, stderr);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
  const node = await new Process('n1', root, {}).start();
  const second = await run(['--data-dir', node.data, '--size', '3']);
  assert.equal(second.status, 78);
  assert.match(second.stderr, /in use/);
  assert.deepEqual(await node.kill('SIGTERM'), [0, null]);
  const file = await open(join(node.data, 'log'), 'r+');
  await file.write(Buffer.from([0xff]), 0, 1, 20);
  await file.close();
  const corrupt = await run(['--data-dir', node.data, '--size', '3']);
  assert.equal(corrupt.status, 78);
  assert.match(corrupt.stderr, /^.*log: offset 0: .*\n$/);
});

test('a disk that fails ends the process with 74 (PERSIST-4)', async (t) => {
  const root = await directory(t);
  const child = spawn('sh', ['-c', 'ulimit -f 16; exec "$0" "$@"', process.execPath, PROGRAM, '--node-id', 'n1', '--data-dir', join(root, 'n1'), '--size', '1'], {
    env: { ...process.env, ...FAST }, stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const client = await Client.connect(JSON.parse(line.slice(6)).listen, { size: 1n });
  await until('a leader', async () => (await client.ask('$raft', { op: 'status' })).role === 'leader');
  await assert.rejects(async () => {
    for (let i = 0; i < 100; i++) await client.ask('$kv', { op: 'put', key: 'k', value: 'x'.repeat(4000) });
  });
  assert.equal((await ended)[0], 74);
});
