"""What is said of a rollback that the traffic proves, does not prove, or contradicts."""

from __future__ import annotations

from monitor.core.cohort import CohortKey
from monitor.core.verification import Proof, ProofRule, ServedMinute


def cohort_words(cohort: CohortKey) -> str:
    """Return a slice as people write it: `language=no, tenant=acme`."""
    return ", ".join(f"{name}={value}" for name, value in cohort)


def verified_words(release: str, proof: Proof, cohort: CohortKey, seconds: float) -> str:
    """Return that the candidate is gone, and how long that took."""
    clean = proof.clean
    return (
        f"the rollback of {_what(release, cohort)} is verified: it serves {clean.candidate:,} of the newest "
        f"{clean.requests:,} requests, {seconds:.0f} s after the request"
    )


def failed_words(release: str, proof: Proof, cohort: CohortKey, after_s: float) -> str:
    """Return that the candidate stays, and to whom it is served most."""
    stays = "" if proof.last is None else f": it {_serves(proof.last)}"
    return (
        f"the flag was turned {after_s:.0f} s ago and {_what(release, cohort)} is still served{stays}; "
        "the flag is turned once more: look at who serves it past the flag"
    )


def unproven_words(release: str, proof: Proof, rule: ProofRule, cohort: CohortKey, after_s: float) -> str:
    """Return that too little was seen to tell."""
    seen = proof.clean.requests
    much = (
        "no traffic came of either release"
        if not seen and proof.last is None
        else f"{seen:,} requests are too few, {rule.requests_needed:,} would tell"
    )
    return (
        f"the rollback of {_what(release, cohort)} is not verified {after_s:.0f} s after the flag was turned: {much}; "
        "it is watched on"
    )


def undone_words(release: str, proof: Proof, cohort: CohortKey) -> str:
    """Return that the candidate is back."""
    back = "" if proof.last is None else f": it {_serves(proof.last)}"
    return f"{_what(release, cohort)} is served again after its rollback was verified{back}"


def _serves(minute: ServedMinute) -> str:
    whole, most = minute.whole, minute.most
    text = f"serves {whole.ratio:.1%} of the requests ({whole.candidate:,} of {whole.requests:,} in the newest minute)"
    if most is None:
        return text
    return (
        f"{text}, most of them to {cohort_words(most.cohort)} "
        f"({most.ratio:.1%}, {most.candidate:,} of {most.requests:,})"
    )


def _what(release: str, cohort: CohortKey) -> str:
    return f"{cohort_words(cohort)} of {release}" if cohort else release
