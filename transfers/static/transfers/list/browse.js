// The pane of folders and files.

import { size } from "../upload/words.js";
import * as api from "./api.js";
import { busily, cloned, counted, find, harmless, megabytes, say, tell, when } from "./shown.js";

const TOTALS_AT_ONCE = 2; // folders that are added up at a time

/**
 * @typedef {{folder?: {id: string, name: string}, text?: string}} Place  The root, a folder in it, or a search.
 *
 * @typedef {Object} Page
 * @property {(request: Object, what: string) => Promise<void>} onAddMany
 * @property {(list: any) => void} onList  The list is this now.
 * @property {(id: string) => boolean} isListed
 */

/** Where the visitor is, and what is there. */
export class Browser {
  #page;
  /** @type {Place} */
  #place = {};
  #next = ""; // the next page's token, or number
  #visit = 0; // answers to an earlier place are not shown
  #unadded = /** @type {(() => Promise<void>)[]} */ ([]);
  #adding = 0;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    find("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = find("text").value.trim();
      this.#go(text ? { text } : {});
    });
    find("more-children").addEventListener("click", () => busily(find("more-children"), () => this.#more()));
    find("add-all").addEventListener("click", () => busily(find("add-all"), () => this.#addAll()));
    addEventListener("popstate", ({ state }) => this.show(state?.place ?? {}));
  }

  /** @param {Place} place */
  show(place) {
    this.#place = place;
    find("text").value = place.text ?? "";
    this.#drawCrumbs();
    return this.refresh();
  }

  /** Read the place anew, from its beginning. */
  async refresh() {
    const visit = ++this.#visit;
    this.#unadded = [];
    try {
      const found = await this.#read("");
      if (visit !== this.#visit) return;
      tell(find("browse-fault"));
      find("children").replaceChildren();
      this.#append(found);
      this.#drawHead(found);
    } catch (error) {
      if (visit === this.#visit) tell(find("browse-fault"), api.words(error));
    }
  }

  /** Have each file tell whether it is on the list. */
  mark() {
    for (const element of find("children").children) if (element.dataset.file) this.#dress(element);
  }

  /** @param {Place} place */
  #go(place) {
    history.pushState({ place }, "");
    this.show(place);
    find("browse-title").focus({ preventScroll: true });
  }

  /** A page of what is here, in one form whether it was browsed or searched for. */
  async #read(next) {
    if (this.#place.text === undefined) {
      const answer = await api.children(this.#place.folder?.id ?? null, next, { totals: !next });
      const next_ = answer.nextPageToken ?? "";
      return { entries: answer.page, next: next_, count: answer.count, bytesTold: answer.totalFileSizeMB };
    }
    const answer = await api.search(this.#place.text, Number(next || 1));
    const entries = answer.results.map((file) => ({ ...file, fileHandleId: String(file.id), type: "file" }));
    return { entries, next: answer.next ? String(Number(next || 1) + 1) : "", count: answer.count };
  }

  async #more() {
    const visit = this.#visit;
    try {
      const found = await this.#read(this.#next);
      if (visit !== this.#visit) return;
      tell(find("browse-fault"));
      const first = this.#append(found);
      first?.querySelector("button")?.focus();
    } catch (error) {
      tell(find("browse-fault"), api.words(error));
    }
  }

  #append({ entries, next }) {
    const elements = entries.map((entry) => (entry.type === "folder" ? this.#folder(entry) : this.#file(entry)));
    find("children").append(...elements);
    this.#next = next;
    find("more-children").hidden = !next;
    return elements[0];
  }

  // Rows

  #folder({ id, name }) {
    const element = cloned("entry-template");
    const open = document.createElement("button");
    open.type = "button";
    open.className = "open title";
    open.append(Object.assign(document.createElement("bdi"), { textContent: harmless(name) }));
    open.addEventListener("click", () => this.#go({ folder: { id, name } }));
    element.querySelector(".title").replaceWith(open);
    element.dataset.kind = "folder";
    const button = element.querySelector("button.do");
    button.textContent = "Add all";
    button.setAttribute("aria-label", `Add all files of ${harmless(name)}`);
    button.addEventListener("click", () => busily(/** @type {HTMLElement} */ (button), () => this.#addFolder(element, id, name)));
    this.#addUp(element, id);
    return element;
  }

  #file(entry) {
    const element = cloned("entry-template");
    const { fileHandleId: id, name } = entry;
    element.dataset.kind = "file";
    element.dataset.file = id;
    element.dataset.name = harmless(name);
    element.querySelector(".title").textContent = harmless(name);
    const facts = [size(entry.size), when(entry.createdOn)];
    if (this.#place.text !== undefined && entry.folder) facts.unshift(`in ${harmless(entry.folder)}`);
    element.querySelector(".facts").textContent = facts.join(" · ");
    const button = /** @type {HTMLElement} */ (element.querySelector("button.do"));
    button.addEventListener("click", () => busily(button, () => this.#toggle(element, id)));
    this.#dress(element);
    return element;
  }

  #dress(element) {
    const listed = this.#page.isListed(element.dataset.file);
    const button = element.querySelector("button.do");
    button.textContent = listed ? "On the list" : "Add";
    button.classList.toggle("on", listed);
    button.setAttribute("aria-label", listed ? `Take ${element.dataset.name} off the list` : `Add ${element.dataset.name}`);
  }

  async #toggle(element, id) {
    const fault = element.querySelector(".fault");
    try {
      const listed = this.#page.isListed(id);
      this.#page.onList(await (listed ? api.remove([id]) : api.add(id)));
      tell(fault);
      say(`${element.dataset.name} ${listed ? "is off the list" : "is on the list"}.`);
    } catch (error) {
      tell(fault, api.words(error));
    }
  }

  async #addFolder(element, id, name) {
    try {
      await this.#page.onAddMany({ parentId: id }, `the files of ${harmless(name)}`);
      tell(element.querySelector(".fault"));
    } catch (error) {
      tell(element.querySelector(".fault"), api.words(error));
    }
  }

  // Folders are added up one after the other, behind what the visitor waits for.

  #addUp(element, id) {
    this.#unadded.push(async () => {
      const { count, totalFileSizeMB } = await api.children(id, "", { pageSize: 1, totals: true });
      element.querySelector(".facts").textContent = `${counted(count)} · ${megabytes(totalFileSizeMB)}`;
    });
    this.#workOff();
  }

  async #workOff() {
    if (this.#adding >= TOTALS_AT_ONCE) return;
    this.#adding += 1;
    try {
      for (let next; (next = this.#unadded.shift()); ) await next().catch(() => {}); // a number less, and nothing else
    } finally {
      this.#adding -= 1;
    }
  }

  // The head

  #drawCrumbs() {
    const { folder, text } = this.#place;
    const here = folder ? harmless(folder.name) : text === undefined ? "" : `Search: ${harmless(text)}`;
    const root = document.createElement(here ? "button" : "span");
    root.textContent = "All folders";
    if (here) root.addEventListener("click", () => this.#go({}));
    const items = [root, ...(here ? [Object.assign(document.createElement("bdi"), { textContent: here })] : [])];
    items.at(-1).setAttribute("aria-current", "page");
    find("crumbs").replaceChildren(
      ...items.map((item) => {
        const step = document.createElement("li");
        step.append(item);
        return step;
      }),
    );
  }

  #drawHead({ entries, count, bytesTold }) {
    const { folder, text } = this.#place;
    const isRoot = !folder && text === undefined;
    const amount = bytesTold === undefined ? "" : ` · ${megabytes(bytesTold)}`;
    const told = isRoot ? (count ? `${counted(count)} in no folder${amount}` : "") : `${counted(count)}${text === undefined ? amount : " found"}`;
    find("place").textContent = told;
    find("add-all").hidden = !count;
    find("add-all").textContent = count === 1 ? "Add it" : `Add all ${count?.toLocaleString("en-US")}`;
    const nothing = isRoot ? "There are no files here yet. Send some first." : text === undefined ? "This folder has no files any more." : "No file has that in its name.";
    tell(find("no-children"), entries.length ? "" : nothing);
  }

  async #addAll() {
    const { folder, text } = this.#place;
    try {
      if (text !== undefined) await this.#page.onAddMany({ query: { text } }, `what “${harmless(text)}” finds`);
      else await this.#page.onAddMany({ parentId: folder?.id ?? null }, folder ? `the files of ${harmless(folder.name)}` : "the files that lie in no folder");
      tell(find("browse-fault"));
    } catch (error) {
      tell(find("browse-fault"), api.words(error));
    }
  }
}
