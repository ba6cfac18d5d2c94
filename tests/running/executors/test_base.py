"""Executors by name, and their options as texts."""

import pytest

from stampbench import registry
from stampbench.errors import UserError
from stampbench.measure import hardware
from stampbench.registry import Registry
from stampbench.running.executors.base import Executor, executor_of, missing
from stampbench.running.executors.local import Local
from stampbench.running.executors.ray import Ray
from stampbench.store import Store
from tests.fixtures import factories


@pytest.mark.parametrize("name", registry.EXECUTORS.targets())
def test_executors_bear_the_name_that_they_are_known_by(name):
    executor = executor_of(name, [])
    assert isinstance(executor, Executor) and executor.name == name


def test_a_job_in_this_process_has_its_machine_to_itself_and_one_on_a_cluster_has_not():
    assert (Local().exclusive, Ray().exclusive) == (True, False)


def test_options_are_read_from_texts():
    assert executor_of("ray", ["address=10.0.0.1:6379", "gpus_per_job=2"]) == Ray(
        address="10.0.0.1:6379", gpus_per_job=2
    )
    assert executor_of("ray", ["address=a=b"]) == Ray(address="a=b")
    assert executor_of("in-process", []) == Local()


@pytest.mark.parametrize(("devices", "gpus"), [(0, 0), (1, 1), (8, 1)])
def test_without_options_devices_are_those_of_this_machine(monkeypatch, devices, gpus):
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: devices)
    assert Ray().gpus_per_job == gpus
    assert Local().cuda is Ray().cuda is (devices > 0)
    assert Ray(gpus_per_job=0).cuda is False and Ray(gpus_per_job=1).cuda is True


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("rai", [], ["unknown executor 'rai'", "did you mean 'ray'"]),
        ("slurm", [], ["unknown executor 'slurm'", "in-process, ray"]),
        ("ray", ["adress=auto"], ["executor 'ray'", "adress", "did you mean 'address'"]),
        ("ray", ["gpus-per-job=1"], ["did you mean 'gpus_per_job'"]),
        ("ray", ["gpus_per_job=-1"], ["gpus_per_job", "greater than or equal to 0", "'-1'"]),
        ("ray", ["gpus_per_job=one"], ["gpus_per_job", "integer", "'one'"]),
        ("ray", ["address"], ["'address' has no value", "address=VALUE"]),
        ("in-process", ["address=auto"], ["executor 'in-process'", "address: unknown key", "there is none"]),
    ],
)
def test_what_is_wrong_is_named(name, settings, words):
    with pytest.raises(UserError) as refused:
        executor_of(name, settings)
    assert all(word in str(refused.value) for word in words), refused.value


def test_an_executor_of_another_package_is_a_class_and_a_line(monkeypatch):
    monkeypatch.setattr(registry, "EXECUTORS", Registry("executor", {"elsewhere": f"{__name__}:Elsewhere"}))
    assert executor_of("elsewhere", ["queue=long"]) == Elsewhere(queue="long")


class Elsewhere(Executor):
    """An executor of somebody else's."""

    name = "elsewhere"
    exclusive = True
    queue: str = "short"

    @property
    def cuda(self):
        return False

    def run(self, jobs, suite, store, observer, retry=False, seconds_left=None):
        return []


def test_missing_are_jobs_without_a_record_and_on_request_those_that_failed(tmp_path):
    store, (done, failed, new) = Store(tmp_path), [factories.job(seed=seed) for seed in range(3)]
    store.put(factories.record(done))
    store.put(factories.failed(failed))
    assert missing([done, failed, new], store, retry=False) == [new]
    assert missing([done, failed, new], store, retry=True) == [failed, new]
