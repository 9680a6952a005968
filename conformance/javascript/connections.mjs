// Who is connected, and as whom? Hellos, pings, lanes, and the one connection that each frame belongs to.
//
// discovery.mjs says whom to dial; what comes after the hello goes to the `receive` callback.

import { createServer, connect } from 'node:net';
import { Fault, LIMITS, escaped, formatAddress, parseAddress } from './protocol.mjs';
import { FrameReader } from './frames.mjs';
import { TYPE_BY_ID, TYPE_BY_NAME, namesSender, readHello, readMessage, writeHello, writeMessage } from './messages.mjs';

const OUT_BYTES = 8 << 20; // a peer that leaves so much unread is not read from until it reads (MSG-10)
const OUT_BYTES_MAX = 64 << 20; // and is closed beyond this
const ERROR = TYPE_BY_NAME.get('ERROR').id;
const LINGER_MS = 500;
const IN_USE_MS = 1000;
const PING_EVERY_MS = 250;
const SAY_EVERY_MS = 750; // how far the directory has come, where it has: within a second (PEER-11)

export const clock = () => performance.now(); // monotonic (ELECT-4)

/** A connection: first a stranger, then `open` as the pair its hello announced. */
export class Connection {
  peer = null; // the hello, with node, store_id, boot_id, lane, member
  state = 'stranger'; // stranger, deciding, open, closed
  #reader = new FrameReader();
  #unknown = new Set();
  #toldOutside = false; // that its node is no member
  #pings = new Map(); // id to callback
  #pingId = 0n;

  constructor(network, socket, dialled) {
    Object.assign(this, { network, socket, dialled });
    this.heard = clock();
    this.pinged = this.heard;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, LIMITS.pingDeadMs);
    socket.on('data', (chunk) => this.#arrived(chunk));
    socket.on('drain', () => this.#resume());
    socket.on('end', () => this.close()); // FRAME-8: what arrived of a frame has no effect
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
    const late = new Fault('HELLO_TIMEOUT', 'HELLO-3', `no hello within ${LIMITS.helloMs} ms`);
    this.timer = setTimeout(() => this.fail(late), LIMITS.helloMs);
  }

  get node() {
    return this.peer?.node;
  }

  send(type, fields, name = '') {
    this.write(writeMessage(type, name, fields));
  }

  write(bytes) {
    if (this.state === 'closed') return;
    this.socket.write(bytes);
    if (this.socket.writableLength > OUT_BYTES_MAX) this.close();
    else if (this.socket.writableLength > OUT_BYTES) this.socket.pause();
  }

  error({ code, rule, message }) {
    if (code === 'NOT_A_MEMBER' && this.#toldOutside) return; // ERROR-4
    this.#toldOutside ||= code === 'NOT_A_MEMBER';
    this.network.log(`${this.node ?? this.socket.remoteAddress}: ${code} (${rule}) ${escaped(message)}`);
    this.send('ERROR', { code, rule, text: message.slice(0, 1000) });
  }

  /** Says what was wrong and closes (ERROR-2). */
  fail(fault) {
    if (this.state === 'closed') return;
    this.error(fault);
    this.close(true);
  }

  close(politely = false) {
    if (this.state === 'closed') return;
    const { state } = this;
    this.state = 'closed';
    clearTimeout(this.timer);
    if (politely) { // what is unread would make the kernel throw the last frame away, so it is read and dropped
      this.socket.resume();
      this.socket.end();
      setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
    } else this.socket.destroy();
    for (const answered of this.#pings.values()) answered(false);
    this.network.closed(this, state === 'open');
  }

  /** Calls back once: true with the pong, false when the connection ends first. */
  ping(answered = () => {}) {
    this.pinged = clock();
    this.#pingId += 1n;
    this.#pings.set(this.#pingId, answered);
    this.send('PING', { id: this.#pingId, pong: false });
  }

  #arrived(chunk) {
    if (this.state === 'closed') return;
    this.heard = clock();
    this.#reader.push(chunk);
    this.process();
  }

  #resume() {
    this.socket.resume();
    this.process();
  }

  /** Handles the frames that are there, until one closes the connection or has to be decided about first. */
  process() {
    try {
      while (this.state === 'stranger' || this.state === 'open') {
        if (this.socket.isPaused() && this.socket.writableLength > OUT_BYTES) return;
        const frame = this.#reader.next(this.state === 'open' ? LIMITS.frameBytes : LIMITS.helloBytes);
        if (!frame) return;
        if (this.state === 'stranger') this.#hello(frame);
        else this.#frame(frame);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.stage === 'frame' && this.#reader.type === ERROR) this.close(); // that is not answered, either (ERROR-1)
      else this.fail(error);
    }
  }

  #hello(frame) {
    if (frame.type === ERROR) { // a refusal is not answered (ERROR-1)
      this.#logError(frame);
      return this.close();
    }
    const hello = readHello(frame);
    this.state = 'deciding';
    this.network.meet(this, hello);
  }

  /** The hello was found good. */
  open(hello) {
    clearTimeout(this.timer);
    this.peer = hello;
    this.state = 'open';
  }

  #frame(frame) {
    const kind = TYPE_BY_ID.get(frame.type);
    if (kind && namesSender(kind) && frame.name !== this.node) { // HELLO-8, whatever the payload holds
      throw new Fault('IDENTITY_CHANGED', 'HELLO-8', `a frame of ${escaped(frame.name, 64)} on the connection of ${this.node}`);
    }
    let message;
    try {
      message = readMessage(frame);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      if (fault.code === 'UNKNOWN_FRAME_TYPE') { // FRAME-6: once per type and connection
        if (this.#unknown.has(frame.type)) return;
        this.#unknown.add(frame.type);
      }
      if (frame.type === ERROR) return; // not even a malformed one is answered (ERROR-1)
      return this.#answer(fault); // PAYLOAD-2: no effect, and the connection stays
    }
    switch (message.type) {
      case 'HEARTBEAT': return; // FRAME-7
      case 'ERROR': return this.#logError(frame, message);
      case 'PING': return this.#pingFrame(message);
      default: return this.network.receive(this, frame.name, message);
    }
  }

  /** In an ERROR for people; where an ask is the matter and its id is known, in an ASK_RES as well (MSG-3). */
  #answer(fault) {
    this.error(fault);
    if (fault.ask !== undefined) this.send('ASK_RES', { id: fault.ask, code: 'BAD_MESSAGE', text: fault.message });
  }

  #pingFrame({ id, pong }) {
    if (!pong) return this.send('PING', { id, pong: true }); // PEER-8
    const answered = this.#pings.get(id);
    this.#pings.delete(id);
    answered?.(true);
  }

  #logError(frame, message) {
    try {
      const { code, rule, text } = message ?? readMessage(frame);
      this.network.log(`${this.node ?? 'dialled'} says ${escaped(code, 40)} (${escaped(rule, 40)}): ${escaped(text)}`);
    } catch {
      // an ERROR that cannot be read has no effect either
    }
  }
}

