// What do the payloads say? Fields and their kinds, as in the tables of wire.md, and what they may not say.

import { decode, encode, Dict, TooDeep } from './msgpack.mjs';
import { Fault, LIMITS, U64_MAX, isNodeId, parseAddress } from './protocol.mjs';
import { encodeFrame } from './frames.mjs';

function describe(value) {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nil';
  return typeof value === 'object' ? value.constructor.name : `${typeof value} ${String(value).slice(0, 40)}`;
}

const bad = (where, expected, value, rule) => {
  throw new Fault('BAD_PAYLOAD', rule, `${where}: expected ${expected}, got ${describe(value)}`, 'schema');
};

// A kind reads a decoded msgpack value into what the rest of the node uses, or throws. 16-byte ids become hex strings,
// so that they compare with ===; `write` turns them back.
const integer = (max, name) => ({
  read: (v, where) => (typeof v === 'bigint' && v >= 0n && v <= max ? v : bad(where, name, v, 'PAYLOAD-3')), // PAYLOAD-3
});
const u63 = integer(LIMITS.number, 'u63');
const u64 = integer(U64_MAX, 'u64');
const bool = { read: (v, where) => (typeof v === 'boolean' ? v : bad(where, 'a bool', v, 'PAYLOAD-2')) };
const str = { read: (v, where) => (typeof v === 'string' ? v : bad(where, 'a str', v, 'PAYLOAD-4')) };
const bin = { read: (v, where) => (v instanceof Uint8Array ? v : bad(where, 'a bin', v, 'PAYLOAD-4')) }; // PAYLOAD-4
const bin16 = {
  read(v, where) {
    return v instanceof Uint8Array && v.length === 16 ? v.toString('hex') : bad(where, 'a bin of 16 bytes', v, 'PAYLOAD-4');
  },
  write: (v) => Buffer.from(v, 'hex'),
};
const value = { read: (v) => v };
const oneOf = (...names) => ({ read: (v, where) => (names.includes(v) ? v : bad(where, names.join(' or '), v, 'PAYLOAD-2')) });
const optional = (kind) => ({ ...kind, optional: true });
const list = (kind) => ({
  read(v, where) {
    if (!Array.isArray(v)) bad(where, 'an array', v, 'PAYLOAD-2');
    return v.map((item, i) => kind.read(item, `${where}[${i}]`));
  },
  write: (v) => v.map(kind.write ?? ((item) => item)),
});
const struct = (fields) => ({ read: (v, where) => readFields(v, fields, where), write: (v) => writeFields(v, fields) });
const written = (kind, v) => (kind.write ? kind.write(v) : v);
const pair = (first, one, second, other) => ({
  read(v, where) {
    if (!Array.isArray(v) || v.length !== 2) bad(where, `[${first}, ${second}]`, v, 'PAYLOAD-2');
    return { [first]: one.read(v[0], where), [second]: other.read(v[1], where) };
  },
  write: (v) => [written(one, v[first]), written(other, v[second])],
});

/** {node, store}: a server. Its store is 32 hex digits. */
export const server = pair('node', str, 'store', bin16);
const peer = pair('node', str, 'address', str);
/** {id, revision}: a start of a process on a data directory. */
export const boot = pair('id', bin16, 'revision', u63);
const entry = struct({ term: u63, kind: oneOf('members', 'noop', 'command'), data: bin });
const configuration = struct({ cluster_id: bin16, members: list(server) });

const ballot = { term: u63, seq: u64, last_log_index: u63, last_log_term: u63, formation: bool, members: list(server) };
const ballotAnswer = { term: u63, request_term: u63, seq: u64, vote_granted: bool };

const HELLO = {
  version: u64, cluster: str, cluster_id: optional(bin16), store_id: bin16, boot_id: bin16,
  lane: oneOf('raft', 'actor', 'all'), address: str, expected_size: u63, member: optional(bool),
  revision: optional(u63), boots: optional(list(boot)),
};

