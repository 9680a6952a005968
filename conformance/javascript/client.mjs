// How does a program outside ask a node? A client: member false, one connection, asks and lookups.

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { FrameReader } from './frames.mjs';
import { readHello, readMessage, writeHello, writeMessage } from './messages.mjs';
import { LIMITS, parseAddress } from './protocol.mjs';
import { Dict } from './msgpack.mjs';

/** A reply as plain JavaScript where its keys are strs. */
export function plain(v) {
  if (Array.isArray(v)) return v.map(plain);
  return v instanceof Dict ? Object.fromEntries(v.pairs.map(([key, held]) => [key, plain(held)])) : v;
}

export class Client {
  #reader = new FrameReader();
  #open = new Map(); // id to {resolve, reject}
  #id = 0n;
  #hello = null;
  frames = []; // whatever else the node says

  /** Connects and says hello; `cluster` and `size` are the node's. */
  static connect(address, { node, cluster = 'casty', size = 3n, timeoutMs = 5000, ...fields } = {}) {
    const client = new Client();
    client.node = node ?? `client-${randomBytes(4).toString('hex')}`;
    client.socket = connect({ ...parseAddress(address), autoSelectFamily: true });
    client.socket.setTimeout(0);
    client.socket.once('connect', () => {
      client.socket.write(writeHello(client.node, {
        version: 1n, cluster, store_id: randomBytes(16).toString('hex'), boot_id: randomBytes(16).toString('hex'),
        lane: 'all', address: '127.0.0.1:1', expected_size: size, member: false, ...fields,
      }));
    });
    client.socket.on('data', (chunk) => client.#arrived(chunk));
    return new Promise((resolve, reject) => {
      const late = new Error(`no hello from ${address} in ${timeoutMs} ms`);
      const timer = setTimeout(() => client.socket.destroy(late), timeoutMs);
      client.welcomed = () => {
        clearTimeout(timer);
        resolve(client);
      };
      client.socket.on('error', reject);
      client.socket.on('close', () => {
        clearTimeout(timer);
        const lost = new Error(`the connection to ${address} ended; what was asked has an unknown outcome`); // MSG-9
        reject(lost);
        for (const { reject: fail } of client.#open.values()) fail(lost);
        client.#open.clear();
      });
    });
  }

  #arrived(chunk) {
    this.#reader.push(chunk);
    for (let frame = this.#reader.next(LIMITS.frameBytes); frame; frame = this.#reader.next(LIMITS.frameBytes)) {
      if (!this.#hello && frame.type === 4) {
        this.#hello = readHello(frame);
        this.welcomed();
        continue;
      }
      const m = readMessage(frame);
      if (m.type === 'PING' && !m.pong) this.send('PING', { id: m.id, pong: true });
      else if (m.type === 'ASK_RES' || m.type === 'LOOKUP_RES') this.#answered(m);
      else this.frames.push(m);
    }
  }

  #answered(m) {
    this.#open.get(m.id)?.resolve(m);
    this.#open.delete(m.id);
  }

  send(type, fields, name = '') {
    this.socket.write(writeMessage(type, name, fields));
  }

  #request(type, name, fields) {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.send(type, { id, ...fields }, name);
    });
  }

  lookup(name) {
    return this.#request('LOOKUP_REQ', name, {}).then(({ found }) => found);
  }

  /** The reply of an actor; an Error with `code` where there is none. */
  async ask(name, message, timeoutMs = 5000) {
    const answer = await this.#request('ASK_REQ', name, { timeout_ms: BigInt(timeoutMs), message });
    if (answer.code) throw Object.assign(new Error(`${answer.code}: ${answer.text}`), answer);
    return plain(answer.value);
  }

  close() {
    this.socket.destroy();
  }
}
