// The page at /upload/: files are chosen, queued and sent; what an earlier visit left unfinished is listed.

import { stayAwake } from "./awake.js";
import { discard, forget, look, unfinished } from "./carryon-upload.js";
import { Row } from "./row.js";
import { percent } from "./words.js";

const AT_ONCE = 2; // files; others wait
const PARALLEL = 2; // parts of each: a browser has six connections to a host, and other pages want some

const find = (/** @type {string} */ id) => document.getElementById(id);
const drop = find("drop");
const catalog = /** @type {HTMLInputElement} */ (find("catalog"));
const files = /** @type {HTMLInputElement} */ (find("files"));
const again = /** @type {HTMLInputElement} */ (find("again"));
const template = /** @type {HTMLTemplateElement} */ (find("row"));
const title = document.title;
const where = { storageKey: drop.dataset.storageKey };

/** @type {Row[]} */
let rows = [];
/** @type {Row|null} */
let chosenFor = null;

// Files come

function add(list) {
  if (!list.length || !catalog.reportValidity()) return;
  for (const file of list) if (!isHere(file)) take(file);
}

/** Give the file to the row that was left with one of its name and size, or to a new one. */
function take(file, row = rows.find((one) => one.isLeftOf(file)) ?? append()) {
  row.take(file, { ...where, catalog: catalog.value.trim(), attempts: Infinity, parallel: PARALLEL });
}

function append() {
  const row = new Row(template, {
    onStart: begin,
    onChoose: choose,
    onCancel: cancel,
    onChange: change,
    onProgress: retitle,
  });
  rows.push(row);
  find("rows").append(row.element);
  return row;
}

function isHere({ name, size, lastModified }) {
  const isSame = (/** @type {File} */ file) =>
    file.name === name && file.size === size && file.lastModified === lastModified;
  return rows.some(({ upload, state }) => upload && state !== "done" && state !== "unreadable" && isSame(upload.file));
}

// Rows change

function change(row) {
  if (row.state === "uploading") recognize(row);
  if (row.state === "done") say(`${row.name} is sent.`);
  if (row.state === "failed") say(`${row.name} could not be sent.`);
  if (row.loggedOut) find("logged-out").hidden = false;
  stayAwake(rows.some(({ atWork }) => atWork));
  queueMicrotask(work);
}

function work() {
  for (const row of rows) {
    if (rows.filter(({ atWork }) => atWork).length >= AT_ONCE) break;
    if (row.state === "queued") row.start();
  }
  retitle();
}

function begin(row) {
  find("logged-out").hidden = true;
  if (row.upload.error?.code === "invalid_input") take(row.upload.file, row); // with what is in the form now
  else row.wait();
}

function choose(row) {
  chosenFor = row;
  again.click();
}

async function cancel(row) {
  remove(row);
  find("choose").focus();
  work();
  try {
    if (row.upload) await row.upload.abort();
    else await discard(row.left.md5, where);
  } catch {
    // The service removes by itself, in some days, what it was not told to.
  }
}

/** Now that a file's MD5 is known: is it the one its row was left with, or another row was? */
function recognize(row) {
  const { left, md5 } = row;
  row.left = null;
  if (left && left.md5 !== md5) {
    append().show(left);
    row.note("This is not the file that was begun: it is sent anew.");
  }
  const other = rows.find((one) => one.state === "left" && one.md5 === md5);
  if (other) remove(other);
}

function remove(row) {
  row.element.remove();
  rows = rows.filter((other) => other !== row);
}

// What is told

function say(text) {
  find("news").textContent = text;
}

function retitle() {
  const going = rows.filter(({ state, atWork }) => atWork || state === "queued").map(({ upload }) => upload.progress);
  const bytes = going.reduce((sum, one) => sum + (one.state === "hashing" ? 0 : one.bytes), 0);
  const total = going.reduce((sum, one) => sum + one.total, 0);
  document.title = going.length ? `${percent(bytes, total)} · ${title}` : title;
}

async function listUnfinished() {
  for (const [md5, { fileId }] of Object.entries(await unfinished(where))) {
    try {
      list(md5, await look(fileId));
    } catch (error) {
      if (error.code === "no_such_upload") forget(md5, where);
      else say("What is unfinished cannot be listed now.");
    }
  }
}

/** @param {string} md5 @param {Awaited<ReturnType<typeof look>>} upload */
function list(md5, { fileName, size, suggestedChunkSize, parts, completed, url }) {
  if (completed) {
    append().showDone({ fileName, size, url });
    forget(md5, where);
  } else {
    const begins = Object.keys(parts).map((number) => (Number(number) - 1) * suggestedChunkSize);
    const sent = begins.reduce((sum, begin) => sum + Math.min(suggestedChunkSize, size - begin), 0);
    append().show({ md5, name: fileName, size, sent });
  }
}

// What people do

find("choose").addEventListener("click", () => files.click());
files.addEventListener("change", () => {
  add([...files.files]);
  files.value = "";
});
again.addEventListener("change", () => {
  const [file] = again.files;
  if (file && chosenFor) take(file, chosenFor);
  again.value = "";
});

function isFile(item) {
  return item.kind === "file" && !item.webkitGetAsEntry?.()?.isDirectory;
}

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.dataset.over = "";
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) delete drop.dataset.over;
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  delete drop.dataset.over;
  const items = [...event.dataTransfer.items];
  const sent = items.filter(isFile);
  find("folders").hidden = sent.length === items.length;
  add(sent.map((item) => item.getAsFile()));
});

addEventListener("beforeunload", (event) => {
  if (rows.some(({ atWork }) => atWork)) event.preventDefault();
});

listUnfinished();
