// What happens meanwhile: events from the socket, and questions where there is no socket.

import { listen } from "./api.js";
import { find, tell } from "./shown.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const POLL_MS = 2000;
const LOGGED_OUT = 401;
const CLOSED_AS_LOGGED_OUT = 4401;

/**
 * @typedef {Object} Page
 * @property {(event: any) => void} onEvent  A `list_job` event.
 * @property {() => Promise<any>} onPoll  No socket is there: ask where things stand.
 * @property {() => void} onBack  The service can be reached again: what happened meanwhile was not told.
 */

/** The page's line to the service: whether it holds is told at the head of the page. */
export class Line {
  #page;
  #socketOpen = false;
  #lost = false;
  #asking = false;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    listen((error) => this.#hear(error));
  }

  /** Listen from now on. */
  open() {
    this.#connect(FIRST_PAUSE_MS);
    setInterval(() => this.#poll(), POLL_MS);
    addEventListener("online", () => this.#poll());
    document.addEventListener("visibilitychange", () => document.hidden || this.#page.onBack());
  }

  /** @param {import("../upload/connection.js").UploadError|null} error */
  #hear(error) {
    const unreachable = Boolean(error) && (!error.status || [502, 503, 504].includes(error.status) && !error.problem);
    const wasAway = this.#lost || !find("logged-out").hidden;
    find("logged-out").hidden = error?.status !== LOGGED_OUT;
    this.#lost = unreachable;
    tell(find("lost"), unreachable ? "The connection is lost. Trying again…" : "");
    if (wasAway && !unreachable && error?.status !== LOGGED_OUT) queueMicrotask(() => this.#page.onBack());
  }

  async #poll() {
    if (this.#asking || document.hidden || (this.#socketOpen && !this.#lost)) return;
    this.#asking = true;
    try {
      await this.#page.onPoll();
    } catch {
      // Told already, by #hear.
    } finally {
      this.#asking = false;
    }
  }

  #connect(pause) {
    let wait = pause;
    const url = new URL("/ws/events/", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.onopen = () => {
      this.#socketOpen = true;
      wait = FIRST_PAUSE_MS;
      if (pause > FIRST_PAUSE_MS) this.#page.onBack();
    };
    socket.onmessage = ({ data }) => {
      const [name, body] = JSON.parse(data);
      if (name === "list_job") this.#page.onEvent(JSON.parse(body));
    };
    socket.onclose = ({ code }) => {
      this.#socketOpen = false;
      if (code === CLOSED_AS_LOGGED_OUT) find("logged-out").hidden = false;
      else this.#poll();
      setTimeout(() => this.#connect(Math.min(wait * 2, LONGEST_PAUSE_MS)), wait * (0.5 + Math.random()));
    };
  }
}
