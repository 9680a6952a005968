// What do the tests share? Three servers with their first entry, and directories that are gone in the end.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeConfiguration } from './messages.mjs';

export const servers = (...names) => names.map((node) => ({ node, store: Buffer.from(node.repeat(8)).toString('hex') }));
export const TRIO = servers('n1', 'n2', 'n3');
export const [N1, N2, N3] = TRIO;
export const ID = 'c1'.repeat(16);
export const FRESH = { term: 0n, votedFor: null, list: null, snapshot: null, entries: [] };
export const FIRST = { term: 1n, kind: 'members', data: writeConfiguration({ cluster_id: ID, members: TRIO }) };
export const command = (term, text = 'x') => ({ term, kind: 'command', data: Buffer.from(text) });

export async function directory(t) {
  const path = await mkdtemp(join(tmpdir(), 'casty-js-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}
