// Who answers messages and asks? Actors by their names: order, time limits, and exactly one answer (MSG-*).

import { Fault, LIMITS } from './protocol.mjs';
import { clock } from './connections.mjs';
import { writeMessage } from './messages.mjs';
import { Registry, readValue } from './values.mjs';

const MAILBOX = 10_000; // messages that one actor may be at work on

/** The message is none that the actor accepts (MSG-12). */
export class UnhandledMessage extends Error {}

/** handle(message) gives the reply or a promise of it; the next message is begun when it has returned. */
class Actor {
  #held = 0;

  constructor(handle) {
    this.handle = handle;
  }

  /** Begins on a message, in the order of calls (MSG-2); false where too many are at work. */
  put(letter) {
    if (this.#held >= MAILBOX) return false;
    this.#held += 1;
    this.#begin(letter).finally(() => {
      this.#held -= 1;
    });
    return true;
  }

  async #begin({ message, deadline, answer }) {
    if (clock() >= deadline) return; // MSG-4: not handled; nobody waits for an answer any more
    try {
      answer({ value: await this.handle(message) });
    } catch (error) {
      answer({ code: 'ACTOR_FAILED', error_type: error.constructor.name, text: error.message });
    }
  }
}

export class Actors {
  #byName = new Map();
  registry = new Registry();

  spawn(name, handle) {
    this.#byName.set(name, new Actor(handle));
  }

  /** ACTOR_MSG, ASK_REQ or LOOKUP_REQ from a connection. */
  receive(conn, name, m) {
    const actor = this.#byName.get(name);
    if (m.type === 'LOOKUP_REQ') return conn.send('LOOKUP_RES', { id: m.id, found: actor !== undefined }, name); // MSG-7
    const answer = m.type === 'ASK_REQ' ? (outcome) => this.#answer(conn, m.id, outcome) : () => {};
    let message;
    try {
      message = readValue(m.message, this.registry);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      if (fault.code !== 'BAD_PAYLOAD') return answer({ code: fault.code, text: fault.message }); // VALUE-4
      conn.error(fault); // PAYLOAD-6
      return answer({ code: 'BAD_MESSAGE', text: fault.message }); // MSG-3
    }
    if (!actor) return answer({ code: 'ACTOR_NOT_FOUND', text: `no actor is called ${name.slice(0, 100)}` }); // MSG-1, MSG-3
    const deadline = m.timeout_ms === undefined ? Infinity : clock() + Number(m.timeout_ms);
    if (!actor.put({ message, deadline, answer })) answer({ code: 'MAILBOX_FULL', text: `${MAILBOX} messages are at work` });
  }

  /** On the connection of the ask or not at all (PEER-6); what cannot be sent is told (MSG-8). */
  #answer(conn, id, outcome) {
    if (conn.state === 'closed') return;
    try {
      const bytes = writeMessage('ASK_RES', '', { id, ...outcome });
      if (bytes.length <= LIMITS.frameBytes) return conn.write(bytes);
      outcome = { code: 'REPLY_TOO_LARGE', text: `a frame of ${bytes.length} bytes; the limit is ${LIMITS.frameBytes}` };
    } catch (error) {
      outcome = { code: 'BAD_REPLY', text: error.message };
    }
    conn.send('ASK_RES', { id, ...outcome });
  }
}

