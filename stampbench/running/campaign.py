"""A suite at one preset on this machine: its jobs, which of them are done, and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cached_property
from importlib import resources
from pathlib import Path

from stampbench import registry
from stampbench import suite as suites
from stampbench.errors import DataError, SuiteError
from stampbench.job import Job, Precision, Start
from stampbench.measure import hardware
from stampbench.record import Record
from stampbench.registry import suggestion
from stampbench.report.variants import Variants
from stampbench.running import layer_times
from stampbench.running.devices import by_device
from stampbench.running.estimate import Estimate, PastRecords
from stampbench.running.progress import duration
from stampbench.store import Store

SUITES = "suites"


class Campaign:
    """The jobs of a suite at one preset, and the state of their records.

    Raises `SuiteError` for a suite, preset or name in it that is refused, and for a precision that the preset does not
    leave open; `UserError` for a damaged record.
    """

    def __init__(
        self,
        suite: str,
        preset: str | None,
        store: Store,
        cuda: bool | None = None,
        precision: Precision | None = None,
    ) -> None:
        """Load the suite; `cuda` says whether its jobs will run on CUDA devices (None: if this machine has any).

        Without a preset, the default for that kind of device is chosen; without a precision, that which gains there.
        """
        self.suite = suites.load(suite_path(suite))
        self.cuda = hardware.cuda_device_count() > 0 if cuda is None else cuda
        self.preset = preset or hardware.default_preset(self.suite, self.cuda)
        self.store = store
        self.precision: Precision = precision or hardware.preferred_precision(self.cuda)
        fixed = self.suite.preset(self.preset).protocol.precision
        if precision and fixed not in ("auto", precision):
            raise SuiteError(
                f"preset {self.preset!r} of {self.suite.name} fixes the precision {fixed}; leave --precision away"
            )
        listed = self.suite.jobs(self.preset, self.precision)
        self.jobs = layer_times.with_tables(listed, self.suite.datasets)
        self._by_default = preset is None

    @cached_property
    def _past(self) -> PastRecords:
        return PastRecords(self.store.records(), self.cuda)

    def estimate(self, jobs: Sequence[Job], retry: bool = False) -> Estimate:
        """Estimate how many of these jobs are missing and how long they take; with `retry`, failed ones count too."""
        again = {record.key for record in self.without_result(jobs)} if retry else set()
        return self._past.estimate(jobs, again)

    def seconds_again(self, job: Job) -> float | None:
        """Estimate the seconds of a job as if it had no record; None if no record resembles it."""
        return self._past.estimate([job], {job.key}).seconds

    def without_result(self, jobs: Sequence[Job]) -> list[Record]:
        """Return the records of these jobs that failed, were skipped or ran out of time."""
        return [record for record in self.store.of(jobs).values() if record.status != "done"]

    def of_other_images(self, jobs: Sequence[Job]) -> list[str]:
        """Return a sentence for each of the suite's own datasets whose images are not those of these jobs' records.

        A job's key holds the name of a dataset and not its images, so that such records would pass for results of the
        images that are there now.
        """
        from stampbench.data import packed

        records, warnings = list(self.store.of(jobs).values()), []
        for name, custom in self.suite.datasets.items():
            used = [use.digest for record in records for use in record.data.values() if use.name == name]
            # Records of images that are no longer here are still results.
            with suppress(DataError):
                now = packed.manifest(name, {name: custom}).digest if used else None
                if count := sum(digest != now for digest in used):
                    warnings.append(
                        f"{count} records of dataset {name!r} were made from other images than it has now; give the "
                        "dataset another name in the suite, or remove these records from "
                        f"{self.store.root / 'records'} to run them again"
                    )
        return warnings

    def announcement(self, jobs: Sequence[Job], retry: bool = False) -> str:
        """Return the first lines of a run: its preset, what is left, and how to change a preset chosen by default."""
        lines = [f"suite {self.suite.name}, preset {self.preset}: {in_words(self.estimate(jobs, retry))}"]
        others = [name for name in self.suite.presets if name != self.preset]
        if self._by_default and others:
            count = hardware.cuda_device_count()
            here = f"{count or 'no'} CUDA device{'' if count == 1 else 's'}"
            lines.append(
                f"this machine has {here}, so preset {self.preset} was chosen; choose another with --preset "
                f"{'|'.join(others)}"
            )
        lines += [*self._of_other_precision(jobs), *self._of_other_devices(jobs)]
        fresh = sorted({job.method for job in jobs if job.protocol.head_steps == 0 and _reads_through_a_head(job)})
        if fresh:
            lines.append(
                f"{', '.join(fresh)}: scores read images through an untrained head where the start is reference, as "
                "head_steps is 0; set it in the protocol, to 8 as in the suite `starts`, or take them as they are"
            )
        return "\n".join(lines)

    def _of_other_precision(self, jobs: Sequence[Job]) -> list[str]:
        """Return a line if any of these jobs are missing, but have records in the precision not chosen here."""
        is_open = self.suite.preset(self.preset).protocol.precision == "auto"
        if not is_open or len(self.store.of(jobs)) == len(jobs):
            return []
        other: Precision = "fp32" if self.precision == "bf16" else "bf16"
        keys = {job.key for job in jobs}
        twins = layer_times.with_tables(self.suite.jobs(self.preset, other), self.suite.datasets)
        pairs = zip(self.jobs, twins, strict=True)
        if not (count := len(self.store.of([twin for job, twin in pairs if job.key in keys]))):
            return []
        return [
            f"the preset leaves the precision open, and these jobs are in {self.precision}; {count} of them have "
            f"records in {other}, which `report` shows too; --precision {other} adds to them"
        ]

    def _of_other_devices(self, jobs: Sequence[Job]) -> list[str]:
        """Return a line if any of these jobs have no record, but one under another device's table or an older one."""
        own = self.store.of(jobs)
        elsewhere = {
            job.key
            for run in by_device(jobs, self.store)
            for job, named in zip(jobs, run, strict=True)
            if job.key not in own and self.store.get(named.key)
        }
        if not elsewhere:
            return []
        return [
            f"{len(elsewhere)} of the missing jobs have records under another device's table of layers, or an older "
            "one, which `report` shows too; choose other seeds with --seed to add to them"
        ]

    def outcomes(self, jobs: Sequence[Job]) -> tuple[list[str], list[list[object]]]:
        """Return headings, and a row for each job: what it is, its record's status and reason, and what came out."""
        found, rows = self.store.of(jobs), list[list[object]]()
        for job in jobs:
            record = found.get(job.key)
            accuracy, cost = (record.accuracy, record.cost) if record else (None, None)
            seconds = record.seconds.total if record and record.seconds else None
            rows.append(
                [
                    job.key,
                    job.label,
                    record.status if record else "missing",
                    record.reason if record else None,
                    accuracy.top1 if accuracy else None,
                    cost.macs / cost.dense_macs if cost else None,
                    seconds,
                ]
            )
        return ["key", "job", "status", "reason", "top1", "macs", "seconds"], rows

    def overview(self, jobs: Sequence[Job]) -> tuple[list[str], list[list[object]]]:
        """Return headings, and a row for each cell of these jobs: how many there are by state, and the time left."""
        cells: dict[tuple[object, ...], list[Job]] = defaultdict(list)
        variants = Variants(self.jobs)
        for job in jobs:
            cell: tuple[object, ...] = (
                job.target,
                job.network,
                job.width,
                variants.name(job),
                job.start,
                job.budget.resource,
                f"{job.budget.keep:g}",
            )
            cells[cell].append(job)
        rows: list[list[object]] = []
        for row, alike in cells.items():
            found, unsound = self.estimate(alike), [record.status for record in self.without_result(alike)]
            skipped = unsound.count("skipped")
            left = "unknown" if found.seconds is None else duration(found.seconds)
            done, failed = found.done - len(unsound), len(unsound) - skipped
            rows.append([*row, len(alike), done, failed, skipped, found.missing, left])
        headings = ["target", "network", "width", "method", "start", "resource", "keep"]
        return [*headings, "jobs", "done", "failed", "skipped", "missing", "time left"], rows


