// How numbers are told to people, as in transfers/admin/wording.py.

const UNITS_OF_TIME = /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]);

/** @param {number} count  Bytes. */
export function size(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let power = 0;
  while (Number(count.toFixed(1)) >= 1024 && power < units.length - 1) {
    count /= 1024;
    power += 1;
  }
  return power ? `${count.toFixed(1)} ${units[power]}` : `${Math.round(count)} B`;
}

/** @param {number} seconds */
export function span(seconds) {
  if (seconds > 0 && seconds < 1) return "under 1 s";
  let rest = Math.round(seconds);
  const words = [];
  for (const [unit, length] of UNITS_OF_TIME) {
    const count = Math.floor(rest / length);
    rest %= length;
    if (count || words.length || unit === "s") words.push(count || !words.length ? `${count} ${unit}` : "");
  }
  return words.slice(0, 2).filter(Boolean).join(" ");
}

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  return `${whole ? Math.floor((part * 100) / whole) : 100} %`;
}
