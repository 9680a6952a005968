// What can the outside ask a node under test? $echo, $sleep, $kv and $raft of launch.md.

import { createHash } from 'node:crypto';
import { Dict } from './msgpack.mjs';
import { UnhandledMessage } from './actors.mjs';
import { BadRequest, encodeCommand } from './kv.mjs';

const SLEEP_SECONDS_MAX = 3600;

const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

function request(message) {
  if (!(message instanceof Dict)) throw new UnhandledMessage('expected a map with op');
  return message;
}

async function sleep(seconds) {
  const isNumber = typeof seconds === 'bigint' || typeof seconds === 'number';
  if (!isNumber || !(seconds >= 0 && seconds <= SLEEP_SECONDS_MAX)) {
    throw new UnhandledMessage(`expected 0 to ${SLEEP_SECONDS_MAX} seconds`);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(seconds)));
  return seconds;
}

/** A command of the log (KV-1), answered when it is applied (KV-2). */
function kv(node, message) {
  try {
    return node.submit(encodeCommand(request(message)));
  } catch (error) {
    if (error instanceof BadRequest) return node.refusal('bad_request', true, error.message);
    throw error;
  }
}

function raft(node, message) {
  const { core, dictionary, disk } = node;
  const pair = (server) => server && [server.node, Buffer.from(server.store, 'hex')];
  switch (request(message).get('op')) {
    case 'status':
      return {
        node_id: disk.node.node, store_id: Buffer.from(disk.node.store, 'hex'),
        standing: core.standing.toLowerCase(), role: core.role,
        term: core.term, leader: pair(node.leader), voted_for: pair(core.votedFor),
        commit_index: core.commit, last_applied: core.applied, durable_index: core.durableIndex,
        last_log_index: core.log.last, last_log_term: core.log.lastTerm,
        snapshot_index: core.log.base, snapshot_term: core.log.baseTerm,
        cluster_id: core.clusterId && Buffer.from(core.clusterId, 'hex'),
      };
    case 'log': {
      const [from, to] = [message.get('from'), message.get('to')];
      if (typeof from !== 'bigint' || typeof to !== 'bigint') throw new UnhandledMessage('log: from and to must be integers');
      const rows = [];
      const end = to < core.log.last ? to : core.log.last;
      for (let i = from > core.log.base ? from : core.log.base + 1n; i <= end; i += 1n) {
        const { term, kind, data } = core.log.at(i);
        rows.push([i, term, sha256(kind, '\0', data)]);
      }
      return rows;
    }
    case 'digest':
      return { last_applied: core.applied, sha256: sha256(dictionary.encoded()) };
    case 'snapshot':
      return node.compact().then((ok) => ({ ok }));
    default:
      throw new UnhandledMessage('op: expected status, log, digest or snapshot');
  }
}

/** Spawns the actors of a node (KV-1, KV-3). */
export function spawnServices(actors, node) {
  actors.spawn('$echo', (message) => message);
  actors.spawn('$sleep', sleep);
  actors.spawn('$kv', (message) => kv(node, message));
  actors.spawn('$raft', (message) => raft(node, message));
}
