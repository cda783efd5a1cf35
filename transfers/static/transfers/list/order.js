// One order on the page: its bar, its words, its buttons, and which of its files are not in the zip.

import { Speed } from "../upload/speed.js";
import { percent, size, span } from "../upload/words.js";
import * as api from "./api.js";
import { busily, cloned, counted, harmless, megabytes, say, tell, when } from "./shown.js";

const MADE_FIRST = "It has to be made first, and can be downloaded then.";
const NOTES = {
  stopped: "Stopped. Nothing half is left of the zip.",
  expired: "The zip was removed, as its time was over. It can be made again for as long as the files are here.",
  gone: "The zip is not here any more. It can be made again for as long as its files are here.",
  empty: "None of its files could be put into a zip.",
};

/** An order that may be zipped, is being zipped, or was. */
export class OrderRow {
  #find;
  #order;
  #onEnd;
  #state = "";
  #jobId = "";
  #revision = -1;
  #stopping = false;
  #speed = new Speed();
  #asked = 0;
  #nextFailures = "";

  /**
   * @param {any} order  A DownloadOrderSummary.
   * @param {() => void} onEnd  Its job has ended: files may be on the list again.
   */
  constructor(order, onEnd) {
    this.#order = order;
    this.#onEnd = onEnd;
    this.element = cloned("order-template");
    this.#find = (/** @type {string} */ selector) => /** @type {any} */ (this.element.querySelector(selector));
    this.name = harmless(order.zipFileName);
    this.#find(".name bdi").textContent = this.name;
    this.#find("progress").setAttribute("aria-label", this.name);
    this.#find(".save").href = api.zipOf(order.orderId);
    this.#find(".save").download = order.zipFileName;
    for (const selector of [".save", ".now", ".make", ".stop"]) {
      const button = this.#find(selector);
      button.setAttribute("aria-label", `${button.textContent}: ${this.name}`);
    }
    this.#press(".now", () => this.#downloadNow());
    this.#press(".make", () => this.#make());
    this.#press(".stop", () => this.#stop());
    this.#press(".more-failures", () => this.#moreFailures());
    this.#find(".failures").addEventListener("toggle", () => this.#openFailures());
    this.#tell(this.#what());
  }

  /** Whether a worker is at it, or will be. */
  get going() {
    return this.#state === "going";
  }

