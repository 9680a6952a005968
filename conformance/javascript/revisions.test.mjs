// Is an older copy told apart, whatever it has come to since, and the right directory let in (HELLO-11, LEADER-10)?

import test from 'node:test';
import assert from 'node:assert/strict';
import { Revisions } from './revisions.mjs';

const STORE = 's';
const line = (...starts) => starts.map(([id, revision]) => ({ id, revision }));
const hello = (boots, revision = boots[0].revision) => ({ node: 'n2', store_id: STORE, boot_id: boots[0].id, revision, boots });

function told(boot = 'x', revision = 100n) {
  const revisions = new Revisions();
  revisions.note({ node: 'n2', store: STORE, revision, boot });
  return revisions;
}

test('a boot shows that it has what was said', () => {
  for (const [boots, revision, isRight] of [
    [line(['y', 101n], ['x', 7n]), 101n, true],
    [line(['y', 100n], ['x', 7n]), 100n, false],
    [line(['y', 52n], ['x', 7n]), 900n, false],
    [line(['z', 300n], ['y', 52n], ['x', 7n]), 900n, false],
    [line(['z', 300n], ['y', 101n], ['x', 7n]), 900n, true],
    [line(['y', 52n], ['w', 1n]), 900n, false],
    [line(['x', 7n]), 3n, true],
  ]) {
    assert.equal(told().objection(hello(boots, revision)) === null, isRight, JSON.stringify(boots.map(({ id }) => id)));
  }
  assert.equal(told().objection({ node: 'n2', store_id: STORE, boot_id: 'y', revision: 101n }), null);
  assert.match(told().objection({ node: 'n2', store_id: STORE, boot_id: 'y', revision: 100n }), /older copy/);
  assert.equal(told().objection({ node: 'n2', store_id: STORE, boot_id: 'y' }), null);
});

test('what grows out of a refused boot is refused, and the right directory is let in', () => {
  const revisions = told();
  let boots = line(['y', 52n], ['x', 7n]);
  for (let at = 0; at < 100; at += 1) {
    assert.match(revisions.objection(hello(boots)), /older copy/);
    boots = [{ id: `y${at}`, revision: boots[0].revision + 50n }, ...boots].slice(0, 32);
  }
  assert.equal(revisions.objection(hello(line(['z', 101n], ['x', 7n]))), null);
});

test('a boot that was let in by mistake does not count against the right directory', () => {
  const revisions = told('y');
  assert.match(revisions.lose({ node: 'n2', store: STORE, boot: 'y' }, 7n, 3n), /acknowledged entry 7 to the leader of term 3/);
  assert.match(revisions.objection({ node: 'n2', store_id: STORE, boot_id: 'y' }), /refused as one before/);
  assert.equal(revisions.objection(hello(line(['z', 80n], ['x', 7n]))), null);
  assert.ok(new Revisions(revisions.all).objection({ node: 'n2', store_id: STORE, boot_id: 'y' }));
});
