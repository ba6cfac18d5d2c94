"""Meta-training on the demo's drawn characters, for longer than the demo has time for: a minute or two."""

import math

import pytest
import torch
from scipy import stats

from stampbench import suite
from stampbench.methods.stamp.meta_training import MetaTraining
from stampbench.running import runner
from stampbench.running.artefacts import Artefacts
from stampbench.running.campaign import suite_path
from stampbench.running.progress import SilentProgress
from stampbench.running.workplace import Workplace
from stampbench.store import Store


@pytest.mark.slow
def test_generated_masks_beat_random_ones_on_held_out_characters(tmp_path, monkeypatch):
    """Query accuracy by nearest class mean on classes that no episode showed, paired over 60 episodes."""
    demo = suite.load(suite_path("demo"))
    job = next(job for job in demo.jobs("demo", "fp32") if job.method == "stamp")
    job = job.model_copy(update={"options": job.options | {"meta_steps": 200}})
    trained: list[MetaTraining] = []
    learned = MetaTraining.learned
    monkeypatch.setattr(MetaTraining, "learned", lambda run: trained.append(run) or learned(run))
    workplace = Workplace(
        Store(tmp_path), Artefacts(tmp_path / "pool", tmp_path / "cache"), {}, torch.device("cpu"), SilentProgress(), ""
    )
    record = runner.run(job, workplace)
    assert record.status == "done", record.reason
    (meta,) = (use for use in record.artefacts if use.kind == "meta-trained")
    run = trained[-1]
    assert run.steps == 200
    pairs = torch.tensor([run.held_out_accuracy(draw) for draw in range(60)], dtype=torch.float64)
    better = stats.ttest_rel(pairs[:, 0], pairs[:, 1], alternative="greater")
    print(pairs.mean(0), better, meta.seconds)
    assert better.pvalue < 0.001
    assert math.isfinite(meta.seconds)
