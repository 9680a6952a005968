// Does every command come to the same on every node? KV-4 to KV-6.

import test from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { BadRequest, Dictionary, Unreadable, encodeCommand } from './kv.mjs';
import { decode, encode, Dict, Ext } from './msgpack.mjs';
import { fromJson, kvVectors, opened } from './vectors.mjs';

const data = (op, key, fields = {}) => encode({ op, key, ...fields });

/** Applies [op, key, fields, answer] one after the other; BadRequest as the answer is the refusal. */
function play(dictionary, steps) {
  for (const [op, key, fields, answer] of steps) {
    const apply = () => dictionary.apply(data(op, key, fields));
    if (answer === BadRequest) assert.throws(apply, BadRequest, `${op} ${key}`);
    else assert.deepEqual(apply(), answer, `${op} ${key}`);
  }
}

test('the golden commands come to the golden results, snapshots and digests', () => {
  for (const { id, commands, snapshot, sha256 } of kvVectors()) {
    const dictionary = new Dictionary();
    for (const { command, data: hex, value, error } of commands) {
      const bytes = Buffer.from(hex, 'hex');
      assert.deepEqual(opened(decode(bytes, { valueField: '*' })), fromJson(command), `${id} ${hex}`);
      if (error) assert.throws(() => dictionary.apply(bytes), BadRequest, `${id} ${hex}`);
      else assert.deepEqual(dictionary.apply(bytes), fromJson(value), `${id} ${hex}`);
    }
    assert.equal(dictionary.encoded().toString('hex'), snapshot, id);
    assert.equal(createHash('sha256').update(dictionary.encoded()).digest('hex'), sha256, id);
    assert.equal(Dictionary.of(Buffer.from(snapshot, 'hex')).encoded().toString('hex'), snapshot, id);
  }
});

test('commands take kinds as they are, nil for nothing, and refuse what is no value (KV-6)', () => {
  play(new Dictionary(), [
    ['put', 'n', { value: 1n }, null],
    ['cas', 'n', { expect: 1, value: 2n }, false],
    ['cas', 'n', { expect: true, value: 2n }, false],
    ['cas', 'n', { expect: 1n, value: 0 }, true],
    ['cas', 'n', { expect: -0, value: null }, true],
    ['cas', 'n', { expect: null, value: null }, true],
    ['cas', 'new', { expect: null, value: 'x' }, true],
    ['incr', 'n', { value: 2n }, 2n],
    ['incr', 'n', { value: 0.5 }, 2.5],
    ['incr', 'n', { value: true }, BadRequest],
    ['incr', 'big', { value: 2n ** 64n - 1n }, 2n ** 64n - 1n],
    ['incr', 'big', { value: 1n }, BadRequest],
    ['incr', 'f', { value: Infinity }, Infinity],
    ['incr', 'f', { value: -Infinity }, BadRequest],
    ['put', 'f', { value: NaN }, BadRequest],
    ['put', 'f', { value: [1n] }, BadRequest],
    ['put', 't', { value: null }, null],
    ['append', 't', { value: 'aé😀' }, 3n],
    ['append', 'big', { value: 'x' }, BadRequest],
    ['put', 'gone', { value: null }, null],
    ['delete', 'gone', {}, true],
    ['delete', 'gone', {}, false],
  ]);
});

test('a command holds the request\'s own fields; others are ignored, and what is no request changes nothing (KV-4)', () => {
  const request = new Dict([['key', 'k'], ['more', 1n], ['op', 'put'], ['value', 'v']]);
  assert.equal(encodeCommand(request).toString('hex'), data('put', 'k', { value: 'v' }).toString('hex'));
  const dictionary = new Dictionary();
  assert.equal(dictionary.apply(encode({ op: 'put', key: 'k', value: 'v', origin: Buffer.alloc(16), number: 7n })), null);
  for (const value of [null, [], {}, { op: 'put', key: 'k' }, { op: 'put', key: 1n, value: 1n }, { op: 'put', key: 'k', value: new Ext(3, []) }]) {
    assert.throws(() => dictionary.apply(encode(value)), BadRequest);
  }
  for (const bytes of ['', 'c1', '80c0', '8190c0', 'd46300']) assert.throws(() => dictionary.apply(Buffer.from(bytes, 'hex')), Unreadable, bytes);
  assert.equal(dictionary.apply(data('get', 'k')), 'v');
});

test('a snapshot has one form, and another is not restored (KV-5)', () => {
  const dictionary = new Dictionary();
  for (const key of ['b', '😀', '\uffff', 'a']) dictionary.apply(data('put', key, { value: 1n }));
  const whole = dictionary.encoded();
  assert.equal(whole.toString('hex'), encode([['a', 1n], ['b', 1n], ['\uffff', 1n], ['😀', 1n]]).toString('hex')); // UTF-8 order, not that of UTF-16
  assert.deepEqual(Dictionary.of(whole).encoded(), whole);
  const wrong = [encode([['b', 1n], ['a', 1n]]), encode([['a', NaN]]), encode({ a: 1n }), Buffer.from('9192a161cc01', 'hex'), Buffer.alloc(0)];
  for (const bytes of wrong) assert.throws(() => Dictionary.of(bytes), Unreadable);
});
