// Keeps the dashboard up to date while it is looked at: asks for what changes, and brings the page to it.
//
// Only the server words anything. What is the same stays the same element, so that bars move on from where they are.

const PAUSE_MS = 1500;
const LONGEST_PAUSE_MS = 30000;
const SHARE = 10; // no more than one part in so many of the time is spent on asking

const dashboard = document.getElementById("dashboard");

/** Make the old node what the fresh one is, keeping as much of it as can be kept. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.dataset?.key !== fresh.dataset?.key) old.replaceWith(fresh);
  else if (old.nodeType !== Node.ELEMENT_NODE) old.data = fresh.data;
  else {
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    morphChildren(old, [...fresh.childNodes]);
  }
}

/** The same for what is inside; rows are known by their keys, everything else by its place. */
function morphChildren(parent, fresh) {
  const keyed = new Map([...parent.children].filter((row) => row.dataset.key).map((row) => [row.dataset.key, row]));
  let next = parent.firstChild;
  for (const node of fresh) {
    const known = keyed.get(node.dataset?.key);
    if (known && known !== next) {
      parent.insertBefore(known, next);
      next = known;
    }
    if (!next) {
      parent.append(node);
      continue;
    }
    if (next.dataset?.key !== node.dataset?.key) {
      parent.insertBefore(node, next);
      continue;
    }
    const after = next.nextSibling;
    morph(next, node);
    next = after;
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

let pause = PAUSE_MS;

async function refresh() {
  const began = performance.now();
  try {
    const response = await fetch(dashboard.dataset.address, { headers: { Accept: "text/html" } });
    if (response.redirected) return location.reload(); // we are logged out, and the page leads back here
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    morphChildren(dashboard, [...page.body.childNodes]);
    delete dashboard.dataset.stale;
    pause = Math.max(PAUSE_MS, (performance.now() - began) * SHARE);
  } catch {
    dashboard.dataset.stale = ""; // the server is away: ask later
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
  wait();
}

function wait() {
  setTimeout(() => {
    if (document.hidden) document.addEventListener("visibilitychange", refresh, { once: true });
    else refresh();
  }, pause);
}

if (dashboard) wait();
