"""A grid of a suite becomes jobs: the product of its targets, networks, budgets, schedules, seeds and methods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator

from stampbench import registry
from stampbench.contract import Method
from stampbench.data import catalogue
from stampbench.errors import SuiteError, UserError
from stampbench.job import WEIGHTS, Budget, Epochs, Granularity, Job, Protocol, Start
from stampbench.mistakes import mistakes


class MethodChoice(BaseModel):
    """A row of the table: a method with its start and options. Whatever is not given takes the method's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    start: Start | None = None
    granularity: Granularity = Granularity.CHANNEL
    options: dict[str, Any] = Field(default_factory=dict)


Choice = str | MethodChoice
Share = Annotated[float, Field(gt=0, le=1)]
# A number of seeds, or the seeds themselves. What kind was meant decides which mistake is told.
Seeds = Annotated[
    Annotated[int, Field(gt=0, le=1000), Tag("number")]
    | Annotated[list[Annotated[int, Field(ge=0, lt=1000)]], Field(min_length=1), Tag("list")],
    Discriminator(lambda given: "list" if isinstance(given, list) else "number"),
]
# "@name" among the rows of a grid or a claim stands for the suite's list of that name.
LIST = "@"


class Grid(BaseModel):
    """The product of targets, networks, budgets, schedules, seeds and methods.

    `methods` are rows of the table, or "@name" for a list of them. Budgets are shares of the `resource` for methods
    that remove channels, and of the prunable weights for those that remove single weights. `epochs` are schedules that
    replace the protocol's; each has the same share of warm-up. `seeds` is how many, from 0 on, or which.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    targets: list[str] = Field(min_length=1)
    networks: list[str] = Field(min_length=1)
    width: float = Field(gt=0, le=64)
    methods: list[Choice] = Field(min_length=1)
    budgets: list[Share] = Field(min_length=1)
    resource: str = "macs"
    epochs: list[Epochs] | None = Field(None, min_length=1)
    seeds: Seeds

    @field_validator("targets", "networks", "methods", "budgets", "epochs", "seeds")
    @classmethod
    def _each_once(cls, entries: Any) -> Any:
        refuse_twice(entries if isinstance(entries, list) else [])
        return entries

    @property
    def each_seed(self) -> Sequence[int]:
        """The seeds, in order."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds


class Row(NamedTuple):
    """A row of the table, spelled out."""

    method: str
    start: Start
    granularity: Granularity
    options: dict[str, Any]

    def holds(self, job: Job) -> bool:
        """Return whether the job belongs to this row."""
        return self == (job.method, job.start, job.granularity, job.options)


def refuse_twice(entries: Sequence[Any]) -> None:
    """Raise `ValueError` if two entries of a list are written alike."""
    seen: set[str] = set()
    for entry in entries:
        written = json.dumps(entry, default=lambda choice: choice.model_dump(mode="json"), sort_keys=True)
        if written in seen:
            raise ValueError(f"{getattr(entry, 'name', entry)} is named twice; remove one of the two")
        seen.add(written)


def written_out(rows: Sequence[Choice], lists: Mapping[str, Sequence[Choice]]) -> Iterator[Choice]:
    """Yield the rows, with the rows of a list in place of its name. Raises `ValueError` for an unknown list."""
    for row in rows:
        if not isinstance(row, str) or not row.startswith(LIST):
            yield row
        elif (name := row.removeprefix(LIST)) in lists:
            yield from lists[name]
        else:
            hint = registry.suggestion(name, lists) if lists else "; write it under [methods]"
            raise ValueError(f"no list of methods is called {name!r}{hint}")


def expand(grid: Grid, rows: Sequence[tuple[type[Method], MethodChoice]], protocol: Protocol) -> Iterator[Job]:
    """Yield the jobs of a grid, seed by seed. Raises `SuiteError` for unknown networks and resources."""
    for network in grid.networks:
        _known(network, registry.NETWORKS)
    _known(grid.resource, registry.RESOURCES)
    schedules = [_scheduled(protocol, epochs) for epochs in grid.epochs] if grid.epochs else [protocol]
    places = product(grid.each_seed, grid.targets, grid.networks, schedules, grid.budgets)
    whole = [(method, row, method.Options.model_validate(row.options)) for method, row in rows]
    for seed, target, network, scheduled, keep in places:
        for method, row, options in whole:
            start = row.start or method.default_start
            relevant = _relevant(scheduled, method, start)
            yield Job(
                target=target,
                network=network,
                width=grid.width,
                method=method.name,
                method_version=method.version_with(options),
                data_versions=_data_versions((target, *method.datasets(options)), relevant),
                options=row.options,
                start=start,
                granularity=row.granularity,
                budget=_budget(grid, method, row.granularity, keep),
                seed=seed,
                protocol=relevant,
            )


def _budget(grid: Grid, method: type[Method], granularity: Granularity, keep: float) -> Budget:
    """Return the budget of a job; a method that removes nothing has the same budget in every grid."""
    if granularity is Granularity.WEIGHT:
        return Budget(resource=WEIGHTS, keep=keep)
    return Budget(resource=grid.resource, keep=keep) if method.prunes else Budget(keep=1.0)


def _scheduled(protocol: Protocol, epochs: int) -> Protocol:
    warmup = protocol.warmup_epochs * epochs / protocol.epochs
    return Protocol.model_validate(protocol.model_dump() | {"epochs": epochs, "warmup_epochs": warmup})


def _relevant(protocol: Protocol, method: type[Method], start: Start) -> Protocol:
    """Return the protocol without the parts that cannot affect this job, as a change there must keep its record."""
    dropped: dict[str, Any] = {}
    if start is not Start.REFERENCE:
        dropped["reference"] = None
    if start is not Start.REFERENCE or not method.needs_data:
        dropped["head_steps"] = 0
    return protocol.model_copy(update=dropped)


def _data_versions(names: Iterable[str], protocol: Protocol) -> dict[str, int]:
    """Return the versions of these datasets and, where the job starts from it, of the reference dataset."""
    reference = [protocol.reference.dataset] if protocol.reference else []
    return {name: catalogue.version_of(name) for name in (*names, *reference)}


def _known(name: str, known: registry.Registry) -> None:
    try:
        known.refuse_unknown(name)
    except UserError as error:
        raise SuiteError(str(error)) from error


def resolved(choice: Choice) -> tuple[type[Method], MethodChoice]:
    """Return the class of the method, and the choice with only those options that differ from the defaults."""
    row = MethodChoice(name=choice) if isinstance(choice, str) else choice
    try:
        method: type[Method] = registry.METHODS.load(row.name)
    except UserError as error:
        raise SuiteError(str(error)) from error
    if row.granularity not in method.granularities:
        raise SuiteError(f"method {row.name!r} does not prune with {row.granularity} granularity")
    if row.start is not None and row.start not in method.starts:
        allowed = ", ".join(sorted(method.starts))
        raise SuiteError(f"method {row.name!r} cannot start from {row.start} weights; it can from: {allowed}")
    try:
        options = method.Options.model_validate_json(json.dumps(row.options), strict=True).chosen()
    except ValidationError as error:
        reasons = mistakes(error, set(method.Options.model_fields))
        raise SuiteError(f"options of method {row.name!r} are refused:\n{reasons}") from error
    return method, row.model_copy(update={"options": options})
