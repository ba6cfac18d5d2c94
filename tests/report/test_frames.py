from __future__ import annotations

import pytest

from stampbench import registry
from stampbench.contract import Budget, Start
from stampbench.report.frames import cell_frame, device_of, job_frame, speed_up
from stampbench.report.variants import Variants
from stampbench.store import Store
from tests.fixtures import factories


def test_a_cell_is_the_mean_and_deviation_over_its_finished_seeds(store: Store) -> None:
    jobs = [factories.job(seed=seed) for seed in range(4)]
    for job, top1 in zip(jobs, [0.5, 0.7, 0.9], strict=False):
        store.put(factories.record(job, top1=top1, seconds=factories.seconds(pretrain=2, prune=3, train=10 * job.seed)))
    (cell,) = cell_frame(job_frame(jobs, store)).to_dict("records")
    assert (cell["planned"], cell["done"], cell["outcome"]) == (4, 3, "1 of 4 seeds not run")
    assert cell["top1"] == pytest.approx(0.7)
    assert cell["top1_sd"] == pytest.approx(0.2)
    assert cell["total_s"] == pytest.approx((5 + 15 + 25) / 3)
    assert (cell["params"], cell["macs"]) == (0.5, 0.25)


def test_failed_records_never_enter_a_mean_and_are_told_by_reason(store: Store) -> None:
    jobs = [factories.job(seed=seed) for seed in range(8)]
    store.put(factories.record(jobs[0], top1=0.6))
    store.put(factories.failed(jobs[1]))
    store.put(factories.failed(jobs[2]))
    store.put(factories.failed(jobs[3], "no room", status="skipped"))
    store.put(factories.failed(jobs[4], "", status="timeout"))
    (cell,) = cell_frame(job_frame(jobs, store)).to_dict("records")
    assert cell["top1"] == pytest.approx(0.6)
    assert cell["outcome"] == (
        "2 of 8 seeds failed: diverged loss; 1 of 8 seeds skipped: no room; "
        "1 of 8 seeds timed out; 3 of 8 seeds not run"
    )


def test_cells_differ_by_every_part_of_the_variant(store: Store) -> None:
    jobs = [
        factories.job(),
        factories.job(start=Start.TARGET),
        factories.job(keep=0.5),
        factories.job(options={"scope": "global"}),
        factories.job(granularity="weight"),
        factories.job(network="resnet18"),
        factories.job(width=1.0),
        factories.job(target="svhn"),
    ]
    assert len(cell_frame(job_frame(jobs, store))) == len(jobs)


@pytest.mark.parametrize(
    ("granularity", "resource"), [("channel", "macs"), ("channel", "params"), ("weight", "weights")]
)
def test_a_cell_names_the_resource_that_it_keeps_a_share_of(granularity: str, resource: str, store: Store) -> None:
    job = factories.job(granularity=granularity, budget=Budget(resource=resource, keep=0.25))
    assert list(job_frame([job], store)["resource"]) == [resource]


PLAIN = {"scope": "uniform", "rounds": 1, "rescale": False}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (PLAIN | {"scope": "global"}, "magnitude, global"),
        (PLAIN | {"rounds": 5, "rescale": True}, "magnitude, rounds 5, rescale"),
        (PLAIN | {"of": {"batches": 2}}, "magnitude, batches 2"),
    ],
)
def test_variants_name_options_that_tell_them_apart(options: dict[str, object], name: str, store: Store) -> None:
    jobs = [factories.job(options=PLAIN), factories.job(options=options)]
    assert list(job_frame(jobs, store)["variant"]) == ["magnitude", name]
    assert Variants(jobs).options_left_out() == []


def test_options_that_all_variants_share_are_listed_beside_the_names(store: Store) -> None:
    alone = [factories.job(options=PLAIN | {"rounds": 5})]
    assert list(job_frame(alone, store)["variant"]) == ["magnitude"]
    assert Variants(alone).options_left_out() == ["magnitude: rounds 5."]
    two = [*alone, factories.job(options=PLAIN | {"rounds": 5, "scope": "global"})]
    assert list(job_frame(two, store)["variant"]) == ["magnitude", "magnitude, global"]
    assert Variants(two).options_left_out() == ["magnitude: rounds 5.", "magnitude, global: scope global, rounds 5."]


