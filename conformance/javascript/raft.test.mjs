// Does the Raft core do what the rules say, event by event? No disk and no network, but a script that says when they are done.

import test from 'node:test';
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { Raft } from './raft.mjs';
import { FIRST, FRESH, ID, N1, N2, N3, TRIO, command, servers } from './fixtures.mjs';

/** A core with a disk that is done when the script says so, and what it sent since it was last asked. */
class Script {
  now = 0;
  out = [];

  constructor(me = N1, durable = FRESH, { found = TRIO, size = 3 } = {}) {
    this.core = new Raft({
      me, size, election: 1000, heartbeat: 300, random: () => 0.5, drawId: () => ID, discovered: () => found, verify: () => {}, durable, now: 0,
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

test('a fresh server reads nothing of who is no member, and its timer waits for all of the list (FORM-12, FORM-4)', () => {
  const found = [N1, N2];
  const s = new Script(N1, FRESH, { found });
  s.event((core, now) => core.request(now, N2, { type: 'APPEND_ENTRIES_REQ', seq: 1n, term: 9n, ...append() }, 'conn', false));
  assert.deepEqual([s.errors(), s.core.term], [['NOT_A_MEMBER'], 0n]);
  s.request(N2, 'APPEND_ENTRIES_REQ', { term: 2n, ...append() });
  s.sync();
  assert.equal(s.core.term, 2n); // a member may be the leader of a cluster that this server has forgotten
  assert.equal(s.tick(9000).sent('PRE_VOTE_REQUEST').length, 0);
  found.push({ ...N2, store: 'ee'.repeat(16) });
  assert.equal(s.tick(9000).sent('PRE_VOTE_REQUEST').length, 0); // one node with two stores is not two nodes
  found.splice(2, 1, N3);
  assert.equal(s.tick(9000).sent('PRE_VOTE_REQUEST').length, 0); // only now the timer starts
  assert.equal(s.tick(1600).sent('PRE_VOTE_REQUEST').length, 2);
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

test('after a lost connection a leader goes on where it was, and not from the beginning (LEADER-7)', () => {
  const s = leader(member([command(1n)])).sync();
  s.sent();
  const reconnect = () => {
    s.event((core) => core.linkDown('n2')).event((core, now) => core.linkUp(now, 'n2', N2.store, 'boot'));
    return s.sent('APPEND_ENTRIES_REQ')[0];
  };
  const probe = reconnect();
  assert.equal(probe.body.prev_log_index, 2n); // nothing is known to match: the next it had
  s.response(N2, 'APPEND_ENTRIES_RES', probe, { success: true, match_index: 3n });
  assert.equal(reconnect().body.prev_log_index, 3n); // what is known to match
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
