"""Pages of benchmarks with a section for each device: a second run on a device replaces its section."""

from __future__ import annotations

from pathlib import Path

from stampbench.files import write_atomically


def put_section(page: Path, head: str, title: str, body: str) -> None:
    """Write a section of that title into a page, in place of the one that has it; a new page begins with `head`."""
    parts = (page.read_text(encoding="utf-8") if page.exists() else head).rstrip().split("\n## ")
    kept = [part.rstrip() for part in parts if part.partition("\n")[0] != title]
    write_atomically(page, "\n\n## ".join([*kept, f"{title}\n\n{body.strip()}"]) + "\n")