export class Network {
  connections = new Set();
  #members = new Map(); // 'node store' to {node, store, lostAt}: who said hello as a member (FORM-4)
  #strangers = 0;
  #saidAt = 0;
  #said = undefined;

  /**
   * me: {node, store, boot, boots, member}; cluster, size; clusterId() may be null; address() what I announce.
   * revision() is how far my directory has come, undefined without one; revisions what peers said of theirs.
   * up(conn), down(conn), receive(conn, name, message) and self(conn) are called.
   */
  constructor(options) {
    Object.assign(this, options);
  }

  async listen(host, port) {
    this.server = createServer((socket) => {
      if (this.#strangers >= LIMITS.pendingHellos) return socket.destroy(); // a port scan costs nothing
      this.#strangers += 1;
      this.connections.add(new Connection(this, socket, false));
    });
    await new Promise((resolve, reject) => this.server.once('error', reject).listen(port, host, resolve));
    this.pinging = setInterval(() => this.#pingIdle(), PING_EVERY_MS);
    const bound = this.server.address();
    return formatAddress(bound.address, bound.port);
  }

  close() {
    clearInterval(this.pinging);
    this.server?.close();
    for (const conn of this.connections) conn.close();
  }

  /** Dials an address; the hello leaves at once, and nothing else before the answer (HELLO-2). */
  dial({ host, port }) {
    const conn = new Connection(this, connect({ host, port, autoSelectFamily: true }), true);
    this.connections.add(conn);
    conn.socket.once('connect', () => conn.write(this.#myHello('all')));
    return conn;
  }

  #myHello(lane) {
    const { me, cluster, size } = this;
    return writeHello(me.node, {
      version: 1n, cluster, cluster_id: this.clusterId() ?? undefined, store_id: me.store, boot_id: me.boot,
      lane, address: this.address(), expected_size: size, member: me.member ? undefined : false,
      revision: this.revision(), boots: me.boots,
    });
  }

  opened() {
    return [...this.connections].filter((conn) => conn.state === 'open');
  }

  // ----------------------------------------------------------------------------------------------- who may come in

  /** Steps 4 to 7 of the hello's checks; the dialler checks the acceptor's in the same way. */
  meet(conn, hello) {
    const mine = this.clusterId();
    const refuse = (code, rule, text) => {
      throw new Fault(code, rule, text);
    };
    if (hello.cluster !== this.cluster) {
      refuse('CLUSTER_MISMATCH', 'HELLO-4', `cluster '${hello.cluster.slice(0, 100)}'; expected '${this.cluster}'`);
    }
    if (mine && hello.cluster_id && hello.cluster_id !== mine) {
      refuse('CLUSTER_MISMATCH', 'HELLO-4', `cluster id ${hello.cluster_id}; expected ${mine}`);
    }
    if (hello.boot_id === this.me.boot) { // HELLO-6
      this.self(conn);
      refuse('SELF_CONNECTION', 'HELLO-6', 'this is myself');
    }
    if (hello.node === this.me.node) refuse('NODE_ID_IN_USE', 'HELLO-6', `I am ${this.me.node}`);
    if (hello.member && this.me.member && hello.expected_size !== this.size) {
      refuse('SIZE_MISMATCH', 'HELLO-4', `expected_size ${hello.expected_size}; here it is ${this.size}`);
    }
    const earlier = this.opened().filter((other) => other.node === hello.node && other.peer.boot_id !== hello.boot_id);
    if (earlier.length === 0) {
      const stale = hello.member && this.me.member ? this.revisions.objection(hello) : null;
      if (stale) refuse('STALE_DATA', 'HELLO-11', stale);
      return this.#welcome(conn, hello);
    }
    this.#whoLives(earlier, (alive) => this.#decided(conn, hello, earlier, alive));
  }

  /** HELLO-7: a ping decides whether an earlier boot of the same node id is alive. */
  #whoLives(earlier, decide) {
    let open = earlier.length;
    let done = false;
    const finish = (alive) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      decide(alive);
    };
    const timer = setTimeout(() => finish(false), IN_USE_MS);
    for (const conn of earlier) {
      conn.ping((pong) => {
        open -= 1;
        if (pong) finish(true);
        else if (open === 0) finish(false);
      });
    }
  }

  #decided(conn, hello, earlier, alive) {
    if (conn.state !== 'deciding') return;
    if (alive) return conn.fail(new Fault('NODE_ID_IN_USE', 'HELLO-7', `another living process is ${hello.node}`));
    for (const old of earlier) old.close();
    try {
      this.meet(conn, hello); // meanwhile another may have come in
    } catch (fault) {
      conn.fail(fault);
    }
    conn.process();
  }

