// The session and the worker's HTTP API. The token stays in this tab's storage: no cookie, so no other site's page can
// order anything in a commander's name.

const KEY = "rollback-budget.session";
const IDLE_MS = 15 * 60_000; // without a hand on it, and with nothing to decide
const WHOLE_MS = 8 * 3_600_000;
const ASK_MS = 5_000;
const ORDER_S = 10;

export class SignedOut extends Error {}
export class Unreachable extends Error {}

export const session = {
  value: null,

  load() {
    try {
      this.value = JSON.parse(sessionStorage.getItem(KEY));
    } catch {
      this.value = null;
    }
  },

  begin(name, token) {
    this.value = { name, token, beganMs: Date.now(), touchedMs: Date.now() };
    this.keep();
  },

  keep() {
    sessionStorage.setItem(KEY, JSON.stringify(this.value));
  },

  touch() {
    if (this.value) this.value.touchedMs = Date.now();
  },

  /** Why it is over; empty while it is not. A clock that runs keeps it: whoever watches it is there. */
  over(isAsked) {
    const { beganMs, touchedMs } = this.value;
    if (Date.now() - beganMs > WHOLE_MS) return "You were signed out after 8 hours.";
    if (!isAsked && Date.now() - touchedMs > IDLE_MS) return "You were signed out after 15 minutes without a hand on it.";
    return "";
  },

  end() {
    this.value = null;
    sessionStorage.removeItem(KEY);
  },
};

async function answered(path, waitMs, options = {}) {
  let response;
  try {
    const authorization = `Bearer ${session.value.token}`;
    response = await fetch(path, {
      ...options,
      headers: { authorization },
      cache: "no-store",
      signal: AbortSignal.timeout(waitMs),
    });
  } catch (error) {
    throw new Unreachable(error.name === "TimeoutError" ? `no answer within ${waitMs / 1000} s` : "the worker does not answer");
  }
  if (response.status === 401) {
    throw new SignedOut("The monitor does not take this token: it is mistyped, or it was changed.");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Unreachable(`what answers is not the monitor (HTTP ${response.status})`);
  }
  return { status: response.status, body };
}

/** How everything stands: `{now, blind, releases}`, and what this worker sees. */
export async function look() {
  const [stands, sees] = await Promise.all([answered("v1/status?recent=1", ASK_MS), answered("readyz", ASK_MS)]);
  if (stands.status !== 200) throw new Unreachable(stands.body.error ?? `HTTP ${stands.status}`);
  return { ...stands.body, sees: sees.body };
}

// An order that may or may not have arrived is sent again under its id, and counts once.
const unanswered = new Map();

function idOf(what) {
  if (!unanswered.has(what)) {
    const random = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is not there over plain HTTP
    unanswered.set(what, [...random].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return unanswered.get(what);
}

/** Give an order. Returns whether it is obeyed, and what to tell about it. */
export async function order(verb, release, more, reason) {
  const what = JSON.stringify([session.value.name, verb, release, more]);
  const sent = { command_id: idOf(what), release, author: session.value.name, reason, ...more };
  const options = { method: "POST", body: JSON.stringify(sent) };
  const { status, body } = await answered(`v1/${verb}?wait=${ORDER_S}`, (ORDER_S + 5) * 1000, options);
  if (status === 503) throw new Unreachable(body.error);
  if (status !== 202) unanswered.delete(what);
  if (status === 200) return { isObeyed: true, text: said(body) };
  if (status === 202) return { isObeyed: true, text: "On record, and it counts. No worker has answered it yet." };
  const why = body.why ?? [body.error, ...(body.problems ?? [])].join(" ");
  const stands = body.stands?.data?.summary;
  return { isObeyed: false, text: `Refused: ${why}${stands && !why.includes(stands) ? `. What stands: ${stands}` : ""}` };
}

function said(body) {
  const summaries = body.decisions.map((decision) => decision.data?.summary).filter(Boolean);
  return `Done. ${[...new Set(summaries)].join("; ")}`;
}
