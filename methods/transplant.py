"""Another method's mask on meta-trained weights: the control that holds the weights fixed and varies the mask."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from methods.stamp import META_TRAINED, RANDOM_MASKS, MetaOptions, meta_options, meta_spec
from stampbench import registry
from stampbench.contract import Artefact, ArtefactSpec, Budget, Context, Method, Plan, Start, Task

if TYPE_CHECKING:
    from torch import nn

    from stampbench.job import Job
    from stampbench.pruning.groups import Group


class TransplantOptions(MetaOptions):
    """`mask` is the method whose mask it is, with its `options`; `weights` are STAMP's, or those meta-trained under
    random masks as often and at the same budgets; `adaptation_steps` is STAMP's S.
    """

    mask: str = "dense"
    options: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    weights: Literal["stamp", "random-masks"] = "random-masks"
    adaptation_steps: int = Field(8, ge=0)

    @field_validator("options")
    @classmethod
    def _filled(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Spells out the method's options, so that a change of a default changes the job."""
        kind: type[Method] = registry.METHODS.load(info.data["mask"])
        return kind.Options.model_validate(options).model_dump(mode="json")

    def chosen(self) -> dict[str, Any]:
        """Of the method's options those that it would name."""
        kind: type[Method] = registry.METHODS.load(self.mask)
        inner = kind.Options.model_validate(self.options).chosen()
        outer = {name: value for name, value in super().chosen().items() if name != "options"}
        return outer | ({"options": inner} if inner else {})


class Transplant(Method):
    """A method's mask on weights that are not its own."""

    name = "transplant"
    version = 1
    starts = frozenset({Start.REFERENCE})
    default_start = Start.REFERENCE
    Options = TransplantOptions
    options: TransplantOptions
    card = """Another method's mask on meta-trained weights: only the mask differs from STAMP's on the same weights.

- **Ours** throughout. The weights get the start's head. A mask that reads data is scored after S steps of weights and
  head on the dense network; then, for every mask, the weights go S steps under it, as STAMP's go under its own, on the
  same batches.
"""

    def serves(self, network: nn.Module, groups: Sequence[Group]) -> str | None:
        """Return why the mask's method cannot serve the network, or None."""
        return self._mask_method().serves(network, groups)

    def _mask_method(self) -> Method:
        kind: type[Method] = registry.METHODS.load(self.options.mask)
        return kind(kind.Options.model_validate(self.options.options))

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """The weights."""
        return [meta_spec(job, self._kind, self.options)]

    @property
    def _kind(self) -> str:
        return META_TRAINED if self.options.weights == "stamp" else RANDOM_MASKS

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Meta-trains, as STAMP does."""
        from methods.stamp.meta_training import meta_train

        return meta_train(spec, task, artefacts["pretrained"], meta_options(spec), context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """The method's mask, and the weights adapted under it."""
        import torch

        from methods.stamp.adaptation import body, descend, load_into, under_mask
        from methods.stamp.meta_training import Shape

        made = artefacts[self._kind]
        method = self._mask_method()
        adapted = copy.deepcopy(network)
        load_into(adapted, {**network.state_dict(), **body(made)})
        shape, steps = Shape.of(network, task.input_size, context.floor), self.options.adaptation_steps
        scored = copy.deepcopy(adapted)
        if method.needs_data:
            dense = {name: torch.ones(width, dtype=torch.bool) for name, width in shape.cost.widths.items()}
            descend(scored, under_mask(scored, dense, shape, context), steps, task, context)
        plan = method.plan(scored, task, budget, {}, context)
        losses = descend(adapted, under_mask(adapted, plan.keep, shape, context), steps, task, context)
        return Plan(plan.keep, adapted.state_dict(), {**plan.notes, "adaptation_loss": losses})
