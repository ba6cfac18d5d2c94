"""Networks that break the contract are refused, by name."""

import pytest

from stampbench import registry
from stampbench.errors import UserError
from stampbench.networks.check import checked
from stampbench.registry import Registry
from tests.fixtures import small_networks as small


@pytest.fixture(autouse=True)
def unchecked():
    checked.cache_clear()
    yield
    checked.cache_clear()


def known(monkeypatch, factory) -> str:
    """Registers the factory, as a file and a line would."""
    monkeypatch.setattr(small, "factory", factory, raising=False)
    monkeypatch.setattr(registry, "NETWORKS", Registry("network", {"mine": "tests.fixtures.small_networks:factory"}))
    return "mine"


@pytest.mark.parametrize("fault", small.FAULTS)
def test_a_fault_is_named(fault, monkeypatch):
    factory, words = small.FAULTS[fault]
    with pytest.raises(UserError) as refused:
        checked(known(monkeypatch, factory), 0.125, 16)
    assert all(word in str(refused.value) for word in ("'mine'", *words)), str(refused.value)


def test_a_network_that_keeps_the_contract_is_returned_without_weights(monkeypatch):
    network, groups = checked(known(monkeypatch, small.Separable), 0.125, 16)
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert {group.name: group.width for group in groups} == {"stem": 4, "point": 6}


def test_a_process_checks_a_network_once(monkeypatch):
    made = []

    def factory(classes, width, widths=None):
        made.append(width)
        return small.Separable(classes, width, widths)

    first = checked(known(monkeypatch, factory), 0.25, 16)
    count = len(made)
    assert checked("mine", 0.25, 16) is first
    assert len(made) == count
