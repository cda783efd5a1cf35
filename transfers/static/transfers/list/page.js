// The page at /list/: browse, pick, order, download. Nothing of it is kept here that the service does not know.

import * as api from "./api.js";
import { Browser } from "./browse.js";
import { Line } from "./live.js";
import { Memory } from "./memory.js";
import { Orders } from "./orders.js";
import { Picked } from "./picked.js";
import { counted, find, say, tell } from "./shown.js";

const CHECK_MS = 1000; // when to ask for a job whose end may have been told before its id was known

const { storageKey, maxBytes } = find("panes").dataset;
const memory = new Memory(storageKey);
/** @type {Map<string, string>} jobs that put files on the list, and in words which */
const adding = new Map(memory.get("adding", []));

const orders = new Orders(() => picked.refresh());
const picked = new Picked({ onChange: () => browser.mark(), onOrder: (order) => orders.add(order) }, Number(maxBytes), memory);
const browser = new Browser({
  onAddMany: addMany,
  onList: (list) => picked.take(list),
  isListed: (id) => picked.isListed(id),
});
const line = new Line({ onEvent: hear, onPoll: poll, onBack: refresh });

// Adding many files

async function addMany(request, what) {
  const { jobId } = await api.startAdding(request);
  adding.set(jobId, what);
  tellAdding();
  setTimeout(() => check(jobId).catch(() => {}), CHECK_MS);
}

function tellAdding() {
  memory.set("adding", [...adding]);
  tell(find("adding"), adding.size ? `Adding ${[...adding.values()].join(", ")}…` : "");
}

/** Ask how a job is doing; what has ended is told. @param {string} jobId */
async function check(jobId) {
  if (!adding.has(jobId)) return;
  try {
    const told = await api.job(jobId);
    if (told.jobState !== "PROCESSING") await ended(jobId, told.jobState === "FAILED" ? told.errorMessage : "");
  } catch (error) {
    if (error.status !== 404) throw error;
    await ended(jobId, "The service knows nothing of it any more.");
  }
}

async function ended(jobId, error) {
  const what = adding.get(jobId);
  if (!adding.delete(jobId)) return;
  tellAdding();
  await picked.refresh();
  if (error) tell(find("browse-fault"), `Not added, ${what}: ${error}`);
  else say(`Added ${what}. The list has ${counted(picked.count)}.`);
}

// What happens meanwhile

function hear(event) {
  if (event.orderId) orders.hear(event);
  else if (event.jobState !== "PROCESSING") ended(event.jobId, event.jobState === "FAILED" ? event.errorMessage : "");
}

async function poll() {
  for (const jobId of adding.keys()) await check(jobId);
  await orders.poll();
  if (!find("lost").hidden) await api.list(1);
}

function refresh() {
  picked.refresh();
  orders.refresh();
  if (!find("browse-fault").hidden || !find("children").childElementCount) browser.refresh();
}

// A jump by the address would be a step of the history, and lead out of the folder.
document.querySelector(".jumps").addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("a");
  if (!link) return;
  event.preventDefault();
  const pane = find(new URL(link.href).hash.slice(1));
  pane.scrollIntoView();
  pane.querySelector("h2").focus({ preventScroll: true });
});

line.open();
tellAdding();
browser.show(history.state?.place ?? {});
refresh();
for (const jobId of adding.keys()) check(jobId).catch(() => {});
