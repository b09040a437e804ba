// What is shown of a page and of a release. A card is made once and then only its texts change, so that the focus stays
// where it is and a screen reader hears what is new and nothing else.

import { countdown, local, utc } from "./clock.js";
import { arrange, button, el, plain, say } from "./dom.js";

const URGENT_MS = 3 * 60_000;

/** A page that is open. `actions.decide(release, answer, card)` asks first; `actions.send(release, verb, more, card)` orders. */
export class PageCard {
  constructor(release, page, actions) {
    this.id = page.page_id;
    this.element = el("article", "card page");
    this.element.id = `page-${this.id}`;
    this.element.tabIndex = -1;
    this.kind = el("p", "kind");
    this.title = el("h2", "what");
    this.title.id = `what-${this.id}`;
    this.element.setAttribute("aria-labelledby", this.title.id);
    this.clock = el("p", "clock");
    this.clock.setAttribute("role", "timer");
    this.left = el("span", "left");
    this.until = el("span", "until");
    this.clock.append(this.left, this.until);
    this.facts = new Map(["When time runs out", "For whom", "Since", "How sure", "Who is on it", "Called"].map(fact));
    const list = el("dl", "facts", ...[...this.facts.values()].map((each) => each.row));
    const back = () => actions.decide(this.release, "rollback", this);
    const on = () => actions.decide(this.release, "continue", this);
    this.back = button("", "danger", back);
    this.on = button("", "go", on);
    this.two = el("div", "two", this.back, this.on);
    this.seen = button("I am on it", "quiet", () => actions.send(this.release, "acknowledge", {}, this));
    this.more = button("5 minutes more", "quiet", () => actions.send(this.release, "extend", { by_min: 5 }, this));
    this.commands = el("pre", "commands");
    this.commands.tabIndex = 0;
    const typed = el("details", "", el("summary", "", "On the command line"), this.commands);
    const parts = [this.kind, this.title, this.clock, list, this.two, el("div", "aside", this.seen, this.more), typed];
    this.element.append(...parts);
    this.update(release, page);
  }

  update(release, page) {
    this.release = release;
    this.page = page;
    const { baseline } = release;
    const name = release.release;
    const tier = page.tier ? `Tier ${page.tier}, ` : "";
    say(this.kind, `${tier}${name} against ${baseline}${page.objective ? `: ${page.objective}` : ""}`);
    say(this.title, page.summary);
    this.tell("For whom", page.whom);
    this.tell("Since", page.began);
    this.tell("How sure", page.sure);
    this.tell("When time runs out", page.expired_at ? "it ran out without a decision" : page.at_deadline || "nothing: this page never acts by itself");
    const extended = page.extended_by ? `${page.extended_by} took ${page.extended_min} min more` : "";
    this.tell("Who is on it", [page.acknowledged_by, extended].filter(Boolean).join("; ") || "nobody has said so");
    this.tell("Called", page.escalated);
    this.two.hidden = !page.is_question;
    say(this.back, `Roll back to ${baseline}`);
    say(this.on, `Continue with ${name}`);
    this.seen.hidden = Boolean(page.acknowledged_by);
    this.more.hidden = page.deadline === null || page.expired_at !== null;
    say(this.commands, page.commands.join("\n"));
    this.commands.parentElement.hidden = page.commands.length === 0;
  }

  tell(question, answer) {
    const { row, value } = this.facts.get(question);
    say(value, answer);
    row.hidden = value.hidden;
  }

  /** Milliseconds until it runs out; null where it does not, or not yet. */
  leftMs(nowMs) {
    const { deadline, delivered_at: delivered, expired_at: expired } = this.page;
    return deadline === null || delivered === null || expired !== null ? null : Date.parse(deadline) - nowMs;
  }

