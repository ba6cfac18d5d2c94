"""The yardstick is the same work for ever: a second implementation, with every number spelled out, checks it."""

import random
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from stampbench.measure.yardstick import yardstick

CPU = torch.device("cpu")
BATCH, CHANNELS, SIZE, LAYERS, STEPS = 64, 32, 16, 4, 1 + 5
EPSILON = 1e-5


@pytest.fixture(scope="module")
def watched():
    """A run of the yardstick: its seconds, wall-clock seconds, FLOPs, and its network with inputs and outputs."""
    passes = []

    def keep(module, inputs, output):
        if isinstance(module, nn.Sequential):
            passes.append((module, inputs[0].detach(), output.detach()))

    hook, counter = register_module_forward_hook(keep), FlopCounterMode(display=False)
    try:
        with counter:
            start = time.perf_counter()
            seconds = yardstick(CPU)
            wall = time.perf_counter() - start
    finally:
        hook.remove()
    return seconds, wall, counter.get_total_flops(), passes


def reference_images() -> np.ndarray:
    return np.linspace(-1, 1, BATCH * CHANNELS * SIZE * SIZE).reshape(BATCH, CHANNELS, SIZE, SIZE)


def reference_outputs() -> np.ndarray:
    """The network's outputs in numpy, float64: weights, biases and scales are all 1, so that channels are alike."""
    images = reference_images()
    for _ in range(LAYERS):
        padded = np.pad(images.sum(1), ((0, 0), (1, 1), (1, 1)))
        sums = 1 + sum(padded[:, row : row + SIZE, column : column + SIZE] for row in range(3) for column in range(3))
        normalised = 1 + (sums - sums.mean()) / np.sqrt(sums.var() + EPSILON)
        images = np.repeat(normalised[:, None], CHANNELS, axis=1)
    return images


def test_five_samples_are_seconds_of_steps(watched):
    seconds, wall, _, passes = watched
    assert len(seconds) == STEPS - 1 and min(seconds) > 0
    assert sum(seconds) < wall
    assert len(passes) == STEPS


def test_inputs_and_outputs_are_those_of_a_second_implementation(watched):
    expected = reference_outputs()
    assert expected.std() > 0.9  # nothing has vanished
    for _, inputs, outputs in watched[3]:
        assert inputs.dtype == outputs.dtype == torch.float32
        np.testing.assert_allclose(inputs.numpy(), reference_images(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outputs.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_the_gradient_is_that_of_the_mean_square(watched):
    """Outputs of the last norm have mean 1 and variance v / (v + ε), about 1: the loss 1 + v / (v + ε) has the
    derivative 2 / 32 in each of its biases, and 2 / 32 · v / (v + ε) in each of its scales."""
    network, _, outputs = watched[3][-1]
    assert [type(layer) for layer in network] == [nn.Conv2d, nn.BatchNorm2d] * LAYERS
    assert outputs.square().mean().item() == pytest.approx(2, abs=1e-3)
    last = network[-1]
    assert last.bias.grad.tolist() == pytest.approx([2 / CHANNELS] * CHANNELS, rel=1e-3)
    assert last.weight.grad.tolist() == pytest.approx([2 / CHANNELS] * CHANNELS, rel=1e-3)
    assert all(parameter.grad is not None and (parameter == 1).all() for parameter in network.parameters())


def test_the_work_is_that_of_eleven_convolutions_a_step(watched):
    """Four forward, four for weights backward, and three for inputs: the images need no gradient."""
    macs = BATCH * SIZE * SIZE * CHANNELS * CHANNELS * 9
    assert watched[2] == STEPS * 11 * 2 * macs


def test_it_draws_no_random_number_and_leaves_the_random_states():
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    yardstick(CPU)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
