// The pane of orders: the newest first, earlier ones page by page.

import * as api from "./api.js";
import { OrderRow } from "./order.js";
import { busily, find, say, tell } from "./shown.js";

/** The orders that are shown. */
export class Orders {
  #rows = /** @type {Map<string, OrderRow>} */ (new Map());
  #onEnd;
  #next = "";
  #isRead = false; // whether it is known if there are earlier ones
  #reading = 0;

  /** @param {() => void} onEnd  The job of an order has ended. */
  constructor(onEnd) {
    this.#onEnd = onEnd;
    find("more-orders").addEventListener("click", () => busily(find("more-orders"), () => this.#more()));
  }

  /** Whether the order is shown. @param {string} orderId */
  has(orderId) {
    return this.#rows.has(orderId);
  }

  /** An order was made just now. @param {any} order */
  add(order) {
    const row = this.#row({ ...order, numberOfFiles: order.files.length });
    find("order-rows").prepend(row.element);
    find("no-orders").hidden = true;
    row.refresh().then(() => row.focus(), () => {});
    say(`${row.name} is ordered.`);
  }

  /** @param {any} event  Of a job of one of them. */
  hear(event) {
    this.#rows.get(event.orderId)?.hear(event);
  }

  /** Read the newest ones anew, and where all that are shown stand. */
  async refresh() {
    const reading = ++this.#reading;
    try {
      const { page, nextPageToken } = await api.history();
      if (reading !== this.#reading) return;
      tell(find("orders-fault"));
      if (!this.#isRead) this.#offer(nextPageToken);
      this.#isRead = true;
      for (const order of page.reverse()) {
        if (!this.has(order.orderId)) find("order-rows").prepend(this.#row(order).element);
      }
      find("no-orders").hidden = this.#rows.size > 0;
      await this.#look([...this.#rows.values()]);
    } catch (error) {
      if (reading === this.#reading) tell(find("orders-fault"), api.words(error));
    }
  }

  /** Ask where those stand that are being zipped. */
  poll() {
    return this.#look([...this.#rows.values()].filter(({ going }) => going));
  }

  async #more() {
    try {
      const { page, nextPageToken } = await api.history(this.#next);
      const rows = page.filter(({ orderId }) => !this.has(orderId)).map((order) => this.#row(order));
      find("order-rows").append(...rows.map(({ element }) => element));
      this.#offer(nextPageToken);
      tell(find("orders-fault"));
      await this.#look(rows);
      rows[0]?.focus();
    } catch (error) {
      tell(find("orders-fault"), api.words(error));
    }
  }

  #row(order) {
    const row = new OrderRow(order, this.#onEnd);
    this.#rows.set(order.orderId, row);
    return row;
  }

  #offer(nextPageToken = "") {
    this.#next = nextPageToken;
    find("more-orders").hidden = !nextPageToken;
  }

  /** One after the other: they are few, and nobody waits for the last of them. @param {OrderRow[]} rows */
  async #look(rows) {
    for (const row of rows) await row.refresh();
  }
}
