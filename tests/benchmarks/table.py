"""Writes a benchmarks' JSON as a Markdown table beside it: `python -m tests.benchmarks.table scoring.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from stampbench.files import write_atomically


def main(path: Path) -> None:
    """Writes `path` with the suffix `.md`."""
    infos = [entry["extra_info"] for entry in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]]
    write = scoring if "method" in infos[0] else ratios
    write_atomically(path.with_suffix(".md"), write(infos))


def ratios(infos: list[dict[str, Any]]) -> str:
    """A row a comparison: medians of both sides, their ratio, and the share of the MACs where widths differ."""
    headers = ["what", "s", "reference", "s", "ratio", "times as fast", "MACs"]
    body = [
        [
            info["what"],
            f"{median(info['seconds']):.3g}",
            info["reference"],
            f"{median(info['reference_s']):.3g}",
            f"{info['ratio']:.3g}",
            f"{1 / info['ratio']:.3g}",
            f"{info['macs']:.3f}" if "macs" in info else "–",
        ]
        for info in infos
    ]
    align = ["left", "right", "left", *["right"] * 4]
    table = tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    info = infos[0]
    rounds = len(info["seconds"])
    precision = f", {info['precision']}" if "precision" in info else ""
    return (
        f"# Against a reference in the same process\n\n{info['device']}, {info['threads']} threads{precision} where no "
        f"other is named. Both sides in turn, {rounds} rounds after a warm-up; seconds are medians, the ratio is the "
        f"median of the rounds' ratios.\n\n{table}\n"
    )


def scoring(infos: list[dict[str, Any]]) -> str:
    """A row a method and granularity; for each network seconds, training steps and MiB."""
    networks = list(dict.fromkeys(info["network"] for info in infos))
    rows = list(dict.fromkeys((info["method"], info["granularity"]) for info in infos))
    found = {(info["method"], info["granularity"], info["network"]): info for info in infos}
    columns = ("s", "training steps", "MiB")
    headers = ["method", "granularity", *(f"{network} {column}" for network in networks for column in columns)]
    body = [[*row, *(field for network in networks for field in fields(found.get((*row, network))))] for row in rows]
    align = ["left", "left", *["right"] * (len(headers) - 2)]
    table = tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    return f"# What one scoring pass costs\n\n{conditions(infos)}\n\n{table}\n"


def conditions(infos: list[dict[str, Any]]) -> str:
    """Return the machine of the numbers, and their meaning."""

    def of(key: str) -> str:
        return " / ".join(dict.fromkeys(f"{info[key]:g}" if key == "width" else str(info[key]) for info in infos))

    rounds = " / ".join(dict.fromkeys(str(len(info["seconds"])) for info in infos))
    return (
        f"One round of scoring at width {of('width')} on one batch of {of('batch')} generated images of 32×32, "
        "10 classes; "
        f"{of('device')}, {of('threads')} threads, {of('precision')} (every sample: `scoring.json`). GraSP scores 10 "
        "images a class. For MetaPruning: one fitness evaluation of one candidate at 1/4 of the MACs, batch norm "
        "recalibrated on one batch. For STAMP: one set of 64 images looked at, and one mask generated. Seconds: median "
        f"of {rounds} passes after a warm-up. Training steps: ratio to a training step of the same dense network at "
        "the same batch size, fp32, run before each pass in the same process. MiB: peak resident memory of a first "
        "pass above what was resident before it, in a process of its own."
    )


def fields(info: dict[str, Any] | None) -> list[str]:
    """Seconds, training steps and MiB of one measurement; dashes where there is none."""
    if info is None:
        return ["–"] * 3
    memory = "–" if info["extra_mib"] is None else f"{info['extra_mib']:.0f}"
    return [f"{median(info['seconds']):.3g}", f"{info['training_steps']:.2g}", memory]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
