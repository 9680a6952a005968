// What is in the log, in memory? Entries after a base, which is the snapshot's last index and term, or 0 and 0.

export class Entries {
  #items;

  constructor(index = 0n, term = 0n, items = []) {
    this.base = index;
    this.baseTerm = term;
    this.#items = [...items];
  }

  get last() {
    return this.base + BigInt(this.#items.length);
  }

  get lastTerm() {
    return this.#items.at(-1)?.term ?? this.baseTerm;
  }

  get empty() {
    return this.last === 0n;
  }

  at(index) {
    return index > this.base && index <= this.last ? this.#items[Number(index - this.base) - 1] : undefined;
  }

  /** The term at an index, the base included; undefined where nothing is known. */
  term(index) {
    return index === this.base ? this.baseTerm : this.at(index)?.term;
  }

  /** Makes the log from `from` on these entries; what stood there is removed. */
  replace(from, entries) {
    this.#items.length = Number(from - this.base) - 1;
    for (const entry of entries) this.#items.push(entry);
  }

  /** Entries from an index on: one, or as many as stay within both bounds (LEADER-8). */
  batch(from, bytes, count) {
    const first = Number(from - this.base) - 1;
    let size = 0;
    let end = first;
    while (end < this.#items.length && end - first < count) {
      size += this.#items[end].data.length;
      if (size > bytes && end > first) break;
      end += 1;
    }
    return this.#items.slice(first, end);
  }

  /** Moves the base: later entries stay if the log agrees with it at that index, else all go (SNAP-5, SNAP-6). */
  rebase(index, term) {
    const agrees = this.term(index) === term;
    this.#items = agrees ? this.#items.slice(Number(index - this.base)) : [];
    this.base = index;
    this.baseTerm = term;
  }

  *[Symbol.iterator]() {
    yield* this.#items;
  }
}
