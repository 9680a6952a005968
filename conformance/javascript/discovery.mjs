// Whom to dial, and when? Seeds and every address heard of, until there is a connection to each node.

import { LIMITS, isNodeId, parseAddress } from './protocol.mjs';

const FIRST_MS = 100;
const LAST_MS = 10_000;
const AT_ONCE = 16; // dialling never delays Raft (PEER-5)
const CLIENT_TRIES = 5; // a client that is gone is not a member; only those are dialled for ever (PEER-2)

/** An address that is dialled while there is no dialled connection to the node behind it. */
class Target {
  delay = FIRST_MS;
  timer = null;
  conn = null;
  failures = 0;
  self = false;

  constructor(address, node, seed) {
    Object.assign(this, { address, node, seed });
  }
}

export class Discovery {
  #targets = new Map(); // by address
  #known = new Map(); // node id to {address, said, member}; said: in its own hello
  #dialling = 0;

  constructor({ network, me, address, seeds, random }) {
    Object.assign(this, { network, me, address, random });
    for (const seed of seeds) this.#aim(seed, null, true);
  }

  /** The other nodes and where they can be dialled (PEER-1). */
  peers() {
    return [...this.#known].map(([node, { address }]) => ({ node, address }));
  }

  connected(node) {
    return this.network.opened().some((conn) => conn.dialled && conn.node === node);
  }

  /** An open connection: its hello says where the node is, and beats what others say (PEER-4). */
  up(conn) {
    if (conn.dialled) {
      this.#dialling -= 1;
      const target = this.#of(conn);
      if (target) {
        if (target.node !== null && target.node !== conn.node && !this.#known.get(target.node)?.said) this.#known.delete(target.node);
        Object.assign(target, { node: conn.node, delay: FIRST_MS, failures: 0 });
      }
    }
    const { address, member } = conn.peer;
    if (address && address !== this.address()) this.#learn(conn.node, { address, said: true, member });
  }

  down(conn, wasOpen) {
    if (!conn.dialled) return;
    if (!wasOpen) this.#dialling -= 1;
    const target = this.#of(conn);
    if (target) {
      target.conn = null;
      if (!wasOpen) target.failures += 1;
    }
    for (const other of this.#targets.values()) if (other === target || (wasOpen && other.node === conn.node)) this.#schedule(other);
  }

  /** A connection from this very process: whoever dialled it must not do so again (PEER-3). */
  self(conn) {
    for (const target of this.#targets.values()) {
      if (target.conn && (target.conn === conn || target.conn.socket.localPort === conn.socket.remotePort)) target.self = true;
    }
  }

  /** Peers are hints: malformed ones are skipped, and a node's own word stands (PEER-4, PEER-5). */
  heard(peers) {
    for (const { node, address } of peers.slice(0, LIMITS.peers)) {
      if (!isNodeId(node) || !parseAddress(address)) continue;
      if (node === this.me.node || address === this.address()) continue; // PEER-3
      if (!this.#known.get(node)?.said) this.#learn(node, { address, said: false, member: true });
    }
  }

  #learn(node, place) {
    const old = this.#known.get(node);
    if (!old && this.#known.size >= LIMITS.peers) return;
    this.#known.set(node, place);
    if (old && old.address !== place.address) this.#drop(this.#targets.get(old.address));
    this.#aim(place.address, node, false);
  }

  #aim(address, node, seed) {
    const target = this.#targets.get(address) ?? new Target(address, node, seed);
    if (node) target.node = node;
    if (this.#targets.has(address)) return;
    this.#targets.set(address, target);
    this.#schedule(target, 0);
  }

  #drop(target) {
    if (!target || target.seed) return;
    clearTimeout(target.timer);
    this.#targets.delete(target.address);
  }

  #of(conn) {
    return [...this.#targets.values()].find((target) => target.conn === conn);
  }

  #schedule(target, wait = null) {
    if (target.timer || target.conn || target.self || !this.#targets.has(target.address)) return;
    const after = wait ?? target.delay * (0.5 + this.random() / 2); // with jitter, so that nobody knocks in step
    if (wait === null) target.delay = Math.min(2 * target.delay, LAST_MS);
    target.timer = setTimeout(() => {
      target.timer = null;
      this.#dial(target);
    }, after);
  }

  #dial(target) {
    const place = parseAddress(target.address);
    if (!place || target.self || target.address === this.address()) return;
    if (target.node !== null && this.connected(target.node)) return; // down() schedules it again
    const known = this.#known.get(target.node);
    if (known && !known.member && target.failures >= CLIENT_TRIES) {
      this.#known.delete(target.node);
      return this.#drop(target);
    }
    if (this.#dialling >= AT_ONCE) return this.#schedule(target, FIRST_MS);
    this.#dialling += 1;
    target.conn = this.network.dial(place); // host names are looked up at each attempt
  }

  stop() {
    for (const target of this.#targets.values()) clearTimeout(target.timer);
    this.#targets.clear();
  }
}
