"""What other libraries compute for a table of inputs: the references that the product's evidence is held to.

`make cross-check` runs it in an environment of its own, because gbstats and confseq need NumPy 1, and writes
`tests/core/stats/cross_check.json`; `tests/core/stats/test_cross_check.py` holds the product to what is on file and
says which relation is promised. Nothing of the product is imported here, and nothing of it decides what is asked.
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from confseq.betting import betting_ci, betting_cs
from confseq.boundaries import bernoulli_confidence_interval, normal_mixture_bound
from confseq.predmix import predmix_empbern_twosided_cs
from confseq.quantiles import quantile_ab_p_value
from gbstats.frequentist.tests import (
    FrequentistConfig,
    OneSidedTreatmentGreaterTTest,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import ProportionStatistic, SampleMeanStatistic
from scipy.stats import binomtest

FILE = Path(__file__).parent.parent / "tests/core/stats/cross_check.json"
PACKAGES = ("gbstats", "confseq", "scipy", "numpy")
SEED = 20260101
ALPHA = 0.05
RULE_ALPHA = 1e-3 * 0.5 / 4  # of one objective of four in the overall view, one-sided

RATES = (  # candidate's hits and requests, baseline's
    (880, 1000, 9000, 10_000),
    (4_420, 5_000, 4_500, 5_000),
    (450, 500, 44_500, 50_000),
    (150, 2_000, 900, 18_000),
    (60, 1_000, 2_500, 50_000),
    (1_030, 20_000, 1_000, 20_000),
    (300, 600, 1_500, 3_000),
    (49_000, 50_000, 48_900, 50_000),
)
MEANS = (  # n, mean and variance of the candidate, of the baseline; the ratio that is asked about
    ((2_000, 1.18, 0.50), (8_000, 1.00, 0.50), 1.10),
    ((1_000, 2.60, 4.00), (1_000, 2.00, 3.00), 1.10),
    ((5_000, 0.021, 2e-4), (95_000, 0.020, 2e-4), 1.0),
    ((400, 9.00, 16.0), (40_000, 8.00, 16.0), 1.05),
    ((30_000, 1.21, 1.00), (30_000, 1.00, 1.00), 1.20),
)
BINOMIALS = ((3, 400), (45, 900), (500, 1_000), (880, 1_000), (8_990, 10_000), (5, 20_000))
COSTS = ((2_000, 0.5), (2_000, 1.0), (5_000, 1.0), (10_000, 1.5))  # how many, sigma of the lognormal
LATENCIES = ((400, 400, 1.0), (400, 3_600, 1.0), (1_000, 9_000, 1.3), (2_000, 2_000, 1.5), (600, 6_000, 2.0))
MIXTURES = ((1_000, 4_000), (4_000, 4_000), (40_000, 10_000))  # n, and the n at which it is tightest


def welch() -> list[dict[str, object]]:
    """The t statistic of the candidate's mean against `ratio` times the baseline's, and its one-sided p."""
    found = []
    for candidate, baseline, ratio in MEANS:
        n, mean, variance = baseline
        scaled = _moments(n, ratio * mean, ratio * ratio * variance)
        test = OneSidedTreatmentGreaterTTest(
            scaled, _moments(*candidate), FrequentistConfig(difference_type="absolute")
        )
        found.append(
            {
                "candidate": candidate,
                "baseline": baseline,
                "ratio": ratio,
                "t": test.critical_value,
                "p": test.p_value,
            }
        )
    return found


def rates() -> list[dict[str, object]]:
    """Intervals of the difference of two rates: one look, and one that holds at every look since a known start."""
    found = []
    for s_c, n_c, s_b, n_b in RATES:
        arms = ProportionStatistic(n=n_b, sum=s_b), ProportionStatistic(n=n_c, sum=s_c)
        once = TwoSidedTTest(*arms, FrequentistConfig(difference_type="absolute", alpha=ALPHA))
        always = [
            SequentialTwoSidedTTest(
                *arms,
                SequentialConfig(
                    difference_type="absolute", alpha=alpha, sequential_tuning_parameter=n_c + n_b
                ),
            ).confidence_interval
            for alpha in (ALPHA, 2 * RULE_ALPHA)
        ]
        found.append(
            {
                "counts": (s_c, n_c, s_b, n_b),
                "once": once.confidence_interval,
                "always": always[0],
                "always_at_the_rules_rate": always[1],
            }
        )
    return found


def binomials() -> list[dict[str, object]]:
    """Intervals of one rate: exact at one look (Clopper and Pearson), and one that holds at every look."""
    found = []
    for hits, n in BINOMIALS:
        exact = binomtest(hits, n).proportion_ci(1 - ALPHA, "exact")
        more = binomtest(min(hits + 1, n), n).proportion_ci(1 - ALPHA, "exact")
        fewer = binomtest(max(hits - 1, 0), n).proportion_ci(1 - ALPHA, "exact")
        found.append(
            {
                "hits": hits,
                "n": n,
                "exact": (exact.low, exact.high),
                "exact_one_count_wider": (fewer.low, more.high),
                "always": bernoulli_confidence_interval(hits, n, ALPHA, n),
            }
        )
    return found


def costs() -> list[dict[str, object]]:
    """Intervals of the mean of values up to a cap, by betting and by empirical Bernstein bounds; the cap is 1."""
    found = []
    for n, sigma in COSTS:
        drawn = np.random.default_rng([SEED, n, round(10 * sigma)]).lognormal(0.0, sigma, n)
        values = np.minimum(drawn / np.quantile(drawn, 0.99), 1.0)
        spread = values - values.mean()
        always = betting_cs(values, alpha=ALPHA, breaks=2_000)
        bernstein = predmix_empbern_twosided_cs(values, ALPHA)
        found.append(
            {
                "n": n,
                "mean": values.mean(),
                "variance": values.var(),
                "skew": (spread**3).mean() / values.std() ** 3,
                "betting_once": betting_ci(values, alpha=ALPHA, breaks=2_000),
                "betting_always": [end[-1] for end in always],
                "bernstein_always": [end[-1] for end in bernstein],
            }
        )
    return found


def latencies() -> list[dict[str, object]]:
    """The two-sided p of equal p75, p90 and p95, which holds at every look; kept are bins of 10 %."""
    found = []
    for n_c, n_b, slow in LATENCIES:
        rng = np.random.default_rng([SEED, n_c, n_b, round(10 * slow)])
        values = rng.lognormal(0.0, 0.8, n_c) * slow, rng.lognormal(0.0, 0.8, n_b)
        p = {
            f"{quantile}": quantile_ab_p_value(*values, quantile, n_c + n_b) for quantile in (0.75, 0.9, 0.95)
        }
        arms = [np.floor(np.log(one) / np.log(1.1)).astype(int) for one in values]
        low, high = min(arm.min() for arm in arms), max(arm.max() for arm in arms)
        bins = [np.bincount(arm - low, minlength=high - low + 1) for arm in arms]
        found.append({"slow": slow, "candidate": bins[0], "baseline": bins[1], "p": p})
    return found


def mixtures() -> list[dict[str, object]]:
    """The two-sided normal-mixture boundary of a sum of `n` unit variances."""
    return [
        {
            "n": n,
            "tightest_at": tightest,
            "alpha": 2 * RULE_ALPHA,
            "bound": normal_mixture_bound(n, 2 * RULE_ALPHA, tightest, 2 * RULE_ALPHA, is_one_sided=False),
        }
        for n, tightest in MIXTURES
    ]


def _moments(n: int, mean: float, variance: float) -> SampleMeanStatistic:
    return SampleMeanStatistic(n=n, sum=n * mean, sum_squares=(n - 1) * variance + n * mean * mean)


def _plain(value: object) -> object:
    """As JSON has it; twelve digits, so that another machine's last bit is no difference."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(one) for one in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(f"{float(value):.12g}") if isinstance(value, (float, np.floating)) else value


def main() -> int:
    """Write the references; what changed of them is for the version control to show."""
    warnings.simplefilter("ignore")  # the libraries' own; what they compute is held to below
    parts = (welch, rates, binomials, costs, latencies, mixtures)
    found = {
        "command": "make cross-check",
        "python": ".".join(platform.python_version_tuple()[:2]),
        "versions": {name: version(name) for name in PACKAGES},
        "alpha": ALPHA,
        "rule_alpha": RULE_ALPHA,
        **{part.__name__: [_plain(row) for row in part()] for part in parts},
    }
    FILE.write_text("{\n" + ",\n".join(_lines(found)) + "\n}\n", encoding="utf-8")
    sys.stdout.write(
        f"{FILE.name}: {sum(len(found[part.__name__]) for part in parts)} references, {found['versions']}\n"
    )
    return 0


def _lines(found: dict[str, object]) -> list[str]:
    """A line a row, so that a difference names its row."""
    lines = []
    for key, value in found.items():
        rows = [f"    {json.dumps(row)}" for row in value] if isinstance(value, list) else []
        lines.append(
            f"  {json.dumps(key)}: " + ("[\n" + ",\n".join(rows) + "\n  ]" if rows else json.dumps(value))
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
