"""STAMP: set-based task-adaptive meta-pruning, the method under test."""

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
    """How the generator is meta-trained. `inner_steps` is K, 0 trains jointly; `shared` says whether the weights move;
    `masks` whose masks they meet; `static` takes the set inputs away."""

    meta_steps: int = Field(3000, ge=1)
    inner_steps: int = Field(0, ge=0)
    shared: Literal["updated", "frozen"] = "updated"
    masks: Literal["generated", "random"] = "generated"
    static: bool = False


class StampOptions(MetaOptions):
    """`adaptation_steps` is S, `sets` how many sets of 64 images are looked at; the rest are controls.

    `weights` are those pruned: STAMP's own, those meta-trained under random masks, or the reference network's.
    `look_at` is what the set is drawn from: "target", "noise", or a dataset's name; `frozen_mask` adapts the weights
    alone; `shuffled` permutes every group's logits; `scratch` trains the shape from fresh weights.
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
    version = 1
    starts = frozenset({Start.REFERENCE})
    default_start = Start.REFERENCE
    Options = StampOptions
    options: StampOptions
    card = """Prunes whole channels of a reference-pretrained network by a mask generated from a set of target images.

- **Paper**: set-based task-adaptive meta-pruning (arXiv 2006.12139). Only its abstract is public: a network pretrained
  on a large reference dataset; a mask that is a function of the target set; a generator meta-learned over different
  subsets of the reference; adaptation within a few gradient steps; whole channels. No number of it is known.
- **Ours**, all else. *Set code*: SAB and PMA (Lee et al., arXiv 1810.00825) within each class, then across classes, on
  the frozen reference network's features. *Generator*: for each channel group one small network, shared by its
  channels, from the set code, the log budget and seven statistics of the channel over the set (activations, class
  separability, the gate's gradient under a class-mean head, L1 norm, batch norm's scale) to a score a channel, of mean
  0 and deviation 1 in its group, and an offset in [-1, 1] for the group. Nothing in it belongs to a channel; untrained
  it ranks by L1 norm at uniform widths. *Relaxation*: hard masks by one threshold on all logits (score + offset); the
  scores' gradient is the soft mask's, with the threshold's own derivative on the soft MACs. *Widths*: gate gradients
  of a group add up to nothing behind a batch norm, so the offsets' gradient is measured, by simultaneous perturbation
  (Spall 1992) at equal MACs.
- **Meta-training**: episodes of 5 to 100 random or neighbouring classes, a quarter of them moved to another image
  domain; budgets log-uniform in [1/32, 1]; first-order steps on query images after K inner ones on support images
  (K = 0: one joint step of weights and generator). Rates and the masks' noise fall to zero by a cosine. A tenth of the
  classes is held out, for the learning curve.
- **Adaptation**: S steps on generator, weights and head together (the offsets stay), then the mask is committed.
- **Not shown**: task adaptivity. Masks of two targets differ two to five times as much as those of two draws of one,
  where five was asked for, and another dataset's images or noise in place of the target's own cost no accuracy that
  eight seeds can show; see FINDINGS.md.
- **Checked against**: finite differences of threshold, mask and gate gradients; a known slope for the perturbation;
  permutations of the set; magnitude's ranking before training.
"""

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """The meta-trained generator and weights; those trained under random masks where the options ask for them."""
        specs = [meta_spec(job, META_TRAINED, self.options)]
        if self.options.weights == "random-masks":
            specs.append(meta_spec(job, RANDOM_MASKS, self.options))
        if self.options.look_at not in ("target", "noise"):
            made = {"sets": self.options.sets, "method_version": self.version}
            other = ArtefactSpec.of(job, OTHER_SET, "target", job.protocol.epochs, **made)
            recipe = other.recipe | {"images": None, "validation_images": 0}
            specs.append(other.model_copy(update={"dataset": self.options.look_at, "recipe": recipe}))
        return specs

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Meta-trains on the reference dataset, from its pretrained network; or draws a set of another target."""
        from .meta_training import meta_train
        from .sets import draw_sets, packed_sets

        if spec.kind == OTHER_SET:
            return packed_sets(draw_sets(task, self.options.sets, context))
        return meta_train(spec, task, artefacts["pretrained"], meta_options(spec), context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Adapts on the target, then keeps the best channels that fit."""
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
    """Meta-training from the job's reference network: as the options say, or the same under random masks."""
    assert job.protocol.reference is not None
    meta = MetaOptions.model_validate({name: getattr(options, name) for name in MetaOptions.model_fields})
    if kind == RANDOM_MASKS:
        # No generator is trained then, so what it would look like makes no difference.
        meta = meta.model_copy(update={"masks": "random", "static": False, "shared": "updated"})
    made = {"method_version": Stamp.version, **meta.chosen()}
    return ArtefactSpec.of(job, kind, "reference", job.protocol.reference.epochs, **made)


def meta_options(spec: ArtefactSpec) -> MetaOptions:
    """The options that a spec was made from."""
    return MetaOptions.model_validate({n: value for n, value in spec.recipe.items() if n in MetaOptions.model_fields})
