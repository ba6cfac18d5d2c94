"""Transplant puts another method's mask on meta-trained weights: a control that varies only the mask."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from stampbench import registry
from stampbench.contract import Artefact, ArtefactSpec, Budget, Context, Method, Plan, Start, Task

from .stamp import META_TRAINED, RANDOM_MASKS, MetaOptions, Stamp, meta_options, meta_spec

if TYPE_CHECKING:
    from torch import nn

    from stampbench.job import Job
    from stampbench.pruning.groups import Group


class TransplantOptions(MetaOptions):
    """The options of the control.

    `mask` names the method that makes the mask, and `options` are that method's. `weights` are STAMP's, or those that
    were meta-trained under random masks for as many steps and at the same budgets. `adaptation_steps` is STAMP's S.
    """

    mask: str = "dense"
    options: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    weights: Literal["stamp", "random-masks"] = "random-masks"
    adaptation_steps: int = Field(8, ge=0)

    @field_validator("options")
    @classmethod
    def _filled(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Fill in the method's defaults, so that a change of a default changes the job."""
        kind: type[Method] = registry.METHODS.load(info.data["mask"])
        return kind.Options.model_validate(options).model_dump(mode="json")

    def chosen(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, with `options` reduced likewise to what differs."""
        kind: type[Method] = registry.METHODS.load(self.mask)
        inner = kind.Options.model_validate(self.options).chosen()
        outer = {name: value for name, value in super().chosen().items() if name != "options"}
        return outer | ({"options": inner} if inner else {})


class Transplant(Method):
    """A method's mask on weights that the method did not make."""

    name = "transplant"
    told = frozenset({"mask", "weights"})
    version = 1
    starts = frozenset({Start.REFERENCE})
    default_start = Start.REFERENCE
    Options = TransplantOptions
    options: TransplantOptions
    card = """Transplant puts another method's mask on meta-trained weights, so that only the mask differs from STAMP's.

- **Paper**: there is none; this control is the project's own.
- **Our choices**: the weights get the start's head. If a mask reads data, weights and head are first trained for S
  steps as a dense network, and the mask is scored after that. Then the weights are trained for S steps under the mask,
  whichever it is, as STAMP's are under its own mask and on the same batches.
"""

    @classmethod
    def version_with(cls, options: TransplantOptions) -> str:
        """Return the versions of this method, of the one that makes the mask, and of STAMP, which makes the weights."""
        inner: type[Method] = registry.METHODS.load(options.mask)
        within = inner.version_with(inner.Options.model_validate(options.options))
        return f"{cls.version} ({options.mask} {within}, {Stamp.name} {Stamp.version})"

    @classmethod
    def datasets(cls, options: TransplantOptions) -> tuple[str, ...]:
        """Return the datasets that the mask's method reads."""
        inner: type[Method] = registry.METHODS.load(options.mask)
        return inner.datasets(inner.Options.model_validate(options.options))

    @classmethod
    def shown_as(cls, options: TransplantOptions) -> str:
        """Return the name of the method whose mask this is."""
        return options.mask

    @classmethod
    def called(cls, options: TransplantOptions) -> str:
        """Return whose mask lies on which weights: "SNIP's mask on STAMP's weights"."""
        inner: type[Method] = registry.METHODS.load(options.mask)
        mask = inner.called(inner.Options.model_validate(options.options))
        weights = f"{Stamp.label}'s" if options.weights == "stamp" else "random-mask"
        return f"{mask}'s mask on {weights} weights"

    def serves(self, network: nn.Module, groups: Sequence[Group]) -> str | None:
        """Return why the mask's method cannot serve the network, or None."""
        return self._mask_method().serves(network, groups)

    def _mask_method(self) -> Method:
        kind: type[Method] = registry.METHODS.load(self.options.mask)
        return kind(kind.Options.model_validate(self.options.options))

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """Return the specification of the meta-trained weights."""
        return [meta_spec(job, self._kind, self.options)]

    @property
    def _kind(self) -> str:
        return META_TRAINED if self.options.weights == "stamp" else RANDOM_MASKS

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Meta-train as STAMP does."""
        from .stamp.meta_training import meta_train

        return meta_train(spec, task, artefacts["pretrained"], meta_options(spec), context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Return the method's mask, and the weights adapted under it."""
        import torch

        from .stamp.adaptation import body, descend, load_into, under_mask
        from .stamp.meta_training import Shape

        made = artefacts[self._kind]
        method = self._mask_method()
        adapted = copy.deepcopy(network)
        load_into(adapted, {**network.state_dict(), **body(made)})
        shape = Shape.of(network, task.input_size, context.floor, context.resource)
        steps = self.options.adaptation_steps
        scored = copy.deepcopy(adapted)
        if method.needs_data:
            dense = {name: torch.ones(width, dtype=torch.bool) for name, width in shape.pricing.widths.items()}
            descend(scored, under_mask(scored, dense, shape, context), steps, task, context)
        plan = method.plan(scored, task, budget, {}, context)
        losses = descend(adapted, under_mask(adapted, plan.keep, shape, context), steps, task, context)
        return Plan(plan.keep, adapted.state_dict(), {**plan.notes, "adaptation_loss": losses})
