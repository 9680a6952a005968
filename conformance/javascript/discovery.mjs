// Whom to dial, and when? Seeds and every address heard of, until there is a connection to each node.

import { LIMITS, isNodeId, parseAddress } from './protocol.mjs';

const FIRST_MS = 100;
const LAST_MS = 10_000;
const RUMOURS_AT_ONCE = 16; // what peers merely tell of is dialled by and by: that never delays Raft (PEER-5)
const CLIENT_TRIES = 12; // in a minute; a client is no member, and only those are dialled for ever (PEER-2)

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
  #rumours = 0; // being dialled

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
    const target = this.#of(conn);
    if (target) {
      this.#answered(target);
      if (target.node !== null && target.node !== conn.node && this.#isRumour(target)) this.#known.delete(target.node);
      Object.assign(target, { node: conn.node, delay: FIRST_MS, failures: 0 });
    }
    const { address, member } = conn.peer;
    if (address && address !== this.address()) this.#learn(conn.node, { address, said: true, member });
  }

  down(conn, wasOpen) {
    const target = this.#of(conn);
    if (target) {
      this.#answered(target);
      target.conn = null;
      if (!wasOpen) target.failures += 1;
      this.#schedule(target);
    }
    if (!conn.dialled || !wasOpen) return;
    for (const other of this.#targets.values()) if (other.node === conn.node) this.#schedule(other);
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
    if (!old && this.#known.size >= LIMITS.peers && !(place.said && this.#forgetRumour())) return;
    this.#known.set(node, place);
    if (old && old.address !== place.address) this.#drop(this.#targets.get(old.address));
    this.#aim(place.address, node, false);
  }

  /** Makes room for a node that spoke for itself. */
  #forgetRumour() {
    for (const [node, { said, address }] of this.#known) {
      if (said) continue;
      this.#known.delete(node);
      this.#drop(this.#targets.get(address));
      return true;
    }
    return false;
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
    this.#answered(target);
    this.#targets.delete(target.address);
  }

  #of(conn) {
    return [...this.#targets.values()].find((target) => target.conn === conn);
  }

  /** Whether only others have told of it. */
  #isRumour({ seed, node }) {
    return !seed && !this.#known.get(node)?.said;
  }

  #answered(target) {
    if (target.rumour) this.#rumours -= 1;
    target.rumour = false;
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
    if (this.#isRumour(target)) {
      if (this.#rumours >= RUMOURS_AT_ONCE) return this.#schedule(target, FIRST_MS);
      target.rumour = true;
      this.#rumours += 1;
    }
    target.conn = this.network.dial(place); // host names are looked up at each attempt
  }
}
