import cProfile

import pytest

from stampbench.contract import Budget, Granularity, Start
from stampbench.job import Reference
from stampbench.record import ArtefactUse
from stampbench.running.estimate import estimate, wall_seconds
from tests.fixtures import factories


def took(job, seconds: float, artefacts=(), **changes):
    """A record of a job whose own clock ran for that long."""
    spent = factories.seconds(outside=0.0, phases={"prune": 1.0, "train": seconds - 1.0})
    return factories.record(job, seconds=spent, artefacts=list(artefacts), **changes)


def pretrained(scope: str, seconds: float) -> ArtefactUse:
    return ArtefactUse(kind="pretrained", scope=scope, digest="0" * 16, seconds=seconds, reused=True)


def test_wall_seconds_are_all_of_the_clock_and_no_artefact():
    spent = factories.seconds(
        pretrain=1000.0, outside=0.5, phases={"data": 1.0, "prune": 2.0, "train": 30.0, "evaluate": 3.0}
    )
    assert wall_seconds(factories.record(seconds=spent)) == 36.5
    assert wall_seconds(factories.failed()) == 0


def test_the_median_of_the_same_cell():
    history = [took(factories.job(seed=seed), seconds) for seed, seconds in enumerate([10.0, 11.0, 90.0])]
    jobs = [factories.job(seed=seed) for seed in range(5)]
    found = estimate(jobs, history)
    assert (found.done, found.missing, found.unknown) == (3, 2, 0)
    assert found.seconds == pytest.approx(22)


def test_nothing_missing_is_no_time_and_nothing_known_is_unknown():
    job = factories.job()
    assert estimate([job], [took(job, 10.0)]).seconds == 0
    found = estimate([job], [took(factories.job(network="resnet18"), 10.0)])
    assert (found.seconds, found.unknown) == (None, 1)


def test_what_is_unknown_is_left_out_and_counted():
    history = [took(factories.job(), 10.0)]
    found = estimate([factories.job(seed=1), factories.job(network="resnet18")], history)
    assert (found.seconds, found.unknown) == (pytest.approx(10), 1)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"protocol": factories.protocol(epochs=6)}, 3),
        ({"protocol": factories.protocol(train_images=4000)}, 4),
        ({"target": "svhn"}, 1),
        ({"target": "digits"}, 1 / 4),
        ({"method": "random"}, 1),
        ({"keep": 0.5}, 2),
        ({"method": "dense"}, 4),
        # Masked weights are multiplied all the same.
        ({"granularity": Granularity.WEIGHT, "budget": Budget(resource="weights", keep=0.01)}, 4),
    ],
)
def test_unlike_cells_are_scaled(changes, factor):
    found = estimate([factories.job(**changes)], [took(factories.job(), 10.0)])
    assert found.seconds == pytest.approx(10 * factor)


def test_other_precisions_and_devices_teach_nothing():
    history = [took(factories.job(), 10.0)]
    assert estimate([factories.job(protocol=factories.protocol(precision="bf16"))], history).seconds is None
    assert estimate([factories.job(seed=1)], history, cuda=True).seconds is None
    on_gpu = [took(factories.job(), 10.0, provenance=factories.provenance(device="A GPU"))]
    assert estimate([factories.job(seed=1)], on_gpu, cuda=True).seconds == pytest.approx(10)


def test_failed_jobs_are_done_unless_they_run_again():
    failed, fine = factories.job(seed=1), factories.job(seed=2)
    history = [factories.failed(failed), took(fine, 10.0)]
    assert estimate([failed, fine], history).missing == 0
    again = estimate([failed, fine], history, again={failed.key})
    assert (again.missing, again.seconds) == (1, pytest.approx(10))


def test_missing_artefacts_count_once_each():
    job = factories.job(start=Start.TARGET)
    history = [took(job, 10.0, [pretrained("target", 100.0)])]
    same_artefact = factories.job(start=Start.TARGET, seed=3)
    assert estimate([same_artefact], history).seconds == pytest.approx(10)
    two_jobs_one_artefact = [factories.job(start=Start.TARGET, seed=seed) for seed in (1, 4)]
    assert estimate(two_jobs_one_artefact, history).seconds == pytest.approx(2 * 10 + 100)


def test_reference_artefacts_serve_all_targets():
    history = [took(factories.job(), 10.0, [pretrained("reference", 100.0)])]
    assert estimate([factories.job(target="svhn")], history).seconds == pytest.approx(10)
    longer = factories.protocol(reference=Reference(dataset="tinyimagenet", epochs=2))
    assert estimate([factories.job(protocol=longer)], history).seconds == pytest.approx(10 + 200)


def test_another_width_is_learned_from_the_dense_network_alone():
    """The work of a convolution is the product of two widths, and a narrow network's share of MACs is not of time."""
    history = [took(factories.job("dense"), 16.0), took(factories.job(), 10.0)]
    wider = [factories.job("dense", width=0.5), factories.job(width=0.5)]
    assert [estimate([job], history).seconds for job in wider] == [pytest.approx(4 * 16), pytest.approx(16)]
    assert estimate(wider, history[1:]).seconds is None


def test_artefacts_of_another_width_are_scaled_by_its_square_unless_that_width_is_known():
    history = [took(factories.job("dense"), 40.0, [pretrained("reference", 100.0)])]
    wider = [factories.job("dense", width=0.5, seed=seed) for seed in (0, 3)]
    assert estimate(wider, history).seconds == pytest.approx(4 * (2 * 40 + 100))
    history.append(took(wider[0], 30.0, [pretrained("reference", 250.0)]))
    assert estimate(wider, history).seconds == pytest.approx(30)
    assert estimate([factories.job("dense", width=0.5, seed=1)], history).seconds == pytest.approx(30 + 250)


def calls(count: int) -> int:
    """Return how many functions are called to estimate so many jobs from records of as many others."""
    jobs = [factories.job(method, seed=s) for method in ("magnitude", "random") for s in range(count)]
    history = [took(job, 10.0, [pretrained("reference", 5.0)]) for job in jobs[::2]]
    profile = cProfile.Profile()
    found = profile.runcall(estimate, jobs[1::2], history)
    assert found.seconds == pytest.approx(10 * count)
    return sum(entry.callcount for entry in profile.getstats())


def test_a_table_of_layers_counts_once_for_all_targets_and_seeds_and_not_where_none_is_named():
    def timed(table: str | None, **changes):
        budget = Budget(resource="training-time", keep=0.25, table=table)
        return factories.job(**changes).model_copy(update={"budget": budget})

    table = ArtefactUse(kind="layer-times", scope="device", digest="a" * 16, seconds=60.0, reused=False)
    history = [took(timed("a" * 16), 10.0, [table])]
    others = [timed("b" * 16, seed=seed, target=target) for seed in (0, 1) for target in ("cifar10", "svhn")]
    assert estimate(others, history).seconds == pytest.approx(4 * 10 + 60)
    assert estimate([timed("a" * 16, seed=1)], history).seconds == pytest.approx(10)
    assert estimate([factories.job(seed=1)], history).seconds == pytest.approx(10)


def test_the_work_grows_with_the_number_of_jobs_and_no_faster():
    """Calls are counted, as seconds would tell how busy the machine is."""
    assert calls(400) < 2.2 * calls(200)
