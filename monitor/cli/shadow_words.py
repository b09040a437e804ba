"""What a comparison of shadow traffic says in words: what to know before its numbers are believed."""

from __future__ import annotations

from typing import Final

from monitor.core.cohort import Role
from monitor.core.pairing import Seen
from monitor.core.shadow_tally import NAMES_MAX
from monitor.engine.page_words import plain

ENOUGH_PAIRED: Final = 0.9
"""The part of an arm's requests below which what is not paired may be what differs."""

_NAMES: Final = {Role.BASELINE: "live", Role.CANDIDATE: "shadow"}


def warnings_of(seen: Seen, candidate: str, baseline: str | None, left_out: int) -> list[str]:
    """Return what stands against the numbers, the weightiest first, each with what to do."""
    return [
        *_coverage(seen, plain(candidate), "any other release" if baseline is None else plain(baseline)),
        *_lost(seen),
        *_labels(seen),
        *_names(left_out),
    ]


def _names(left_out: int) -> list[str]:
    if not left_out:
        return []
    return [
        f"{left_out:,} values of named outcomes and stages were not compared: there are more than {NAMES_MAX} names; "
        "those of a budget always are"
    ]


def _coverage(seen: Seen, candidate: str, baseline: str) -> list[str]:
    if not seen.shadow:
        return [
            f'no shadow request of {candidate}: its events need "traffic": "shadow" and "release": as --candidate says'
        ]
    if not seen.live:
        return [f"no live request of {baseline}: name the file that holds the live traffic with --events too"]
    if not seen.pairs:
        return ["no pairs: a shadow event must carry the request_id of the live request that it copies"]
    found = []
    of_shadow, of_live = seen.paired_ratio(Role.CANDIDATE), seen.paired_ratio(Role.BASELINE)
    if of_shadow is not None and of_shadow < ENOUGH_PAIRED:
        found.append(
            f"only {_share(of_shadow)} of the shadow requests have a live partner: are these all the live files?"
        )
    if of_live is not None and of_live < ENOUGH_PAIRED:
        found.append(
            f"only {_share(of_live)} of the live requests have a shadow answer: fine where copies are drawn at random, "
            "but answers that never came are missing here, and they may be the bad ones"
        )
    return found


def _lost(seen: Seen) -> list[str]:
    found = []
    for role, name in _NAMES.items():
        if seen.without_id[role]:
            found.append(f"{seen.without_id[role]:,} {name} requests carry no request_id: nothing pairs them")
        if seen.dropped[role]:
            found.append(
                f"{seen.dropped[role]:,} {name} requests waited too long for a partner and count as unpaired: "
                "give files in order of time, in which partners lie near each other"
            )
    return found


def _labels(seen: Seen) -> list[str]:
    found = []
    if seen.labels_without_id:
        found.append(
            f"{seen.labels_without_id:,} outcome events carry no request_id: their labels belong to no pair and are "
            "not compared"
        )
    if seen.labels_lost:
        found.append(
            f"{seen.labels_lost:,} outcome events found no request that is still held: give them after their requests"
        )
    return found


def _share(ratio: float) -> str:
    return f"{100.0 * ratio:.1f} %"
