// What does a server do with what its leader sends? Entries and snapshots are taken, or refused.

import { readConfiguration } from './messages.mjs';
import { Assembly } from './snapshots.mjs';
import { least, most, names, sameList } from './state.mjs';

export class Following {
  #assembly = null; // the chunks of a snapshot

  /** core: the server whose log and commit index change, and among whose effects the answers are. */
  constructor(core) {
    this.core = core;
  }

  // --------------------------------------------------------------------------------------------------- entries

  append(m, conn) {
    const { core } = this;
    const { log } = core;
    const { prev_log_index: prev, prev_log_term: prevTerm, entries } = m;
    const end = prev + BigInt(entries.length);
    if (prev >= log.base && log.term(prev) !== prevTerm) { // APPEND-2
      if (prev <= core.commit) return this.#contradiction(m, conn, prev);
      return this.#appended(conn, m, { success: false, match_index: 0n, ...this.#hints(prev) });
    }
    const known = (entry, i) => {
      const index = prev + 1n + BigInt(i);
      return index < log.base || log.term(index) === entry.term; // APPEND-4
    };
    let skip = 0;
    while (skip < entries.length && known(entries[skip], skip)) skip += 1;
    const brought = skip < entries.length;
    if (brought) {
      const from = prev + 1n + BigInt(skip);
      if (from <= core.commit) return this.#contradiction(m, conn, from); // APPEND-6
      if (from === 1n && !this.#belongs(readConfiguration(entries[0].data))) return this.#badFormation(m, conn, 'entry 1');
      core.saveEntries(from, entries.slice(skip)); // APPEND-3
    }
    core.commit = most(core.commit, least(m.leader_commit, end)); // APPEND-5
    if (!brought && core.durableIndex < end && core.stateWrite <= core.durable) { // APPEND-8
      this.#appended(conn, m, { success: true, match_index: core.durableIndex }, 0);
    }
    this.#appended(conn, m, { success: true, match_index: end }); // APPEND-7
  }

  #appended(conn, m, outcome, after) {
    this.core.reply(conn, m, 'APPEND_ENTRIES_RES', outcome, after);
  }

  /** Where the leader may try next (LEADER-5). */
  #hints(prev) {
    const { log } = this.core;
    if (prev > log.last) return { conflict_index: log.last + 1n };
    const term = log.term(prev);
    let first = prev;
    while (first - 1n > log.base && log.term(first - 1n) === term) first -= 1n;
    return { conflict_index: first, conflict_term: term };
  }

  // ------------------------------------------------------------------------------------------------- snapshots

  install(sender, m, conn) {
    const { core } = this;
    const { last_included_index: index, last_included_term: term, size } = m;
    if (!this.#belongs(m)) return this.#badFormation(m, conn, 'the snapshot');
    if (index <= core.commit) return this.#wants(conn, m, size, true); // SNAP-7
    if (!this.#assembly?.continues(sender, m)) this.#assembly = new Assembly(sender, m);
    const { data, wanted, fault } = this.#assembly.take(m, core.verify);
    if (data || fault) this.#assembly = null;
    if (fault) core.fault(conn, 'BAD_SNAPSHOT', 'SNAP-3', fault);
    if (!data) return this.#wants(conn, m, wanted); // SNAP-2
    core.commit = index;
    if (core.log.term(index) !== term) { // else the log has it all and is kept (SNAP-5)
      core.saveSnapshot({ index, term, cluster_id: m.cluster_id, members: m.members }, data);
    }
    this.#wants(conn, m, size, true); // SNAP-4: the gate holds it until it is durable
  }

  #wants(conn, m, offset, installed = false) {
    this.core.reply(conn, m, 'INSTALL_SNAPSHOT_RES', { last_included_index: m.last_included_index, offset, installed });
  }

  // -------------------------------------------------------------------------------------------------- refusals

  /** A refusal tells this server's term (TERM-2). */
  refuse(m, conn) {
    if (m.type === 'APPEND_ENTRIES_REQ') this.#appended(conn, m, { success: false, match_index: 0n });
    else this.#wants(conn, m, 0n);
  }

  #contradiction(m, conn, index) {
    const { commit, log } = this.core;
    const text = `entry ${index} is committed here with term ${log.term(index)}; the commit index is ${commit}`;
    this.core.fault(conn, 'COMMITTED_CONFLICT', 'APPEND-6', text);
    this.refuse(m, conn);
  }

  /** Whether a configuration is for this server, which has or has not a list (FORM-8, FORM-9). */
  #belongs({ cluster_id, members }) {
    const { clusterId, leader, list, me } = this.core;
    if (clusterId !== null && clusterId !== cluster_id) return false;
    if (list) return sameList(members, list);
    return !names(members, me) && members.some(({ node }) => node === me.node) && names(members, leader);
  }

  #badFormation(m, conn, what) {
    const { list, me, standing } = this.core;
    const text = `the member list of ${what} does not fit ${me.node}, which is ${standing}`;
    this.core.fault(conn, 'BAD_FORMATION', list ? 'FORM-8' : 'FORM-9', text);
    this.refuse(m, conn);
  }
}
