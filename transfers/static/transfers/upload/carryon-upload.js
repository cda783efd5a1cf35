// Sends a file to Carryon in parts; after a lost connection, a reload or a crash it goes on with what is missing.
//
//   import { Upload } from "/static/transfers/upload/carryon-upload.js";
//
//   const upload = new Upload(file, { catalog: "scans", onProgress: ({ state, bytes, total }) => … });
//   const { url } = await upload.start();
//
// docs/uploads-javascript.md says more.

import { Connection, persist, UploadError } from "./connection.js";
import { Md5 } from "./md5.js";
import { countOf, Parts } from "./parts.js";
import { Record } from "./record.js";
import { Speed } from "./speed.js";

export { UploadError };

const ROUNDS = 4; // how often an upload may turn out not to be as we thought before that is a failure
const OVER = ["no_such_upload", "upload_ended"];
const ANOTHER_ROUND = [...OVER, "parts_differ"];
const TELL_EVERY_MS = 200;

/**
 * @typedef {Object} Options
 * @property {string} catalog  The folder that the finished file lies in.
 * @property {number} [mode]
 * @property {string} [notes]
 * @property {string} [address]  Base URL of a service on another origin, such as `https://files.example`.
 * @property {string} [token]  Sent as `X-Access-Token`; without one the browser's session is used.
 * @property {number} [parallel]  Parts on their way at once; 3 unless told.
 * @property {number} [attempts]  How often in a row one request may fail before the upload does; 12 unless told, which
 *   is about four minutes. `Infinity` never gives up while the failures may pass.
 * @property {boolean} [direct]  Send parts straight to the object store where the service has addresses for that.
 * @property {string} [storageKey]  Key in localStorage; `carryon-uploads` unless told.
 * @property {(progress: Progress) => void} [onProgress]  Called at every change of state and five times a second.
 *
 * @typedef {"new"|"hashing"|"waiting"|"uploading"|"completing"|"paused"|"done"|"failed"|"aborted"} State
 *   `waiting`: another tab sends the same file.
 *
 * @typedef {Object} Progress
 * @property {State} state
 * @property {number} bytes  Of the file: read while `hashing`, else sent, those of earlier runs included.
 * @property {number} total  The file's size in bytes.
 * @property {number} speed  Bytes a second over the last five seconds.
 * @property {number|null} secondsLeft  Of this state; null when that cannot be told.
 * @property {UploadError|null} error  Why it has failed, or what just now has to be tried again.
 *
 * @typedef {Object} Stored  The finished file, as the service tells of it.
 * @property {number} fileId
 * @property {number} id
 * @property {string} fileName
 * @property {number} size  Bytes.
 * @property {string} [md5]
 * @property {string} url  Where it can be downloaded.
 * @property {boolean} [completed]  True when the service had the whole file already: nothing was sent.
 */

/** One file on its way. */
export class Upload {
  #options;
  #connection;
  #record;
  #outcome = Promise.withResolvers(); // what start() promises
  #run = null; // the AbortController of what is going on
  #entry; // what is remembered of this file
  #parts = null;
  #hashedBytes = 0;
  #speed = new Speed();

  /**
   * @param {File} file
   * @param {Options} options
   */
  constructor(file, options) {
    this.#options = { parallel: 3, attempts: 12, direct: false, ...options };
    this.#connection = new Connection(options);
    this.#record = new Record(options);
    this.file = file;
    /** @type {State} */
    this.state = "new";
    /** @type {string|undefined} MD5 of the whole file, once it is known. */
    this.md5 = undefined;
    /** @type {UploadError|null} */
    this.error = null;
    /** @type {Progress} Where it stands, as last told. */
    this.progress = this.#measured();
  }

