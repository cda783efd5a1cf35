// Keeps the admin's pages of uploads up to date while they are looked at.
//
// Nobody is told of parts as they come: now and then the page is fetched again and its live pieces are exchanged, so
// that only the server words them. The less happens, the longer the pauses.
"use strict";

(() => {
  const SHORTEST_PAUSE_MS = 3000;
  const LONGEST_PAUSE_MS = 30000;
  const SHARE = 10; // no more than one part in so many of the time is spent on asking
  const UNDER_WAY = '[data-live="state"]:not([data-state="completed"])';

  let pause = SHORTEST_PAUSE_MS;

  // Puts the fresh page's live pieces in the place of ours; tells whether any differed.
  function exchange(page) {
    let changed = false;
    for (const fresh of page.querySelectorAll("[data-upload][data-live]")) {
      const { upload, live } = fresh.dataset;
      const old = document.querySelector(`[data-upload="${CSS.escape(upload)}"][data-live="${live}"]`);
      if (!old) continue;
      const [shown, hidden] = [old.querySelector("details"), fresh.querySelector("details")];
      if (shown && hidden) hidden.open = shown.open;
      if (old.isEqualNode(fresh)) continue;
      old.replaceWith(fresh);
      changed = true;
    }
    return changed;
  }

  async function refresh() {
    const began = performance.now();
    let changed = false;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.redirected) return; // it is gone, or we are
      if (response.ok) changed = exchange(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      // The server is away: ask later.
    }
    const least = Math.max(SHORTEST_PAUSE_MS, (performance.now() - began) * SHARE);
    pause = changed ? least : Math.max(least, Math.min(pause * 1.5, LONGEST_PAUSE_MS));
    wait();
  }

  function wait() {
    if (!document.querySelector(UNDER_WAY)) return;
    setTimeout(() => {
      if (document.hidden) document.addEventListener("visibilitychange", refresh, { once: true });
      else refresh();
    }, pause);
  }

  wait();
})();
