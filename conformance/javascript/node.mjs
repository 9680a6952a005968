#!/usr/bin/env node
// A node under test, as launch.md starts it: options in, one READY line out, then only the wire.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Unreadable } from './kv.mjs';
import { Disk, Nameless, NoDisk, Unusable } from './log.mjs';
import { CAPABILITIES, IMPLEMENTATION, LIMITS, VERSION, escaped, isNodeId, parseAddress } from './protocol.mjs';
import { Node } from './server.mjs';
import { Skips } from './skips.mjs';

const EXIT = { told: 0, usage: 64, disk: 74, directory: 78, capability: 127 };

class Usage extends Error {}

/** Name in the file, environment variable, flag. A flag beats the environment, which beats the file; empty is not given. */
const OPTIONS = {
  node_id: ['CF_NODE_ID', 'node-id'],
  data_dir: ['CF_DATA_DIR', 'data-dir'],
  advertise: ['CF_ADVERTISE', 'advertise'],
  seeds: ['CF_SEEDS', 'seeds'],
  n: ['CF_N', 'size'],
  heartbeat_ms: ['CF_HEARTBEAT_MS', 'heartbeat-ms'],
  election_ms: ['CF_ELECTION_MS', 'election-ms'],
  seed: ['CF_SEED', 'seed'],
};

function flags(argv) {
  const options = { config: { type: 'string' }, describe: { type: 'boolean' } };
  for (const [, flag] of Object.values(OPTIONS)) options[flag] = { type: 'string' };
  try {
    return parseArgs({ args: argv, options, allowPositionals: false }).values;
  } catch (error) {
    throw new Usage(error.message);
  }
}

function fileOptions(path) {
  if (!path) return {};
  try {
    const read = JSON.parse(readFileSync(path, 'utf8'));
    if (read && typeof read === 'object' && !Array.isArray(read)) return read;
  } catch (error) {
    throw new Usage(`--config ${path}: ${error.message}`);
  }
  throw new Usage(`--config ${path}: expected one JSON object`);
}

function whole(name, text, byDefault, low, high) {
  if (text === undefined || text === '' || text === null) return byDefault;
  const number = Number(text);
  if (!Number.isInteger(number) || number < low || number > high) {
    throw new Usage(`${name}: expected ${low} to ${high}, got ${escaped(text)}`);
  }
  return number;
}

/** Numbers in [0, 1) that the same seed draws again (mulberry32). Identities are never drawn from it. */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function skipped(text) {
  try {
    return new Skips(text.split(',').filter(Boolean));
  } catch (error) {
    throw new Usage(`CF_SKIP_ENTRY: ${error.message}`);
  }
}

function configure(given, env) {
  const file = fileOptions(given.config ?? env.CF_CONFIG);
  const isGiven = (value) => value !== undefined && value !== null && value !== '';
  const option = (name) => [given[OPTIONS[name][1]], env[OPTIONS[name][0]], file[name]].find(isGiven) ?? ''; // LAUNCH-1
  const listed = option('seeds');
  const seeds = (Array.isArray(listed) ? listed : String(listed).split(',')).map((seed) => String(seed).trim()).filter(Boolean);
  const config = {
    nodeId: String(option('node_id')) || null,
    dataDir: String(option('data_dir')) || null,
    advertise: String(option('advertise')) || null,
    seeds,
    size: whole('--size', option('n'), null, 1, LIMITS.members),
    heartbeatMs: whole('--heartbeat-ms', option('heartbeat_ms'), 300, 1, 3_600_000),
    electionMs: whole('--election-ms', option('election_ms'), 1000, 1, 3_600_000),
    cluster: env.CF_CLUSTER || 'casty',
    snapshotEvery: whole('CF_SNAPSHOT_EVERY', env.CF_SNAPSHOT_EVERY, 0, 0, 2 ** 53 - 1),
    skips: skipped(env.CF_SKIP_ENTRY ?? ''),
    random: option('seed') === '' ? Math.random : seeded(whole('--seed', option('seed'), 0, 0, Number.MAX_SAFE_INTEGER)),
  };
  if (config.size === null) throw new Usage('--size is needed');
  if (config.nodeId !== null && !isNodeId(config.nodeId)) {
    throw new Usage(`--node-id: expected 1 to 64 of A-Z a-z 0-9 . _ : -, got ${escaped(config.nodeId)}`);
  }
  if (config.nodeId === null && config.dataDir === null) throw new Usage('--node-id is needed without a data directory');
  if (config.heartbeatMs >= config.electionMs) throw new Usage('--heartbeat-ms must be shorter than --election-ms');
  for (const address of [...seeds, ...(config.advertise ? [config.advertise] : [])]) {
    if (!parseAddress(address)) throw new Usage(`expected host:port, got ${escaped(address)}`);
  }
  return config;
}

function end(status, text) {
  if (text) process.stderr.write(`${text.replace(/\s*\n\s*/g, ' ')}\n`);
  process.exit(status);
}

async function main() {
  process.on('SIGTERM', () => end(EXIT.told)); // LAUNCH-4: what is durable is, what is not was not promised
  const given = flags(process.argv.slice(2));
  if (given.describe) { // LAUNCH-5
    process.stdout.write(`${JSON.stringify({ impl: IMPLEMENTATION, protocol: VERSION, caps: CAPABILITIES })}\n`);
    return;
  }
  const asked = (process.env.CF_CAPS ?? '').split(',').map((cap) => cap.trim());
  const missing = asked.find((cap) => cap && !CAPABILITIES.includes(cap));
  if (missing) end(EXIT.capability, `no capability is called ${escaped(missing)}; there are ${CAPABILITIES.join(', ')}`);
  const config = configure(given, process.env);
  process.on('SIGXFSZ', () => {}); // a file size limit shows as an error of the write (PERSIST-4)
  if (process.env.CF_EXIT_ON_EOF === '1') {
    for (const event of ['end', 'error']) process.stdin.on(event, () => end(EXIT.told));
    process.stdin.resume();
  }
  const disk = config.dataDir === null ? new NoDisk(config.nodeId) : await Disk.open(config.dataDir, config.nodeId);
  const node = new Node(disk, config, {
    log: (text) => process.stderr.write(`${disk.node.node} ${text}\n`),
    fail: (error) => end(EXIT.disk, `${error.path ?? disk.directory ?? 'in memory'}: ${error.message}`), // PERSIST-4, KV-4
  });
  const listen = await node.start();
  const ready = { listen, node_id: disk.node.node, protocol: VERSION, impl: IMPLEMENTATION, caps: CAPABILITIES };
  process.stdout.write(`READY ${JSON.stringify(ready)}\n`);
}

main().catch((error) => {
  if (error instanceof Usage || error instanceof Nameless) end(EXIT.usage, error.message);
  if (error instanceof Unusable) end(EXIT.directory, error.message);
  if (error instanceof Unreadable) end(EXIT.disk, error.message); // KV-4
  throw error;
});
