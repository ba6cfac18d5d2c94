"""The runner carries out plans: fresh, given and masked weights, artefacts of methods, head steps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stampbench import registry
from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset
from stampbench.registry import Registry
from stampbench.running import pretraining, runner, stages
from stampbench.running.artefacts import Artefacts
from stampbench.running.preparing import prepare
from stampbench.running.progress import SilentProgress
from stampbench.running.runner import run
from stampbench.running.workplace import Workplace
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures.quickly import quicken
from tests.fixtures.tiny import TINY
from tests.fixtures.toy_methods import TARGETS

PROTOCOL: dict[str, Any] = TINY.presets["tiny"].protocol.model_dump(mode="json") | {
    "train_images": 160,
    "validation_images": 32,
    "head_steps": 3,
    "precision": "fp32",
    "reference": {"dataset": "glyphs", "epochs": 1, "images": 160},
}


@pytest.fixture(autouse=True)
def toys(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "METHODS", Registry("method", TARGETS))
    quicken(monkeypatch.setattr)


def job(method: str, seed: int = 0, **grid: Any):
    protocol = PROTOCOL | grid.pop("protocol", {})
    rows = {"methods": [{"name": method, **grid.pop("row", {})}], "budgets": [grid.pop("keep", 0.3)]}
    cells = {"targets": ["digits"], "networks": ["resnet18"], "width": 0.125, "seeds": seed + 1, **rows, **grid}
    datasets = cells.pop("datasets", {})
    presets = {"toy": {"protocol": protocol, "grid": [cells]}}
    suite = Suite.model_validate({"name": "toy", "title": "Toys", "datasets": datasets, "presets": presets})
    return suite.jobs("toy", "fp32")[-1]


@pytest.fixture
def workplace(tmp_path):
    artefacts = Artefacts(tmp_path / "pool", tmp_path / "cache")
    return Workplace(Store(tmp_path), artefacts, {}, torch.device("cpu"), SilentProgress(), "test")


def done(record):
    assert record.status == "done", record.reason
    return record


def test_fresh_weights_come_from_the_jobs_stream_whatever_the_start(workplace):
    by_start = [done(run(job("fresh", row={"start": start}), workplace)) for start in ("random", "reference")]
    assert by_start[0].accuracy == by_start[1].accuracy
    assert by_start[0].digests["initial_weights"] != by_start[1].digests["initial_weights"]


def test_given_weights_are_the_ones_that_are_sliced(workplace, monkeypatch):
    seen = {}

    class Watched(runner.Trainer):
        def __init__(self, network, *rest):
            seen.setdefault("first", network.conv1.weight.detach().clone())
            super().__init__(network, *rest)

    made = job("given", row={"start": "random"})
    monkeypatch.setattr(runner, "Trainer", Watched)
    record = done(run(made, workplace))
    assert record.notes == {"why": "a test"}
    assert seen["first"].shape[0] == 4
    assert (seen["first"] == 0.01).all()


def test_single_weights_are_masked_counted_and_stay_masked(workplace, monkeypatch):
    trained = []
    evaluate = stages.evaluate
    monkeypatch.setattr(stages, "evaluate", lambda network, *rest: trained.append(network) or evaluate(network, *rest))
    made = job("single-weights", row={"start": "random", "granularity": "weight"}, keep=0.1)
    record = done(run(made, workplace))
    prunable = [p for p in trained[0].parameters() if p.dim() == 4]
    kept = sum(int(0.1 * p.numel()) for p in prunable)
    assert record.cost.dense_params - record.cost.params == sum(p.numel() for p in prunable) - kept
    assert record.cost.macs == record.cost.dense_macs
    assert sum(int((p != 0).sum()) for p in prunable) <= kept


def test_a_methods_artefact_is_made_once_charged_and_handed_over(workplace):
    first, second, other = (done(run(job("prepared", seed), workplace)) for seed in (0, 3, 1))
    for record, reused in ((first, False), (second, True), (other, False)):
        use = next(use for use in record.artefacts if use.kind == "table")
        assert (use.seconds, use.reused) == (12.5, reused)
        assert record.seconds.pretrain == 12.5
        assert "prune/search" in record.seconds.phases
        assert record.seconds.prune >= record.seconds.phases["prune/search"]
    assert first.notes == second.notes != other.notes


def test_head_steps_are_taken_before_data_driven_scores_and_charged(workplace, monkeypatch):
    steps = []
    step = runner.Trainer.step

    def counted(self, *batch):
        steps.append(workplace)
        return step(self, *batch)

    prepare(job("reads-data"), workplace)
    monkeypatch.setattr(runner.Trainer, "step", counted)
    with_head = done(run(job("reads-data"), workplace))
    taken = len(steps)
    without = done(run(job("reads-data", protocol={"head_steps": 0}), workplace))
    assert taken - (len(steps) - taken) == 3
    assert with_head.digests == without.digests


def test_the_pretrained_network_is_the_one_its_spec_asks_for(workplace):
    made = job("fresh")
    spec = pretraining.spec_of(made)
    assert (spec.scope, spec.dataset, spec.seed, spec.recipe["images"]) == ("reference", "glyphs", 0, 160)
    assert spec == pretraining.spec_of(job("fresh", protocol={"epochs": 2, "train_images": 128}))
    held_out = PROTOCOL["reference"] | {"validation_images": 32}
    assert spec == pretraining.spec_of(job("fresh", protocol={"validation_images": 16, "reference": held_out}))
    target = pretraining.spec_of(job("fresh", row={"start": "target"}))
    assert (target.scope, target.dataset, target.recipe["images"]) == ("target", "digits", 160)
    assert pretraining.spec_of(job("fresh", row={"start": "random"})) is None
    done(run(made, workplace))
    data = packed.load("glyphs").manifest.digest
    held = workplace.artefacts.load(spec.model_copy(update={"recipe": spec.recipe | {"data": data}}))
    assert held.notes["train_images"] == 128
    assert len(held.notes["validation_top1"]) == 1


def test_a_users_own_images_are_a_target_like_any_other(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 40), ("test", 8)):
        for label, level in (("dark", 40), ("light", 200)):
            folder = tmp_path / "own" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(np.full((16, 16, 3), level + index % 20, dtype=np.uint8)).save(folder / f"{index}.png")
    own = {"path": str(tmp_path / "own"), "size": 16}
    protocol = {"train_images": None, "validation_images": 16, "epochs": 3}
    made = job("fresh", targets=["own"], datasets={"own": own}, row={"start": "random"}, protocol=protocol)
    record = done(run(made, replace(workplace, custom={"own": CustomDataset.model_validate(own)})))
    used = record.data["own"]
    assert (used.train, used.validation, used.test, used.source) == (64, 16, 16, "folder")
    assert str(tmp_path) not in record.model_dump_json()
