// The pane of the download list.

import { size } from "../upload/words.js";
import * as api from "./api.js";
import { MEGABYTE, askOnce, busily, cloned, counted, find, harmless, megabytes, say, tell } from "./shown.js";

const IDS_AT_ONCE = 2000; // how many of the list are known without their being shown
const SHOWN_AT_ONCE = 50;

/**
 * @typedef {Object} Page
 * @property {() => void} onChange  Other files are on the list.
 * @property {(order: any) => void} onOrder
 */

/** What is on the list, as far as it is shown, and what is ticked. */
export class Picked {
  #page;
  #limit;
  #memory;
  #ids = /** @type {string[]} */ ([]); // in order, as far as they are known
  #listed = new Set(); // the same
  #shown = SHOWN_AT_ONCE; // how many of them are shown, if there are so many
  #files = new Map(); // what is known of those by id; files that are gone are not in it
  #ticked;
  #numbers = { numberOfFiles: 0, totalSizeMB: 0, etag: "" };
  #next = "";
  #reading = 0;

  /** @param {Page} page @param {number} limit  Bytes that one zip may have. @param {import("./memory.js").Memory} memory */
  constructor(page, limit, memory) {
    this.#page = page;
    this.#limit = limit;
    this.#memory = memory;
    this.#ticked = new Set(memory.get("ticked", []));
    find("zip-name").value = memory.get("zipName", "files.zip");
    find("zip-name").addEventListener("input", () => memory.set("zipName", find("zip-name").value));
    find("tick-all").addEventListener("change", () => this.#tickAll(find("tick-all").checked));
    find("more-items").addEventListener("click", () => busily(find("more-items"), () => this.#more()));
    find("remove-ticked").addEventListener("click", () => busily(find("remove-ticked"), () => this.#remove([...this.#ticked])));
    askOnce(find("clear"), "Really clear?", () => busily(find("clear"), () => this.#clear()));
    find("order").addEventListener("submit", (event) => {
      event.preventDefault();
      busily(find("order-button"), () => this.#order());
    });
  }

  /** @param {string} id */
  isListed(id) {
    return this.#listed.has(id);
  }

  get count() {
    return this.#numbers.numberOfFiles;
  }

  /** Read the list anew. */
  refresh() {
    return this.#read(async () => {
      const list = await api.list(IDS_AT_ONCE);
      return { list, ids: idsOf(list), shown: this.#shown };
    });
  }

  /** The service has answered with the whole list. @param {any} list */
  async take(list) {
    this.#listed = new Set(idsOf(list));
    this.#page.onChange();
    await this.refresh();
  }

  async #more() {
    const before = find("items").childElementCount;
    await this.#read(async () => {
      const shown = this.#shown + SHOWN_AT_ONCE;
      if (shown <= this.#ids.length || !this.#next) return { list: this.#numbers, ids: this.#ids, shown };
      const list = await api.list(IDS_AT_ONCE, this.#next);
      return { list, ids: [...new Set([...this.#ids, ...idsOf(list)])], shown };
    });
    find("items").children[before]?.querySelector("input").focus();
  }

  /** Show what this brings, unless something newer was asked for meanwhile. */
  async #read(bring) {
    const reading = ++this.#reading;
    try {
      const { list, ids, shown } = await bring();
      const files = await api.filesOf(ids.slice(0, shown));
      if (reading !== this.#reading) return;
      tell(find("picked-fault"));
      this.#numbers = list;
      this.#next = list.nextPageToken ?? "";
      this.#ids = ids;
      this.#listed = new Set(ids);
      this.#shown = shown;
      this.#files = files;
      this.#show();
    } catch (error) {
      if (reading === this.#reading) tell(find("picked-fault"), api.words(error));
    }
  }

  #show() {
    if (!this.#next) this.#ticked = new Set([...this.#ticked].filter((id) => this.#listed.has(id)));
    const kept = new Map([...find("items").children].map((element) => [element.dataset.file, element]));
    const focused = /** @type {HTMLElement} */ (document.activeElement);
    find("items").replaceChildren(...this.#ids.slice(0, this.#shown).map((id) => kept.get(id) ?? this.#item(id)));
    if (find("items").contains(focused)) focused.focus({ preventScroll: true });
    const count = this.#numbers.numberOfFiles;
    find("more-items").hidden = this.#shown >= this.#ids.length && !this.#next;
    find("no-items").hidden = count > 0;
    find("tools").hidden = find("order").hidden = !count;
    this.#draw();
    this.#page.onChange();
  }

  #item(id) {
    const file = this.#files.get(id);
    const name = file ? harmless(file.name) : `File ${id}`;
    const element = cloned("entry-template");
    element.dataset.file = id;
    const label = document.createElement("label");
    const tick = Object.assign(document.createElement("input"), { type: "checkbox", checked: this.#ticked.has(id) });
    tick.addEventListener("change", () => this.#tick(id, tick.checked));
    label.className = "tick";
    label.append(tick, element.querySelector(".label"));
    element.prepend(label);
    element.querySelector(".title").textContent = name;
    element.querySelector(".facts").textContent = file
      ? [size(file.size), ...(file.folder ? [`in ${harmless(file.folder)}`] : [])].join(" · ")
      : "is not here any more: its order will tell so";
    const button = /** @type {HTMLElement} */ (element.querySelector("button.do"));
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove ${name}`);
    button.addEventListener("click", () => busily(button, () => this.#remove([id], element)));
    return element;
  }

  // Ticks

  #tick(id, on) {
    if (on) this.#ticked.add(id);
    else this.#ticked.delete(id);
    this.#draw();
  }

  #tickAll(on) {
    for (const element of find("items").children) {
      element.querySelector("input").checked = on;
      if (on) this.#ticked.add(element.dataset.file);
      else this.#ticked.delete(element.dataset.file);
    }
    this.#draw();
  }

  // Numbers

  /** Bytes of these files; undefined as long as they are not all known. @param {Iterable<string>} ids */
  #bytesOf(ids) {
    let sum = 0;
    for (const id of ids) {
      if (!this.#files.has(id)) return undefined;
      sum += this.#files.get(id).size;
    }
    return sum;
  }

  #draw() {
    const { numberOfFiles: count, totalSizeMB } = this.#numbers;
    const bytes = this.#next ? undefined : this.#bytesOf(this.#ids);
    const amount = bytes === undefined ? megabytes(totalSizeMB) : size(bytes);
    find("amount").textContent = count ? `${counted(count)} · ${amount} of ${size(this.#limit)}` : `Up to ${size(this.#limit)} in one zip`;
    find("jump-count").textContent = count ? count.toLocaleString("en-US") : "";
    const room = find("room");
    room.max = this.#limit;
    room.high = this.#limit;
    room.optimum = 0;
    room.value = Math.min(bytes ?? totalSizeMB * MEGABYTE, this.#limit);
    room.classList.toggle("over", this.#isOver);
    room.setAttribute("aria-valuetext", find("amount").textContent);
    tell(find("over"), this.#isOver ? `More than one zip may have (${size(this.#limit)}): tick what you want first.` : "");
    const ticked = this.#ticked.size;
    this.#memory.set("ticked", [...this.#ticked]);
    find("remove-ticked").hidden = !ticked;
    find("remove-ticked").textContent = `Remove ${ticked} ticked`;
    const shown = this.#ids.slice(0, this.#shown);
    const isWhole = shown.every((id) => this.#ticked.has(id));
    find("tick-all").checked = ticked > 0 && isWhole;
    find("tick-all").indeterminate = ticked > 0 && !isWhole;
    const all = count === 1 ? "Order it" : `Order all ${counted(count)}`;
    find("order-button").textContent = ticked ? `Order ${counted(ticked, "ticked file")}` : all;
  }

  get #isOver() {
    return (this.#numbers.totalSizeMB - 1) * MEGABYTE >= this.#limit; // it is told in whole megabytes, rounded up
  }

  // What can be done

  async #remove(ids, element) {
    const fault = element?.querySelector(".fault") ?? find("picked-fault");
    const next = element?.nextElementSibling ?? element?.previousElementSibling;
    try {
      const list = await api.remove(ids);
      for (const id of ids) this.#ticked.delete(id);
      tell(fault);
      await this.take(list);
      say(`${counted(ids.length)} removed.`);
      (next?.isConnected ? next.querySelector("button.do") : find("picked-title")).focus();
    } catch (error) {
      tell(fault, api.words(error));
    }
  }

  async #clear() {
    try {
      await api.clear();
      this.#ticked.clear();
      await this.take({ files: [] });
      say("The list is empty.");
      find("picked-title").focus();
    } catch (error) {
      tell(find("picked-fault"), api.words(error));
    }
  }

  /** What keeps the order from ever becoming a zip, in words; an order that is made could only be looked at. */
  #obstacle() {
    if (!find("zip-name").value.trim()) return "The zip needs a name.";
    const bytes = this.#bytesOf([...this.#ticked].filter((id) => this.#files.has(id))); // what is gone takes no room
    const isOver = this.#ticked.size ? bytes > this.#limit : this.#isOver;
    const told = this.#ticked.size ? `What is ticked has ${size(bytes)}` : `The list has ${megabytes(this.#numbers.totalSizeMB)}`;
    return isOver ? `${told}, and one zip may have ${size(this.#limit)}: tick fewer files.` : "";
  }

  async #order() {
    const obstacle = this.#obstacle();
    tell(find("order-fault"), obstacle);
    find("zip-name").ariaInvalid = String(!find("zip-name").value.trim());
    if (obstacle) return;
    try {
      const order = await api.order(find("zip-name").value, this.#ticked.size ? [...this.#ticked] : null);
      this.#ticked.clear();
      this.#page.onOrder(order);
      await this.refresh();
    } catch (error) {
      tell(find("order-fault"), api.words(error));
      find("zip-name").ariaInvalid = String(Boolean(error.problem?.errors?.zipFileName));
    }
  }
}

function idsOf(list) {
  return list.files.map(({ fileHandleId }) => fileHandleId);
}
