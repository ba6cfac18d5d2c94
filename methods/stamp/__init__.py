"""STAMP is set-based task-adaptive meta-pruning, the method under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stampbench.contract import Artefact, ArtefactSpec, Budget, Context, Method, Options, Plan, Start, Task, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.job import Job

META_TRAINED = "meta-trained"
RANDOM_MASKS = "meta-trained under random masks"
OTHER_SET = "set"


class MetaOptions(Options):
    """The options of meta-training.

    `inner_steps` is K; with 0, weights and generator take one joint step. `shared` says whether the weights are updated
    too, and `masks` which masks they are trained under. `static` takes the set inputs away. `prices` says which
    resource an episode's budget is a share of: always MACs; or one "drawn" from MACs, parameters and made-up prices,
    which the generator then reads; or "with-time", among which is that of the job's own device.
    """

    meta_steps: int = Field(3000, ge=1)
    inner_steps: int = Field(0, ge=0)
    shared: Literal["updated", "frozen"] = "updated"
    masks: Literal["generated", "random"] = "generated"
    static: bool = False
    prices: Literal["macs", "drawn", "with-time"] = "macs"


class StampOptions(MetaOptions):
    """The options of meta-training and adaptation, and controls.

    `adaptation_steps` is S; `sets` is the number of sets of 64 images that the generator reads. The rest are controls.
    `weights` says which weights are pruned: STAMP's own, those meta-trained under random masks, or the reference
    network's. `look_at` says what the sets are drawn from: "target", "noise", or the name of a dataset. `frozen_mask`
    adapts the weights alone; `shuffled` permutes the logits of every group; `scratch` trains the shape from fresh
    weights.
    """

    adaptation_steps: int = Field(8, ge=0)
    sets: int = Field(24, ge=1)
    weights: Literal["own", "random-masks", "reference"] = "own"
    look_at: str = "target"
    frozen_mask: bool = False
    shuffled: bool = False
    scratch: bool = False


class Stamp(Method):
    """A meta-learned generator reads a set of target images and prunes the reference network's channels."""

    name = "stamp"
    label = "STAMP"
    version = 1
    starts = frozenset({Start.REFERENCE})
    default_start = Start.REFERENCE
    Options = StampOptions
    options: StampOptions
    card = """STAMP prunes channels of a reference-pretrained network by a mask generated from a set of target images.

- **Paper**: set-based task-adaptive meta-pruning (arXiv 2006.12139). Only its abstract is public. It describes a
  network pretrained on a large reference dataset; a mask that is a function of the target set; a generator
  meta-learned over different subsets of the reference; adaptation within a few gradient steps; pruning of whole
  channels. None of its numbers is known.
- **Our choices** are everything else. *Set code*: SAB and PMA (Lee et al., arXiv 1810.00825) are applied within each
  class, then across classes, to the features of the frozen reference network. *Generator*: each channel group has one
  small network, which its channels share. It reads the set code, the log budget and seven statistics of the channel
  over the set (activations, class separability, the gate's gradient under a class-mean head, L1 norm, batch norm's
  scale). It returns a score per channel, of mean 0 and deviation 1 in its group, and an offset in [-1, 1] per group. No
  parameter belongs to a single channel; before training, it ranks by L1 norm at uniform widths. *Relaxation*: one
  threshold on all logits (score + offset) makes hard masks; the gradient of the scores is that of the soft mask,
  including the derivative of the threshold under the soft MACs. *Widths*: behind a batch norm, the gate gradients of a
  group add up to zero, so the gradient of the offsets is measured by simultaneous perturbation (Spall 1992) at equal
  MACs.
- **Meta-training**: an episode has 5 to 100 classes, random or neighbouring, and a quarter of the episodes are moved to
  another image domain. Budgets are log-uniform in [1/32, 1]. First-order steps on query images follow K inner steps on
  support images (K = 0: one joint step of weights and generator). Learning rates and the noise on the masks fall to
  zero by a cosine. A tenth of the classes is held out for the learning curve.
- **Adaptation**: generator, weights and head take S steps together, with the offsets fixed; then the mask is committed.
- **Not shown**: task adaptivity. Masks of two targets differ two to five times as much as masks of two draws of one
  target, where a factor of five was asked for. Images of another dataset, or noise, in place of the target's own cost
  no accuracy that eight seeds can show; see FINDINGS.md.
- **Checked against**: finite differences of threshold, mask and gate gradients; a known slope, for the perturbation;
  permutations of the set; magnitude's ranking, before training.
"""

    @classmethod
    def datasets(cls, options: StampOptions) -> tuple[str, ...]:
        """Return the dataset that the sets are drawn from, where it is not the target."""
        return () if options.look_at in ("target", "noise") else (options.look_at,)

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """Return the specification of the meta-trained generator and weights, and of what the controls ask for.

        Controls may need weights meta-trained under random masks, or sets of another dataset.
        """
        specs = [meta_spec(job, META_TRAINED, self.options)]
        if self.options.weights == "random-masks":
            specs.append(meta_spec(job, RANDOM_MASKS, self.options))
        for dataset in self.datasets(self.options):
            made = {"sets": self.options.sets, "method_version": self.version}
            other = ArtefactSpec.of(job, OTHER_SET, "target", job.protocol.epochs, **made)
            recipe = other.recipe | {"images": None, "validation_images": 0}
            specs.append(other.model_copy(update={"dataset": dataset, "recipe": recipe}))
        return specs

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Meta-train on the reference dataset from its pretrained network, or draw sets of another dataset."""
        from .meta_training import meta_train
        from .sets import draw_sets, packed_sets

        if spec.kind == OTHER_SET:
            return packed_sets(draw_sets(task, self.options.sets, context))
        return meta_train(spec, task, artefacts["pretrained"], meta_options(spec), context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Adapt on the target, then keep the channels with the largest logits that fit the budget."""
        from .adaptation import adapt, body

        sources = {"own": META_TRAINED, "random-masks": RANDOM_MASKS}
        source = sources.get(self.options.weights)
        weights = body(artefacts[source]) if source else {}
        sets = self._sets(task, artefacts, context)
        keep, state, notes = adapt(self.options, network, task, budget, artefacts[META_TRAINED], sets, weights, context)
        return Plan(keep, Weights.FRESH if self.options.scratch else state, notes)

    def _sets(self, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> list[tuple[Tensor, Tensor]]:
        from .sets import draw_sets, noise_sets, unpacked_sets

        if self.options.look_at == "target":
            return draw_sets(task, self.options.sets, context)
        if self.options.look_at == "noise":
            return noise_sets(task, self.options.sets, context)
        return unpacked_sets(artefacts[OTHER_SET], task, context)


def meta_spec(job: Job, kind: str, options: MetaOptions) -> ArtefactSpec:
    """Return the specification of meta-training from the job's reference network; `kind` may ask for random masks."""
    assert job.protocol.reference is not None
    meta = MetaOptions.model_validate({name: getattr(options, name) for name in MetaOptions.model_fields})
    if kind == RANDOM_MASKS:
        # No generator is trained under random masks, so its options make no difference.
        meta = meta.model_copy(update={"masks": "random", "static": False, "shared": "updated", "prices": "macs"})
    made = {"method_version": Stamp.version, **meta.chosen()}
    if meta.prices == "with-time":
        made["budget"] = {"resource": job.budget.resource, "table": job.budget.table}
    return ArtefactSpec.of(job, kind, "reference", job.protocol.reference.epochs, **made)


def meta_options(spec: ArtefactSpec) -> MetaOptions:
    """Return the options that a specification was made from."""
    return MetaOptions.model_validate({n: value for n, value in spec.recipe.items() if n in MetaOptions.model_fields})
