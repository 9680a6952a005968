// What does a server do, by the rules? The Raft core: events in, effects out; no clock, disk or network of its own.
//
// Each method is an event, with the time in milliseconds of a clock that nobody sets (ELECT-4). What is to be done
// about it is pushed to `effects`, in order, and taken by the caller after the event:
//
//   write    {seq, record}              make it durable, then tell persisted(seq); writes are done in order
//   snapshot {seq, meta, data}          the same for a snapshot, with which the log is cut
//   send     {after, node, type, body}  a request on the connection this node dialled
//   reply    {after, conn, type, body}  a response on the connection of its request
//   error    {conn, code, rule, text}   an ERROR frame there
//   apply    {index, entry}             give it to the state machine
//   restore  {index, data}              replace the state machine
//   lost     {}                         leadership ended: what waits for a commit is uncertain
//   log      {text}                     for people
//
// `after` is the number of the write that must be durable before it leaves: the gate of raft.md.
// A server is {node, store}; numbers of the protocol are BigInt, times are numbers.

import { Replication } from './replication.mjs';
import { Assembly } from './snapshots.mjs';
import { readConfiguration, writeConfiguration } from './messages.mjs';
import { LIMITS } from './protocol.mjs';
import { State, least, most, names, same, sameList } from './state.mjs';

const shown = (list) => list.map((server) => server.node).join(' ');

export class Raft extends State {
  role = 'follower';
  leader = null; // who leads this term; forgotten with it, and not before
  #seq = 0n; // of requests; never twice in one boot (LEADER-8)
  #round = null; // the pre-votes or votes asked for
  #replication = null; // a leader's
  #assembly = null; // the chunks of a snapshot
  #heardLeader = -Infinity;
  #deadline = 0;
  #beatAt = 0;

  /**
   * durable is what the disk remembers: {term, votedFor, list, snapshot: {index, term, cluster_id, members, data} or
   * null, entries}. discovered(now) gives the sorted list of FORM-4; drawId() 32 random hex digits; readable(data)
   * whether a snapshot can be restored.
   */
  constructor({ me, size, election, heartbeat, random, drawId, discovered, readable, durable, now }) {
    super(me, durable);
    Object.assign(this, { size: Number(size), election, heartbeat, random, drawId, discovered, readable });
    this.#startTimer(now);
  }

  /** The disk has done all writes up to this number. */
  persisted(now, seq) {
    this.settle(seq);
    if (this.role === 'candidate' && this.#round.write <= seq) this.#count(now, this.me); // VOTE-6: its own when durable
    if (this.role === 'leader') this.#advance(now);
    this.apply();
  }

  // ----------------------------------------------------------------------------------------- terms and timers

  /** ELECT-1: drawn anew each time. */
  #startTimer(now) {
    this.#deadline = now + this.election * (1 + this.random());
  }

