// Reads the golden vectors of the specification, for the tests.

import { readdirSync, readFileSync } from 'node:fs';
import { decode, holdsMsgpack, Dict, Ext } from './msgpack.mjs';
import { Registry } from './values.mjs';

const ROOT = new URL('../../spec/vectors/', import.meta.url);

const read = (path) => JSON.parse(readFileSync(new URL(path, ROOT), 'utf8')).vectors;

/** The frames, `valid` or `invalid`. */
export function vectors(kind) {
  return readdirSync(new URL(`${kind}/`, ROOT)).sort().flatMap((file) => read(`${kind}/${file}`));
}

/** What replicas make of commands. */
export const kvVectors = () => read('kv.json');

/** The types of the module shop.orders, as vectors/README.md describes them. */
export function shop() {
  const registry = new Registry();
  registry.dataclass('shop.orders:Add', { amount: 1n }, (fields) => {
    if (fields.get('amount') === 1000n) throw new Error('1000 is refused');
  });
  registry.dataclass('shop.orders:Get', {});
  registry.dataclass('shop.orders:Item', { name: undefined, price: undefined });
  registry.dataclass('shop.orders:Order', { id: undefined, items: undefined, note: '' });
  registry.enumeration('shop.orders:Color', [1n, 'blue', new Ext(3, [1n, 2n])]);
  registry.enumeration('shop.orders:Access', [1n, 2n], { flags: true });
  return registry;
}

const FLOATS = { nan: NaN, inf: Infinity, '-inf': -Infinity };

/** A payload as JSON writes it, as msgpack.mjs decodes it; extension bodies are decoded as well. */
export function fromJson(json) {
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json === 'number') return BigInt(json);
  if (json === null || typeof json !== 'object') return json;
  if ('$bin' in json) return Buffer.from(json.$bin, 'hex');
  if ('$int' in json) return BigInt(json.$int);
  if ('$f64' in json) return FLOATS[json.$f64] ?? Number(json.$f64);
  if ('$map' in json) return new Dict(json.$map.map((pair) => pair.map(fromJson)));
  if ('$ext' in json) return new Ext(json.$ext.code, fromJson(json.$ext.body));
  if ('$msgpack' in json) return opened(decode(Buffer.from(json.$msgpack, 'hex'), { valueField: '*' }));
  return new Dict(Object.entries(json).map(([key, v]) => [key, fromJson(v)]));
}

/** A decoded value with the bodies of its extension values decoded where they are msgpack, and depths left out. */
export function opened(v) {
  if (Array.isArray(v)) return v.map(opened);
  if (v instanceof Dict) return new Dict(v.pairs.map((pair) => pair.map(opened)));
  if (!(v instanceof Ext)) return v;
  return new Ext(v.code, holdsMsgpack(v.code) ? opened(decode(v.body, { valueField: '*' })) : v.body);
}
