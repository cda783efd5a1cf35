// The parts of one file, and how those that the service lacks get there.

import { send, UploadError } from "./connection.js";

/** The parts of one upload during one run; `sentBytes` and `md5s` tell how far they are. */
export class Parts {
  #upload;
  #way;
  #stop = new AbortController(); // when one part cannot be sent, none need be
  #signal;
  #queue;
  #bytes; // by part, what of it is sent

  /**
   * @param {{file: File, fileId: number, partSize: number, stored: Object<string, string>,
   *   remembered: Object<string, string>}} upload  `stored` is what the service has, `remembered` what this browser
   *   has seen of this very file before: MD5s by number. Where they agree nothing has to be read.
   * @param {{connection: import("./connection.js").Connection, hashes: import("./md5.js").Md5, signal: AbortSignal,
   *   persist: (signal: AbortSignal, action: () => Promise<any>) => Promise<any>, direct: boolean,
   *   onFlow: () => void, onStored: (md5s: Object<string, string>) => void}} way
   */
  constructor(upload, way) {
    const { file, partSize, stored, remembered } = upload;
    this.#upload = upload;
    this.#way = { ...way };
    this.#signal = AbortSignal.any([way.signal, this.#stop.signal]);
    const numbers = Array.from({ length: countOf(file.size, partSize) }, (_, index) => index + 1);
    const missing = numbers.filter((number) => !stored[number]);
    const doubtful = numbers.filter((number) => stored[number] && stored[number] !== remembered[number]);
    this.#queue = [...missing, ...doubtful];
    this.#bytes = numbers.map((number) => (stored[number] ? this.#blob(number).size : 0));
    /** What the service has for certain: MD5s by number. */
    this.md5s = Object.fromEntries(
      numbers.filter((number) => !this.#queue.includes(number)).map((number) => [number, stored[number]]),
    );
  }

  /** Bytes of the file that are sent, those of earlier runs included. */
  get sentBytes() {
    return this.#bytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Send what is missing, so many parts at once.
   * @param {number} parallel
   * @returns {Promise<Object<string, string>>} The MD5 of every part, by number.
   */
  async send(parallel) {
    try {
      await Promise.all(Array.from({ length: parallel }, () => this.#lane()));
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
    return this.md5s;
  }

  async #lane() {
    for (let number = this.#queue.shift(); number; number = this.#queue.shift()) {
      const blob = this.#blob(number);
      const md5 = await this.#way.hashes.of(blob);
      if (this.#upload.stored[number] !== md5) await this.#persist(number, blob, md5);
      this.#signal.throwIfAborted();
      this.md5s[number] = md5;
      this.#bytes[number - 1] = blob.size;
      this.#way.onStored(this.md5s);
    }
  }

  #persist(number, blob, md5) {
    return this.#way.persist(this.#signal, async () => {
      try {
        this.#bytes[number - 1] = 0;
        await this.#send(number, blob, md5);
      } catch (error) {
        this.#bytes[number - 1] = 0;
        if (error.code === "network") await this.#way.hashes.of(blob.slice(0, 1)); // nor can a changed file be sent
        throw error;
      }
    });
  }

  async #send(number, blob, md5) {
    const onBytes = (bytes) => {
      this.#bytes[number - 1] = Math.min(bytes, blob.size); // the form around them counts too
      this.#way.onFlow();
    };
    if (this.#way.direct && (await this.#sendDirectly(number, blob, onBytes))) return;
    const fields = { fileId: this.#upload.fileId, part: number, md5, file: blob };
    const { md5string } = await this.#way.connection.post(fields, { signal: this.#signal, onBytes });
    if (md5string !== md5) throw new UploadError("md5_mismatch", "The part came to the service changed.");
  }

  /** Send it to the object store; false when there is no address for it, or the store does not take it from here. */
  async #sendDirectly(number, blob, onBytes) {
    const signal = this.#signal;
    try {
      const path = `/${this.#upload.fileId}/parts/${number}/url`;
      const { method, url, headers } = await this.#way.connection.post({}, { path, signal });
      await send(method, url, blob, { headers, signal, onBytes });
      return true;
    } catch (error) {
      if (signal.aborted || ["no_such_upload", "upload_ended"].includes(error.code)) throw error;
      this.#way.direct = false;
      return false;
    }
  }

  #blob(number) {
    const { file, partSize } = this.#upload;
    return file.slice((number - 1) * partSize, number * partSize);
  }
}

/**
 * How many parts a file has; an empty one has one, which is empty too.
 * @param {number} size  Bytes.
 * @param {number} partSize  Bytes.
 */
export function countOf(size, partSize) {
  return Math.max(1, Math.ceil(size / partSize));
}
