// What this browser remembers of the page between visits; a page that may not use the storage forgets.

/** Values by name, in localStorage under one key. */
export class Memory {
  #key;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
  }

  /**
   * @template T
   * @param {string} name
   * @param {T} otherwise  Given when nothing, or something else than its like, is remembered.
   * @returns {T}
   */
  get(name, otherwise) {
    const value = this.#all()[name];
    const alike = typeof value === typeof otherwise && Array.isArray(value) === Array.isArray(otherwise);
    return alike ? value : otherwise;
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    try {
      localStorage.setItem(this.#key, JSON.stringify({ ...this.#all(), [name]: value }));
    } catch {
      // Full or forbidden: it holds for this visit.
    }
  }

  #all() {
    try {
      return Object(JSON.parse(localStorage.getItem(this.#key) ?? "{}"));
    } catch {
      return {}; // forbidden here, or spoilt
    }
  }
}
