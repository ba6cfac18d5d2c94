"""Suite files: `suites/*.toml` become jobs. Unknown keys and names are refused with a suggestion."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from stampbench import registry, toml
from stampbench.contract import Method
from stampbench.data import catalogue
from stampbench.errors import SuiteError
from stampbench.grid import LIST, Choice, Grid, MethodChoice, Row, Share, expand, refuse_twice, resolved, written_out
from stampbench.job import Job, LearningRates, Precision, Protocol, Reference
from stampbench.mistakes import in_words, listed


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(f"{name!r} is not a valid name; use at most 64 letters, digits, hyphens and underscores")
    return name


# Listing the jobs of a suite of this size takes some seconds, and running them takes weeks.
MOST_JOBS = 10_000
# The names of suites, presets and datasets become names of files, so none of them may lead elsewhere.
Name = Annotated[str, AfterValidator(_plain_name)]
Title = Annotated[str, Field(pattern=r"\S", max_length=200)]


class SuiteProtocol(Protocol):
    """A protocol as suite files write it; it may leave the precision to the device."""

    reference: Reference
    precision: Precision | Literal["auto"] = "auto"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.train_images is not None and self.validation_images >= self.train_images:
            raise ValueError(
                f"validation_images {self.validation_images} leave none of train_images {self.train_images} to train on"
            )
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs:g} are more than epochs {self.epochs}")
        if (warmup := self.reference.warmup_epochs) > self.reference.epochs:
            raise ValueError(f"reference.warmup_epochs {warmup:g} are more than its epochs {self.reference.epochs}")
        held_out, images = self.reference.validation_images or self.validation_images, self.reference.images
        if images is not None and held_out >= images:
            raise ValueError(f"{held_out} validation images leave none of reference.images {images} to train on")
        return self


class Preset(BaseModel):
    """One size of a suite: a protocol, and the grids run under it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    protocol: SuiteProtocol
    grid: list[Grid] = Field(min_length=1)


class Claim(BaseModel):
    """A claim of a suite: one row beats others at the same target, network and budget, seed by seed.

    It is about this suite's targets, and about those of the other `suites`, which lie beside this one, in the preset of
    the same name. `budgets` are the shares kept that it is about; without them, all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: Title
    subject: Choice
    against: list[Choice] = Field(min_length=1)
    budgets: list[Share] | None = Field(None, min_length=1)
    suites: list[Name] = Field(default_factory=list)


class ComparisonPoint(BaseModel):
    """The point at which a report compares methods: one share kept, and the accuracy that one row has at this share.

    `accuracy_of` is the row whose accuracy, at this share and after the suite's own schedule, the others have to reach.
    Without it, no table says which share or time that takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    keep: Share
    accuracy_of: Choice | None = None


class Suite(BaseModel):
    """A suite file. `methods` holds named lists of rows; in a grid or a claim, "@all" stands for the list `all`.

    A suite without a `name` is called after its file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Name
    title: Title
    datasets: dict[Name, catalogue.CustomDataset] = Field(default_factory=dict)
    methods: dict[Name, Annotated[list[Choice], Field(min_length=1)]] = Field(default_factory=dict)
    comparison: ComparisonPoint | None = None
    claims: list[Claim] = Field(default_factory=list)
    presets: dict[Name, Preset] = Field(min_length=1)
    # The other suites that claims are about, as `load` found them.
    _others: dict[str, Suite] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _lists_are_known(self) -> Self:
        for name, rows in self.methods.items():
            for row in rows:
                if isinstance(row, str) and row.startswith(LIST):
                    raise ValueError(f"methods.{name} names the list {row!r}; a list holds methods, not other lists")
        for preset in self.presets.values():
            for grid in preset.grid:
                refuse_twice(self.choices(grid.methods))
        for claim in self.claims:
            self.choices(claim.against)
        return self

    @model_validator(mode="after")
    def _claimed_budgets_are_run(self) -> Self:
        run = {keep for preset in self.presets.values() for grid in preset.grid for keep in grid.budgets}
        for claim in self.claims:
            if unknown := [keep for keep in claim.budgets or [] if keep not in run]:
                raise ValueError(f"the claim {claim.title!r} is about the budget {unknown[0]:g}, which no grid has")
        return self

    @model_validator(mode="after")
    def _few_jobs(self) -> Self:
        grids = [grid for preset in self.presets.values() for grid in preset.grid]
        if (count := sum(self._size(grid) for grid in grids)) > MOST_JOBS:
            raise ValueError(f"the grids hold {count:,} jobs, and a suite at most {MOST_JOBS:,}; cut it into several")
        return self

    def _size(self, grid: Grid) -> int:
        places = len(grid.targets) * len(grid.networks) * len(grid.epochs or [0]) * len(grid.budgets)
        return len(grid.each_seed) * places * len(self.choices(grid.methods))

    def preset(self, name: str) -> Preset:
        """Return the preset of that name. Raises `SuiteError` if there is none."""
        if name not in self.presets:
            raise SuiteError(f"suite {self.name!r} has no preset {name!r}{registry.suggestion(name, self.presets)}")
        return self.presets[name]

    def choices(self, rows: Sequence[Choice]) -> list[Choice]:
        """Return these rows of a grid or a claim with every "@name" replaced by the list of that name."""
        return list(written_out(rows, self.methods))

    def row_of(self, choice: Choice) -> Row:
        """Return what the jobs of a row of the table have in common. Raises `SuiteError` as `jobs` does."""
        method, row = resolved(choice)
        return Row(method.name, row.start or method.default_start, row.granularity, row.options)

    def jobs(self, preset: str, precision: Precision) -> list[Job]:
        """Return the preset's jobs, each once, seed by seed; `precision` is what "auto" stands for.

        Raises `SuiteError` for unknown names and for options or starts that a method does not have.
        """
        chosen = self.preset(preset)
        protocol = _concrete(chosen.protocol, precision)
        catalogue.resolve(chosen.protocol.reference.dataset, self.datasets)
        for grid in chosen.grid:
            for target in grid.targets:
                catalogue.resolve(target, self.datasets)
        jobs = {job.key: job for grid in chosen.grid for job in expand(grid, self._rows(grid), protocol)}
        return list(jobs.values())

    def jobs_of_claim(self, claim: Claim, preset: str, precision: Precision) -> list[Job]:
        """Return the jobs of a claim's other suites, in their presets of that name; a suite without one has none."""
        others = (self._others[name] for name in claim.suites)
        return [job for other in others if preset in other.presets for job in other.jobs(preset, precision)]

    def _rows(self, grid: Grid) -> list[tuple[type[Method], MethodChoice]]:
        return [resolved(choice) for choice in self.choices(grid.methods)]


