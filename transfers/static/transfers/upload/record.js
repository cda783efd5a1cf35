// What this browser remembers of its uploads: md5(file) → {fileId, parts: {1: "md5", 2: "md5", …}}.

/** The uploads of one service (and one user), in localStorage under one key; a page that may not use it forgets. */
export class Record {
  /** @param {{address?: string, storageKey?: string}} options */
  constructor({ address = "", storageKey = "carryon-uploads" }) {
    this.key = address ? `${storageKey}@${new URL(address, location.href).origin}` : storageKey;
  }

  /** @returns {Object<string, {fileId: number, parts?: Object<string, string>}>} */
  all() {
    try {
      const entries = Object.entries(JSON.parse(localStorage.getItem(this.key)) ?? {});
      return Object.fromEntries(entries.filter(([, entry]) => entry?.fileId > 0));
    } catch {
      return {}; // forbidden here, or spoilt
    }
  }

  /** The Web Lock of whoever sends the file. @param {string} md5 */
  lockOf(md5) {
    return `${this.key} ${md5}`;
  }

  /** @param {string} md5  Of the whole file. */
  get(md5) {
    return this.all()[md5];
  }

  /**
   * Remember the upload, or forget it.
   * @param {string} md5
   * @param {{fileId: number, parts?: Object<string, string>}} [entry]  undefined forgets.
   */
  set(md5, entry) {
    try {
      localStorage.setItem(this.key, JSON.stringify({ ...this.all(), [md5]: entry })); // undefined is left out
    } catch {
      // Full or forbidden: the upload goes on, and would start over after a crash.
    }
  }
}
