// What is in the replicated dictionary? The state machine behind $kv: commands in, answers out, the same on every node.

import { decode, encode, Dict } from './msgpack.mjs';
import { LIMITS, U64_MAX } from './protocol.mjs';

const plain = (v) => v === null || ['boolean', 'bigint', 'number', 'string'].includes(typeof v) || v instanceof Uint8Array;
const numeric = (v) => typeof v === 'bigint' || typeof v === 'number';
const equal = (a, b) => encode(a).equals(encode(b)); // in value and in kind: 1 is not 1.0, true is not 1
const inRange = (n) => typeof n !== 'bigint' || (n >= -(LIMITS.number + 1n) && n <= U64_MAX);

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
    let request;
    try {
      request = decode(data);
    } catch {
      throw new BadRequest('a command that cannot be read');
    }
    if (!(request instanceof Dict)) throw new BadRequest('a command that is no map');
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
        const old = this.#values.has(key) ? present : 0n;
        if (!numeric(old)) throw new BadRequest(`${key} holds no number`);
        const sum = typeof old === 'bigint' && typeof value === 'bigint' ? old + value : Number(old) + Number(value);
        if (!inRange(sum)) throw new BadRequest('the sum is beyond 64 bits');
        this.#values.set(key, sum);
        return sum;
      }
      case 'append': {
        const old = this.#values.has(key) ? present : '';
        if (typeof old !== 'string') throw new BadRequest(`${key} holds no str`);
        this.#values.set(key, old + value);
        return BigInt([...(old + value)].length); // in characters of Unicode
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

  static #read(data) {
    const pairs = decode(data);
    const isPair = (p) => Array.isArray(p) && p.length === 2 && typeof p[0] === 'string' && plain(p[1]);
    if (!Array.isArray(pairs) || !pairs.every(isPair)) throw new Error('no list of [key, value]');
    return pairs;
  }

  static readable(data) {
    try {
      Dictionary.#read(data);
      return true;
    } catch {
      return false;
    }
  }

  restore(data) {
    this.#values = new Map(Dictionary.#read(data));
  }
}
