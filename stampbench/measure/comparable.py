"""Seconds of training that can be compared: a job's batches, at a step time that was measured in turn with dense.

A job's own clock also counts what else the machine does meanwhile. In 904 of 906 records it showed 0.5 to 2.5 times as
much as these seconds, in the other two 9 and 77 times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from stampbench.record import Record, Speed

# What a dense step's seconds depend on: network, widths, input size, precision, device, its CPU's generation, threads,
# and whether algorithms are deterministic.
Place = tuple[str, tuple[int, ...], int, str, str, str, int, bool]


def dense_steps(speeds: Iterable[Speed]) -> Mapping[Place, float]:
    """Return the seconds of a dense training step at every place: the median over its measurements."""
    found: dict[Place, list[float]] = defaultdict(list)
    for speed in speeds:
        if speed.train_step.dense:
            found[_place(speed)].append(median(speed.train_step.dense))
    return {place: median(seconds) for place, seconds in found.items()}


def training_seconds(record: Record, speed: Speed, dense: Mapping[Place, float]) -> float | None:
    """Return the seconds of the record's training, or None where the images or samples are not known.

    They are the images that were trained on, in batches of the measured step's, times the share of the dense network's
    step that the measured widths take, times the step of `dense_steps`. A network that was not cut takes that step.
    """
    usual, images, step = dense.get(_place(speed)), _images(record), speed.train_step
    if usual is None or images is None:
        return None
    share = 1.0 if speed.widths == speed.dense_widths else share_of_time(step.dense, step.compact)
    return images / step.batch_size * share * usual


def share_of_time(dense: Sequence[float], small: Sequence[float]) -> float:
    """Return the median over pairs of steps of the small network's seconds as a share of the dense one's."""
    return median(part / whole for whole, part in zip(dense, small, strict=True))


def _images(record: Record) -> int | None:
    """Return the images of all batches of training; an epoch drops its last partial batch if there is a full one."""
    used, protocol = record.data.get(record.job.target), record.job.protocol
    if used is None:
        return None
    full = used.train // protocol.batch_size * protocol.batch_size
    return protocol.epochs * (full or used.train)


def _place(speed: Speed) -> Place:
    made, widths = speed.provenance, tuple(speed.dense_widths.values())
    machine = made.device, made.cpu_generation, made.threads, made.deterministic
    return speed.network, widths, speed.input_size, speed.precision, *machine
