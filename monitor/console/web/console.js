// Looks every two seconds, shows what it finds, and says so loudly when it finds nothing.

import { SignedOut, Unreachable, look, order, session } from "./api.js";
import { PageCard, showReleases } from "./cards.js";
import { MonitorClock, ago, countdown, utc } from "./clock.js";
import { arrange, byId, say } from "./dom.js";

const LOOK_MS = 2_000;
const STALE_MS = 10_000;
const SLEPT_MS = 5_000;
const SAID_MIN = [10, 5, 2, 1];
const TITLE = document.title;

const clock = new MonitorClock();
const cards = new Map();
const releases = new Map();
const state = { lastMs: null, why: "", timer: 0, isLooking: false, sight: {}, asked: null, beatMs: Date.now(), left: new Map() };

// Signing in and out --------------------------------------------------------------------------------------------------

function signIn(why = "") {
  session.end();
  clearTimeout(state.timer);
  cards.clear();
  releases.clear();
  Object.assign(state, { lastMs: null, why: "", found: null, sight: {} });
  for (const id of ["pages", "releases"]) byId(id).replaceChildren();
  for (const id of ["desk", "told", "nothing", "signed", "sight", "stale", "blind", "storm"]) byId(id).hidden = true;
  byId("sure").close();
  byId("sign-in").hidden = false;
  say(byId("sign-in-why"), why);
  document.title = TITLE;
  byId(byId("name").value ? "token" : "name").focus();
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("name").value.trim();
  const token = byId("token").value.trim();
  if (!name || !token) return;
  session.begin(name, token);
  byId("token").value = "";
  begin();
});
byId("out").addEventListener("click", () => signIn());
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => session.touch());

function begin() {
  byId("sign-in").hidden = true;
  byId("signed").hidden = false;
  byId("desk").hidden = false;
  say(byId("who"), session.value.name);
  state.beganMs = Date.now();
  byId("main").focus();
  lookNow();
}

// Looking -------------------------------------------------------------------------------------------------------------

async function lookNow() {
  if (state.isLooking || session.value === null) return;
  state.isLooking = true;
  clearTimeout(state.timer);
  try {
    const found = await look();
    clock.set(Date.parse(found.now), Date.now());
    Object.assign(state, { lastMs: Date.now(), why: "", sight: found.sees });
    session.keep();
    show(found);
  } catch (error) {
    if (error instanceof SignedOut) return signIn(error.message);
    if (!(error instanceof Unreachable)) throw error;
    state.why = error.message;
  } finally {
    state.isLooking = false;
    if (session.value !== null) state.timer = setTimeout(lookNow, LOOK_MS);
  }
  tick();
}

function show(found) {
  const open = found.releases.flatMap((release) => release.pages.map((page) => [release, page]));
  const ends = ([, page]) => (page.is_question && page.deadline ? Date.parse(page.deadline) : Infinity);
  open.sort((one, other) => ends(one) - ends(other) || 0);
  for (const [release, page] of open) {
    const card = cards.get(page.page_id);
    if (card) card.update(release, page);
    else appear(new PageCard(release, page, { decide, send }));
  }
  const ids = new Set(open.map(([, page]) => page.page_id));
  for (const id of [...cards.keys()]) if (!ids.has(id)) leave(id, found);
  arrange(byId("pages"), open.map(([, page]) => cards.get(page.page_id).element));
  say(byId("blind"), found.blind ? `The monitor does not see: ${found.blind.summary}. Until it does, nothing is decided by itself, and deadlines wait.` : "");
  say(byId("storm"), found.sees.breaker?.is_open ? `Many releases rolled back by themselves: what should roll back now pages instead, until "rollback-budget close-breaker".` : "");
  showReleases(byId("releases"), found.releases, isLive(), releases, { decide });
  say(byId("left-out"), found.left_out ? `${found.left_out} more are over, or too many to show: rollback-budget status` : "");
  state.found = found;
}

function nothing(all) {
  if (isStale()) return "No page was open when it was last seen: that is no all-clear.";
  if (all.length === 0) return "No release is watched yet: give a worker a budget.";
  const watched = all.filter((one) => one.stage === "watching").length;
  if (watched && !isLive()) return "No page is open, but the monitor does not see everything now: that is no all-clear.";
  return `Nothing to decide. ${watched} of ${all.length} releases watched.`;
}

function appear(card) {
  cards.set(card.id, card);
  say(byId("urgent"), `New page: ${card.page.summary}`);
  if (decodeURIComponent(location.hash.slice(1)) === card.id) {
    setTimeout(() => card.element.focus()); // where the link of the page leads
  }
}

function leave(id, found) {
  const { release, page } = cards.get(id);
  const now = found.releases.find((one) => one.release === release.release);
  const last = now?.last_decisions.findLast((row) => row.summary)?.summary ?? "";
  cards.delete(id);
  state.left.delete(id);
  say(byId("polite"), `The page about ${release.release} is closed. ${last}`);
  if (state.asked?.card?.id === page.page_id) {
    byId("sure-yes").disabled = true;
    say(byId("sure-late"), `This page is closed meanwhile: ${last || "see the release's last decisions"}`);
  }
}

// Time ----------------------------------------------------------------------------------------------------------------

const isStale = () => Date.now() - (state.lastMs ?? state.beganMs) > STALE_MS;
const isLive = () => state.sight.sight === "live" && !isStale();