  tick(nowMs) {
    const { deadline, expired_at: expired } = this.page;
    const leftMs = this.leftMs(nowMs);
    this.element.classList.toggle("urgent", leftMs !== null && leftMs < URGENT_MS);
    this.clock.hidden = deadline === null || expired !== null;
    if (this.clock.hidden) return;
    const at = Date.parse(deadline);
    const until = [utc(at, nowMs), local(at)].filter(Boolean).join(", ");
    this.left.classList.toggle("waits", leftMs === null);
    say(this.left, leftMs === null ? "Clock not started" : countdown(leftMs));
    say(this.until, leftMs === null ? `nobody could be told yet; it will not run out before ${until}` : leftMs > 0 ? `left, until ${until}` : `ran out at ${until}; the monitor acts at its next minute`);
  }

  busy(isBusy) {
    for (const button of [this.back, this.on, this.seen, this.more]) button.disabled = isBusy;
    this.element.setAttribute("aria-busy", String(isBusy));
  }
}

function fact(question) {
  const value = el("dd");
  return [question, { row: el("div", "", el("dt", "", question), value), value }];
}

const STAGES = { watching: "watched", locked: "rolled back, locked", ended: "ended" };

/** A release in one card: its stage, what is beyond its limit, what is held back, and what happened last. */
export function releaseCard(one, isSeen, actions) {
  const halted = one.stage === "watching" && one.halted !== null;
  const stage = halted ? "halted" : STAGES[one.stage] ?? one.stage;
  const known = one.stage !== "watching" || isSeen;
  const looks = halted ? "bad" : one.stage === "watching" && known && one.breaches.length === 0 ? "good" : "";
  const head = el("h3", "", el("span", "name", one.release), " ", el("span", `stage ${looks}`, known ? stage : `${stage}, but not seen now`));
  const lines = [
    `against ${one.baseline}${one.mode === "auto" ? "" : `; mode ${one.mode}`}`,
    ...(halted ? [one.halted.summary] : []),
    ...one.breaches.map((breach) => `beyond its limit since ${moment(breach.since)}: ${breach.summary}`),
    ...one.overrides.map((held) => `held back by ${held.author}: ${held.objective ?? "everything"} ${held.until ? `until ${moment(held.until)}` : "until it clears"}: ${held.note}`),
    ...rollbackLines(one.rollback),
  ];
  const last = one.last_decisions.map((row) => el("li", "", `${moment(row.at)} ${row.type}${row.summary ? `: ${row.summary}` : ""}`));
  const history = el("details", "", el("summary", "", "Last decisions"), el("ul", "", ...last.reverse()));
  // An order to roll back needs no page: what the monitor has not seen, or somebody held back, a person may know better.
  const back = button(`Roll back to ${one.baseline}`, "quiet", () => actions.decide(one, "rollback", null));
  const isAsked = one.pages.some((page) => page.is_question); // its page has the button
  const order = one.stage === "watching" && !isAsked ? [el("div", "aside", back)] : [];
  return el("article", "card release", head, ...lines.map((line) => el("p", "", line)), ...order, history);
}

function rollbackLines(back) {
  if (back === null) return [];
  const proof = back.failed && !back.verified ? `NOT DONE: ${back.message ?? "see its page"}` : back.verified ? `verified ${moment(back.verified)}: ${back.proof}` : back.applied ? "flag turned; the traffic has not shown it yet" : "not applied yet";
  return [`rollback ${moment(back.requested_at)}: ${back.summary}`, proof];
}

const moment = (text) => plain(text).replace("T", " ").replace(/:\d\d\.\d+Z$/, " UTC");

/** Show the releases; what did not change is left alone, an opened list stays open, and so does the focus. */
export function showReleases(parent, releases, isSeen, shown, actions) {
  const cards = releases.map((one) => {
    const was = shown.get(one.release);
    const text = JSON.stringify([one, isSeen]);
    if (was?.text === text) return was.card;
    const card = releaseCard(one, isSeen, actions);
    card.querySelector("details").open = was?.card.querySelector("details").open ?? false;
    if (was?.card.contains(document.activeElement)) {
      const tag = document.activeElement.tagName;
      setTimeout(() => card.querySelector(tag)?.focus());
    }
    shown.set(one.release, { text, card });
    return card;
  });
  arrange(parent, cards);
}
