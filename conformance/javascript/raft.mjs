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
import { Following } from './following.mjs';
import { writeConfiguration } from './messages.mjs';
import { LIMITS } from './protocol.mjs';
import { State, names, same, sameList } from './state.mjs';

const shown = (list) => list.map((server) => server.node).join(' ');

export class Raft extends State {
  role = 'follower';
  leader = null; // who leads this term; forgotten with it, and not before
  #seq = 0n; // of requests; never twice in one boot (LEADER-8)
  #round = null; // the pre-votes or votes asked for
  #replication = null; // a leader's
  #following = new Following(this);
  #heardLeader = -Infinity;
  #deadline = Infinity;
  #complaint = null; // the last, so that it is not repeated
  #beatAt = 0;

  /**
   * durable is what the disk remembers: {term, votedFor, list, snapshot: {index, term, cluster_id, members, data} or
   * null, entries}. discovered(now) gives the sorted list of FORM-4; drawId() 32 random hex digits; verify(data)
   * throws where the state machine could not be replaced by a snapshot's data.
   */
  constructor({ me, size, election, heartbeat, random, drawId, discovered, verify, durable, now }) {
    super(me, durable);
    Object.assign(this, { size: Number(size), election, heartbeat, random, drawId, discovered, verify });
    if (this.standing === 'FRESH') this.#look(now);
    else this.#startTimer(now);
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
    if (this.standing === 'FRESH') this.#look(now);
    if (now >= this.#deadline) this.#timeout(now);
  }

  /** A FRESH server's timer starts when it has found all of its list, and does not run while it has not (FORM-4). */
  #look(now) {
    const found = this.discovered(now);
    const complete = found.length === this.size && found.every(({ node }, i) => i === 0 || node !== found[i - 1].node);
    if (!complete) {
      this.#deadline = Infinity;
      const tooMany = `ERROR cannot form a cluster of ${this.size}: found ${shown(found)}; stop the one that does not belong`;
      if (found.length > this.size) this.#complain(tooMany);
    } else if (this.#deadline === Infinity) this.#startTimer(now);
  }

  /** FORM-11, once. */
  #complain(text) {
    if (text !== this.#complaint) this.note(text);
    this.#complaint = text;
  }

  // ------------------------------------------------------------------------------------------------- elections

  #timeout(now) {
    this.#startTimer(now);
    const { standing } = this;
    if (standing === 'LEARNER' || this.term >= LIMITS.number) return; // a learner never campaigns (FORM-9)
    if (standing === 'LOCKED') this.#seekWiped();
    const list = standing === 'FRESH' ? this.discovered(now) : this.list;
    this.role = 'pre-candidate';
    this.#ask('PRE_VOTE_REQUEST', list, 0);
    this.#count(now, this.me);
  }

  /** FORM-11: a member of the locked list that lost its disk. */
  #seekWiped() {
    for (const { node, store } of this.list) {
      const link = this.links.get(node);
      if (!link || link.store === store) continue;
      const remedy = 'unless some member knows the cluster already, wipe all data directories, for nothing was committed';
      this.#complain(`ERROR ${node} came back with another store after the member list was locked: ${remedy}`);
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
    if (standing === 'FRESH') { // FORM-4
      return formation && members.length === this.size && sameList(members, this.discovered(now));
    }
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

  /** A Raft request; peer is the pair that the connection's hello announced, isMember what that said of it. */
  request(now, peer, m, conn, isMember = true) {
    if (this.list ? !names(this.list, peer) : !isMember) { // before its term is read
      const what = this.list ? 'with this store is not on the member list' : 'said hello as no member';
      return this.fault(conn, 'NOT_A_MEMBER', this.list ? 'FORM-7' : 'FORM-12', `${peer.node} ${what}`);
    }
    const ballot = m.type === 'PRE_VOTE_REQUEST' || m.type === 'VOTE_REQUEST';
    if (ballot && this.standing === 'FRESH' && !this.#fits(now, peer, m)) return; // FORM-12: not answered, its term not read
    if (m.type === 'PRE_VOTE_REQUEST') return this.#answerPreVote(now, peer, m, conn); // changes no term
    if (m.term > this.term) this.#adopt(now, m.term);
    if (m.type === 'VOTE_REQUEST') return this.#answerVote(now, peer, m, conn);
    if (m.term < this.term) return this.#following.refuse(m, conn); // TERM-2, APPEND-1, SNAP-1
    if (this.leader !== null && !same(this.leader, peer)) { // APPEND-10; a leader that stepped down still counts
      this.fault(conn, 'TWO_LEADERS', 'APPEND-10', `${peer.node} leads term ${m.term}, and so does ${this.leader.node}`);
      return this.#following.refuse(m, conn);
    }
    this.#follow(now); // VOTE-7
    this.leader = peer;
    this.#heardLeader = now;
    this.#startTimer(now); // refused ones included (ELECT-2)
    if (m.type === 'APPEND_ENTRIES_REQ') this.#following.append(m, conn);
    else this.#following.install(peer, m, conn);
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

  /** FORM-9: the leader reads how far a learner is, and neither its term nor its acknowledgement counts. */
  #learnerSays(now, peer, m) {
    if (m.request_term === this.term && m.term <= this.term) this.#replication?.answered(now, peer, m, false);
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
