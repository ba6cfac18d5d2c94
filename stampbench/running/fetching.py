"""The download of the datasets that jobs need and this machine lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stampbench.data import packed, sources
from stampbench.data.archives import ARCHIVES
from stampbench.data.catalogue import CustomDataset, resolve
from stampbench.errors import DataError
from stampbench.job import ArtefactSpec, Job
from stampbench.running.artefacts import Artefacts
from stampbench.running.preparing import method_of, specs_of


def fetch_missing(
    jobs: Sequence[Job],
    custom: Mapping[str, CustomDataset],
    artefacts: Artefacts,
    offline: bool,
    tell: Callable[[str], None],
) -> None:
    """Download and pack what these jobs need and is not at hand; `tell` gets a line before each download.

    Raises `DataError` where a download fails, where there is nothing to download from, and where `offline` forbids it.
    """
    absent = list(dict.fromkeys(_absent(jobs, custom, artefacts)))
    if offline and absent:
        offered = [name for name in absent if resolve(name).source in ARCHIVES]
        fetches = " and ".join(f"`python -m stampbench data fetch {name}`" for name in offered)
        raise DataError(
            f"the images of {', '.join(absent)} are neither packed nor under STAMPBENCH_DATA "
            f"({sources.data_root() or 'not set'}), and --offline forbids to download them; "
            f"{f'run {fetches} where there is a network, or ' if fetches else ''}"
            "set STAMPBENCH_DATA to a folder with the images"
        )
    for name in absent:
        # One that is a part of another's archive came with it.
        if not packed.at_hand(name):
            dataset = resolve(name)
            if archive := ARCHIVES.get(dataset.source):
                tell(f"{name}: downloading {archive.size / 2**20:,.0f} MiB ({dataset.terms})")
            try:
                packed.fetch(name)
            except DataError as error:
                others = ", ".join(other for other in absent if other != name and not packed.at_hand(other))
                raise DataError(f"{error}" + (f". Missing too: {others}" if others else "")) from error


def _absent(jobs: Sequence[Job], custom: Mapping[str, CustomDataset], artefacts: Artefacts) -> Iterator[str]:
    """Yield the datasets that jobs read and whose images are not here; artefacts that were made elsewhere need none."""
    names: dict[str, None] = {}
    specs: dict[str, ArtefactSpec] = {}
    for job in jobs:
        method = method_of(job)
        names |= dict.fromkeys((job.target, *method.datasets(method.options)))
        specs |= {spec.digest: spec for spec in specs_of(job, method) if spec.dataset}
    wanted = dict.fromkeys((*names, *(spec.dataset for spec in specs.values())))
    # The user's own images lie nowhere else; the job that reads them says what is wrong with their path.
    lacking = {name for name in wanted if name not in custom and not packed.at_hand(name)}
    yield from (name for name in names if name in lacking)
    for spec in specs.values():
        if spec.dataset in lacking and artefacts.of_any_data(spec) is None:
            yield spec.dataset
