import hashlib
import json
import subprocess
import sys
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from stampbench import seeding

names = st.text("abc10-/é", max_size=8)
seeds = st.integers(0, 10**6)


@given(names, names, seeds, names, names, seeds)
def test_streams_differ_exactly_where_their_keys_do(purpose, dataset, seed, purpose2, dataset2, seed2):
    same = (purpose, dataset, seed) == (purpose2, dataset2, seed2)
    first, second = (
        seeding.stream_seed(purpose, dataset, seed),
        seeding.stream_seed(purpose2, dataset2, seed2),
    )
    assert (first == second) is same
    assert 0 <= first < 2**63


def test_the_seed_is_sha256_of_the_key():
    expected = hashlib.sha256(b'["batch-order", "cifar10", 3]').digest()
    assert seeding.stream_seed("batch-order", "cifar10", 3) == int.from_bytes(expected[:8], "big") // 2


def test_streams_do_not_disturb_each_other():
    alone = torch.rand(5, generator=seeding.generator("weights", "cifar10", 0))
    torch.rand(1000)
    order = seeding.generator("batch-order", "cifar10", 0)
    weights = seeding.generator("weights", "cifar10", 0)
    torch.randperm(1000, generator=order)
    interleaved = torch.cat([torch.rand(1, generator=weights) for _ in range(5) if order.get_state() is not None])
    assert torch.equal(alone, interleaved)


def test_streams_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    torch.rand(10, generator=seeding.generator("weights", "cifar10", 0))
    assert torch.equal(before, torch.get_rng_state())


def test_artefact_seeds_cycle_through_three():
    assert [seeding.artefact_seed(seed) for seed in range(8)] == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_digest_covers_values_dtype_shape_and_order():
    values = torch.arange(6, dtype=torch.float32)
    variants = [
        (values,),
        (values.double(),),
        (values.reshape(2, 3),),
        (values.reshape(3, 2),),
        (values[:3], values[3:]),
        (values[3:], values[:3]),
        (values.flip(0),),
    ]
    assert len({seeding.digest_of(*variant) for variant in variants}) == len(variants)


def test_a_digest_does_not_depend_on_memory_layout():
    image = torch.rand(2, 3, 4, 4)
    assert seeding.digest_of(image) == seeding.digest_of(image.contiguous(memory_format=torch.channels_last))
    assert seeding.digest_of(image.transpose(0, 1)) == seeding.digest_of(image.transpose(0, 1).contiguous())


def test_a_digest_takes_what_networks_hold():
    assert len(seeding.digest_of(torch.tensor(3), torch.tensor([True]), torch.zeros(0), torch.ones(2).bfloat16())) == 16


def test_adding_at_once_and_one_by_one_agree():
    one, two = torch.rand(3), torch.arange(4)
    assert seeding.Digest().add(one).add(two).hex() == seeding.digest_of(one, two)


def test_a_json_digest_is_of_the_canonical_form():
    value = {"b": [1, None], "a": "×"}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert seeding.digest_of_json(value) == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert seeding.digest_of_json({"a": 1, "b": 2}) == seeding.digest_of_json({"b": 2, "a": 1})


def test_streams_are_the_same_in_another_process():
    code = """
import torch
from stampbench import seeding
print(torch.randint(10**9, (), generator=seeding.generator("a", "b", 1)).item())
"""
    root = Path(seeding.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert int(done.stdout) == torch.randint(10**9, (), generator=seeding.generator("a", "b", 1)).item()
