"""Time beside pruning, training and evaluating, from records: `python -m tests.benchmarks.overhead`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tabulate import tabulate

from stampbench.files import write_atomically
from stampbench.record import Record
from stampbench.store import Store

WORK = {"prune", "train", "evaluate"}
BESIDE = ["data", "start", "warm-up", "yardstick", "outside"]
PLACE = ["target", "network", "width", "epochs"]


def main(results: Path) -> None:
    """Writes `benchmarks/overhead.md` under the results: a row a target, network and schedule."""
    frame = pd.DataFrame([row(record) for record in Store(results).records() if record.status == "done"])
    groups = frame.groupby(PLACE)
    seconds = groups.median()[[*BESIDE, "job", "share %"]]
    table = seconds.assign(jobs=groups.size()).reset_index()
    text = tabulate(table, headers="keys", tablefmt="pipe", showindex=False, floatfmt=".2g")
    write_atomically(
        results / "benchmarks" / "overhead.md",
        "# The harness's share of a job\n\nMedians over the finished jobs in `records/`: seconds of a job's clock "
        "outside pruning, training and evaluating, and their share of all of it. *Yardstick* is the fixed step timed "
        "around training, for `check`, which older records lack; *outside* is what no phase claims. Not on this clock: "
        "artefacts, which have their own seconds, and the speed of a network's widths, measured once (about 3 s).\n\n"
        f"{text}\n",
    )


def row(record: Record) -> dict[str, object]:
    """Where the job ran, and its seconds."""
    assert record.seconds is not None
    phases = {name: seconds for name, seconds in record.seconds.phases.items() if name.split("/")[0] not in WORK}
    beside = sum(phases.values()) + record.seconds.outside
    total = sum(record.seconds.phases.values()) + record.seconds.outside
    job = record.job
    place = dict(zip(PLACE, (job.target, job.network, job.width, job.protocol.epochs), strict=True))
    return place | phases | {"outside": record.seconds.outside, "job": total, "share %": 100 * beside / total}


if __name__ == "__main__":
    main(Path("results"))
