// How do bytes become values, and values bytes? A msgpack codec that keeps every kind apart.
//
//   nil null · bool boolean · integer BigInt · float number · str string · bin Buffer · array Array
//   map Dict · extension value Ext
//
// An integer is always a BigInt and a float always a number, so 1.0 is never 1 and 2^63-1 is exact.

import { isUtf8 } from 'node:buffer';
import { Fault, LIMITS } from './protocol.mjs';

/** A map with keys of any kind, in the order of the wire. A JavaScript Map would confuse -0.0 with 0.0. */
export class Dict {
  constructor(pairs = []) {
    this.pairs = pairs;
  }

  get(key) {
    return this.pairs.find(([k]) => k === key)?.[1];
  }

  has(key) {
    return this.pairs.some(([k]) => k === key);
  }
}

/** An extension value: raw as it came (body a Buffer, at a depth), or to be encoded (body any value). */
export class Ext {
  constructor(code, body, depth = 0) {
    Object.assign(this, { code, body, depth });
  }
}

const broken = (text, rule) => new Fault('BAD_PAYLOAD', rule, text, 'msgpack');

/** The payload is nested deeper than depth_max (PAYLOAD-6). */
export class TooDeep extends Fault {
  constructor(where) {
    super('BAD_PAYLOAD', 'PAYLOAD-6', `nested deeper than ${LIMITS.depth} levels ${where}`, 'msgpack');
  }
}

/** Whether the body of an extension value of the table is msgpack itself: all but uuid and bigint. */
export const holdsMsgpack = (code) => code >= 1 && code <= 14 && code !== 12 && code !== 13;

class Decoder {
  constructor(bytes, valueField) {
    this.bytes = bytes;
    this.at = 0;
    this.valueField = valueField;
    this.anyKeys = this.users = valueField === '*';
  }

  /** Whether what follows is a user's value: values.mjs judges its keys and opens its extension values. */
  user(is) {
    this.anyKeys = this.users = is;
  }

  /** Moves over n bytes that must be there: nothing is reserved for what is only announced (PAYLOAD-6). */
  take(n) {
    const from = this.at;
    if (n > this.bytes.length - from) {
      throw broken(`${n} bytes announced at ${from}, ${this.bytes.length - from} there`, 'PAYLOAD-6');
    }
    this.at += n;
    return from;
  }

  level(depth) {
    if (depth >= LIMITS.depth) throw new TooDeep(`at byte ${this.at}`);
    return depth + 1;
  }

