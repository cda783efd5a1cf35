// Keeps the admin's pages of downloads up to date while they are looked at.
//
// Events come from /ws/events/ (each an array: a name, and a string of JSON). Numbers are painted as they come; when
// a download changes its state, the page is fetched again and its live parts are exchanged, so that only the server
// words them. Without the socket the page is simply as old as its last load.
"use strict";

(() => {
  const FIRST_PAUSE_MS = 1000;
  const LONGEST_PAUSE_MS = 30000;
  const REFRESH_PAUSE_MS = 1000;
  const SPEED_WINDOW_MS = 5000;
  const REPORT_AGE_MS = 10000; // how old the numbers of the report may grow that events do not carry
  const NOTHING = "–";
  const TOLD_AS = {
    queued: "STREAM_RUNNING",
    running: "STREAM_RUNNING",
    stopping: "STREAM_FAIL",
    stopped: "STREAM_FAIL",
    failed: "STREAM_FAIL",
    completed: "STREAM_COMPLETED",
  };
  const samples = new Map(); // id → [{at, downloaded}], of the last few seconds

  const find = (id, name) => document.querySelector(`[data-download="${CSS.escape(id)}"][data-live="${name}"]`);

  // The words of transfers/admin/wording.py.
  function size(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = 0;
    while (Number(count.toFixed(1)) >= 1024 && power < units.length - 1) {
      count /= 1024;
      power += 1;
    }
    return power ? `${count.toFixed(1)} ${units[power]}` : `${count} B`;
  }

  function span(seconds) {
    if (seconds > 0 && seconds < 1) return "under 1 s";
    let rest = Math.round(seconds);
    const words = [];
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
      const count = Math.floor(rest / length);
      rest %= length;
      if (count || words.length || unit === "s") words.push(count || !words.length ? `${count} ${unit}` : "");
    }
    return words.slice(0, 2).filter(Boolean).join(" ");
  }

  function write(id, name, text) {
    const element = find(id, name);
    if (element) element.textContent = text;
  }

  function speedOf(id, downloaded) {
    const at = performance.now();
    let recent = (samples.get(id) || []).filter((sample) => at - sample.at <= SPEED_WINDOW_MS);
    if (recent.length && recent.at(-1).downloaded > downloaded) recent = [];
    recent.push({ at, downloaded });
    samples.set(id, recent);
    const seconds = (at - recent[0].at) / 1000;
    return seconds < 0.5 ? null : (downloaded - recent[0].downloaded) / seconds;
  }

  function paint(id, { downloaded, totalSize }) {
    const bar = find(id, "bar");
    const known = totalSize !== null && totalSize > 0;
    if (bar && known) {
      bar.max = totalSize;
      bar.value = downloaded;
    }
    const share = known ? ` of ${size(totalSize)} · ${Math.floor((downloaded * 100) / totalSize)} %` : "";
    write(id, "amount", size(downloaded) + share);
    const speed = speedOf(id, downloaded);
    if (speed === null) return;
    write(id, "speed", speed > 0 ? `${size(Math.round(speed))}/s` : NOTHING);
    write(id, "left", speed > 0 && known ? span((totalSize - downloaded) / speed) : NOTHING);
  }

  function take({ id, revision, message }) {
    const state = find(id, "state");
    if (!state || revision < Number(state.dataset.revision)) return;
    const shown = state.dataset.state;
    const sameState = message.status === TOLD_AS[shown];
    if (sameState && shown === "running") {
      state.dataset.revision = revision;
      paint(id, message.data);
      if (find(id, "report") && performance.now() - refreshedAt > REPORT_AGE_MS) refresh();
    } else if (!sameState || revision > Number(state.dataset.revision)) {
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
      if (response.ok) exchange(new DOMParser().parseFromString(await response.text(), "text/html"));
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
      const old = find(fresh.dataset.download, fresh.dataset.live);
      if (old && old !== fresh) old.replaceWith(fresh);
    }
  }

  function forgetSilent() {
    const now = performance.now();
    for (const [id, recent] of samples) {
      if (now - recent.at(-1).at <= SPEED_WINDOW_MS) continue;
      samples.delete(id);
      write(id, "speed", NOTHING);
      write(id, "left", NOTHING);
    }
  }

  function address() {
    const url = new URL("/ws/events/", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const report = document.querySelector('[data-live="report"]');
    if (report) {
      url.searchParams.set("cid", report.dataset.cid);
      if (report.dataset.fid) url.searchParams.set("fid", report.dataset.fid);
    }
    return url;
  }

  function connect(pause, again) {
    let wait = pause;
    const socket = new WebSocket(address());
    socket.onopen = () => {
      wait = FIRST_PAUSE_MS;
      if (again) refresh(); // what ended meanwhile is told to nobody twice
    };
    socket.onmessage = (event) => {
      const [name, body] = JSON.parse(event.data);
      if (name === "download_stream") take(JSON.parse(body));
    };
    socket.onclose = () => {
      setTimeout(() => connect(Math.min(wait * 2, LONGEST_PAUSE_MS), true), wait * (0.5 + Math.random()));
    };
  }

  if (document.querySelector("[data-live]")) {
    connect(FIRST_PAUSE_MS, false);
    setInterval(forgetSilent, 1000);
  }
})();
