// Keeps the admin's pages of tasks up to date while they are looked at.
//
// The socket tells of every report. Then the page is fetched again, at most every few seconds, and its live pieces
// are exchanged, so that only the server words them. Without the socket the page is as old as its last load.
"use strict";

(() => {
  const FIRST_PAUSE_MS = 1000;
  const LONGEST_PAUSE_MS = 30000;
  const LEAST_PAUSE_MS = 2000;
  const SHARE = 10; // no more than one part in so many of the time is spent on asking

  const find = (key, name) => document.querySelector(`[data-task="${CSS.escape(key)}"][data-live="${name}"]`);
  let waiting = false;
  let refreshedAt = performance.now();
  let pause = LEAST_PAUSE_MS;

  // Buttons are the same as long as they lead to the same; their forms hold another token each time.
  function alike(old, fresh) {
    return "offers" in fresh.dataset ? old.dataset.offers === fresh.dataset.offers : old.isEqualNode(fresh);
  }

  function exchange(page) {
    for (const fresh of page.querySelectorAll("[data-task][data-live]")) {
      const old = find(fresh.dataset.task, fresh.dataset.live);
      if (old && !alike(old, fresh)) old.replaceWith(fresh);
    }
  }

  async function refresh() {
    waiting = false;
    const began = performance.now();
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.redirected) return; // it is gone, or we are
      if (response.ok) exchange(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      // The server is away; the socket will be too, and its return refreshes.
    }
    refreshedAt = performance.now();
    pause = Math.max(LEAST_PAUSE_MS, (refreshedAt - began) * SHARE);
  }

  function refreshSoon() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      if (document.hidden) document.addEventListener("visibilitychange", refresh, { once: true });
      else refresh();
    }, Math.max(0, refreshedAt + pause - performance.now()));
  }

  function take({ kind, task }) {
    if (find(`${kind}-${task.id}`, "state")) refreshSoon();
  }

  function connect(wait, again) {
    let next = wait;
    const url = new URL("/ws/events/", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.onopen = () => {
      next = FIRST_PAUSE_MS;
      if (again) refreshSoon(); // what was reported meanwhile is told to nobody twice
    };
    socket.onmessage = (event) => {
      const [name, body] = JSON.parse(event.data);
      if (name === "task_update") take(JSON.parse(body));
    };
    socket.onclose = () => {
      setTimeout(() => connect(Math.min(next * 2, LONGEST_PAUSE_MS), true), next * (0.5 + Math.random()));
    };
  }

  if (document.querySelector("[data-task][data-live]")) connect(FIRST_PAUSE_MS, false);
})();
