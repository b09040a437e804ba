// The monitor's clock as this browser knows it. The machine's own clock may be wrong, and it may have slept; only how
// far the two are apart is kept, from the newest answer. A demo's clock runs faster: its pace is learned from answers.

export class MonitorClock {
  #hereMs = null;
  #thereMs = 0;
  #pace = 1;

  /** An answer that came at `hereMs` says that there it is `thereMs`. */
  set(thereMs, hereMs) {
    const passedMs = this.#hereMs === null ? 0 : hereMs - this.#hereMs;
    if (passedMs >= 1000 && passedMs < 10_000) {
      const pace = (thereMs - this.#thereMs) / passedMs;
      this.#pace = pace > 8 ? pace : 1; // up to 6 an answer that came late can look like; a demo's is 60
    }
    this.#hereMs = hereMs;
    this.#thereMs = thereMs;
  }

  /** What time it is there; null before the first answer. */
  now(hereMs) {
    return this.#hereMs === null ? null : this.#thereMs + (hereMs - this.#hereMs) * this.#pace;
  }
}

/** `14:59`, `1:02:03`; a clock that has run out stands at 0:00. Rounded up: 0:01 is still time. */
export function countdown(leftMs) {
  const left = Math.max(0, Math.ceil(leftMs / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor(left / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

/** How long ago, as a person says it. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** `03:14:07 UTC`, with the day where it is another one than `nowMs` has. */
export function utc(atMs, nowMs) {
  const text = new Date(atMs).toISOString();
  const isToday = text.slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10);
  return `${isToday ? "" : `${text.slice(0, 10)} `}${text.slice(11, 19)} UTC`;
}

/** The same moment on the wall of whoever reads it; empty where that is UTC. */
export function local(atMs) {
  const at = new Date(atMs);
  if (at.getTimezoneOffset() === 0) return "";
  return `${at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} here`;
}
