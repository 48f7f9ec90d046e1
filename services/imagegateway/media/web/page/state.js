// @ts-check
/** Observable state: one object, changed by patches, with subscribers by field. */

/**
 * State that several views share.
 * @template {object} T
 */
export class State {
  /** @param {T} initial */
  constructor(initial) {
    this.value = Object.freeze({ ...initial });
    /** @type {Set<{fields: (keyof T)[], listener: (value: Readonly<T>) => void}>} */
    this.subscribers = new Set();
  }

  /**
   * Change fields, then call the subscribers of those that have another value.
   * @param {Partial<T>} patch
   */
  set(patch) {
    const before = this.value;
    this.value = Object.freeze({ ...before, ...patch });
    const changed = /** @type {(keyof T)[]} */ (Object.keys(patch)).filter((name) => !Object.is(before[name], this.value[name]));
    for (const { fields, listener } of [...this.subscribers]) {
      if (fields.some((name) => changed.includes(name))) listener(this.value);
    }
  }

  /**
   * Call `listener` after each change of one of `fields`. Return the function that ends this.
   * @param {(keyof T)[]} fields @param {(value: Readonly<T>) => void} listener
   * @returns {() => void}
   */
  subscribe(fields, listener) {
    const subscriber = { fields, listener };
    this.subscribers.add(subscriber);
    return () => this.subscribers.delete(subscriber);
  }
}
