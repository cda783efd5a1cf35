// Keeps an admin's pages up to date while they are looked at: what pages of several kinds share.
//
// Events come from /ws/events/ (each an array: a name, and a string of JSON). Numbers are painted as they come; what
// else changes has the page fetched again and its live pieces exchanged, so that only the server words them. Without
// the socket the page is simply as old as its last load.

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30000;
const REFRESH_PAUSE_MS = 1000;
const REPORT_AGE_MS = 10000; // how old the facts of a report may grow that events do not carry

/** The live piece of this name that belongs to the key. */
export const find = (key, name) => document.querySelector(`[data-key="${CSS.escape(key)}"][data-live="${name}"]`);

export function write(key, name, text) {
  const element = find(key, name);
  if (element) element.textContent = text;
}

let refreshing = false;
let refreshAgain = false;
let refreshedAt = performance.now();

/** Fetch the page again, at most once a second, and exchange its live pieces. */
export async function refresh() {
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

/** The same, where the page has a report whose facts have grown old. */
export function refreshReport() {
  if (document.querySelector('[data-live="report"]') && performance.now() - refreshedAt > REPORT_AGE_MS) refresh();
}

/** Hear the events of this name from now on, if there is anything live on the page. */
export function follow(wanted, take) {
  if (document.querySelector("[data-live]")) connect(wanted, take, FIRST_PAUSE_MS, false);
}

function connect(wanted, take, pause, again) {
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
    if (name === wanted) take(JSON.parse(body));
  };
  socket.onclose = () => {
    setTimeout(() => connect(wanted, take, Math.min(wait * 2, LONGEST_PAUSE_MS), true), wait * (0.5 + Math.random()));
  };
}
