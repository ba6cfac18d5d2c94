"""The words for shares, resources, networks and starts that all tables, figures and sentences use."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pandas as pd

from stampbench import registry
from stampbench.job import WEIGHTS

_PRETRAINED = {
    "random": "from random weights",
    "reference": "pretrained on the reference set",
    "target": "pretrained on the target",
}


def resource_label(name: str) -> str:
    """Return what readers call a resource: "MACs" for "macs". Raises `UserError` for an unknown resource."""
    return WEIGHTS if name == WEIGHTS else str(registry.RESOURCES.load(name).label)


def fraction(share: float) -> str:
    """Return a share as a fraction: "1/4"; "1" if everything is kept."""
    return str(Fraction(share).limit_denominator(1000))


def share_in_words(keep: float, resource: str) -> str:
    """Return a share of a resource: "1/4 of the MACs"; "all of the MACs" if everything is kept."""
    return f"{'all' if keep == 1 else fraction(keep)} of the {resource_label(resource)}"


def network_label(network: str, width: float) -> str:
    """Return the name of a network with its width: "vgg19 × 0.25"."""
    return f"{network} × {width:g}"


def start_in_words(start: str) -> str:
    """Return where the weights of a start come from, for example "pretrained on the target"."""
    return _PRETRAINED[start]


def row_in_words(variant: str, start: str) -> str:
    """Return a row with where its weights come from: "magnitude pretrained on the target"."""
    return f"{variant} {start_in_words(start)}"


def accuracy(cell: dict[str, Any], measure: str) -> str:
    """Return the mean ± standard deviation of a cell's accuracy over seeds, in percent: "70.00 ± 1.00"."""
    mean, sd = cell[measure], cell[f"{measure}_sd"]
    return f"{100 * mean:.2f}" if pd.isna(sd) else f"{100 * mean:.2f} ± {100 * sd:.2f}"
