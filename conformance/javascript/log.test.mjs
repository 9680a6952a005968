// Does the disk remember what it was told, and notice what is not true?

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Disk, Unusable } from './log.mjs';
import { FIRST, ID, N2, TRIO, command, directory } from './fixtures.mjs';

/** Writes records and waits until they are durable. */
function written(disk, ...records) {
  return new Promise((resolve, reject) => {
    disk.onDurable = (seq) => seq === records.length && resolve();
    disk.onFailure = reject;
    records.forEach((record, i) => (record.data ? disk.writeSnapshot(i + 1, record, record.data) : disk.write(i + 1, record)));
  });
}

const STATE = { kind: 'state', term: 3n, votedFor: N2, list: TRIO };

test('the log remembers, knows its node, and keeps others out (PERSIST-1, PERSIST-5, LAUNCH-6)', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE, { kind: 'entries', from: 1n, entries: [FIRST, command(1n), command(2n)] }, { kind: 'entries', from: 3n, entries: [command(3n)] });
  await assert.rejects(Disk.open(path, 'n1'), /in use/);
  await disk.close();
  await assert.rejects(Disk.open(path, 'n2'), /belongs to node n1/);
  const again = await Disk.open(path, null);
  assert.deepEqual(again.node, disk.node);
  const { term, votedFor, list, entries, snapshot } = again.durable;
  assert.deepEqual([term, votedFor, list, [...entries].map((e) => e.term), snapshot], [3n, N2, TRIO, [1n, 1n, 3n], null]);
  await again.close();
});

test('a snapshot cuts the log, and both come back', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE, { kind: 'entries', from: 1n, entries: [FIRST, command(1n), command(2n)] }, { index: 2n, term: 1n, cluster_id: ID, members: TRIO, data: Buffer.from('two') });
  await disk.close();
  const again = await Disk.open(path, 'n1');
  assert.equal(again.durable.snapshot.data.toString(), 'two');
  assert.deepEqual([...again.durable.entries], [command(2n)]);
  await again.close();
  const file = join(path, 'snapshot-2-1');
  await writeFile(file, 'twx');
  await assert.rejects(Disk.open(path, 'n1'), /snapshot-2-1: checksum/);
});

test('a torn tail is cut off at every length, and a flipped bit anywhere is refused (PERSIST-5)', async (t) => {
  const path = await directory(t);
  const disk = await Disk.open(path, 'n1');
  await written(disk, STATE);
  await disk.close();
  const { size: before } = await stat(disk.path);
  const again = await Disk.open(path, 'n1');
  const { size } = await stat(disk.path);
  await written(again, { kind: 'entries', from: 1n, entries: [FIRST] });
  await again.close();
  const whole = await readFile(disk.path);
  for (const length of [size + 1, size + 13, whole.length - 1]) {
    await writeFile(disk.path, whole.subarray(0, length));
    const cut = await Disk.open(path, 'n1');
    assert.deepEqual([cut.durable.term, cut.durable.entries.last], [3n, 0n]);
    await cut.close();
    const after = await readFile(disk.path); // a record of the start where the torn one was
    assert.ok(after.subarray(0, size).equals(whole.subarray(0, size)));
    assert.equal(after.length, 2 * size - before);
  }
  for (const at of [0, 5, 20, size - 1, size, size + 9, size + 20, whole.length - 1]) {
    const flipped = Buffer.from(whole);
    flipped[at] ^= 1;
    await writeFile(disk.path, flipped);
    await assert.rejects(Disk.open(path, 'n1'), (error) => error instanceof Unusable && /log: offset \d+/.test(error.message), `byte ${at}`);
  }
});

test('the revision rises with each start and write, also over a compaction, and peers are remembered (HELLO-10, HELLO-11)', async (t) => {
  const path = await directory(t);
  const peers = [{ node: 'n2', store: ID, revision: 7n, boot: ID, refused: [ID] }];
  const revisions = [0n];
  const boots = [];
  for (let start = 0; start < 3; start += 1) {
    const disk = await Disk.open(path, 'n1');
    assert.deepEqual(disk.memory.boots.map(({ id }) => id), [disk.boot, ...boots]);
    assert.equal(disk.memory.boots[0].revision, disk.revision);
    assert.deepEqual(disk.memory.peers, start ? peers : []);
    boots.unshift(disk.boot);
    revisions.push(disk.revision);
    await written(disk, STATE, { kind: 'peers', peers });
    revisions.push(disk.revision);
    if (start === 0) {
      const entries = { kind: 'entries', from: 1n, entries: [FIRST, command(1n)] };
      await written(disk, entries, { index: 2n, term: 1n, cluster_id: ID, members: TRIO, data: Buffer.from('two') });
      revisions.push(disk.revision);
    }
    await disk.close();
  }
  revisions.reduce((before, after) => assert.ok(after > before, `${before}, then ${after}`) ?? after);
});