  value(depth) {
    const b = this.bytes;
    const head = b[this.take(1)];
    if (head < 0x80) return BigInt(head);
    if (head < 0x90) return this.map(head & 0x0f, depth);
    if (head < 0xa0) return this.array(head & 0x0f, depth);
    if (head < 0xc0) return this.str(head & 0x1f);
    if (head >= 0xe0) return BigInt(head - 0x100);
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bin(this.length(1));
      case 0xc5: return this.bin(this.length(2));
      case 0xc6: return this.bin(this.length(4));
      case 0xc7: return this.ext(this.length(1), depth);
      case 0xc8: return this.ext(this.length(2), depth);
      case 0xc9: return this.ext(this.length(4), depth);
      case 0xca: return b.readFloatBE(this.take(4));
      case 0xcb: return b.readDoubleBE(this.take(8));
      case 0xcc: return BigInt(b.readUInt8(this.take(1)));
      case 0xcd: return BigInt(b.readUInt16BE(this.take(2)));
      case 0xce: return BigInt(b.readUInt32BE(this.take(4)));
      case 0xcf: return b.readBigUInt64BE(this.take(8));
      case 0xd0: return BigInt(b.readInt8(this.take(1)));
      case 0xd1: return BigInt(b.readInt16BE(this.take(2)));
      case 0xd2: return BigInt(b.readInt32BE(this.take(4)));
      case 0xd3: return b.readBigInt64BE(this.take(8));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.ext(1 << (head - 0xd4), depth);
      case 0xd9: return this.str(this.length(1));
      case 0xda: return this.str(this.length(2));
      case 0xdb: return this.str(this.length(4));
      case 0xdc: return this.array(this.length(2), depth);
      case 0xdd: return this.array(this.length(4), depth);
      case 0xde: return this.map(this.length(2), depth);
      case 0xdf: return this.map(this.length(4), depth);
      default: throw broken(`byte 0x${head.toString(16)} at ${this.at - 1} begins no value`, 'FRAME-5');
    }
  }

  length(width) {
    return this.bytes.readUIntBE(this.take(width), width);
  }

  str(n) {
    const part = this.bytes.subarray(this.take(n), this.at);
    if (!isUtf8(part)) throw broken(`a str that is not UTF-8 ends at byte ${this.at}`, 'PAYLOAD-4');
    return part.toString('utf8');
  }

  bin(n) {
    return this.bytes.subarray(this.take(n), this.at);
  }

  ext(n, depth) {
    const level = this.level(depth);
    const code = this.bytes.readInt8(this.take(1));
    const body = this.bin(n);
    if (!this.users && holdsMsgpack(code)) this.levelsOf(body, level);
    return new Ext(code, body, level);
  }

  /** The levels in a body count wherever it stands (PAYLOAD-6); outside of a user's value nothing else in it matters. */
  levelsOf(body, depth) {
    const inside = new Decoder(body);
    inside.anyKeys = true;
    try {
      inside.value(depth);
    } catch (fault) {
      if (fault instanceof TooDeep) throw fault;
    }
  }

  array(n, depth) {
    const level = this.level(depth);
    const items = []; // grows with what arrives, whatever n says
    for (let i = 0; i < n; i++) items.push(this.value(level));
    return items;
  }

  map(n, depth) {
    const level = this.level(depth);
    const pairs = [];
    for (let i = 0; i < n; i++) {
      const key = this.value(level);
      if (!this.anyKeys && (Array.isArray(key) || key instanceof Dict)) throw broken('an array or a map as a key', 'PAYLOAD-1');
      if (depth > 0 || key !== this.valueField) pairs.push([key, this.value(level)]);
      else pairs.push([key, this.valueOfUser(level, pairs)]);
    }
    return new Dict(pairs);
  }

  /** The field with a user's value. If that is too deep, the fault tells which fields came `before` it. */
  valueOfUser(level, before) {
    this.user(true);
    try {
      return this.value(level);
    } catch (fault) {
      throw fault instanceof TooDeep ? Object.assign(fault, { before: new Dict(before) }) : fault;
    } finally {
      this.user(false);
    }
  }
}

/**
 * The one value that bytes hold (FRAME-5). `depth` counts the levels around it. `valueField` names the field whose
 * value is a user's ('*': the whole), where unsuitable keys are left to values.mjs. Throws a Fault, stage msgpack.
 */
export function decode(bytes, { depth = 0, valueField = null } = {}) {
  const decoder = new Decoder(bytes, valueField);
  const value = decoder.value(depth);
  if (decoder.at !== bytes.length) throw broken(`${bytes.length - decoder.at} bytes after the value`, 'FRAME-5');
  return value;
}

// --------------------------------------------------------------------------------------------------- encoding

class Encoder {
  constructor() {
    this.buffer = Buffer.allocUnsafe(256);
    this.at = 0;
  }

