"""The artefacts that must exist before a job runs: the weights it starts from, and those that its method makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stampbench import registry
from stampbench.contract import Artefact, ArtefactSpec, Granularity, Method
from stampbench.data import catalogue, packed
from stampbench.data.catalogue import CustomDataset
from stampbench.data.split import make_task
from stampbench.errors import DataError, UserError
from stampbench.files import room
from stampbench.job import Job
from stampbench.measure.phases import PhaseClock
from stampbench.measure.provenance import provenance
from stampbench.networks.check import checked
from stampbench.networks.initial import build
from stampbench.pruning.allocate import refuse_least_above
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.base import limit_at
from stampbench.record import ArtefactUse
from stampbench.running import layer_times, pretraining
from stampbench.running.artefacts import Artefacts
from stampbench.running.context import checkpoint_of, context_of, resource_of
from stampbench.running.workplace import Workplace


def method_of(job: Job) -> Method:
    """Return the job's method with its options."""
    found: type[Method] = registry.METHODS.load(job.method)
    return found(found.Options.model_validate(job.options))


def unserved(job: Job, method: Method, custom: Mapping[str, CustomDataset]) -> str | None:
    """Return the reason why the job's method cannot serve its network, or None.

    Raises `NetworkError` for a network that breaks the contract.
    """
    return method.serves(*checked(job.network, job.width, catalogue.resolve(job.target, custom).input_size))


def prepare(job: Job, workplace: Workplace, last: str | None = None) -> tuple[list[ArtefactUse], dict[str, Artefact]]:
    """Return what the job rests on, by kind, up to the digest `last`. What is missing is made first."""
    method = method_of(job)
    uses: list[ArtefactUse] = []
    artefacts: dict[str, Artefact] = {}
    for spec in needed_artefacts(job, method, workplace.custom, workplace.artefacts):
        digest = spec.digest

        def make(spec: ArtefactSpec = spec) -> Artefact:
            # An artefact that is ordered by its digest serves other jobs too, whose budgets can be met.
            if last is None and spec.kind != layer_times.KIND:
                refuse_least_above_budget(job, artefacts.get(layer_times.KIND), workplace.custom)
            return _make(spec, job, method, artefacts, workplace)

        made, reused = workplace.artefacts.ensure(
            spec,
            make,
            provenance(workplace.device, spec.settings["precision"], workplace.executor, workplace.exclusive),
        )
        artefacts[spec.kind] = made
        checkpoint_of(workplace, digest).remove()
        uses.append(
            ArtefactUse(
                kind=spec.kind,
                scope=spec.scope,
                digest=digest,
                tensors=made.digest,
                seconds=made.seconds,
                reused=reused,
            )
        )
        if digest == last:
            break
    return uses, artefacts


def needed_artefacts(
    job: Job, method: Method, custom: Mapping[str, CustomDataset], artefacts: Artefacts
) -> list[ArtefactSpec]:
    """Return the specs of what the job rests on, in the order of making, each with the digest of its dataset.

    A job that is to be skipped rests on nothing.
    Where a dataset is not at hand, an artefact that was made from it elsewhere will do; without either, `DataError`.
    """
    if unserved(job, method, custom):
        return []
    table = layer_times.spec_of(job, custom)
    return [*([table] if table else []), *(_with_data(spec, custom, artefacts) for spec in specs_of(job, method))]


def refuse_least_above_budget(job: Job, table: Artefact | None, custom: Mapping[str, CustomDataset]) -> None:
    """Raise `BudgetError` if even the least widths of the job's protocol cost more than its budget.

    It is known before anything is trained, and artefacts may take hours.
    """
    if job.granularity is Granularity.WEIGHT:
        return
    classes, size = packed.manifest(job.target, custom).classes, catalogue.resolve(job.target, custom).input_size
    _, groups = checked(job.network, job.width, size)
    cost = CostModel.of(build(job.network, classes, job.width), groups, size)
    pricing = resource_of(job, table).pricing(cost)
    refuse_least_above(limit_at(job.budget.keep, pricing), pricing, job.protocol.round_to, job.protocol.floor)


def specs_of(job: Job, method: Method) -> list[ArtefactSpec]:
    """Return the specs of the start's weights, if they are trained, and of what the method asks for, without data."""
    start = pretraining.spec_of(job)
    return [*([start] if start else []), *method.artefacts(job)]


def _with_data(spec: ArtefactSpec, custom: Mapping[str, CustomDataset], artefacts: Artefacts) -> ArtefactSpec:
    try:
        digest = packed.manifest(spec.dataset, custom).digest
    except DataError:
        made = artefacts.of_any_data(spec)
        if made is None:
            raise
        return made
    return spec.model_copy(update={"recipe": spec.recipe | {"data": digest}})


def _make(
    spec: ArtefactSpec, job: Job, method: Method, artefacts: Mapping[str, Artefact], workplace: Workplace
) -> Artefact:
    where = f"on {spec.dataset}, seed {spec.seed}" if spec.dataset else f"on {spec.recipe['device']}"
    label = f"{spec.kind} {spec.network} × {spec.width:g} {where}"
    workplace.observer.artefact_started(label)
    with room(workplace.artefacts.cache, _bytes_of(job, workplace)):
        made = _made(spec, job, method, artefacts, workplace, label)
    workplace.observer.artefact_finished(label)
    return made


def _bytes_of(job: Job, workplace: Workplace) -> int:
    """Return the bytes that an artefact of the job takes at most: its tensors, and a checkpoint with its momentum."""
    network, _ = checked(job.network, job.width, catalogue.resolve(job.target, workplace.custom).input_size)
    return 2**20 + 4 * sum(int(tensor.nbytes) for tensor in network.state_dict().values())


def _made(
    spec: ArtefactSpec,
    job: Job,
    method: Method,
    artefacts: Mapping[str, Artefact],
    workplace: Workplace,
    label: str,
) -> Artefact:
    if spec.kind == layer_times.KIND:
        if not workplace.exclusive:
            raise UserError(
                f"budgets of {job.budget.resource} rest on measured layers, and executor {workplace.executor!r} shares "
                "its machines; run one of these jobs with --executor in-process first, or all of them"
            )
        return layer_times.make(spec, workplace.device, workplace.pace(label))
    values, dataset = spec.settings, catalogue.resolve(spec.dataset, workplace.custom)
    # A job draws its target's split by its artefact seed, so nothing here has seen its validation images.
    task, _ = make_task(
        packed.load(spec.dataset, workplace.custom),
        dataset,
        values["images"],
        values["validation_images"],
        spec.seed,
        workplace.device,
    )
    if spec.kind == pretraining.KIND:
        report = workplace.reporter(label, int(values["epochs"]))
        saved = checkpoint_of(workplace, spec.digest)
        return pretraining.pretrain(spec, task, dataset, workplace.device, report, saved)
    clock, table = PhaseClock(workplace.device), artefacts.get(layer_times.KIND)
    context = context_of(job, dataset, spec.seed, clock, workplace, spec.digest, table)
    context = replace(context, precision=values["precision"], show=workplace.pace(label))
    return method.prepare(spec, task, artefacts, context)
