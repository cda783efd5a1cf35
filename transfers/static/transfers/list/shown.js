// How the page shows things: names as harmless text, faults beside what caused them, buttons that ask once more.

import { size } from "../upload/words.js";

export const MEGABYTE = 2 ** 20;
const SURE_MS = 4000;
// Characters that show nothing or turn the direction of what is around them.
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu;

export const find = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** @param {string} text  Anybody's. */
export function harmless(text) {
  return text.replace(UNSEEN, "\ufffd");
}

/** @param {number} count @param {string} [noun] */
export function counted(count, noun = "file") {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A size of which only whole megabytes are known, rounded up. @param {number} count  Of 2**20 bytes. */
export function megabytes(count) {
  return count === 1 ? "up to 1 MiB" : size(count * MEGABYTE);
}

/** @param {string} moment  ISO 8601. */
export function when(moment) {
  return new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** Tell it to those who do not see the page change. @param {string} text */
export function say(text) {
  find("news").textContent = text;
}

/** Show the text in the element, or hide it where there is none. @param {Element} element @param {string} [text] */
export function tell(element, text = "") {
  element.textContent = text;
  /** @type {HTMLElement} */ (element).hidden = !text;
}

/** @param {string} id  Of a template. */
export function cloned(id) {
  return /** @type {HTMLElement} */ (find(id).content.firstElementChild.cloneNode(true));
}

/**
 * Have the button act only when it is pressed twice.
 * @param {HTMLButtonElement} button
 * @param {string} question  What it says in between.
 * @param {() => void} act
 */
export function askOnce(button, question, act) {
  const label = button.textContent;
  let sure = 0;
  const forget = () => {
    clearTimeout(sure);
    sure = 0;
    button.textContent = label;
  };
  button.addEventListener("click", () => {
    if (sure) {
      forget();
      act();
    } else {
      button.textContent = question;
      sure = setTimeout(forget, SURE_MS);
    }
  });
}

/**
 * Do it while the button is busy; pressed again meanwhile, it does nothing.
 * @param {HTMLElement} button
 * @param {() => Promise<void>} act
 */
export async function busily(button, act) {
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    await act();
  } finally {
    button.ariaBusy = null;
  }
}
