// Do processes form a cluster, keep it, and end as they should?

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from './client.mjs';
import { directory } from './fixtures.mjs';
import { encodeFrame } from './frames.mjs';
import { Ext } from './msgpack.mjs';

const PROGRAM = new URL('./node.mjs', import.meta.url).pathname;
const FAST = { CF_HEARTBEAT_MS: '100', CF_ELECTION_MS: '400', CF_EXIT_ON_EOF: '1' };

/** Asks until the answer satisfies, or the deadline is over; one question follows the answer to the last. */
async function until(what, ask, deadlineMs = 15_000) {
  const end = performance.now() + deadlineMs;
  let last;
  while (performance.now() < end) {
    last = await ask().catch((error) => error);
    if (last && !(last instanceof Error)) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come true in ${deadlineMs} ms; last: ${last}`);
}

/** Runs the program to its end. */
async function run(args, env = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (chunk) => (text[stream] += chunk));
  const [status] = await once(child, 'close');
  return { status, ...text };
}

class Process {
  constructor(id, root, env) {
    Object.assign(this, { id, data: join(root, id), env });
  }

  async start(seeds = []) {
    const args = [PROGRAM, '--node-id', this.id, '--data-dir', this.data, '--advertise', '', '--seeds', seeds.join(','), '--size', '3'];
    this.child = spawn(process.execPath, args, { env: { ...process.env, ...FAST, ...this.env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.errors = '';
    this.child.stderr.on('data', (chunk) => (this.errors += chunk));
    this.ended = once(this.child, 'exit');
    const line = await Promise.race([once(createInterface({ input: this.child.stdout }), 'line'), this.ended.then(() => Promise.reject(new Error(this.errors)))]);
    assert.match(line[0], /^READY \{/);
    this.listen = JSON.parse(line[0].slice(6)).listen;
    this.client = await Client.connect(this.listen);
    return this;
  }

  async kill(signal = 'SIGKILL') {
    this.client.close();
    this.child.kill(signal);
    return this.ended;
  }

  ask(actor, message) {
    return this.client.ask(actor, message);
  }
}

async function cluster(t, env = {}) {
  const root = await directory(t);
  const nodes = ['n1', 'n2', 'n3'].map((id) => new Process(id, root, env));
  t.after(() => Promise.all(nodes.map((node) => node.child?.exitCode === null && node.kill())));
  for (const node of nodes) await node.start(nodes.filter((other) => other.listen).map((other) => other.listen));
  return nodes;
}

const leading = (nodes) => until('a leader', async () => {
  for (const node of nodes) if ((await node.ask('$raft', { op: 'status' })).role === 'leader') return node;
  return null;
});

/** A command to whoever leads, until it is done; for commands that may be repeated. */
const done = (nodes, request) => until(`${request.op} ${request.key}`, async () => {
  const answer = await (await leading(nodes)).ask('$kv', request);
  return answer.ok && answer;
});

const agreed = (nodes) => until('equal digests', async () => {
  const digests = await Promise.all(nodes.map((node) => node.ask('$raft', { op: 'digest' })));
  const all = new Set(digests.map(({ last_applied, sha256 }) => `${last_applied} ${sha256}`));
  return all.size === 1 && digests[0];
});

test('three processes form a cluster, lose their leader to kill -9, go on, and agree', async (t) => {
  const nodes = await cluster(t);
  for (let i = 0; i < 20; i++) await done(nodes, { op: 'put', key: `k${i}`, value: BigInt(i) });
  const first = await leading(nodes);
  assert.equal((await first.ask('$kv', { op: 'append', key: 's', value: 'aé😀' })).value, 3n);
  assert.equal((await first.ask('$kv', { op: 'cas', key: 'k1', expect: 1, value: null })).value, false); // 1.0 is not 1
  assert.equal((await first.ask('$kv', { op: 'incr', key: 's', value: 1n })).code, 'bad_request');
  const follower = nodes.find((node) => node !== first);
  const refused = await follower.ask('$kv', { op: 'get', key: 'k1' });
  assert.deepEqual([refused.code, refused.definite], ['not_leader', true]);

  await first.kill();
  const rest = nodes.filter((node) => node !== first);
  assert.equal((await done(rest, { op: 'get', key: 'k19' })).value, 19n); // nothing acknowledged is lost
  await done(rest, { op: 'put', key: 'later', value: 1.5 });

  await first.start(rest.map((node) => node.listen));
  await agreed(nodes);

  for (const node of nodes) await node.kill(); // all at once: the disks alone remember
  for (const node of nodes) await node.start(nodes.filter((other) => other !== node && other.child.exitCode === null).map((other) => other.listen));
  assert.equal((await done(nodes, { op: 'get', key: 'later' })).value, 1.5);
  await agreed(nodes);
});

test('a member that was away gets the snapshot', async (t) => {
  const nodes = await cluster(t, { CF_SNAPSHOT_EVERY: '10' });
  const first = await leading(nodes);
  const away = nodes.find((node) => node !== first);
  await away.kill();
  const rest = nodes.filter((node) => node !== away);
  for (let i = 0; i < 40; i++) await done(rest, { op: 'incr', key: 'n', value: 1n });
  await until('a cut log', async () => (await first.ask('$raft', { op: 'status' })).snapshot_index >= 30n);
  await away.start(rest.map((node) => node.listen));
  await agreed(nodes);
  assert.ok((await away.ask('$raft', { op: 'status' })).snapshot_index >= 30n);
  for (const node of nodes) assert.doesNotMatch(node.errors, /Error/);
});

test('services, errors, and mistakes of a peer (MSG-*, FRAME-6, PAYLOAD-2, HELLO-*)', async (t) => {
  const [node] = await cluster(t);
  const { client } = node;
  assert.equal(await client.lookup('$echo'), true);
  assert.equal(await client.lookup('nobody'), false);
  const slow = client.ask('$sleep', 0.3);
  assert.equal(await client.ask('$echo', 1n), 1n); // it does not wait for the sleeper
  assert.equal(await slow, 0.3);
  await assert.rejects(client.ask('nobody', 1n), { code: 'ACTOR_NOT_FOUND' });
  await assert.rejects(client.ask('$kv', 1n), { code: 'ACTOR_FAILED', error_type: 'UnhandledMessage' });
  await assert.rejects(client.ask('$echo', new Ext(99, Buffer.from('x'))), { code: 'BAD_MESSAGE' });
  await assert.rejects(client.ask('$echo', new Ext(1, ['no.such:Type', {}])), { code: 'UNKNOWN_TYPE' });
  for (let i = 0; i < 2; i++) client.socket.write(encodeFrame(99, 'x', Buffer.from([1])));
  client.socket.write(encodeFrame(17, '', Buffer.from([0xc1])));
  client.socket.write(encodeFrame(9, 'x', Buffer.from([0xc1])));
  assert.equal(await client.ask('$echo', 'still here'), 'still here');
  assert.deepEqual(client.frames.filter((m) => m.type === 'ERROR').map((m) => m.code), ['UNKNOWN_FRAME_TYPE', 'BAD_PAYLOAD']);
  client.send('PEER_LIST', { peers: [] }, 'somebody-else');
  await once(client.socket, 'close');
  assert.equal(client.frames.at(-1).code, 'IDENTITY_CHANGED');
  for (const [fields, code] of [[{ cluster: 'other' }, /ended/], [{ node: 'n1' }, /ended/], [{ member: true, size: 5n }, /ended/]]) {
    await assert.rejects(Client.connect(node.listen, fields), code);
  }
  const twin = await Client.connect(node.listen, { node: 'twin' });
  await assert.rejects(Client.connect(node.listen, { node: 'twin' }), /ended/); // it answers its pings (HELLO-7)
  twin.close();
  (await Client.connect(node.listen, { node: 'twin' })).close();
});

test('exit statuses: 0, 64, 78, 127 (LAUNCH-4, LAUNCH-5, PERSIST-5)', async (t) => {
  const root = await directory(t);
  const described = JSON.parse((await run(['--describe'])).stdout);
  assert.equal(described.protocol, 1);
  assert.equal((await run([], { CF_CAPS: 'introspect,time-travel' })).status, 127);
  for (const args of [['--sise', '3'], ['--node-id', 'a b', '--size', '3'], ['--node-id', 'n1'], ['--node-id', 'n1', '--size', '65']]) {
    const { status, stderr } = await run(args);
    assert.equal(status, 64, stderr);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
  const node = await new Process('n1', root, {}).start();
  const second = await run(['--data-dir', node.data, '--size', '3']);
  assert.equal(second.status, 78);
  assert.match(second.stderr, /in use/);
  assert.deepEqual(await node.kill('SIGTERM'), [0, null]);
  const file = await open(join(node.data, 'log'), 'r+');
  await file.write(Buffer.from([0xff]), 0, 1, 20);
  await file.close();
  const corrupt = await run(['--data-dir', node.data, '--size', '3']);
  assert.equal(corrupt.status, 78);
  assert.match(corrupt.stderr, /^.*log: offset 0: .*\n$/);
});

test('a disk that fails ends the process with 74 (PERSIST-4)', async (t) => {
  const root = await directory(t);
  const child = spawn('sh', ['-c', 'ulimit -f 16; exec "$0" "$@"', process.execPath, PROGRAM, '--node-id', 'n1', '--data-dir', join(root, 'n1'), '--size', '1'], {
    env: { ...process.env, ...FAST }, stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const client = await Client.connect(JSON.parse(line.slice(6)).listen, { size: 1n });
  await until('a leader', async () => (await client.ask('$raft', { op: 'status' })).role === 'leader');
  await assert.rejects(async () => {
    for (let i = 0; i < 100; i++) await client.ask('$kv', { op: 'put', key: 'k', value: 'x'.repeat(4000) });
  });
  assert.equal((await ended)[0], 74);
});