def test_methods_are_called_as_in_papers_and_a_mask_on_other_weights_says_both(
    real_methods: None, store: Store
) -> None:
    def variant(method: str, **options: object) -> str:
        filled = registry.METHODS.load(method).Options.model_validate(options).model_dump(mode="json")
        job = factories.job(method=method, start=Start.REFERENCE, options=filled)
        return str(job_frame([job], store)["variant"][0])

    called = [variant(name) for name in ("snip", "grasp", "synflow", "metapruning", "stamp", "magnitude")]
    assert called == ["SNIP", "GraSP", "SynFlow", "MetaPruning", "STAMP", "magnitude"]
    assert variant("transplant", mask="synflow") == "SynFlow's mask on random-mask weights"
    assert variant("transplant", mask="grasp", options={"temperature": 1}, weights="stamp") == (
        "GraSP's mask on STAMP's weights"
    )


def test_many_options_are_counted_in_the_name_and_listed_beside_it(store: Store) -> None:
    options = {"scope": "global", "rounds": 5, "rescale": True, "share": 0.5}
    jobs = [factories.job(options=options), factories.job()]
    assert list(job_frame(jobs, store)["variant"]) == ["magnitude, 4 options set", "magnitude"]
    assert Variants(jobs).options_left_out() == [
        "magnitude, 4 options set: scope global, rounds 5, rescale, share 0.5."
    ]
    other = factories.job(options=options | {"share": 0.25})
    assert "share 0.25" in job_frame([*jobs, other], store)["variant"].iloc[-1]


def test_options_that_read_alike_are_spelled_out(store: Store) -> None:
    jobs = [factories.job(options={"scope": "rescale"}), factories.job(options={"rescale": True})]
    assert list(job_frame(jobs, store)["variant"]) == ["magnitude, scope rescale", "magnitude, rescale"]


def test_speed_up_is_the_median_of_the_pairs() -> None:
    assert speed_up(factories.timing([3.0, 4.0, 100.0], [1.0, 2.0, 1.0])) == 3.0
    assert speed_up(factories.timing([], [])) is None


def test_speed_ups_come_from_the_store_and_are_one_for_the_dense_network(store: Store) -> None:
    dense, pruned = factories.job("dense"), factories.job()
    speed = factories.speed(train_step=factories.timing([3.0], [2.0]), inference=factories.timing([4.0], [1.0]))
    store.put_speed(speed)
    store.put(factories.record(dense))
    store.put(factories.record(pruned, speed=speed.key))
    frame = job_frame([dense, pruned], store)
    assert list(frame["train_speed_up"]) == [1.0, 1.5]
    assert list(frame["inference_speed_up"]) == [1.0, 4.0]


def test_the_total_counts_training_by_steps_where_their_speed_is_known_and_else_by_the_clock(store: Store) -> None:
    known, unknown = factories.job(), factories.job(seed=1)
    speed = factories.speed(train_step=factories.timing([3.0], [2.0]))
    store.put_speed(speed)
    store.put(factories.record(known, speed=speed.key))
    store.put(factories.record(unknown))
    frame = job_frame([known, unknown], store)
    # Fourteen batches of 128 of the 900 images.
    assert list(frame["train_s"]) == pytest.approx([28.0, 30.0])
    assert list(frame["total_s"]) == pytest.approx([28.5, 30.5])


@pytest.mark.parametrize(
    ("executor", "exclusive", "place"),
    [
        ("in-process", True, "Toy"),
        ("slurm", True, "Toy"),
        ("ray", False, "Toy on Ray"),
        ("slurm", False, "Toy on Slurm"),
    ],
)
def test_a_machine_that_jobs_share_is_a_place_of_its_own(executor: str, exclusive: bool, place: str) -> None:
    assert device_of(factories.provenance(device="Toy", executor=executor, exclusive=exclusive)) == place


def test_records_without_a_word_on_it_had_their_machine_to_themselves() -> None:
    assert factories.provenance().exclusive