def _reads_through_a_head(job: Job) -> bool:
    """Return whether the job's method reads images while its network has the reference's body and a fresh head."""
    return job.start is Start.REFERENCE and registry.METHODS.load(job.method).needs_data


def selected(
    jobs: Sequence[Job],
    methods: Collection[str] | None = None,
    targets: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
) -> list[Job]:
    """Return the jobs of these methods, targets and seeds; None, or an empty collection, means all.

    Raises `SuiteError` for a value that no job has, and where no job has the values together.
    """
    for attribute, wanted in (("method", methods), ("target", targets), ("seed", seeds)):
        if wanted:
            known = {str(getattr(job, attribute)) for job in jobs}
            for value in map(str, wanted):
                if value not in known:
                    raise SuiteError(f"this preset has no {attribute} {value!r}{suggestion(value, known)}")
            jobs = [job for job in jobs if getattr(job, attribute) in wanted]
    if not jobs:
        raise SuiteError("no job of this preset has that method, target and seed together; see `plan`")
    return list(jobs)


def suite_path(name: str) -> Path:
    """Return the suite file of that path, or of that name among `suite_files`. Raises `SuiteError` for neither."""
    path = Path(name)
    # A name that is too long for a file is an error to `exists`.
    with suppress(OSError):
        # An empty path would mean the working folder.
        if path.suffix == ".toml" or (name and path.exists()):
            return path
    found = {file.stem: file for file in suite_files()}
    if name not in found:
        raise SuiteError(f"no suite {name!r}{suggestion(name, found)}")
    return found[name]


def suite_files() -> list[Path]:
    """Return the suite files in suites/ of the working folder, or those of the package where that has none.

    Raises `SuiteError` where neither has one.
    """
    for folder in (Path(SUITES), Path(str(resources.files(f"stampbench.{SUITES}")))):
        if files := sorted(folder.glob("*.toml")):
            return files
    raise SuiteError(f"no suite file lies in {SUITES}/ here, nor in the installed package; reinstall stampbench")


def in_words(found: Estimate) -> str:
    """Describe an estimate in a line."""
    counts = f"{found.done} jobs done, {found.missing} missing"
    if not found.missing:
        return counts
    if found.seconds is None:
        return f"{counts}; no record tells yet how long they take"
    hours = f"{counts}; about {found.seconds / 3600:.2f} h left ({duration(found.seconds)})"
    return f"{hours}, without {found.unknown} jobs of unknown length" if found.unknown else hours
