// Keeps a phone's screen from going dark, and with it the page to sleep, while something is on its way.

let wanted = false;
let lock = null;

/** @param {boolean} awake  Whether something is on its way. */
export function stayAwake(awake) {
  wanted = awake;
  if (awake) ask();
  else lock?.release();
}

async function ask() {
  if (!wanted || document.hidden || (lock && !lock.released)) return;
  try {
    lock = await navigator.wakeLock.request("screen");
  } catch {
    // Not here, or not now: then the page goes on when it is looked at again.
  }
}

document.addEventListener("visibilitychange", ask);
