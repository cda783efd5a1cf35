// Requests of an upload: who makes them, what their failures mean, and when to try again.

const SILENCE_MS = 120_000; // how long a request may neither move nor be answered
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const PASSING_CODES = ["network", "silence", "bad_answer", "md5_mismatch", "body_cut_off"];
const PASSING_STATUSES = [408, 425, 429];
const OUT_OF_SPACE = 507;

/** What went wrong, in the server's own words where it has said any. */
export class UploadError extends Error {
  /**
   * @param {string} code  The server's stable code, such as `quota_exceeded`; of our own: `network`, `silence`,
   *   `bad_answer`, `file_unreadable`, `aborted`.
   * @param {string} detail  One sentence for people.
   * @param {{status?: number, problem?: Object|null, retryAfterMs?: number}} [more]
   */
  constructor(code, detail, { status = 0, problem = null, retryAfterMs } = {}) {
    super(detail);
    this.name = "UploadError";
    this.code = code;
    this.detail = detail;
    /** The HTTP status; 0 when there was no answer. */
    this.status = status;
    /** @type {Object|null} The whole problem (RFC 9457) as the server sent it. */
    this.problem = problem;
    /** How long the server asked to be left alone, in milliseconds. */
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    const { code, status } = this;
    const theirs = status >= 500 && status !== OUT_OF_SPACE;
    return theirs || PASSING_STATUSES.includes(status) || PASSING_CODES.includes(code);
  }
}

/** Where the service is, and as whom it is asked. */
export class Connection {
  /**
   * @param {{address?: string, token?: string}} options  `address` is the base URL of a service on another origin;
   *   without a `token` the browser's session is used.
   */
  constructor({ address = "", token }) {
    this.base = `${address.replace(/\/+$/, "")}/ehealth-base/multipart/upload`;
    this.token = token;
  }

  /**
   * Post a form and return the JSON of the answer.
   * @param {Object<string, string|number|Blob|undefined>} fields  In this order; a blob belongs last.
   * @param {{path?: string, signal?: AbortSignal, onBytes?: (bytes: number) => void}} [options]
   * @returns {Promise<any>}
   */
  async post(fields, { path = "", ...options } = {}) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) body.append(name, value instanceof Blob ? value : String(value));
    }
    return this.#ask("POST", path, body, options);
  }

  /**
   * Read what the service tells of an upload.
   * @param {number} fileId
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async read(fileId, signal) {
    return this.#ask("GET", `/${fileId}`, null, { signal });
  }

  async #ask(method, path, body, options) {
    const answer = await send(method, this.base + path, body, { ...options, headers: this.#identity() });
    try {
      return JSON.parse(answer);
    } catch {
      throw new UploadError("bad_answer", "The answer is not that of the service.");
    }
  }

  #identity() {
    if (this.token) return { "X-Access-Token": this.token };
    const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
    return cookie ? { "X-CSRFToken": cookie[1] } : {};
  }
}

/**
 * Make one request; the text of its answer, or an UploadError.
 * @param {string} method
 * @param {string} url
 * @param {FormData|Blob|null} body
 * @param {{headers?: Object<string, string>, signal?: AbortSignal, onBytes?: (bytes: number) => void}} options
 *   `onBytes` hears how many bytes of the body are on their way.
 * @returns {Promise<string>}
 */
export function send(method, url, body, { headers = {}, signal, onBytes }) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest(); // which, unlike fetch, tells how far it is
    let silence;
    const giveUp = (reason) => {
      reject(reason);
      request.abort();
    };
    const alive = () => {
      clearTimeout(silence);
      const reason = new UploadError("silence", "The service does not answer.");
      silence = setTimeout(giveUp, SILENCE_MS, reason);
    };
    const aborted = () => giveUp(signal.reason);
    request.open(method, url);
    request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (onBytes) {
      request.upload.onprogress = ({ loaded }) => {
        alive();
        onBytes(loaded);
      };
    }
    request.onloadend = () => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", aborted);
      if (request.status >= 200 && request.status < 300) resolve(request.responseText);
      else reject(failure(request));
    };
    signal?.addEventListener("abort", aborted);
    alive();
    request.send(body);
  });
}

function failure(request) {
  if (!request.status) return new UploadError("network", "The service cannot be reached.");
  let problem = null;
  try {
    problem = JSON.parse(request.responseText);
  } catch {
    // Not the service's own words: a proxy's, perhaps.
  }
  const detail = problem?.detail || problem?.title || `The service answered ${request.status}.`;
  // Asked for by its name, a header that another origin does not show is an error in the console.
  const retryAfterMs = milliseconds(request.getAllResponseHeaders().match(/^retry-after: *(.+?)\r?$/im)?.[1]);
  return new UploadError(problem?.code || "http", detail, { status: request.status, problem, retryAfterMs });
}

function milliseconds(retryAfter) {
  if (!retryAfter) return undefined;
  const seconds = Number(retryAfter);
  return Math.max(0, Number.isNaN(seconds) ? Date.parse(retryAfter) - Date.now() : seconds * 1000) || undefined;
}

/**
 * Do it until it succeeds, with growing pauses; what cannot succeed, or fails too often, is thrown.
 * @template T
 * @param {() => Promise<T>} action
 * @param {{attempts: number, signal: AbortSignal, onFailure?: (error: UploadError) => void}} options
 * @returns {Promise<T>}
 */
export async function persist(action, { attempts, signal, onFailure }) {
  for (let failures = 1; ; failures++) {
    try {
      return await action();
    } catch (error) {
      if (signal.aborted || !error.passing || failures >= attempts) throw error;
      onFailure?.(error);
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS) * (0.5 + Math.random());
      await rest(error.retryAfterMs ? error.retryAfterMs + Math.random() * FIRST_PAUSE_MS : pause, signal);
    }
  }
}

function rest(pauseMs, signal) {
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      clearTimeout(timer);
      removeEventListener("online", online);
      signal.removeEventListener("abort", aborted);
      settle(value);
    };
    const online = () => end(resolve); // the network is back: no reason to wait
    const aborted = () => end(reject, signal.reason);
    const timer = setTimeout(online, pauseMs);
    addEventListener("online", online);
    signal.addEventListener("abort", aborted);
  });
}