  /** Ask where it stands. */
  async refresh() {
    const asked = ++this.#asked;
    const state = await api.state(this.#order.orderId);
    if (asked === this.#asked) this.#show(state);
  }

  /** @param {any} event  Of a job of this order. */
  hear({ jobId, jobState, revision, progressCurrent, progressTotal, progressMessage }) {
    const isOurs = jobId === this.#jobId;
    if (isOurs && (!this.going || revision < this.#revision)) return;
    if (isOurs && jobState === "PROCESSING") {
      this.#revision = revision;
      this.#progress(progressCurrent, progressTotal, progressMessage);
    } else {
      this.refresh().catch(() => {}); // what cannot be asked now is, as soon as the service is back
    }
  }

  /** Put the focus on what can be done next. */
  focus() {
    this.element.querySelector(".actions > :not([hidden])")?.focus();
  }

  // Where it stands

  #show({ numberOfFailures, numberOfFiles, job, zipSize, expiresOn }) {
    const was = this.#state;
    if (job?.jobId !== this.#jobId) {
      this.#jobId = job?.jobId ?? "";
      this.#revision = -1;
      this.#speed.restart();
    }
    this.#become(stateOf(job, zipSize, numberOfFailures >= numberOfFiles));
    tell(this.#find(".fault"), this.#state === "failed" ? `The zip could not be made: ${job.errorMessage}` : "");
    tell(this.#find(".note"), NOTES[this.#state]);
    this.#countFailures(this.going ? 0 : numberOfFailures);
    if (this.going) this.#progress(job.progressCurrent, job.progressTotal, job.progressMessage);
    else if (this.#state === "done") this.#tell(`${counted(numberOfFiles - numberOfFailures)} · ${size(zipSize)}`, `here until ${when(expiresOn)}`);
    else this.#tell(this.#what());
    if (was === "going" && !this.going) this.#end();
  }

  #become(state) {
    const focused = this.element.querySelector(".actions")?.contains(document.activeElement);
    this.#state = state;
    this.element.dataset.state = state;
    const fresh = ["new", "stopped", "expired", "gone", "failed", "empty"].includes(state);
    this.#find(".save").hidden = state !== "done";
    this.#find(".now").hidden = !fresh || state === "empty";
    this.#find(".make").hidden = !fresh;
    this.#find(".stop").hidden = state !== "going";
    this.#find("progress").hidden = state !== "going";
    if (state !== "going") this.#stopping = false;
    if (focused && document.activeElement === document.body) this.focus();
  }

  #end() {
    const words = { done: "can be downloaded", stopped: "is stopped" };
    say(`${this.name} ${words[this.#state] ?? "could not be made"}.`);
    this.#onEnd();
  }

  #progress(current, total, message) {
    const bar = this.#find("progress");
    const share = percent(current, total || 1);
    if (total && current) {
      bar.max = total;
      bar.value = current;
    } else {
      bar.removeAttribute("value"); // how far it is cannot be told yet
    }
    bar.setAttribute("aria-valuetext", current ? share : "not known yet");
    const speed = this.#speed.at(current);
    const pace = speed > 0 && current < total ? `${size(speed)}/s · ${span((total - current) / speed)} left` : "";
    const amount = current ? `${size(current)} of ${size(total)} · ${share}` : harmless(capital(message || "waits for a worker"));
    this.#tell(amount, this.#stopping ? "stopping" : pace);
  }

  #what() {
    const { numberOfFiles, totalSizeMB, createdOn } = this.#order;
    return `${counted(numberOfFiles)} · ${megabytes(totalSizeMB)} · ordered ${when(createdOn)}`;
  }

  #tell(amount, pace = "") {
    this.#find(".amount").textContent = amount;
    this.#find(".pace").textContent = pace;
  }

  // What can be done

  #press(selector, act) {
    const button = this.#find(selector);
    button.addEventListener("click", () =>
      busily(button, async () => {
        try {
          await act();
        } catch (error) {
          tell(this.#find(".fault"), api.words(error));
        }
      }),
    );
  }

  /** The zip as it would be, without its being made, where that can be had; else have it made. */
  async #downloadNow() {
    tell(this.#find(".fault"));
    const isThere = await api.ask("HEAD", api.zipOf(this.#order.orderId)).then(
      () => true,
      (error) => {
        if (!error.status) throw error;
        return false;
      },
    );
    if (isThere) {
      this.#find(".save").click();
      await this.refresh();
      return;
    }
    await this.#make();
    tell(this.#find(".note"), MADE_FIRST);
  }

  async #make() {
    tell(this.#find(".fault"));
    await api.start(this.#order.orderId);
    say(`${this.name} is being made.`);
    await this.refresh();
  }

  async #stop() {
    this.#stopping = true;
    this.#find(".pace").textContent = "stopping";
    try {
      await api.stop(this.#jobId);
    } catch (error) {
      this.#stopping = false;
      if (error.status !== 409) throw error; // it has ended meanwhile
    }
    await this.refresh();
  }

  // What is not in it

  #countFailures(count) {
    const details = this.#find(".failures");
    details.hidden = !count;
    details.querySelector("summary").textContent = `${counted(count)} could not be put in`;
    if (details.open) this.#openFailures().catch(() => {});
  }

  async #openFailures() {
    const details = this.#find(".failures");
    if (!details.open || details.hidden) return;
    this.#nextFailures = "";
    try {
      await this.#moreFailures();
    } catch (error) {
      tell(this.#find(".fault"), api.words(error));
    }
  }

  async #moreFailures() {
    const isFirst = !this.#nextFailures;
    const { page, nextPageToken } = await api.failures(this.#order.orderId, this.#nextFailures);
    const rows = page.map(({ zipEntryName, failureMessage, failureCode }) => {
      const row = document.createElement("li");
      const name = Object.assign(document.createElement("bdi"), { textContent: harmless(zipEntryName) });
      const why = Object.assign(document.createElement("span"), { textContent: harmless(failureMessage || failureCode) });
      row.append(name, why);
      return row;
    });
    const list = this.#find(".failures ul");
    if (isFirst) list.replaceChildren(...rows);
    else list.append(...rows);
    this.#nextFailures = nextPageToken ?? "";
    this.#find(".more-failures").hidden = !nextPageToken;
  }
}

function stateOf(job, zipSize, nothingIn) {
  if (!job) return "new";
  if (job.jobState === "PROCESSING") return "going";
  if (job.jobState === "COMPLETE") return zipSize !== null ? "done" : nothingIn ? "empty" : "gone";
  return ["stopped", "expired"].includes(job.errorDetails) ? job.errorDetails : "failed";
}

function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
