"""Accuracies by seed, for the page's comparison of two rows of a place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stampbench.report.data import Data
from stampbench.report.frames import HEAD, PLACE, groups
from stampbench.report.words import network_label, share_in_words

MOST_SEEDS = 100


def paired_rows(data: Data) -> Iterator[dict[str, Any]]:
    """Yield each row of a place with its top-1 accuracy in % by seed, as JSON.

    Only rows of one `place` may be compared: a preset, target and network.
    """
    done = data.frame[data.frame["top1"].notna()]
    for values, jobs in groups(done, [*PLACE, *HEAD]):
        head = dict(zip([*PLACE, *HEAD], values, strict=True))
        epochs = "1 epoch" if head["epochs"] == 1 else f"{head['epochs']} epochs"
        schedule = f", {epochs}" if len(data.scope.epochs) > 1 else ""
        share = share_in_words(head["keep"], head["resource"])
        network = network_label(head["network"], head["width"])
        yield {
            "place": f"{head['target']}, {network} ({data.scope.preset} preset, {data.scope.job.protocol.precision})",
            "row": f"{head['variant']} ({head['start']}), {share}{schedule}",
            "seeds": {str(seed): round(100 * top1, 6) for seed, top1 in zip(jobs["seed"], jobs["top1"], strict=True)},
        }


def t_quantiles() -> list[float]:
    """Return Student's 97.5 % quantile for 1 to `MOST_SEEDS` degrees of freedom."""
    from scipy import stats

    return [round(float(value), 6) for value in stats.t.ppf(0.975, range(1, MOST_SEEDS + 1))]
