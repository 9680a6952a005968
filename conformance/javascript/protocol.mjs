// What numbers and names does the protocol fix? Limits and error codes of protocol.toml.

export const VERSION = 1;
export const IMPLEMENTATION = 'casty-js/0.1.0';
export const CAPABILITIES = ['introspect', 'snapshot', 'prevote', 'checkquorum', 'skip'];

export const LIMITS = {
  frameBytes: 16_777_216,
  helloBytes: 4096,
  helloMs: 5000,
  pendingHellos: 64,
  chunkBytes: 1_048_576,
  batchBytes: 1_048_576,
  nameBytes: 255,
  depth: 256,
  number: 2n ** 63n - 1n,
  peers: 1024,
  boots: 32,
  members: 64,
  pingIdleMs: 1000,
  pingDeadMs: 5000,
  snapshotBytes: 1_073_741_824n,
};

export const U64_MAX = 2n ** 64n - 1n;

const NODE_ID = /^[A-Za-z0-9._:-]{1,64}$/;
export const isNodeId = (text) => NODE_ID.test(text) && !text.endsWith('\n');

/** A peer's mistake: the code and rule that an ERROR frame (or an ASK_RES) tells, and where the mistake shows. */
export class Fault extends Error {
  constructor(code, rule, text, stage = 'semantic') {
    super(text);
    Object.assign(this, { code, rule, stage });
  }
}

/** A stranger's text, fit for one line of a log (ERROR-1). */
export function escaped(text, length = 200) {
  const code = (c) => `\\u{${c.codePointAt(0).toString(16)}}`;
  const shown = JSON.stringify(String(text)).slice(1, -1).replace(/[^\x20-\x7e]/g, code);
  return shown.length > length ? `${shown.slice(0, length)}…` : shown;
}

/** Splits host:port or [v6]:port; null where it is neither. */
export function parseAddress(text) {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[^\s\p{Cc}[\]]+)?)\]|([^\s\p{Cc}:[\]]+)):(\d{1,5})$/u.exec(text);
  const port = match ? Number(match[3]) : 0;
  const host = match?.[1] ?? match?.[2] ?? '';
  return port >= 1 && port <= 65535 && Buffer.byteLength(host) <= 253 ? { host, port } : null;
}

export const formatAddress = (host, port) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
