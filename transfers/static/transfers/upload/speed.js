// How fast a growing number grows.

const WINDOW_MS = 5000;
const LEAST_WINDOW_MS = 500; // less tells more of chance than of speed

/** The speed over the last five seconds. */
export class Speed {
  #samples = [];

  /** Forget what was: another number begins. */
  restart() {
    this.#samples = [];
  }

  /**
   * @param {number} bytes  How many they are now.
   * @returns {number} Bytes a second; 0 while that cannot be told.
   */
  at(bytes) {
    const now = performance.now();
    this.#samples = this.#samples.filter((sample) => now - sample.at <= WINDOW_MS);
    this.#samples.push({ at: now, bytes });
    const first = this.#samples[0];
    const passed = now - first.at;
    return passed < LEAST_WINDOW_MS ? 0 : Math.max(0, ((bytes - first.bytes) / passed) * 1000);
  }
}
