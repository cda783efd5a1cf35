// What the page asks the service: JSON in, JSON out, and an UploadError with the service's own words.

import { UploadError, send } from "../upload/connection.js";

const LIST = "/download/list/me";
const FILES_AT_ONCE = 500; // names that /files/ tells at once
const FILE_ENTITY = "FileEntity";

/** @typedef {(error: UploadError|null) => void} Hear  Hears of each answer: null when there was a good one. */

/** @type {Hear} */
let hear = () => {};

/** Have each answer told, so that it is known whether the service can be reached. @param {Hear} listener */
export function listen(listener) {
  hear = listener;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Object|Array|null} [body]
 * @returns {Promise<any>} The answer's JSON; null when it has none.
 */
export async function ask(method, path, body = null) {
  const headers = /** @type {Object<string, string>} */ ({});
  const cookie = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (cookie && method !== "GET" && method !== "HEAD") headers["X-CSRFToken"] = cookie[1];
  if (body !== null) headers["Content-Type"] = "application/json";
  try {
    // A blob's type is the request's; send() takes no text.
    const text = await send(method, path, body === null ? null : new Blob([JSON.stringify(body)]), { headers });
    hear(null);
    return text ? JSON.parse(text) : null;
  } catch (error) {
    const told = error instanceof UploadError ? error : new UploadError("bad_answer", "The answer is not that of the service.");
    hear(told);
    throw told;
  }
}

/** What went wrong, field by field where the service told so. @param {UploadError} error */
export function words(error) {
  const fields = Object.values(error.problem?.errors ?? {}).flat();
  const text = fields.length ? fields.join("; ") : error.detail;
  const [first, ...rest] = text;
  return `${(first ?? "").toUpperCase()}${rest.join("")}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** @param {string|number} id  A stored file's. */
export function association(id) {
  return { fileHandleId: String(id), associateObjectId: String(id), associateObjectType: FILE_ENTITY };
}

// Browsing

/** @param {string|null} parentId @param {string} token @param {{pageSize?: number, totals?: boolean}} [options] */
export function children(parentId, token, { pageSize = 50, totals = false } = {}) {
  return ask("POST", "/entity/children", { parentId, nextPageToken: token, pageSize, partMask: totals ? 3 : 0 });
}

/** Files whose names have the text, newest first. @param {string} text @param {number} page  From 1. */
export function search(text, page) {
  return ask("GET", `/files/?${new URLSearchParams({ text, page: String(page), page_size: "50" })}`);
}

/** What is known of these files; those that are gone are left out. @param {string[]} ids @returns {Promise<Map<string, any>>} */
export async function filesOf(ids) {
  const known = new Map();
  for (let start = 0; start < ids.length; start += FILES_AT_ONCE) {
    const some = ids.slice(start, start + FILES_AT_ONCE).join(",");
    const { results } = await ask("GET", `/files/?${new URLSearchParams({ id: some, page_size: String(FILES_AT_ONCE) })}`);
    for (const file of results) known.set(String(file.id), file);
  }
  return known;
}

// The list

/** @param {number} pageSize @param {string} [token] */
export function list(pageSize, token) {
  const query = { pageSize: String(pageSize), ...(token && { nextPageToken: token }) };
  return ask("GET", `${LIST}?${new URLSearchParams(query)}`);
}

/** @param {string} id */
export function add(id) {
  return ask("POST", `${LIST}/add`, association(id));
}

/** @param {Object} request  An AddRequest. */
export function startAdding(request) {
  return ask("POST", `${LIST}/add/async/start`, request);
}

/** @param {string[]} ids */
export function remove(ids) {
  return ask("POST", `${LIST}/remove`, ids.map(association));
}

export function clear() {
  return ask("DELETE", LIST);
}

// Orders

/** @param {string} zipFileName @param {string[]|null} ids  null: the whole list. */
export function order(zipFileName, ids) {
  return ask("PUT", `${LIST}/order`, { zipFileName, ...(ids && { subSet: ids.map(association) }) });
}

/** @param {string} [token] */
export function history(token) {
  return ask("GET", `/download/order/me/history?${new URLSearchParams({ pageSize: "10", ...(token && { nextPageToken: token }) })}`);
}

/** @param {string} orderId */
export function state(orderId) {
  return ask("GET", `/download/order/${orderId}/state`);
}

/** @param {string} orderId @param {string} [token] */
export function failures(orderId, token) {
  const query = new URLSearchParams({ pageSize: "50", ...(token && { nextPageToken: token }) });
  return ask("GET", `/download/order/${orderId}/failures?${query}`);
}

/** @param {string} orderId */
export function start(orderId) {
  return ask("POST", `/download/order/${orderId}/async/start`);
}

/** @param {string} jobId */
export function stop(jobId) {
  return ask("POST", `/async/stop/${jobId}`);
}

/** @param {string} jobId */
export function job(jobId) {
  return ask("GET", `/async/get/${jobId}`);
}

/** Where an order's zip is to be had, made or not. @param {string} orderId */
export function zipOf(orderId) {
  return `/download/order/${orderId}/zip`;
}
