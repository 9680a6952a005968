// Which peers came back with an older copy of their data directory? What they said of it before (HELLO-11).

import { LIMITS } from './protocol.mjs';

const PEERS_MAX = LIMITS.members;
const REFUSED_MAX = 4; // boots on older copies that are remembered of each peer
const REMEDY = 'stop it, and put the right directory back, or remove this one: then it comes back as a new server';

const key = ({ node, store }) => `${node} ${store}`;

export class Revisions {
  changed = false; // since `all` was written last
  #known = new Map(); // 'node store' to {node, store, revision, boot, refused}; boot '' where only refused ones are known

  constructor(known = []) {
    for (const peer of known) this.#known.set(key(peer), peer);
  }

  get all() {
    return [...this.#known.values()];
  }

  /** Why this hello is of an older copy; null if nothing says so. What grows out of a refused boot is refused as well. */
  objection({ node, store_id: store, boot_id: boot, revision, boots = [] }) {
    const known = this.#known.get(key({ node, store }));
    const why = known && this.#flaw(known, boot, revision, boots.slice(0, LIMITS.boots));
    if (!why) return null;
    this.#refuse(known, boot);
    return `the data directory of node ${node} is an older copy: ${why}; ${REMEDY}`;
  }

  #flaw(known, boot, revision, boots) {
    if ([boot, ...boots.map(({ id }) => id)].some((id) => known.refused.includes(id))) return 'it was refused as one before';
    if (revision === undefined || known.boot === '' || known.boot === boot) return null;
    const at = boots.findIndex(({ id }) => id === known.boot);
    const short = (had) => (had < known.revision ? `its revision was ${had} when it was started, and ${known.revision} before` : null);
    if (at > 0) return short(boots[at - 1].revision - 1n);
    if (boots.length > 0 && boots.length < LIMITS.boots) return `it has never been that of boot ${known.boot.slice(0, 8)}`;
    return short(revision - 1n);
  }

  /** A member that came in says how far its directory has come. */
  note({ node, store, revision, boot }) {
    const known = this.#known.get(key({ node, store }));
    if (revision === undefined || (known && revision <= known.revision)) return;
    if (!known && this.#known.size >= PEERS_MAX) this.#known.delete(this.#known.keys().next().value);
    this.#put({ node, store, revision, boot, refused: known?.refused ?? [] });
  }

  /** A member was found without what it had acknowledged (LEADER-10); returns what to tell it. */
  lose({ node, store, boot }, acknowledged, term) {
    const known = this.#known.get(key({ node, store }));
    const other = known && known.boot !== boot ? known : { node, store, revision: 0n, boot: '', refused: known?.refused ?? [] };
    this.#refuse(other, boot);
    const lost = `it acknowledged entry ${acknowledged} to the leader of term ${term}, and does not have it`;
    return `the data directory of node ${node} is an older copy: ${lost}; ${REMEDY}`;
  }

  #refuse(known, boot) {
    if (!known.refused.includes(boot)) this.#put({ ...known, refused: [boot, ...known.refused].slice(0, REFUSED_MAX) });
  }

  #put(peer) {
    this.#known.set(key(peer), peer);
    this.changed = true;
  }
}