def load(path: Path) -> Suite:
    """Read and validate a suite file, and those that its claims name.

    Raises `SuiteError` that names the file, the key and what would be right.
    """
    suite = _loaded(path)
    for name in dict.fromkeys(name for claim in suite.claims for name in claim.suites):
        suite._others[name] = _loaded(path.with_name(f"{name}.toml"))
    return suite


def _loaded(path: Path) -> Suite:
    try:
        content = toml.read(path)
    except FileNotFoundError:
        known = sorted(str(other) for other in path.parent.glob("*.toml"))
        raise SuiteError(f"no suite file {path}{registry.suggestion(str(path), known)}") from None
    except (ValueError, OSError) as error:
        raise SuiteError(f"{path} cannot be read as TOML: {error}") from error
    if odd := listed(toml.oddities(content)):
        raise SuiteError(f"{path} is refused:\n{odd}")
    named = {"name": path.stem.encode(errors="replace").decode()} | content
    try:
        # Strictly: true is no number, and "2" neither. Only in JSON may a text stand for a start even then.
        suite = Suite.model_validate_json(json.dumps(named), strict=True)
    except ValidationError as error:
        raise SuiteError(f"{path} is refused:\n{explain(error)}") from error
    _let_networks_be_imported(suite, path)
    own = {name: data.model_copy(update={"path": _beside(path, data.path)}) for name, data in suite.datasets.items()}
    return suite.model_copy(update={"datasets": own})


def _let_networks_be_imported(suite: Suite, path: Path) -> None:
    """Add the folder of the suite file to Python's path, at its end, where a grid names a network of the user's own."""
    names = (name for preset in suite.presets.values() for grid in preset.grid for name in grid.networks)
    folder = str(path.absolute().parent)
    if any(":" in name for name in names) and folder not in sys.path:
        sys.path.append(folder)


def _beside(suite: Path, path: Path) -> Path:
    """Return the absolute form of a path that a suite file names, which is relative to that file."""
    return Path(os.path.normpath(suite.absolute().parent / path))


def explain(error: ValidationError) -> str:
    """Return the mistakes in a suite file, one per line."""
    return listed(in_words(mistake, _keys_at(mistake["loc"])) for mistake in error.errors())


def _keys_at(where: Sequence[int | str]) -> set[str]:
    """Return the keys that a place in a suite file may have: those of the innermost table with a name of its own."""
    tables: dict[int | str, type[BaseModel]] = {
        "presets": Preset,
        "protocol": SuiteProtocol,
        "learning_rate": LearningRates,
        "reference": Reference,
        "grid": Grid,
        "methods": MethodChoice,
        "subject": MethodChoice,
        "against": MethodChoice,
        "accuracy_of": MethodChoice,
        "claims": Claim,
        "comparison": ComparisonPoint,
        "datasets": catalogue.CustomDataset,
    }
    named = [tables[part] for part in where[:-1] if part in tables]
    return set((named[-1] if named else Suite).model_fields)


def _concrete(protocol: SuiteProtocol, precision: Precision) -> Protocol:
    values = protocol.model_dump()
    if protocol.precision == "auto":
        values["precision"] = precision
    return Protocol.model_validate(values)
