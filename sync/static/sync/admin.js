// Keeps the admin's pages of cases and jobs up to date while they are looked at.
//
// Events come from /ws/events/ (each an array: a name, and a string of JSON). Numbers are painted as they come; when
// a job changes its state, or a case has a new one, the page is fetched again and its live pieces are exchanged, so
// that only the server words them. Without the socket the page is simply as old as its last load.

import { size, span } from "../transfers/upload/words.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30000;
const REFRESH_PAUSE_MS = 1000;
const REPORT_AGE_MS = 10000; // how old the facts of a report may grow that events do not carry
const NOTHING = "–";

const find = (key, name) => document.querySelector(`[data-key="${CSS.escape(key)}"][data-live="${name}"]`);
const counted = (number) => number.toLocaleString("en-US");

function write(key, name, text) {
  const element = find(key, name);
  if (element) element.textContent = text;
}

// The words of sync/admin/standing.py.
function paint(key, job) {
  write(key, "failed", counted(job.failuresCount));
  write(key, "speed", job.bytesPerSecond ? `${size(job.bytesPerSecond)}/s` : NOTHING);
  const seconds = Math.max(0, job.bytesTotal - job.bytesDone) / job.bytesPerSecond;
  write(key, "left", job.bytesPerSecond && job.bytesTotal ? span(seconds) : NOTHING);
  if (!job.filesTotal) return;
  const [done, total] = job.bytesTotal ? [job.bytesDone, job.bytesTotal] : [job.filesDone, job.filesTotal];
  const bar = find(key, "bar");
  if (bar) {
    bar.max = total;
    bar.value = Math.min(done, total);
  }
  const files = `${counted(job.filesDone)} of ${counted(job.filesTotal)} file${job.filesTotal === 1 ? "" : "s"}`;
  const share = Math.floor((Math.min(done, total) * 100) / total);
  write(key, "amount", `${files} · ${size(job.bytesDone)} of ${size(job.bytesTotal)} · ${share} %`);
}

function take(job) {
  const key = `job-${job.jobId}`;
  const state = find(key, "state");
  if (!state) {
    if (document.querySelector(`[data-case="${CSS.escape(job.caseId ?? "")}"]`)) refresh(); // a new job of a case here
    return;
  }
  const shown = state.dataset.state;
  const before = Number(state.dataset.revision);
  if (job.revision < before) return;
  if (job.state === "running" && shown === "running") {
    state.dataset.revision = job.revision;
    paint(key, job);
    if (document.querySelector('[data-live="report"]') && performance.now() - refreshedAt > REPORT_AGE_MS) refresh();
  } else if (job.state !== (shown === "stopping" ? "running" : shown)) {
    refresh();
  }
}

let refreshing = false;
let refreshAgain = false;
let refreshedAt = performance.now();

async function refresh() {
  refreshAgain = refreshing;
  if (refreshing) return;
  refreshing = true;
  refreshedAt = performance.now();
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (response.ok && !response.redirected) {
      exchange(new DOMParser().parseFromString(await response.text(), "text/html"));
    }
  } catch {
    // The server is away; the socket will be too, and its return refreshes.
  }
  setTimeout(() => {
    refreshing = false;
    if (refreshAgain) refresh();
  }, REFRESH_PAUSE_MS);
}

function exchange(page) {
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = find(fresh.dataset.key, fresh.dataset.live);
    if (old && old !== fresh) old.replaceWith(fresh);
  }
}

function connect(pause, again) {
  let wait = pause;
  const url = new URL("/ws/events/", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.onopen = () => {
    wait = FIRST_PAUSE_MS;
    if (again) refresh(); // what ended meanwhile is told to nobody twice
  };
  socket.onmessage = (event) => {
    const [name, body] = JSON.parse(event.data);
    if (name === "raylinksync_stream") take(JSON.parse(body));
  };
  socket.onclose = () => {
    setTimeout(() => connect(Math.min(wait * 2, LONGEST_PAUSE_MS), true), wait * (0.5 + Math.random()));
  };
}

if (document.querySelector("[data-live]")) connect(FIRST_PAUSE_MS, false);
