"""The accuracy of a job that was run again, beside that of its record: they are equal on machines of one kind."""

from __future__ import annotations

from stampbench.record import Record


def difference(now: Record, before: Record) -> str | None:
    """Return both accuracies on test images, and why they differ, in words; None where they are exactly equal."""
    assert now.accuracy and before.accuracy
    if (now.accuracy.top1, now.accuracy.top5) == (before.accuracy.top1, before.accuracy.top5):
        return None
    return (
        f"top-1 on test images is {_numbers(now)} here, and {_numbers(before)} in the record: {_why(now, before)}. "
        "The files are those of the network trained here, with the record of this run"
    )


def _numbers(record: Record) -> str:
    accuracy, made = record.accuracy, record.provenance
    assert accuracy
    top5 = "" if accuracy.top5 is None else f" (top-5 {accuracy.top5:.4%})"
    return f"{accuracy.top1:.4%}{top5} on {made.device} ({made.capability}, {made.threads} threads)"


def _why(now: Record, before: Record) -> str:
    here, there = now.provenance, before.provenance
    if {name: use.digest for name, use in now.data.items()} != {name: use.digest for name, use in before.data.items()}:
        return "the images are others"
    if not (here.deterministic and there.deterministic):
        return "in mode fast, bits do not repeat"
    if (here.fingerprint, here.cpu_generation) != (there.fingerprint, there.cpu_generation):
        return "bits repeat only on machines of one kind with the same torch"
    if here.source_digest != there.source_digest:
        return "both machines are of one kind, but stampbench's sources have changed since"
    return "both machines are of one kind, so that this should not be; please report it"
