// Are the golden vectors of the specification read as they say? And the codec below them.

import test from 'node:test';
import assert from 'node:assert/strict';
import { decode, encode, Dict, Ext } from './msgpack.mjs';
import { FrameReader, encodeFrame } from './frames.mjs';
import { readHello, readMessage } from './messages.mjs';
import { readValue } from './values.mjs';
import { fromJson, opened, shop, vectors } from './vectors.mjs';

/** What a node makes of the bytes of a vector: frame and message, or the Fault. An end of the stream is null. */
function receive(vector) {
  const reader = new FrameReader();
  for (const chunk of vector.chunks ?? [vector.wire]) reader.push(Buffer.from(chunk, 'hex'));
  const frame = reader.next(vector.limit ?? (vector.form === 'hello' ? 4096 : 16_777_216));
  if (frame === null) return null;
  const message = vector.form === 'hello' ? readHello(frame) : readMessage(frame);
  const user = message.type === 'ACTOR_MSG' || message.type === 'ASK_REQ' ? 'message' : 'value';
  if (user in message && ['ACTOR_MSG', 'ASK_REQ', 'ASK_RES'].includes(message.type)) message[user] = readValue(message[user], shop());
  return { frame, message };
}

test('valid vectors decode as they say', () => {
  for (const vector of vectors('valid')) {
    const { frame, message } = receive(vector);
    assert.equal(frame.type, vector.frame.type, vector.id);
    assert.equal(frame.name, vector.frame.name, vector.id);
    if (vector.frame.payload?.$raw) continue;
    const payload = fromJson(vector.frame.payload);
    if (vector.id !== 'LOOKUP-REPEATED-KEY') assert.deepEqual(opened(decode(frame.payload, { valueField: '*' })), payload, vector.id);
    if (!vector.canonical) continue;
    assert.equal(encodeFrame(frame.type, frame.name, encode(payload)).toString('hex'), vector.wire, vector.id); // PAYLOAD-7
    if (message.type === 'ACTOR_MSG') assert.equal(encode(message.message).toString('hex'), frame.payload.toString('hex'), vector.id);
  }
});

/** What is wrong in these is answered by nothing: ACTOR_MSG, ASK_RES (VALUE-4) and ERROR (ERROR-1). */
const SILENT = new Set([1, 6, 16]);

test('invalid vectors fail at their stage with one of their codes', () => {
  for (const vector of vectors('invalid')) {
    let fault = null;
    let result;
    try {
      result = receive(vector);
    } catch (error) {
      fault = error;
    }
    if (vector.error.length === 0 && result === null) continue; // the stream just ends (FRAME-8)
    assert.ok(fault, `${vector.id} was accepted`);
    if (vector.error.length === 0) assert.ok(SILENT.has(Number.parseInt(vector.wire.slice(0, 2), 16)), vector.id);
    else assert.ok(vector.error.includes(fault.code), `${vector.id}: ${fault.code} ${fault.message}`);
    assert.equal(fault.stage, vector.stage, vector.id);
  }
});

// ------------------------------------------------------------------------------------------------------ msgpack

test('every integer takes its shortest form and comes back exactly', () => {
  const edges = [0n, 127n, 128n, 255n, 256n, 65535n, 65536n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n];
  const lengths = [1, 1, 2, 2, 3, 3, 5, 5, 9, 9, 9, 9];
  edges.forEach((n, i) => {
    assert.equal(encode(n).length, lengths[i], `${n}`);
    assert.equal(decode(encode(n)), n);
    assert.equal(decode(encode(-n > -(2n ** 63n) ? -n : 0n)), -n > -(2n ** 63n) ? -n : 0n);
  });
  assert.throws(() => encode(2n ** 64n), RangeError);
});

test('kinds stay apart', () => {
  for (const v of [1n, 1, -0, true, null, '1', Buffer.from('1'), [1n], new Dict([[-0, 1n]]), '\ufeffx']) assert.deepEqual(decode(encode(v)), v);
  assert.equal(typeof decode(encode(1)), 'number');
  assert.throws(() => encode('\ud800'), TypeError);
  assert.throws(() => encode(undefined), TypeError);
});

test('nothing is reserved for what is only announced, and nobody recurses deeper than 256', () => {
  assert.throws(() => decode(Buffer.from('ddffffffff', 'hex')), { code: 'BAD_PAYLOAD' });
  assert.throws(() => decode(Buffer.alloc(100_000, 0x91)), { code: 'BAD_PAYLOAD', rule: 'PAYLOAD-6' });
  let deep = new Ext(3, []);
  for (let i = 0; i < 127; i++) deep = new Ext(3, [deep]);
  readValue(decode(encode(deep)), shop()); // 128 tuples are 256 levels
  assert.throws(() => readValue(decode(encode([deep])), shop()), { code: 'BAD_PAYLOAD' });
});

test('a reader takes the limit of each frame by itself', () => {
  const reader = new FrameReader();
  const large = encodeFrame(1, 'a', encode('x'.repeat(5000)));
  reader.push(Buffer.concat([encodeFrame(17, '', encode({ id: 1n, pong: false })), large]));
  assert.equal(reader.next(4096).type, 17);
  assert.throws(() => reader.next(4096), { code: 'FRAME_TOO_LARGE' });
  assert.equal(reader.next(6000).payload.length, large.length - 8);
  assert.equal(reader.next(6000), null);
});
