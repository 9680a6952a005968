// Which user values are admitted, and are they in their one form? The extension values of messaging.md.
//
// A decoded value is made of what msgpack.mjs gives, with each Ext holding its decoded body. Nothing is loaded or
// constructed for a peer: types are records that this node's own code has registered (VALUE-2).

import { decode, encode, holdsMsgpack, Dict, Ext, TooDeep } from './msgpack.mjs';
import { Fault, isNodeId } from './protocol.mjs';

const bad = (text) => {
  throw new Fault('BAD_MESSAGE', 'VALUE-4', text);
};
const shape = (holds, text) => holds || bad(text);
const isPair = (v) => Array.isArray(v) && v.length === 2;
const whole = (v, low, high) => typeof v === 'bigint' && v >= low && v <= high;

/** The names of dataclasses and enums that this node admits. */
export class Registry {
  #types = new Map();

  /** fields: name to default, undefined where there is none; check may throw. */
  dataclass(name, fields, check = () => {}) {
    this.#types.set(name, { kind: 'dataclass', fields: new Map(Object.entries(fields)), check });
  }

  enumeration(name, values, { flags = false } = {}) {
    const all = flags ? values.reduce((sum, v) => sum | v, 0n) : null;
    this.#types.set(name, { kind: 'enum', values: new Set(values.map(identity)), all });
  }

  find(name, kind) {
    const type = this.#types.get(name);
    if (!type) { // VALUE-2
      throw new Fault('UNKNOWN_TYPE', 'VALUE-2', `type '${name.slice(0, 100)}' is not admitted; register it`);
    }
    if (type.kind !== kind) bad(`${name} is no ${kind}`);
    return type;
  }
}

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIME = /^(\d\d):(\d\d):(\d\d)\.\d{6}([+-]\d\d:\d\d(?::\d\d(?:\.\d{6})?)?)?$/;
const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:E([+-]\d{1,18}))?$/;
const NO_NUMBER = /^-?(?:Infinity|s?NaN(?:[1-9]\d*)?)$/;

function checkDate(text) {
  const [, year, month, day] = (DATE.exec(text) ?? bad('a date that is not YYYY-MM-DD')).map(Number);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
  shape(year >= 1 && day >= 1 && day <= days, 'a day that never was');
}

/** VALUE-7: to-scientific-string of the General Decimal Arithmetic Specification, which gives each decimal one form. */
function checkDecimal(text) {
  if (NO_NUMBER.test(text)) return;
  const [, whole, part = '', power = '0'] = NUMBER.exec(text) ?? bad('no decimal');
  const digits = (whole + part).replace(/^0+(?=\d)/, '');
  const exponent = BigInt(power) - BigInt(part.length);
  const adjusted = exponent + BigInt(digits.length - 1);
  let form = digits;
  if (exponent <= 0n && adjusted >= -6n) {
    const point = Number(-exponent);
    const padded = digits.padStart(point + 1, '0');
    if (point > 0) form = `${padded.slice(0, -point)}.${padded.slice(-point)}`;
  } else {
    form = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    form += `E${adjusted < 0n ? '' : '+'}${adjusted}`;
  }
  shape(text.replace(/^-/, '') === form, `a decimal that is written ${form.slice(0, 40)}`);
}

/** Returns whether the time has an offset. */
function checkTime(text) {
  const [, hour, minute, second, offset] = TIME.exec(text) ?? bad('a time that is not HH:MM:SS.ffffff');
  shape(Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60, 'a time that never is');
  if (!offset) return false;
  const [hours, minutes, seconds = '0'] = offset.slice(1).split(':');
  shape(Number(hours) < 24 && Number(minutes) < 60 && Number(seconds) < 60, 'an offset of a day or more');
  shape(!/:00$/.test(offset.slice(6)) && !/\.000000$/.test(offset), 'an offset with seconds that are zero');
  shape(!/^-[0:.]+$/.test(offset), 'an offset of minus zero; UTC is +00:00');
  return true;
}

function checkZone(zone) {
  shape(typeof zone === 'string' && /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+)*$/.test(zone), 'a zone that is no IANA key');
  let known;
  try {
    known = new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    bad(`the zone ${zone} is not known here`);
  }
  // Intl does not mind capitals. What it knows under another name is an alias, of which it does not tell the spelling.
  shape(known === zone || known.toLowerCase() !== zone.toLowerCase(), `the zone ${zone} is spelt ${known}`);
}

function checkMoment(body, text) {
  shape(Array.isArray(body) && body.length === 3 && typeof body[0] === 'string', 'expected [text, fold, zone]');
  const offset = text(body[0]);
  shape(whole(body[1], 0n, 1n), 'fold is 0 or 1');
  if (body[2] === null) return;
  shape(!offset, 'an offset beside a zone');
  checkZone(body[2]);
}

/** Whether a value may be a key or an element: no array, map or set, and nothing that contains one. */
function fixed(v) {
  if (Array.isArray(v) || v instanceof Dict) return false;
  if (!(v instanceof Ext)) return true;
  if (v.code === 1) return v.body[1].pairs.every(([, field]) => fixed(field));
  if (v.code === 3) return v.body.every(fixed);
  return v.code !== 4;
}

/** Equal for equal values of the same kind; sets are equal in any order. */
export function identity(v) {
  if (v instanceof Ext && (v.code === 4 || v.code === 5)) return `${v.code}{${v.body.map(identity).sort().join()}}`;
  if (v instanceof Ext && Array.isArray(v.body)) return `${v.code}(${v.body.map(identity).join()})`;
  return encode(v).toString('hex');
}

