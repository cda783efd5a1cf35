// One file on the page: its bar, its words, its buttons.

import { Upload } from "./carryon-upload.js";
import { percent, size, span } from "./words.js";

const AT_WORK = ["hashing", "waiting", "uploading", "completing"];
const PRESS = {
  queued: "Pause",
  hashing: "Pause",
  waiting: "Pause",
  uploading: "Pause",
  paused: "Resume",
  failed: "Try again",
  unreadable: "Choose file",
  left: "Choose file",
};
const SURE_MS = 4000;
const LOGGED_OUT = 401;

/**
 * @typedef {{md5: string, name: string, size: number, sent: number}} Left  What an earlier visit left unfinished.
 *
 * @typedef {Object} Page  Who hears of a row's buttons and changes.
 * @property {(row: Row) => void} onStart
 * @property {(row: Row) => void} onChoose
 * @property {(row: Row) => void} onCancel
 * @property {(row: Row) => void} onChange  Of its state.
 * @property {() => void} onProgress
 */

/** A file that waits, is on its way or done, or that was left unfinished and has to be chosen again. */
export class Row {
  #page;
  #find;
  #sure; // the timer of a button that asks whether one is
  #stored = null;

  /**
   * @param {HTMLTemplateElement} template
   * @param {Page} page
   */
  constructor(template, page) {
    this.#page = page;
    this.element = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
    this.#find = (/** @type {string} */ selector) => /** @type {any} */ (this.element.querySelector(selector));
    this.element.addEventListener("click", ({ target }) => this.#press(/** @type {Element} */ (target).closest("button")));
    this.state = "";
    /** @type {Upload|null} */
    this.upload = null;
    /** @type {Left|null} */
    this.left = null;
  }

  /** Whether it takes connections. */
  get atWork() {
    return AT_WORK.includes(this.state);
  }

  /** Whether it failed because its user is logged out. */
  get loggedOut() {
    return this.state === "failed" && this.upload.error.status === LOGGED_OUT;
  }

  /** The MD5 of its file; undefined as long as nobody knows it. */
  get md5() {
    return this.upload ? this.upload.md5 : this.left?.md5;
  }

  /** Whether an earlier visit left what may be this file. @param {File} file */
  isLeftOf({ name, size: bytes }) {
    return this.state === "left" && this.left.name === name && this.left.size === bytes;
  }

  /** The file's name. */
  get name() {
    return this.upload?.file.name ?? this.left.name;
  }

  /** @param {Left} left */
  show(left) {
    this.left = left;
    this.upload = null;
    this.#become("left");
    this.#bar(left.sent, left.size);
    const there = left.sent ? `${size(left.sent)} of ${size(left.size)} are there.` : "Nothing of it is there yet.";
    this.#tell(`${there} Choose the file again to go on.`);
  }

  /**
   * Get in line with this file.
   * @param {File} file
   * @param {import("./carryon-upload.js").Options} options
   */
  take(file, options) {
    this.upload = new Upload(file, { ...options, onProgress: (progress) => this.#follow(progress) });
    this.wait();
    this.#bar(this.left?.sent ?? 0, file.size);
  }

  /** Show a file that the service has already, and where. @param {{fileName: string, size: number, url: string}} stored */
  showDone(stored) {
    this.left = { md5: "", name: stored.fileName, size: stored.size, sent: stored.size };
    this.#stored = { ...stored, completed: false };
    this.#finish();
  }

  /** Get in line (again). */
  wait() {
    this.#become("queued");
    this.#tell("Waits for its turn");
  }

  /** Begin or go on. */
  async start() {
    try {
      this.#stored = await this.upload.start();
      this.#finish();
    } catch {
      // Already told as progress.
    }
  }

  #follow(progress) {
    const { state, error } = progress;
    if (state === "aborted" || state === "done") return;
    this.#become(state === "failed" && error.code === "file_unreadable" ? "unreadable" : state);
    if (state === "failed") this.#fault(this.loggedOut ? "You are logged out." : error.detail);
    this.#bar(progress.bytes, progress.total);
    this.#tell(...words(progress));
    this.#page.onProgress();
  }

  #finish() {
    const total = this.upload?.file.size ?? this.left.size;
    this.#find(".name a").href = this.#stored.url;
    this.#become("done");
    this.#bar(1, 1);
    this.#tell(`${size(total)} · ${this.#stored.completed ? "was here already" : "sent"}`, "");
  }

  #become(state) {
    const changed = this.state !== state;
    this.state = state;
    this.element.dataset.state = state;
    this.#find(".name a").textContent = this.name;
    if (!changed) return;
    this.#fault("");
    this.#dress(".press", PRESS[state]);
    this.#unsure();
    this.#page.onChange(this);
  }

  // Buttons

  #press(button) {
    if (button === this.#find(".press")) {
      if (PRESS[this.state] === "Pause") this.#pause();
      else if (PRESS[this.state] === "Choose file") this.#page.onChoose(this);
      else this.#page.onStart(this);
    } else if (button && this.#isSure()) {
      this.#page.onCancel(this);
    }
  }

  #pause() {
    this.upload.pause();
    this.#become("paused"); // one that waited for its turn has no progress to tell it by
    this.#tell(...words({ ...this.upload.progress, state: "paused" }));
  }

  /** What is sent is thrown away only when asked for twice. */
  #isSure() {
    const nothingSent = !this.left && !this.upload.progress.bytes;
    if (this.#sure || nothingSent || this.state === "hashing") return true;
    this.#sure = setTimeout(() => this.#unsure(), SURE_MS);
    this.#dress(".cancel", this.state === "left" ? "Really remove?" : "Really cancel?");
    return false;
  }

  #unsure() {
    clearTimeout(this.#sure);
    this.#sure = undefined;
    const label = this.state === "left" ? "Remove" : "Cancel";
    this.#dress(".cancel", ["completing", "done"].includes(this.state) ? "" : label);
  }

  #dress(selector, label = "") {
    const button = this.#find(selector);
    button.hidden = !label;
    button.textContent = label;
    button.setAttribute("aria-label", `${label}: ${this.name}`);
  }

  // What is seen

  #bar(bytes, total) {
    const bar = this.#find("progress");
    bar.max = total || 1;
    bar.value = total ? bytes : Number(this.state === "done");
    bar.setAttribute("aria-label", this.name);
    bar.setAttribute("aria-valuetext", percent(bytes, total));
  }

  /** Say something about the file that stays. @param {string} text */
  note(text) {
    this.#find(".note").textContent = text;
    this.#find(".note").hidden = false;
  }

  #tell(amount, pace = "") {
    this.#find(".amount").textContent = amount;
    this.#find(".pace").textContent = pace;
  }

  #fault(text) {
    this.#find(".fault").textContent = text;
    this.#find(".fault").hidden = !text;
  }
}

/**
 * What is told of the progress: how much, and how fast or what else there is to say.
 * @param {import("./carryon-upload.js").Progress} progress
 */
function words({ state, bytes, total, speed, secondsLeft, error }) {
  const amount = `${size(bytes)} of ${size(total)} · ${percent(bytes, total)}`;
  const pace = speed > 0 ? `${size(speed)}/s · ${span(secondsLeft)} left` : "";
  if (state === "hashing") return [`Reading the file · ${percent(bytes, total)}`, pace];
  if (state === "waiting") return ["Another tab is sending this file"];
  if (state === "completing") return [amount, "finishing"];
  if (state === "paused") return [amount, "paused"];
  if (state === "failed") return [amount];
  return [amount, error ? `${error.detail} Trying again.` : pace];
}
