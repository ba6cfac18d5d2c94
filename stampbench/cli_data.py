"""The commands of `python -m stampbench data`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stampbench.cli_options import DatasetName, Json
from stampbench.terminal import show

if TYPE_CHECKING:
    from stampbench.data.packed import Status

data_app = typer.Typer(no_args_is_help=True, help="Find, fetch and verify datasets.")


@data_app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Show where datasets were found, without reading an image."""
    from stampbench.data import catalogue, packed

    wanted = catalogue.resolve(name).name if name else None
    found = [entry for entry in packed.status() if wanted in (None, entry.name)]
    show(["dataset", "found", "training", "test", "path"], [_status_row(entry) for entry in found], as_json)


@data_app.command()
def fetch(name: DatasetName) -> None:
    """Pack a dataset into the cache; download it first if its images are not on this machine."""
    from stampbench.data import packed

    manifest = packed.fetch(name).manifest
    counts = f"{manifest.train} training and {manifest.test} test images"
    print(f"{manifest.display_name}: {counts}, digest {manifest.digest}")


@data_app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: all packed ones.")] = None,
) -> None:
    """Compute the digest of packed images again and compare it with the stored one."""
    from stampbench.data import packed

    for wanted in [name] if name else [entry.name for entry in packed.status() if entry.cached]:
        manifest = packed.verify(wanted)
        print(f"{wanted}: digest {manifest.digest}, unchanged", flush=True)


def _status_row(entry: Status) -> Sequence[object]:
    missing = f"missing: `python -m stampbench data fetch {entry.name}`, or set STAMPBENCH_DATA"
    return [entry.display_name, entry.found or missing, entry.train, entry.test, entry.path]
