// Where does a frame begin and end? The layout of FRAME-1 and a reader for streams that are cut anywhere.

import { isUtf8 } from 'node:buffer';
import { Fault, LIMITS } from './protocol.mjs';

/** type u8, name length u16, name, payload length u32, payload (FRAME-1). */
export function encodeFrame(type, name, payload) {
  const label = Buffer.from(name, 'utf8');
  const head = Buffer.allocUnsafe(7 + label.length);
  head[0] = type;
  head.writeUInt16BE(label.length, 1);
  label.copy(head, 3);
  head.writeUInt32BE(payload.length, 3 + label.length);
  return Buffer.concat([head, payload]);
}

/** Collects what arrives and gives out whole frames, one at a time, so that the limit may change between two. */
export class FrameReader {
  #buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;

  push(chunk) {
    if (this.#to + chunk.length > this.#buffer.length) {
      const held = this.#buffer.subarray(this.#from, this.#to);
      // Twice what is there already: the buffer grows with what arrives, never with what is announced (FRAME-4).
      this.#buffer = Buffer.allocUnsafe(Math.max(2 * held.length, held.length + chunk.length));
      held.copy(this.#buffer);
      this.#to = held.length;
      this.#from = 0;
    }
    chunk.copy(this.#buffer, this.#to);
    this.#to += chunk.length;
  }

  /** The type of the frame that comes next, if any of it is there. */
  get type() {
    return this.#to > this.#from ? this.#buffer[this.#from] : null;
  }

  /** The next whole frame {type, name, payload}, or null. Throws FRAME_TOO_LARGE and BAD_NAME. */
  next(limit) {
    const have = this.#to - this.#from;
    if (have < 3) return null;
    const at = this.#from;
    const nameLength = this.#buffer.readUInt16BE(at + 1);
    this.#fits(7 + nameLength, limit); // three bytes tell that the name alone is too long
    if (have < 7 + nameLength) return null;
    const size = 7 + nameLength + this.#buffer.readUInt32BE(at + 3 + nameLength);
    this.#fits(size, limit);
    if (have < size) return null;
    const name = this.#buffer.subarray(at + 3, at + 3 + nameLength);
    if (!isUtf8(name)) {
      throw new Fault('BAD_NAME', 'FRAME-3', `the name ${name.toString('hex').slice(0, 40)} is not UTF-8`, 'frame');
    }
    const payload = Buffer.from(this.#buffer.subarray(at + 7 + nameLength, at + size)); // a copy: the buffer is written again
    const frame = { type: this.#buffer[at], name: name.toString('utf8'), payload };
    this.#from += size;
    if (this.#from === this.#to) this.#forget();
    return frame;
  }

  #forget() {
    this.#from = this.#to = 0;
    if (this.#buffer.length > 1 << 20) this.#buffer = Buffer.alloc(0);
  }

  #fits(size, limit) {
    if (size <= limit) return;
    const rule = limit === LIMITS.helloBytes ? 'HELLO-3' : 'FRAME-4';
    throw new Fault('FRAME_TOO_LARGE', rule, `a frame of at least ${size} bytes; the limit is ${limit}`, 'frame');
  }
}
