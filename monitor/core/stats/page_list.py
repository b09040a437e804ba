"""Which of many watched cohorts a person is paged for: e-BH, with a false discovery rate of 5 %.

Each hypothesis "this objective is within its limit in this cohort" has a p-value that holds over the whole
release. It becomes an e-value by a fixed calibrator, and the list is the longest one of which every member's
e-value is at least K / (alpha * its length), K the number of hypotheses. Expected share of false members: at
most alpha, however the p-values depend on one another (tenants share a model, a provider, an hour of the day).
Source: Wang and Ramdas, JRSS-B 2022 (e-BH; with this calibrator it is Benjamini and Yekutieli 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Final

ALPHA_LIST: Final = 0.05  # expected share of cohorts on the list that are within their limit


def e_value(p: float, hypotheses: int, alpha: float = ALPHA_LIST) -> float:
    """Return the e-value that a p-value (0 to 1) among `hypotheses` stands for: at most 1 in expectation.

    (K / alpha) / ceil(K * l_K * p / alpha) where that ceiling is at most K, else 0; l_K the harmonic number.
    """
    rank = max(1, ceil(hypotheses * _harmonic(hypotheses) * p / alpha))
    return hypotheses / (alpha * rank) if rank <= hypotheses else 0.0


def page_list(p_values: Sequence[float], alpha: float = ALPHA_LIST) -> frozenset[int]:
    """Return the places of the hypotheses on the list: those with the largest e-values, as many as e-BH allows."""
    hypotheses = len(p_values)
    e_values = [e_value(p, hypotheses, alpha) for p in p_values]
    ranked = zip(range(hypotheses, 0, -1), sorted(e_values), strict=True)
    least = next((e for length, e in ranked if _reaches(e, length, hypotheses, alpha)), None)
    return frozenset() if least is None else frozenset(at for at, e in enumerate(e_values) if e >= least)


def _reaches(value: float, length: int, hypotheses: int, alpha: float) -> bool:
    return value * length * alpha >= hypotheses * (
        1.0 - 1e-12
    )  # the calibrator meets it exactly, but for rounding


@lru_cache(maxsize=64)
def _harmonic(hypotheses: int) -> float:
    return sum(1.0 / k for k in range(1, hypotheses + 1))