  #newTerm(term, votedFor) {
    Object.assign(this, { term, votedFor, leader: null });
    this.#heardLeader = -Infinity; // the leader of this term has not been heard (PREVOTE-2)
  }

  /** TERM-1. */
  #adopt(now, term) {
    this.#newTerm(term, null);
    this.#follow(now);
    this.saveState();
  }

  #follow(now) {
    if (this.role === 'leader') {
      this.#replication = null;
      this.#startTimer(now); // a leader's did not run
      this.effects.push({ do: 'lost' });
    }
    this.role = 'follower';
    this.#round = null;
  }

  tick(now) {
    if (this.role === 'leader') return this.#lead(now);
    if (now >= this.#deadline) this.#timeout(now);
  }

  // ------------------------------------------------------------------------------------------------- elections

  #timeout(now) {
    this.#startTimer(now);
    const { standing } = this;
    if (standing === 'LEARNER' || this.term >= LIMITS.number) return; // a learner never campaigns (FORM-9)
    const list = standing === 'FRESH' ? this.discovered(now) : this.list;
    this.#complain(standing, list);
    if (standing === 'FRESH' && list.length !== this.size) return; // FORM-4: one more or fewer, and it does neither
    this.role = 'pre-candidate';
    this.#ask('PRE_VOTE_REQUEST', list, 0);
    this.#count(now, this.me);
  }

  /** FORM-11. */
  #complain(standing, list) {
    if (standing === 'FRESH' && list.length > this.size) {
      this.note(`ERROR cannot form a cluster of ${this.size}: found ${shown(list)}; stop the one that does not belong`);
    }
    if (standing !== 'LOCKED') return;
    for (const { node, store } of list) {
      const link = this.links.get(node);
      if (!link || link.store === store) continue;
      const remedy = 'unless some member knows the cluster already, wipe all data directories, for nothing was committed';
      this.note(`ERROR ${node} came back with another store after the member list was locked: ${remedy}`);
    }
  }

  #ask(type, list, write) {
    const formation = !this.configuration; // FORM-3
    this.#round = { type, seq: ++this.#seq, term: this.term, list, formation, write, grants: new Set() };
    const { term, log } = this;
    const body = { term, seq: this.#seq, last_log_index: log.last, last_log_term: log.lastTerm, formation, members: list };
    for (const { node, store } of list) {
      if (this.links.get(node)?.store === store) this.send(node, type, body); // a pair is asked, not a name (FORM-1)
    }
  }

  /** A grant of this round, each server counted once (VOTE-6). */
  #count(now, server) {
    const { list, grants, formation, type } = this.#round;
    grants.add(server.node);
    const needed = formation ? list.length : Math.floor(list.length / 2) + 1; // FORM-3
    if (!grants.has(this.me.node) || grants.size < needed) return;
    if (type === 'PRE_VOTE_REQUEST') this.#campaign(now, list);
    else this.#win(now);
  }

  /** ELECT-3; in a formation the list is locked in the same write (FORM-5), after unanimous pre-votes (FORM-3). */
  #campaign(now, list) {
    if (this.standing === 'FRESH') {
      if (!sameList(this.discovered(now), list)) return this.#follow(now);
      this.locked = list;
    }
    this.role = 'candidate';
    this.#newTerm(this.term + 1n, this.me);
    this.saveState();
    this.#startTimer(now);
    this.#ask('VOTE_REQUEST', list, this.stateWrite); // leaves when term and vote are durable (VOTE-4)
  }

  #win(now) {
    const { list } = this.#round;
    this.role = 'leader';
    this.leader = this.me;
    this.#round = null;
    this.#replication = new Replication(this, list.filter(({ node }) => node !== this.me.node), now, {
      send: (node, type, body) => this.send(node, type, body),
      nextSeq: () => ++this.#seq,
      acknowledged: (at) => this.#advance(at),
    });
    const first = this.log.empty; // FORM-6, LEADER-2
    const data = first ? writeConfiguration({ cluster_id: this.drawId(), members: list }) : Buffer.alloc(0);
    this.saveEntries(this.log.last + 1n, [{ term: this.term, kind: first ? 'members' : 'noop', data }]);
    this.#beatAt = now; // LEADER-1: at once
    this.#lead(now);
  }

  #upToDate(request) {
    const { last, lastTerm } = this.log; // in memory, the undurable included (VOTE-3)
    return request.last_log_term > lastTerm || (request.last_log_term === lastTerm && request.last_log_index >= last);
  }

  #fits(now, candidate, { members, formation }) {
    const { standing } = this;
    if (standing === 'LEARNER' || !names(members, candidate)) return false;
    if (standing === 'FRESH') return formation && members.length === this.size && sameList(members, this.discovered(now)); // FORM-4
    return sameList(members, this.list); // FORM-5
  }

  #answerPreVote(now, peer, m, conn) {
    const silent = this.role !== 'leader' && now - this.#heardLeader >= this.election;
    const granted = m.term >= this.term && this.#fits(now, peer, m) && this.#upToDate(m) && silent; // PREVOTE-2
    this.reply(conn, m, 'PRE_VOTE_RESPONSE', { vote_granted: granted });
  }

  #answerVote(now, peer, m, conn) {
    const granted =
      m.term === this.term && // VOTE-1
      (this.votedFor === null || same(this.votedFor, peer)) && // VOTE-2
      (this.leader === null || same(this.leader, peer)) && // VOTE-5
      this.#upToDate(m) && // VOTE-3
      this.#fits(now, peer, m);
    if (granted) {
      if (this.votedFor === null) {
        this.votedFor = peer;
        if (this.standing === 'FRESH') this.locked = m.members; // FORM-5: one write
        this.saveState();
      }
      if (this.role !== 'leader') this.#follow(now);
      this.#startTimer(now); // ELECT-2
    }
    this.reply(conn, m, 'VOTE_RESPONSE', { vote_granted: granted }); // the gate keeps it until it is durable (VOTE-4)
  }

  // --------------------------------------------------------------------------------- requests and responses

  /** A Raft request; peer is the pair that the connection's hello announced. */
  request(now, peer, m, conn) {
    const pair = { node: peer.node, store: peer.store };
    if (peer.member === false || (this.list && !names(this.list, pair))) { // FORM-7: before its term is read
      return this.fault(conn, 'NOT_A_MEMBER', 'FORM-7', `${peer.node} with this store is not on the member list`);
    }
    const ballot = m.type === 'PRE_VOTE_REQUEST' || m.type === 'VOTE_REQUEST';
    if (ballot && this.standing === 'FRESH' && !this.#fits(now, pair, m)) return; // FORM-4: not answered, its term not read
    if (m.type === 'PRE_VOTE_REQUEST') return this.#answerPreVote(now, pair, m, conn); // changes no term
    if (m.term > this.term) this.#adopt(now, m.term);
    if (m.type === 'VOTE_REQUEST') return this.#answerVote(now, pair, m, conn);
    if (m.term < this.term) return this.#refuse(conn, m); // TERM-2, APPEND-1, SNAP-1
    if (this.leader !== null && !same(this.leader, pair)) { // APPEND-10; a leader that stepped down still counts
      this.fault(conn, 'TWO_LEADERS', 'APPEND-10', `${peer.node} leads term ${m.term}, and so does ${this.leader.node}`);
      return this.#refuse(conn, m);
    }
    this.#follow(now); // VOTE-7
    this.leader = pair;
    this.#heardLeader = now;
    this.#startTimer(now); // refused ones included (ELECT-2)
    if (m.type === 'APPEND_ENTRIES_REQ') this.#append(m, conn);
    else this.#install(pair, m, conn);
    this.apply();
  }

  response(now, peer, m) {
    const list = this.#round?.list ?? this.list;
    if (!list || !names(list, peer)) return this.#learnerSays(now, peer, m); // FORM-7
    if (m.term > this.term) return this.#adopt(now, m.term); // TERM-1, PREVOTE-3
    if (m.request_term !== this.term) return; // TERM-3
    if (m.type === 'PRE_VOTE_RESPONSE' || m.type === 'VOTE_RESPONSE') {
      const asked = this.#round?.type.startsWith('PRE') === m.type.startsWith('PRE') && this.#round.seq === m.seq;
      if (asked && m.vote_granted) this.#count(now, peer);
      return;
    }
    this.#replication?.answered(now, peer, m, true);
  }

  /** A refusal tells this server's term (TERM-2). */
  #refuse(conn, request) {
    switch (request.type) {
      case 'APPEND_ENTRIES_REQ': return this.reply(conn, request, 'APPEND_ENTRIES_RES', { success: false, match_index: 0n });
      case 'INSTALL_SNAPSHOT_REQ': return this.#wants(conn, request, 0n);
      default: return this.reply(conn, request, request.type.replace('REQUEST', 'RESPONSE'), { vote_granted: false });
    }
  }

  /** FORM-9: the leader reads how far a learner is, and neither its term nor its acknowledgement counts. */
  #learnerSays(now, peer, m) {
    if (m.request_term === this.term && m.term <= this.term) this.#replication?.answered(now, peer, m, false);
  }

  // ------------------------------------------------------------------------------------------------- following

  /** Whether a configuration is for this server, which has or has not a list (FORM-8, FORM-9). */
  #belongs({ cluster_id, members }) {
    if (this.clusterId !== null && this.clusterId !== cluster_id) return false;
    if (this.list) return sameList(members, this.list);
    return !names(members, this.me) && members.some(({ node }) => node === this.me.node) && names(members, this.leader);
  }

  #badFormation(m, conn, what) {
    const rule = this.list ? 'FORM-8' : 'FORM-9';
    this.fault(conn, 'BAD_FORMATION', rule, `the member list of ${what} does not fit ${this.me.node}, which is ${this.standing}`);
    this.#refuse(conn, m);
  }

  #append(m, conn) {
    const { prev_log_index: prev, prev_log_term: prevTerm, entries } = m;
    const end = prev + BigInt(entries.length);
    if (prev >= this.log.base && this.log.term(prev) !== prevTerm) { // APPEND-2
      if (prev <= this.commit) return this.#contradiction(m, conn, prev);
      return this.reply(conn, m, 'APPEND_ENTRIES_RES', { success: false, match_index: 0n, ...this.#hints(prev) });
    }
    const known = (entry, i) => {
      const index = prev + 1n + BigInt(i);
      return index < this.log.base || this.log.term(index) === entry.term; // APPEND-4
    };
    let skip = 0;
    while (skip < entries.length && known(entries[skip], skip)) skip += 1;
    if (skip < entries.length) {
      const from = prev + 1n + BigInt(skip);
      if (from <= this.commit) return this.#contradiction(m, conn, from); // APPEND-6
      if (from === 1n && !this.#belongs(readConfiguration(entries[0].data))) {
        return this.#badFormation(m, conn, 'entry 1');
      }
      this.saveEntries(from, entries.slice(skip)); // APPEND-3
    }
    const brought = skip < entries.length;
    this.commit = most(this.commit, least(m.leader_commit, end)); // APPEND-5
    const success = (match_index, after) => this.reply(conn, m, 'APPEND_ENTRIES_RES', { success: true, match_index }, after);
    if (!brought && this.durableIndex < end && this.stateWrite <= this.durable) success(this.durableIndex, 0); // APPEND-8
    success(end); // APPEND-7
  }

  #contradiction(m, conn, index) {
    const text = `entry ${index} is committed here with term ${this.log.term(index)}; the commit index is ${this.commit}`;
    this.fault(conn, 'COMMITTED_CONFLICT', 'APPEND-6', text);
    this.#refuse(conn, m);
  }

  #hints(prev) {
    if (prev > this.log.last) return { conflict_index: this.log.last + 1n };
    const term = this.log.term(prev);
    let first = prev;
    while (first - 1n > this.log.base && this.log.term(first - 1n) === term) first -= 1n;
    return { conflict_index: first, conflict_term: term };
  }

  #wants(conn, m, offset, installed = false) {
    this.reply(conn, m, 'INSTALL_SNAPSHOT_RES', { last_included_index: m.last_included_index, offset, installed });
  }

  #install(sender, m, conn) {
    const { last_included_index: index, last_included_term: term, size } = m;
    if (!this.#belongs(m)) return this.#badFormation(m, conn, 'the snapshot');
    if (index <= this.commit) return this.#wants(conn, m, size, true); // SNAP-7
    if (!this.#assembly?.continues(sender, m)) this.#assembly = new Assembly(sender, m);
    const outcome = this.#assembly.take(m, this.readable);
    if (outcome.fault) {
      this.#assembly = null;
      this.fault(conn, 'BAD_SNAPSHOT', 'SNAP-3', outcome.fault);
    }
    if (!outcome.data) return this.#wants(conn, m, outcome.wanted); // SNAP-2
    this.#assembly = null;
    this.commit = index;
    if (this.log.term(index) !== term) { // else the log has it all and is kept (SNAP-5)
      this.saveSnapshot({ index, term, cluster_id: m.cluster_id, members: m.members }, outcome.data);
    }
    this.#wants(conn, m, size, true); // SNAP-4: the gate holds it until it is durable
  }

  // --------------------------------------------------------------------------------------------------- leading

  #lead(now) {
    if (this.#replication.heard(now, 2 * this.election) < this.majority) { // LEADER-4; it stays known as leader of the term
      this.note(`leader of term ${this.term} hears no majority and steps down`);
      return this.#follow(now);
    }
    const beat = now >= this.#beatAt;
    if (beat) this.#beatAt = now + this.heartbeat;
    this.#replication.feedAll(now, beat);
  }

  /** COMMIT-1, COMMIT-2: a majority of the list has it durably, and it is of this term. */
  #advance(now) {
    const index = this.#replication.durableAt(this.majority, this.durableIndex);
    if (index <= this.commit || this.log.term(index) !== this.term) return;
    this.commit = index;
    this.apply();
    this.#replication.tellCommit(now);
  }

  // ----------------------------------------------------------------------------- connections and the application

  /** A connection dialled by this node is up; boot tells a restart. */
  linkUp(now, node, store, boot) {
    this.links.set(node, { store, boot });
    this.#replication?.linkUp(now, node);
  }

  linkDown(node) {
    this.links.delete(node);
    this.#replication?.linkDown(node);
  }

  /** Appends a command; its {index, term}, or null where this server does not lead. */
  propose(now, data) {
    if (this.role !== 'leader') return null;
    this.saveEntries(this.log.last + 1n, [{ term: this.term, kind: 'command', data }]);
    this.#replication.feedAll(now); // before it is durable here (PERSIST-3)
    return { index: this.log.last, term: this.term };
  }
}