/** Number, name and fields of each type; `user` names the field with a user's value ('*': the whole payload). */
const TYPES = [
  [1, 'ACTOR_MSG', null, '*'],
  [2, 'LOOKUP_REQ', { id: u64 }],
  [3, 'LOOKUP_RES', { id: u64, found: bool, actor_class: optional(str) }],
  [4, 'PEER_LIST', { peers: list(peer), revision: optional(u63) }],
  [5, 'ASK_REQ', { id: u64, timeout_ms: optional(u63), message: value }, 'message'],
  [6, 'ASK_RES', {
    id: u64, value: optional(value), code: optional(str), error_type: optional(str), text: optional(str),
  }, 'value'],
  [7, 'VOTE_REQUEST', ballot],
  [8, 'VOTE_RESPONSE', ballotAnswer],
  [9, 'HEARTBEAT', null],
  [12, 'APPEND_ENTRIES_REQ', {
    term: u63, seq: u64, prev_log_index: u63, prev_log_term: u63, entries: list(entry), leader_commit: u63,
  }],
  [13, 'APPEND_ENTRIES_RES', {
    term: u63, request_term: u63, seq: u64, success: bool, match_index: u63,
    conflict_index: optional(u63), conflict_term: optional(u63),
  }],
  [14, 'INSTALL_SNAPSHOT_REQ', {
    term: u63, seq: u64, last_included_index: u63, last_included_term: u63, cluster_id: bin16, members: list(server),
    size: u63, checksum: u63, offset: u63, data: bin, done: bool,
  }],
  [15, 'INSTALL_SNAPSHOT_RES', {
    term: u63, request_term: u63, seq: u64, last_included_index: u63, offset: u63, installed: bool,
  }],
  [16, 'ERROR', { code: str, rule: str, text: str }],
  [17, 'PING', { id: u64, pong: bool }],
  [18, 'PRE_VOTE_REQUEST', ballot],
  [19, 'PRE_VOTE_RESPONSE', ballotAnswer],
].map(([id, name, fields, user = null]) => ({ id, name, fields, user }));

export const TYPE_BY_ID = new Map(TYPES.map((type) => [type.id, type]));
export const TYPE_BY_NAME = new Map(TYPES.map((type) => [type.name, type]));
export const RAFT_REQUESTS = new Set(['VOTE_REQUEST', 'PRE_VOTE_REQUEST', 'APPEND_ENTRIES_REQ', 'INSTALL_SNAPSHOT_REQ']);
export const RAFT_RESPONSES = new Set(['VOTE_RESPONSE', 'PRE_VOTE_RESPONSE', 'APPEND_ENTRIES_RES', 'INSTALL_SNAPSHOT_RES']);
/** Whether the frame's name is its sender's (HELLO-8): peer lists and all of Raft. */
export const namesSender = ({ name }) => name === 'PEER_LIST' || RAFT_REQUESTS.has(name) || RAFT_RESPONSES.has(name);

function readFields(map, fields, where) {
  if (!(map instanceof Dict)) bad(where, 'a map', map, 'PAYLOAD-1');
  const known = new Map();
  for (const [key, v] of map.pairs) {
    if (typeof key !== 'string') bad(where, 'str keys', key, 'PAYLOAD-1');
    known.set(key, v);
  }
  const result = {};
  for (const [name, kind] of Object.entries(fields)) {
    if (known.has(name)) result[name] = kind.read(known.get(name), `${where}.${name}`);
    else if (!kind.optional) bad(`${where}.${name}`, 'a value', undefined, 'PAYLOAD-2'); // PAYLOAD-2
  }
  return result; // what else the map holds is nobody's business (PAYLOAD-1)
}

function writeFields(message, fields) {
  const result = {};
  for (const [name, kind] of Object.entries(fields)) {
    if (message[name] !== undefined) result[name] = kind.write ? kind.write(message[name]) : message[name];
  }
  return result;
}

// ------------------------------------------------------------------------------------------ what fields may say

const senseless = (rule, text) => {
  throw new Fault('BAD_PAYLOAD', rule, text);
};

/** PAYLOAD-3: sorted by the bytes of the node ids, ids distinct, 1 to members_max. Ids are ASCII, so < compares bytes. */
function checkMembers(members) {
  if (members.length < 1 || members.length > LIMITS.members) {
    senseless('PAYLOAD-3', `a list of ${members.length} members; expected 1 to ${LIMITS.members}`);
  }
  members.forEach(({ node }, i) => {
    if (!isNodeId(node)) senseless('PAYLOAD-3', 'a member whose node id no node can have');
    if (i > 0 && members[i - 1].node >= node) senseless('PAYLOAD-3', `members not sorted or not distinct at ${node}`);
  });
}

function checkEntries({ term, prev_log_index: prev, prev_log_term: prevTerm, entries }) {
  if (prev === 0n && prevTerm !== 0n) senseless('APPEND-9', `prev_log_term ${prevTerm} at index 0`);
  let before = prevTerm;
  entries.forEach((e, i) => {
    const index = prev + 1n + BigInt(i);
    if (e.term < before || e.term > term) {
      senseless('APPEND-9', `entry ${index} of term ${e.term} after one of ${before} in a request of ${term}`);
    }
    before = e.term;
    if ((e.kind === 'members') !== (index === 1n)) { // FORM-8
      senseless('FORM-8', `an entry of kind ${e.kind} at index ${index}`);
    }
    if (e.kind === 'members') readConfiguration(e.data);
    if (e.kind === 'noop' && e.data.length) senseless('FORM-8', `a noop with data at index ${index}`);
  });
}

