"""The commands that carry jobs to a machine without a network: `pack` and `unpack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stampbench.cli_options import Methods, Results, Seeds, SuiteName, Targets


def pack(
    suite: SuiteName,
    preset: Annotated[str, typer.Option("--preset", help="The preset of the suite.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")],
    max_mib: Annotated[
        int | None, typer.Option(min=1, help="Cut the output into parts of at most this many MiB.")
    ] = None,
    method: Methods = None,
    target: Targets = None,
    seed: Seeds = None,
    results: Results = Path("results"),
) -> None:
    """Write all that an offline GPU machine needs for the missing jobs: images, artefacts and the suite file."""
    from stampbench import suite as suites
    from stampbench.running import offline
    from stampbench.running.artefacts import Artefacts
    from stampbench.running.campaign import selected, suite_path
    from stampbench.store import Store

    path, store = suite_path(suite), Store(results)
    loaded = suites.load(path)
    # A precision that the suite leaves open is bf16 on a GPU, whatever this machine would choose.
    jobs = selected(loaded.jobs(preset, "bf16"), methods=method, targets=target, seeds=seed)
    done = store.of(jobs)
    missing = [job for job in jobs if job.key not in done]
    needs = offline.needs_of(missing, loaded.datasets, Artefacts.beside(store.artefacts))
    files = offline.pack(needs, path, loaded.datasets, out, max_mib)
    print(f"{len(missing)} jobs will run there; {len(done)} are done already")
    for name, rows in needs.rows.items():
        print(f"{name}: {int(rows.sum())} of {len(rows)} training images, all test images")
    print(f"{len(needs.folders)} artefacts are packed; {len(needs.unmade)} will be made there")
    print(f"wrote {len(files)} files, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB, to {out}")


def unpack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `pack` wrote, in parts or not.")],
) -> None:
    """Check the sums of what `pack` wrote, and put it into this machine's cache and the suite file into this folder."""
    from stampbench.data import packed
    from stampbench.running import unpacking

    cache = packed.cache_root()
    found = unpacking.unpack(folder, cache, Path())
    print(f"datasets and artefacts: {len(found.added)} added to {cache}, {len(found.held)} held there already")
    print(f"run the jobs with: python -m stampbench run {found.suite}")