function tick() {
  const nowMs = clock.now(Date.now());
  const slept = Date.now() - state.beatMs > SLEPT_MS;
  state.beatMs = Date.now();
  if (session.value === null) return;
  const over = session.over([...cards.values()].some((card) => card.leftMs(nowMs) !== null));
  if (over) return signIn(over);
  if (slept) lookNow(); // the machine slept: what is shown is from before
  showConnection(nowMs);
  let least = Infinity;
  for (const card of cards.values()) {
    card.tick(nowMs);
    const leftMs = card.leftMs(nowMs);
    if (leftMs !== null && card.page.is_question) least = Math.min(least, leftMs);
    if (leftMs !== null) remind(card, leftMs);
  }
  const open = cards.size ? `(${cards.size}) ` : "";
  document.title = (isStale() ? "NOT CONNECTED " : open + (least < Infinity ? `${countdown(least)} ` : "")) + TITLE;
}

/** Say the time that is left a few times, not every second. */
function remind(card, leftMs) {
  const before = state.left.get(card.id) ?? Infinity;
  state.left.set(card.id, leftMs);
  const passed = SAID_MIN.find((minutes) => before > minutes * 60_000 && leftMs <= minutes * 60_000 && leftMs > 0);
  if (passed && before < Infinity) say(byId("polite"), `${passed} minutes left to decide about ${card.release.release}`);
}

function showConnection(nowMs) {
  document.body.classList.toggle("is-stale", isStale());
  // No seconds in here: an alert is read aloud each time it changes.
  const from = state.lastMs === null ? "" : ` What you see is from ${utc(clock.now(state.lastMs), nowMs)}; deadlines go on.`;
  say(byId("stale"), isStale() ? `Not connected${state.why ? `: ${state.why}` : ""}.${from}` : "");
  const { sight, cause } = state.sight;
  const word = isStale() ? "unknown" : (sight ?? "starting");
  const why = !isStale() && cause && cause !== sight ? ` (${cause})` : "";
  const ageMs = isStale() ? Date.now() - (state.lastMs ?? state.beganMs) : (state.sight.sight_age_s ?? 0) * 1000;
  say(byId("sight"), state.lastMs === null && !isStale() ? "Looking…" : `${word.toUpperCase()}${why} for ${ago(ageMs)}`);
  byId("sight").dataset.sight = word;
  if (state.found) say(byId("nothing"), cards.size ? "" : nothing(state.found.releases));
}

// Orders --------------------------------------------------------------------------------------------------------------

/** Ask once more. Without a card it is an order about the release as a whole. */
function decide(standing, answer, card) {
  state.asked = { standing, answer, card };
  const back = answer === "rollback";
  const { release, baseline } = standing;
  say(byId("sure-title"), back ? `Roll ${release} back now?` : `Continue with ${release}?`);
  const held = `${card?.page.objective ?? "This page"} will not roll it back until it clears. Other limits still can.`;
  say(byId("sure-what"), back ? `Everybody is served ${baseline}. ${release} stays locked until somebody arms it again.` : held);
  say(byId("sure-late"), "");
  say(byId("sure-yes"), back ? "Roll back" : "Continue");
  byId("sure-yes").className = back ? "danger" : "go";
  byId("sure-yes").disabled = false;
  byId("reason").value = card === null ? "" : "decided from the page";
  byId("sure").showModal();
  byId(card === null ? "reason" : "sure-yes").focus();
}

byId("sure-no").addEventListener("click", () => byId("sure").close());
byId("sure").addEventListener("close", () => (state.asked = null));
byId("sure-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.asked === null || byId("sure-yes").disabled) return;
  const { standing, answer, card } = state.asked;
  const reason = byId("reason").value.trim();
  if (!reason) return byId("reason").focus();
  byId("sure").close();
  send(standing, "decide", { decision: answer }, card, reason);
});

async function send(standing, verb, more, card, reason = "looking") {
  const what = card === null ? more : { ...more, page_id: card.id };
  card?.busy(true);
  tell("Sending…", true);
  try {
    const { isObeyed, text } = await order(verb, standing.release, what, reason);
    tell(text, isObeyed);
  } catch (error) {
    if (error instanceof SignedOut) return signIn(error.message);
    if (!(error instanceof Unreachable)) throw error;
    tell(`Not known whether it arrived: ${error.message}. Order it again: it counts once.`, false);
  } finally {
    card?.busy(false);
  }
  lookNow();
}

/** What became of an order: beside the pages, because its own may be closed by it. */
function tell(text, isObeyed) {
  const note = byId("told");
  note.classList.toggle("refused", !isObeyed);
  say(note, text);
  note.scrollIntoView({ block: "nearest" });
  say(byId(isObeyed ? "polite" : "urgent"), text);
}

// Beginning -----------------------------------------------------------------------------------------------------------

for (const kind of ["visibilitychange", "online", "pageshow", "focus"]) {
  (kind === "visibilitychange" ? document : window).addEventListener(kind, () => {
    if (document.visibilityState === "visible") lookNow();
  });
}
addEventListener("hashchange", () => cards.get(decodeURIComponent(location.hash.slice(1)))?.element.focus());
setInterval(tick, 500);
session.load();
if (session.value === null) signIn();
else begin();
