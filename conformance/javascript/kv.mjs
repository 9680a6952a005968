// What is in the replicated dictionary? The state machine behind $kv: commands in, answers out, the same on every node.

import { decode, encode, Dict } from './msgpack.mjs';
import { Fault, LIMITS, U64_MAX } from './protocol.mjs';
import { Registry, readValue } from './values.mjs';

const integer = (v) => typeof v === 'bigint' && v >= -(LIMITS.number + 1n) && v <= U64_MAX;
const numeric = (v) => integer(v) || (typeof v === 'number' && !Number.isNaN(v));
const plain = (v) => v === null || typeof v === 'boolean' || typeof v === 'string' || numeric(v) || v instanceof Uint8Array;
const floats = (...values) => values.every((v) => typeof v === 'number');
const equal = (a, b) => (floats(a, b) ? a === b : encode(a).equals(encode(b))); // 1.0 is not 1, but -0.0 is 0.0
const NOTHING = new Registry(); // no command holds a dataclass or an enum

/** The fields of each request beside op and key, and what they may be. */
const OPS = {
  put: { value: plain },
  get: {},
  cas: { expect: plain, value: plain },
  incr: { value: numeric },
  append: { value: (v) => typeof v === 'string' },
  delete: {},
};

export class BadRequest extends Error {}

/** Other nodes would make something else of this, or nothing: who must have it can go on no more (KV-4). */
export class Unreadable extends Error {}

/** Checks a $kv request, a Dict, and gives the command's bytes: the map of its own fields, in the order of the table. */
export function encodeCommand(request) {
  const op = request.get('op');
  const fields = typeof op === 'string' && Object.hasOwn(OPS, op) ? OPS[op] : null;
  if (!fields) throw new BadRequest(`op: expected ${Object.keys(OPS).join(', ')}`);
  const key = request.get('key');
  if (typeof key !== 'string') throw new BadRequest(`${op}: key must be a str`);
  const command = { op, key };
  for (const [name, fits] of Object.entries(fields)) {
    if (!request.has(name) || !fits(request.get(name))) throw new BadRequest(`${op}: ${name} is missing or of the wrong kind`);
    command[name] = request.get(name);
  }
  return Buffer.from(encode(command));
}

export class Dictionary {
  #values = new Map();

  /** Applies a command's bytes and returns the answer's value; throws BadRequest where it has no effect. */
  apply(data) {
    const request = Dictionary.#request(data);
    encodeCommand(request); // another implementation may have written it
    const [op, key, value] = ['op', 'key', 'value'].map((name) => request.get(name));
    const present = this.#values.get(key) ?? null;
    switch (op) {
      case 'put':
        this.#values.set(key, value);
        return null;
      case 'get':
        return present;
      case 'cas':
        if (!equal(present, request.get('expect'))) return false;
        this.#values.set(key, value);
        return true;
      case 'incr': {
        const old = present ?? 0n;
        if (!numeric(old)) throw new BadRequest(`${key} holds no number`);
        const sum = integer(old) && integer(value) ? old + value : Number(old) + Number(value);
        if (!numeric(sum)) throw new BadRequest(`${sum} is no value`);
        this.#values.set(key, sum);
        return sum;
      }
      case 'append': {
        const old = present ?? '';
        if (typeof old !== 'string') throw new BadRequest(`${key} holds no str`);
        this.#values.set(key, old + value);
        return BigInt([...(old + value)].length); // in code points
      }
      default:
        return this.#values.delete(key);
    }
  }

  /** All pairs, sorted by the bytes of their keys: what the digest is over, and what a snapshot holds. */
  encoded() {
    const pairs = [...this.#values].map(([key, value]) => [Buffer.from(key), key, value]);
    pairs.sort((a, b) => Buffer.compare(a[0], b[0]));
    return Buffer.from(encode(pairs.map(([, key, value]) => [key, value])));
  }

  /** The map of a command's data. A value that is none has no effect; what is no value of VALUE-1 is Unreadable. */
  static #request(data) {
    let value;
    try {
      value = readValue(decode(data, { valueField: '*' }), NOTHING);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      if (fault.code === 'UNKNOWN_TYPE') throw new BadRequest(fault.message);
      throw new Unreadable(`a command of $kv that is no value: ${fault.message}`);
    }
    if (!(value instanceof Dict)) throw new BadRequest('a command that is no map');
    return value;
  }

  /** The dictionary of a snapshot; throws Unreadable where it is not in its one form (KV-5). */
  static of(data) {
    const dictionary = new Dictionary();
    try {
      const pairs = decode(data);
      const isPair = (p) => Array.isArray(p) && p.length === 2 && typeof p[0] === 'string' && plain(p[1]);
      if (!Array.isArray(pairs) || !pairs.every(isPair)) throw new Error('no array of [key, value]');
      dictionary.#values = new Map(pairs);
      if (!dictionary.encoded().equals(data)) throw new Error('not sorted, or not in the shortest form');
    } catch (error) {
      throw new Unreadable(`a snapshot that is none of $kv: ${error.message}`);
    }
    return dictionary;
  }
}