  #welcome(conn, hello) {
    const { lane, boot_id: boot, node } = hello;
    const alike = ({ node: other, peer }) => other === node && peer.boot_id === boot && peer.lane === lane;
    const replaced = this.opened().filter((old) => old.dialled === conn.dialled && alike(old));
    if (!conn.dialled) {
      this.#strangers -= 1;
      conn.write(this.#myHello(lane)); // the acceptor repeats the lane
    }
    conn.open({ ...hello, store: hello.store_id, address: this.#seenAddress(conn, hello.address) });
    if (hello.member) this.revisions.note({ node, store: hello.store_id, revision: hello.revision, boot });
    if (hello.member) this.#members.set(`${node} ${hello.store_id}`, { node, store: hello.store_id, lostAt: null });
    this.up(conn);
    for (const old of replaced) old.close(); // PEER-7
  }

  /** A wildcard host stands for where the connection came from (PEER-4). */
  #seenAddress(conn, address) {
    const at = parseAddress(address);
    if (!at) return null;
    const wild = at.host === '0.0.0.0' || /^[0:]+$/.test(at.host);
    if (!wild) return address;
    const { remoteAddress } = conn.socket; // undefined once the peer is gone
    return remoteAddress ? formatAddress(remoteAddress.replace(/^::ffff:/, ''), at.port) : null;
  }

  closed(conn, wasOpen) {
    this.connections.delete(conn);
    if (!wasOpen && !conn.dialled) this.#strangers -= 1;
    if (wasOpen) {
      const { node, store } = conn.peer;
      const member = this.#members.get(`${node} ${store}`);
      if (member && !this.opened().some((other) => other.node === node && other.peer.store === store)) member.lostAt = clock();
    }
    this.down(conn, wasOpen);
  }

  /** FORM-4: this server and the members that are connected, or were within 3 seconds, as pairs, sorted. */
  discovered(now, memoryMs = 3000) {
    const list = [{ node: this.me.node, store: this.me.store }];
    for (const [key, { node, store, lostAt }] of this.#members) {
      if (lostAt === null || now - lostAt <= memoryMs) list.push({ node, store });
      else this.#members.delete(key);
    }
    return list.sort((a, b) => (a.node < b.node ? -1 : 1));
  }

  /** PEER-9: any byte is a sign of life, one of an unfinished frame, too. Who is not read from cannot give one. */
  #pingIdle() {
    const now = clock();
    if (now - this.#saidAt >= SAY_EVERY_MS) this.#sayRevision(now);
    for (const conn of this.opened()) {
      const silent = now - conn.heard;
      if (silent >= LIMITS.pingDeadMs && !conn.socket.isPaused()) {
        this.log(`${conn.node} is silent for ${Math.round(silent)} ms`);
        conn.close();
      } else if (silent >= LIMITS.pingIdleMs && now - conn.pinged >= LIMITS.pingIdleMs) conn.ping();
    }
  }
  #sayRevision(now) {
    this.#saidAt = now;
    const revision = this.revision();
    if (revision === undefined || revision === this.#said) return;
    this.#said = revision;
    const told = new Set();
    for (const conn of this.opened().filter(({ peer }) => peer.member)) {
      if (!told.has(conn.node)) conn.send('PEER_LIST', { peers: [], revision }, this.me.node);
      told.add(conn.node);
    }
  }

  /** LEADER-10: this boot does not have what it acknowledged; it is told, and kept out from now on. */
  keepOut({ node, store, boot }, text) {
    for (const conn of this.opened()) {
      if (conn.node === node && conn.peer.store === store && conn.peer.boot_id === boot) {
        conn.fail(new Fault('STALE_DATA', 'LEADER-10', text));
      }
    }
  }
}