const CHECKS = {
  VOTE_REQUEST: (m) => checkMembers(m.members),
  PRE_VOTE_REQUEST: (m) => checkMembers(m.members),
  APPEND_ENTRIES_REQ: checkEntries,
  INSTALL_SNAPSHOT_REQ(m) {
    checkMembers(m.members);
    if (m.last_included_index === 0n) senseless('SNAP-11', 'a snapshot of nothing: last_included_index 0');
    if (m.data.length > LIMITS.chunkBytes) {
      senseless('SNAP-11', `a chunk of ${m.data.length} bytes; the limit is ${LIMITS.chunkBytes}`);
    }
    if (m.last_included_term > m.term) { // SNAP-10
      senseless('SNAP-10', `a snapshot of term ${m.last_included_term} in a request of ${m.term}`);
    }
  },
  ASK_RES(m) {
    if (('value' in m) === ('code' in m)) senseless('PAYLOAD-2', 'ASK_RES: expected either value or code');
  },
};

/** What entry 1 holds: {cluster_id, members}. Throws a Fault (FORM-8). */
export function readConfiguration(data) {
  try {
    const read = configuration.read(decode(data), 'configuration');
    checkMembers(read.members);
    return read;
  } catch (fault) {
    return senseless('FORM-8', `the data of entry 1: ${fault.message}`);
  }
}

export const writeConfiguration = (config) => Buffer.from(encode(configuration.write(config)));

// -------------------------------------------------------------------------------------------------- whole frames

/** The message of a frame after the hello: {type, ...fields}, for ACTOR_MSG {type, message}. Throws a Fault. */
export function readMessage({ type: id, payload }) {
  const type = TYPE_BY_ID.get(id);
  if (!type) throw new Fault('UNKNOWN_FRAME_TYPE', 'FRAME-6', `type ${id} is unknown`, 'frame');
  if (type.name === 'HEARTBEAT') return { type: type.name }; // FRAME-7: whatever it holds
  let root;
  try {
    root = decode(payload, { valueField: type.user });
  } catch (fault) {
    throw type.name === 'ASK_REQ' && fault instanceof TooDeep ? tooDeepToAsk(fault) : fault;
  }
  if (type.name === 'ACTOR_MSG') return { type: type.name, message: root };
  const message = { type: type.name, ...readFields(root, type.fields, type.name) };
  CHECKS[type.name]?.(message);
  return message;
}

/** MSG-3: an ask that only its message spoils has an asker, whose `ask` is its id where that came before the message. */
function tooDeepToAsk(fault) {
  try {
    fault.ask = readFields(fault.before, { id: u64, timeout_ms: optional(u63) }, 'ASK_REQ').id;
  } catch {
    // nobody can be told
  }
  return fault;
}

/** The hello of a stranger, checked as far as it can be without knowing who I am (cluster.md, steps 1 to 3). */
export function readHello({ type, name, payload }) {
  if (type !== 4) throw new Fault('HELLO_EXPECTED', 'HELLO-1', `type ${type} came before the hello`, 'schema');
  const root = decode(payload);
  if (!(root instanceof Dict)) bad('hello', 'a map', root, 'PAYLOAD-1');
  const version = u64.read(root.get('version'), 'hello.version');
  if (version !== 1n) throw new Fault('VERSION_MISMATCH', 'HELLO-4', `version ${version}; expected 1`);
  const hello = readFields(root, HELLO, 'hello');
  if (!isNodeId(name)) senseless('HELLO-5', 'the frame name of a hello must be a node id');
  if (!parseAddress(hello.address)) senseless('HELLO-5', 'hello.address: expected host:port or [v6]:port');
  if (hello.expected_size === 0n) senseless('HELLO-5', 'hello.expected_size: expected 1 or more, got 0');
  return { ...hello, node: name, member: hello.member ?? true };
}

/** The bytes of a frame. `fields` has the names of the tables; integers are BigInt. */
export function writeMessage(type, name, fields) {
  const { id, fields: kinds } = TYPE_BY_NAME.get(type);
  return encodeFrame(id, name, encode(kinds ? writeFields(fields, kinds) : fields));
}

export const writeHello = (node, fields) => encodeFrame(4, node, encode(writeFields(fields, HELLO)));