const bigint = (body) => BigInt.asIntN(body.length * 8, body.length ? BigInt(`0x${body.toString('hex')}`) : 0n);

/** VALUE-6: as keys and elements, what is equal as a number or a boolean is one, and NaN is equal to itself. */
function sameness(v) {
  if (typeof v === 'boolean' || typeof v === 'bigint' || Number.isInteger(v)) return `number ${BigInt(v)}`;
  if (typeof v === 'number') return `number ${v}`;
  if (v instanceof Ext && v.code === 13) return `number ${bigint(v.body)}`;
  return identity(v);
}

function distinct(values, what) {
  shape(values.every(fixed), `${what} that is an array, a map or a set`); // VALUE-1
  shape(new Set(values.map(sameness)).size === values.length, `${what} twice`);
}

/** Each takes the decoded body and the registry, and gives the body as this node understands it. */
const BODIES = {
  1(body, registry) {
    shape(isPair(body) && typeof body[0] === 'string' && body[1] instanceof Dict, 'a dataclass is [type, fields]');
    shape(body[1].pairs.every(([key]) => typeof key === 'string'), 'field names are str');
    const [name, given] = body;
    const type = registry.find(name, 'dataclass');
    const fields = [];
    for (const [field, byDefault] of type.fields) { // unknown fields are ignored (VALUE-3)
      const v = given.has(field) ? given.get(field) : byDefault;
      if (v === undefined) throw new Fault('BAD_MESSAGE', 'VALUE-3', `${name} lacks its field '${field}'`);
      fields.push([field, v]);
    }
    try {
      type.check(new Dict(fields));
    } catch (error) {
      throw new Fault('BAD_MESSAGE', 'VALUE-3', `${name}: ${error.message}`);
    }
    return [name, new Dict(fields)];
  },
  2(body) {
    shape(isPair(body) && body.every((part) => typeof part === 'string'), 'a ref is [node_id, name]');
    shape(isNodeId(body[0]) && body[1] !== '', 'a ref names a node and an actor');
    return body;
  },
  3: (body) => (shape(Array.isArray(body), 'a tuple is an array'), body),
  4: (body) => (shape(Array.isArray(body), 'a set is an array'), distinct(body, 'an element'), body),
  5: (body) => (shape(Array.isArray(body), 'a frozenset is an array'), distinct(body, 'an element'), body),
  6(body, registry) {
    shape(Array.isArray(body) && body.length === 2 && typeof body[0] === 'string', 'an enum is [type, value]');
    const type = registry.find(body[0], 'enum');
    const combined = type.all !== null && typeof body[1] === 'bigint' && body[1] >= 0n && (body[1] & ~type.all) === 0n;
    shape(combined || type.values.has(identity(body[1])), `${body[0]} has no such value`);
    return body;
  },
  7(body) {
    checkMoment(body, (text) => {
      checkDate(text.slice(0, 10));
      shape(text[10] === 'T', 'a datetime is YYYY-MM-DDTHH:MM:SS.ffffff');
      return checkTime(text.slice(11));
    });
    return body;
  },
  8: (body) => (shape(typeof body === 'string', 'a date is a str'), checkDate(body), body),
  9: (body) => (checkMoment(body, checkTime), body),
  10(body) {
    const [days, seconds, micros] = Array.isArray(body) && body.length === 3 ? body : [];
    const fits = whole(days, -999999999n, 999999999n) && whole(seconds, 0n, 86399n) && whole(micros, 0n, 999999n);
    shape(fits, 'a timedelta is [days, seconds, microseconds], normalised');
    return body;
  },
  11: (body) => (shape(typeof body === 'string', 'a decimal is a str'), checkDecimal(body), body),
  12: (body) => (shape(body.length === 16, 'a uuid has 16 bytes'), body),
  13(body) {
    const signed = bigint(body);
    shape(signed >= 2n ** 64n || signed < -(2n ** 63n), 'a bigint that msgpack has a format for');
    shape(BigInt.asIntN((body.length - 1) * 8, signed) !== signed, 'a bigint with a byte too many');
    return body;
  },
  14: (body) => (shape(isPair(body) && body.every((part) => typeof part === 'number'), 'a complex is two floats'), body),
};

/**
 * Checks what msgpack.mjs decoded and opens its extension values, at any depth. Throws a Fault: BAD_MESSAGE or
 * UNKNOWN_TYPE; BAD_PAYLOAD where a body is nested too deep (PAYLOAD-6).
 */
export function readValue(v, registry) {
  if (Array.isArray(v)) return v.map((item) => readValue(item, registry));
  if (v instanceof Dict) {
    const pairs = v.pairs.map(([key, held]) => [readValue(key, registry), readValue(held, registry)]);
    distinct(pairs.map(([key]) => key), 'a key');
    return new Dict(pairs);
  }
  if (!(v instanceof Ext)) return v;
  const check = BODIES[v.code] ?? bad(`extension code ${v.code} is not in the table`);
  if (!holdsMsgpack(v.code)) return new Ext(v.code, check(v.body));
  let inner;
  try {
    inner = decode(v.body, { depth: v.depth, valueField: '*' });
  } catch (error) {
    if (error instanceof TooDeep) throw error;
    throw new Fault('BAD_MESSAGE', 'VALUE-4', `the body of extension value ${v.code}: ${error.message}`);
  }
  return new Ext(v.code, check(readValue(inner, registry), registry));
}