  /**
   * Begin, go on after `pause()`, or try again after a failure.
   * @returns {Promise<Stored>} An UploadError when it fails or is aborted; a pause leaves it pending.
   */
  start() {
    if (this.#run || this.state === "done") return this.#outcome.promise;
    if (["failed", "aborted"].includes(this.state)) this.#outcome = Promise.withResolvers();
    this.#run = new AbortController();
    this.#go(this.#run);
    return this.#outcome.promise;
  }

  /** Go on after `pause()`; the same as `start()`. */
  resume() {
    return this.start();
  }

  /** Let go of the connections at once; parts that are not whole will be sent again. */
  pause() {
    if (!this.#run) return;
    this.#stop();
    this.#become("paused");
  }

  /**
   * End the upload, and have the service remove what it has of it.
   * @returns {Promise<void>} An UploadError when the service could not be told; it removes the upload in some days.
   */
  async abort() {
    if (["done", "aborted"].includes(this.state)) return;
    const begun = this.state !== "new";
    this.#stop();
    this.#become("aborted");
    if (begun) this.#outcome.reject(new UploadError("aborted", "The upload was ended."));
    const fileId = this.#entry?.fileId;
    this.#remember(undefined);
    if (fileId) await remove(this.#connection, fileId);
  }

  // How it goes

  async #go(run) {
    const { signal } = run;
    const ticking = setInterval(() => this.#tell(), TELL_EVERY_MS);
    const hashes = new Md5(signal);
    try {
      if (!this.md5) await this.#hash(hashes, signal);
      const stored = await this.#alone(signal, () => this.#send(hashes, signal));
      this.#remember(undefined);
      this.#become("done");
      this.#outcome.resolve(stored);
    } catch (error) {
      if (this.#run === run) this.#fail(error);
    } finally {
      clearInterval(ticking);
      if (this.#run === run) this.#stop();
      else if (!this.#run) this.#tell(); // now without the parts that were let go of
    }
  }

  #stop() {
    const run = this.#run;
    this.#run = null;
    run?.abort(new UploadError("aborted", "The upload was stopped."));
  }

  #fail(error) {
    this.#become("failed", error);
    this.#outcome.reject(error);
  }

  async #hash(hashes, signal) {
    this.#become("hashing");
    const md5 = await hashes.of(this.file, (bytes) => (this.#hashedBytes = bytes));
    signal.throwIfAborted();
    this.md5 = md5;
  }

  /** Only one tab at a time sends a file; each that waits learns which upload the others made. */
  async #alone(signal, work) {
    const look = () => (this.#entry = this.#record.get(this.md5) ?? this.#entry);
    look();
    if (!navigator.locks) return work(); // the service keeps apart what two tabs send; they only do it twice
    this.#become("waiting");
    addEventListener("storage", look);
    try {
      return await navigator.locks.request(this.#record.lockOf(this.md5), { signal }, () => (look(), work()));
    } finally {
      removeEventListener("storage", look);
    }
  }

  async #send(hashes, signal) {
    for (let round = 1; ; round++) {
      try {
        this.#become("uploading");
        const upload = await this.#persist(signal, () => this.#initiate(signal));
        if (upload.completed) return upload;
        const parts = await this.#sendParts(upload, hashes, signal);
        this.#become("completing");
        const fields = { option: "complete", fileId: upload.fileId, parts: JSON.stringify(parts) };
        return await this.#persist(signal, () => this.#connection.post(fields, { signal }));
      } catch (error) {
        if (signal.aborted || round === ROUNDS || !ANOTHER_ROUND.includes(error.code)) throw error;
        if (error.code === "no_such_upload") this.#remember(undefined);
      }
    }
  }

  async #initiate(signal) {
    const { file, md5 } = this;
    const { catalog, mode, notes } = this.#options;
    const known = this.#entry?.fileId;
    if (known) this.#requireOurs(await this.#connection.read(known, signal));
    const chosen = known ? { fileId: known } : { catalog, mode, notes };
    const told = { fileName: file.name, fileSize: file.size, md5, contentType: file.type || undefined };
    const upload = await this.#connection.post({ option: "initiate", ...chosen, ...told }, { signal });
    signal.throwIfAborted();
    this.#remember({ ...this.#entry, fileId: upload.fileId });
    return upload;
  }

  /** The upload that was remembered may be another file's: a service set up anew counts its uploads anew. */
  #requireOurs({ md5, size, parts, suggestedChunkSize }) {
    const count = countOf(this.file.size, suggestedChunkSize);
    const fits = Object.keys(parts).every((number) => Number(number) <= count);
    if (md5 === this.md5 && size === this.file.size && fits) return;
    throw new UploadError("no_such_upload", "The upload that was begun is that of another file.");
  }

  #sendParts({ fileId, suggestedChunkSize: partSize, parts: stored = {} }, hashes, signal) {
    const upload = { file: this.file, fileId, partSize, stored, remembered: this.#entry.parts ?? {} };
    this.#parts = new Parts(upload, {
      connection: this.#connection,
      direct: this.#options.direct,
      hashes,
      signal,
      persist: (within, action) => this.#persist(within, action),
      onFlow: () => (this.error = null),
      onStored: (parts) => this.#remember({ fileId, parts }),
    });
    this.#speed.restart();
    return this.#parts.send(this.#options.parallel);
  }

  async #persist(signal, action) {
    const onFailure = (error) => {
      this.error = error;
      this.#tell();
    };
    const result = await persist(action, { attempts: this.#options.attempts, signal, onFailure });
    this.error = null;
    return result;
  }

  // What is kept and told

  #remember(entry) {
    this.#entry = entry;
    if (this.md5) this.#record.set(this.md5, entry);
  }

  #become(state, error = null) {
    if (this.state !== state) this.#speed.restart();
    this.state = state;
    this.error = error;
    this.#tell();
  }

