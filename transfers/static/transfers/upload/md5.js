// MD5 of blobs, taken in a worker so that the page stays alive.

import { UploadError } from "./connection.js";

const WORKER = new URL("./md5-worker.js", import.meta.url);

/** A worker of one's own, which ends with the signal. */
export class Md5 {
  #worker;
  #asked = new Map(); // id → {resolve, reject, onBytes}
  #lastId = 0;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.#worker = start();
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = () => this.#end(new UploadError("no_worker", "This browser cannot take the file's MD5."));
    signal.addEventListener("abort", () => this.#end(signal.reason));
  }

  /**
   * @param {Blob} blob
   * @param {(bytes: number) => void} [onBytes]  Hears how many bytes have been read.
   * @returns {Promise<string>} Lowercase hex; an UploadError `file_unreadable` when the file was changed or is gone.
   */
  of(blob, onBytes) {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#asked.set(id, { resolve, reject, onBytes });
      this.#worker.postMessage({ id, blob });
    });
  }

  #hear({ id, bytes, md5, error }) {
    const { resolve, reject, onBytes } = this.#asked.get(id);
    if (bytes) {
      onBytes?.(bytes);
      return;
    }
    this.#asked.delete(id);
    if (md5) resolve(md5);
    else reject(new UploadError("file_unreadable", `The file cannot be read: was it changed or moved? (${error})`));
  }

  #end(reason) {
    this.#worker.terminate();
    for (const { reject } of this.#asked.values()) reject(reason);
    this.#asked.clear();
  }
}

function start() {
  if (WORKER.origin === location.origin) return new Worker(WORKER);
  // A worker must be of the page's own origin: one line of it is.
  const line = `importScripts(${JSON.stringify(new URL("./hash-wasm/md5.umd.min.js", WORKER))}, ${JSON.stringify(WORKER)})`;
  return new Worker(URL.createObjectURL(new Blob([line], { type: "text/javascript" })));
}