  room(n) {
    if (this.at + n > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + n));
      this.buffer.copy(larger, 0, 0, this.at);
      this.buffer = larger;
    }
    const from = this.at;
    this.at += n;
    return from;
  }

  byte(value) {
    const at = this.room(1); // room() may replace the buffer, so it comes first
    this.buffer[at] = value;
  }

  /** A head byte and an unsigned length of `width` bytes. */
  head(first, n, width) {
    const at = this.room(1 + width);
    this.buffer[at] = first;
    this.buffer.writeUIntBE(n, at + 1, width);
  }

  raw(bytes) {
    const at = this.room(bytes.length);
    this.buffer.set(bytes, at);
  }

  sized(n, forms) {
    for (const [below, first, width] of forms) {
      if (n < below) return width ? this.head(first, n, width) : this.byte(first | n);
    }
    throw new RangeError(`a value of ${n} elements or bytes`);
  }

  integer(value) {
    if (value >= 0n) {
      if (value < 0x80n) return this.byte(Number(value));
      if (value <= 0xffffffffn) {
        return this.sized(Number(value), [[0x100, 0xcc, 1], [0x10000, 0xcd, 2], [0x100000000, 0xce, 4]]);
      }
      if (value > 0xffffffffffffffffn) throw new RangeError(`${value} is beyond 2^64-1`);
      const at = this.room(9);
      this.buffer[at] = 0xcf;
      return void this.buffer.writeBigUInt64BE(value, at + 1);
    }
    if (value >= -0x20n) return this.byte(Number(value) & 0xff);
    if (value < -(2n ** 63n)) throw new RangeError(`${value} is below -2^63`);
    const forms = [[0x80n, 0xd0, 1], [0x8000n, 0xd1, 2], [0x80000000n, 0xd2, 4], [2n ** 63n, 0xd3, 8]];
    const [, first, width] = forms.find(([below]) => value >= -below);
    const at = this.room(1 + width);
    this.buffer[at] = first;
    if (width === 8) this.buffer.writeBigInt64BE(value, at + 1);
    else this.buffer.writeIntBE(Number(value), at + 1, width);
  }

  pairs(pairs) {
    this.sized(pairs.length, [[16, 0x80, 0], [0x10000, 0xde, 2], [0x100000000, 0xdf, 4]]);
    for (const [key, value] of pairs) {
      this.value(key);
      this.value(value);
    }
  }

  value(value) {
    if (value === null) return this.byte(0xc0);
    switch (typeof value) {
      case 'boolean': return this.byte(value ? 0xc3 : 0xc2);
      case 'bigint': return this.integer(value);
      case 'number': {
        const at = this.room(9);
        this.buffer[at] = 0xcb;
        return void this.buffer.writeDoubleBE(value, at + 1);
      }
      case 'string': {
        if (!value.isWellFormed()) throw new TypeError('a str with half a surrogate pair has no UTF-8');
        const bytes = Buffer.from(value, 'utf8');
        this.sized(bytes.length, [[32, 0xa0, 0], [0x100, 0xd9, 1], [0x10000, 0xda, 2], [0x100000000, 0xdb, 4]]);
        return this.raw(bytes);
      }
      case 'object': break;
      default: throw new TypeError(`cannot encode a ${typeof value}`);
    }
    if (value instanceof Uint8Array) {
      this.sized(value.length, [[0x100, 0xc4, 1], [0x10000, 0xc5, 2], [0x100000000, 0xc6, 4]]);
      return this.raw(value);
    }
    if (Array.isArray(value)) {
      this.sized(value.length, [[16, 0x90, 0], [0x10000, 0xdc, 2], [0x100000000, 0xdd, 4]]);
      for (const item of value) this.value(item);
      return;
    }
    if (value instanceof Ext) {
      const body = value.body instanceof Uint8Array ? value.body : encode(value.body);
      const fixed = [1, 2, 4, 8, 16].indexOf(body.length);
      if (fixed >= 0) this.byte(0xd4 + fixed);
      else this.sized(body.length, [[0x100, 0xc7, 1], [0x10000, 0xc8, 2], [0x100000000, 0xc9, 4]]);
      this.byte(value.code & 0xff);
      return this.raw(body);
    }
    this.pairs(value instanceof Dict ? value.pairs : Object.entries(value).filter(([, field]) => field !== undefined));
  }
}

/** The shortest bytes of a value (PAYLOAD-7). A plain object is a map with str keys; undefined fields are left out. */
export function encode(value) {
  const encoder = new Encoder();
  encoder.value(value);
  return encoder.buffer.subarray(0, encoder.at);
}