  #tell() {
    this.progress = this.#measured();
    this.#options.onProgress?.(this.progress);
  }

  #measured() {
    const { state, error } = this;
    const total = this.file.size;
    const bytes = { hashing: this.#hashedBytes, done: total }[state] ?? this.#parts?.sentBytes ?? 0;
    const speed = ["hashing", "uploading"].includes(state) ? this.#speed.at(bytes) : 0;
    return { state, bytes, total, speed, secondsLeft: speed > 0 ? (total - bytes) / speed : null, error };
  }
}

/**
 * What this browser has begun and not finished, and no tab of it is sending now: fileId and parts by the file's MD5.
 * @param {{address?: string, storageKey?: string}} [options]
 * @returns {Promise<Object<string, {fileId: number, parts?: Object<string, string>}>>}
 */
export async function unfinished(options = {}) {
  const record = new Record(options);
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  const sent = new Set(held.map(({ name }) => name));
  return Object.fromEntries(Object.entries(record.all()).filter(([md5]) => !sent.has(record.lockOf(md5))));
}

/**
 * Ask the service about an upload.
 * @param {number} fileId
 * @param {{address?: string, token?: string}} [options]
 * @returns {Promise<{fileId: number, fileName: string, size: number|null, suggestedChunkSize: number,
 *   parts: Object<string, string>, completed: boolean, url?: string}>}
 */
export function look(fileId, options = {}) {
  return new Connection(options).read(fileId);
}

/**
 * Forget an upload of `unfinished()`; the service keeps what it has of it.
 * @param {string} md5
 * @param {{address?: string, storageKey?: string}} [options]
 */
export function forget(md5, options = {}) {
  new Record(options).set(md5, undefined);
}

/**
 * Forget an upload of `unfinished()`, and have the service remove what it has of it.
 * @param {string} md5
 * @param {{address?: string, token?: string, storageKey?: string}} [options]
 * @returns {Promise<void>}
 */
export async function discard(md5, options = {}) {
  const entry = new Record(options).get(md5);
  forget(md5, options);
  if (entry) await remove(new Connection(options), entry.fileId);
}

async function remove(connection, fileId) {
  try {
    await connection.post({ option: "abort", fileId });
  } catch (error) {
    if (!OVER.includes(error.code)) throw error;
  }
}
