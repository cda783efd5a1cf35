// Takes the MD5 of blobs, one after the other, through one buffer of a fixed size: memory does not grow with them.
//
// In: {id, blob}. Out: {id, bytes} as it goes on, then {id, md5} (lowercase hex), or {id, error} when the blob cannot
// be read (any more), as when its file was changed.
"use strict";

if (!self.hashwasm) importScripts("hash-wasm/md5.umd.min.js");

const BUFFER_BYTES = 2 ** 20;
const TELL_EVERY_BYTES = 8 * 2 ** 20;
const ready = hashwasm.createMD5();
let buffer = new ArrayBuffer(BUFFER_BYTES);
let queue = Promise.resolve();

/** A function that gives the blob's next bytes, and nothing at its end. */
function reading(blob) {
  try {
    const reader = blob.stream().getReader({ mode: "byob" });
    return async () => {
      const { value } = await reader.read(new Uint8Array(buffer));
      buffer = value.buffer; // it was lent, and comes back under another name
      return value;
    };
  } catch {
    const reader = blob.stream().getReader(); // a browser whose blobs lend no buffer: it makes one for each piece
    return async () => (await reader.read()).value ?? new Uint8Array();
  }
}

async function md5(id, blob) {
  const hash = (await ready).init();
  const next = reading(blob);
  let bytes = 0;
  let told = 0;
  for (let piece = await next(); piece.length; piece = await next()) {
    hash.update(piece);
    bytes += piece.length;
    if (bytes - told >= TELL_EVERY_BYTES) postMessage({ id, bytes: (told = bytes) });
  }
  if (bytes !== blob.size) throw new Error(`only ${bytes} of ${blob.size} bytes could be read`);
  return hash.digest("hex");
}

onmessage = ({ data: { id, blob } }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id, md5: await md5(id, blob) });
    } catch (error) {
      if (!buffer.byteLength) buffer = new ArrayBuffer(BUFFER_BYTES); // it was lent when reading failed
      postMessage({ id, error: error.message });
    }
  });
};
