"""Every baseline's scores against a second formula, on networks whose batch norm was trained. All in float64.

The networks' forward passes are written out once more here, with batch norm spelled out, so that nothing is shared with
the modules, hooks and gates of the code under test. A mask is then a factor in the formula, as in the papers: SNIP and
SynFlow are derivatives with respect to it, and GraSP is a mixed second derivative, taken forward over reverse.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp
from torch.nn import functional as F

from stampbench.methods import grasp
from stampbench.methods.grasp import Grasp, GraspOptions
from stampbench.methods.magnitude import Magnitude, MagnitudeOptions
from stampbench.methods.snip import Snip, SnipOptions
from stampbench.methods.synflow import Synflow, SynflowOptions
from stampbench.networks.initial import build, initialise
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates, prunable_weights, unit_gates
from tests.conformance.conftest import ToyContext

WIDTH, SIZE, CLASSES, EPSILON = 0.125, 16, 10, 1e-5
TEMPERATURE = 200.0
Tensors = dict[str, Tensor]
Chunks = Sequence[tuple[Tensor, Tensor]]

# Where batch norm's statistics come from: those stored in training, those of the batch, or mean 0 and variance 1.
STORED, BATCH, NEUTRAL = "stored", "batch", "neutral"


class Formula:
    """One network as a formula of its tensors; `gates` and `masks` multiply channels and weights, 1 where absent."""

    def __init__(self, tensors: Mapping[str, Tensor], statistics: str, gates: Tensors, masks: Tensors) -> None:
        self.tensors, self.statistics, self.gates, self.masks = tensors, statistics, gates, masks

    def weight(self, layer: str) -> Tensor:
        weight = self.tensors[f"{layer}.weight"]
        return weight * self.masks[f"{layer}.weight"] if self.masks else weight

    def normed(self, norm: str, x: Tensor) -> Tensor:
        """γ (x - μ) / √(σ² + ε) + β for every channel; σ² of a batch is the mean square, not divided by n - 1."""
        if self.statistics == NEUTRAL:
            return x / (1 + EPSILON) ** 0.5
        if self.statistics == BATCH:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        else:
            mean, variance = (self.tensors[f"{norm}.running_{what}"].view(1, -1, 1, 1) for what in ("mean", "var"))
        scale, shift = (self.tensors[f"{norm}.{what}"].view(1, -1, 1, 1) for what in ("weight", "bias"))
        return scale * (x - mean) / (variance + EPSILON).sqrt() + shift

    def layer(self, conv: str, norm: str, x: Tensor, group: str, **where: Any) -> Tensor:
        """Convolution, batch norm, and the gate of the group that the convolution writes."""
        out = self.normed(norm, F.conv2d(x, self.weight(conv), **where))
        return out * self.gates[group].view(1, -1, 1, 1) if self.gates else out

    def head(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight("head").T + self.tensors["head.bias"]


def vgg(f: Formula, x: Tensor) -> Tensor:
    """Sixteen layers, with a maximum over 2×2 pixels behind the 2nd, 4th, 8th and 12th."""
    for index in range(1, 17):
        name = f"features.conv{index}"
        x = F.relu(f.layer(name, f"features.norm{index}", x, name, padding=1))
        if index in (2, 4, 8, 12):
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    return f.head(x)


def resnet(f: Formula, x: Tensor) -> Tensor:
    """A stem and four stages of two blocks; what a stage adds up is one group, and the stem is in the first's."""
    x = F.relu(f.layer("conv1", "norm1", x, "conv1", padding=1))
    for stage in range(4):
        out = "conv1" if stage == 0 else f"stages.{stage}.0.conv2"
        for block in range(2):
            at, stride = f"stages.{stage}.{block}", 2 if stage > 0 and block == 0 else 1
            inner = F.relu(f.layer(f"{at}.conv1", f"{at}.norm1", x, f"{at}.conv1", padding=1, stride=stride))
            added = f.layer(f"{at}.conv2", f"{at}.norm2", inner, out, padding=1)
            if stride == 2:
                x = f.layer(f"{at}.shortcut.conv", f"{at}.shortcut.norm", x, out, stride=2)
            x = F.relu(added + x)
    return f.head(x)


FORWARD: dict[str, Callable[[Formula, Tensor], Tensor]] = {"vgg19": vgg, "resnet18": resnet}


def couplings(name: str) -> Iterator[tuple[str, str | None, str]]:
    """Every convolution with the groups that it reads and writes, written out from the two formulas above."""
    if name == "vgg19":
        names = [None, *(f"features.conv{index}" for index in range(1, 17))]
        yield from zip(names[1:], names[:-1], names[1:], strict=True)  # type: ignore[misc]
        return
    yield "conv1", None, "conv1"
    out = "conv1"
    for stage in range(4):
        into, out = out, "conv1" if stage == 0 else f"stages.{stage}.0.conv2"
        for block in range(2):
            at, read = f"stages.{stage}.{block}", into if block == 0 else out
            yield f"{at}.conv1", read, f"{at}.conv1"
            yield f"{at}.conv2", f"{at}.conv1", out
            if stage > 0 and block == 0:
                yield f"{at}.shortcut.conv", read, out


@pytest.fixture(scope="module", params=["vgg19", "resnet18"])
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name) -> nn.Module:
    """A small network after six steps of training, from a batch norm whose scale and shift are drawn at random."""
    stream = torch.Generator().manual_seed(7)
    network = build(name, CLASSES, WIDTH)
    initialise(network, stream, stream)
    network.double().train()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=stream)
            norm.bias.uniform_(-0.3, 0.3, generator=stream)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    for _ in range(6):
        images = torch.randn(16, 3, SIZE, SIZE, generator=stream, dtype=torch.float64) + 0.3
        loss = F.cross_entropy(network(images), torch.randint(CLASSES, (16,), generator=stream))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for norm in norms:
        for tensor, neutral in ((norm.weight, 1), (norm.bias, 0), (norm.running_mean, 0), (norm.running_var, 1)):
            assert tensor is not None and (tensor - neutral).abs().mean() > 0.01
    return network.eval().requires_grad_(True)


@pytest.fixture(scope="module")
def batches() -> list[tuple[Tensor, Tensor]]:
    """Two batches of 20 images, two of each class in no order."""
    stream = torch.Generator().manual_seed(8)
    labels = torch.arange(20) % CLASSES
    return [
        (torch.randn(20, 3, SIZE, SIZE, generator=stream), labels[torch.randperm(20, generator=stream)])
        for _ in range(2)
    ]


def tensors_of(network: nn.Module) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def ones_like(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: torch.ones_like(tensor) for name, tensor in tensors.items()}


def ones_of_groups(network: nn.Module) -> Tensors:
    return {g.name: torch.ones(g.width, dtype=torch.float64) for g in channel_groups(network, SIZE)}


def agree(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 1e-9) -> None:
    """Compare to a relative tolerance of each tensor's own largest entry; all of them must be there, and not zero."""
    assert found.keys() == expected.keys()
    for name, score in expected.items():
        largest = score.abs().max().item()
        assert largest > 0, name
        torch.testing.assert_close(found[name].detach().double(), score, rtol=tolerance, atol=tolerance * largest)


def test_the_formulas_are_the_networks(name, network, batches):
    images = batches[0][0].double()
    stored = FORWARD[name](Formula(tensors_of(network), STORED, {}, {}), images)
    torch.testing.assert_close(stored, network(images), rtol=1e-10, atol=1e-10)


def test_the_couplings_are_the_groups(name, network):
    """Who writes a group and who reads it, by hand, so that the scores below are sums over the right weights."""
    groups = channel_groups(network, SIZE)
    last = list(couplings(name))[-1][2]
    for group in groups:
        assert sorted(group.producers) == sorted(conv for conv, _, out in couplings(name) if out == group.name)
        readers = [conv for conv, read, _ in couplings(name) if read == group.name]
        assert sorted(group.consumers) == sorted(readers + (["head"] if group.name == last else []))


# Magnitude: norms by numpy.


def test_magnitudes_of_weights_are_roots_of_squares(network):
    found = Magnitude(MagnitudeOptions()).weight_scores(network, [], ToyContext())
    tensors = tensors_of(network)
    layers = [f"{n}.weight" for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    agree(found, {layer: tensors[layer].square().sqrt() for layer in layers}, 1e-15)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_magnitudes_of_channels_are_norms_of_what_belongs_to_them(name, network, scope):
    """L1 norms of filters, added over producers; or the L2 norm of one long vector, divided by its group's mean."""
    weights = {n: w.numpy() for n, w in tensors_of(network).items()}
    expected = {}
    for group, ones in ones_of_groups(network).items():
        wrote = [weights[f"{conv}.weight"] for conv, _, out in couplings(name) if out == group]
        read = [weights[f"{conv}.weight"] for conv, into, _ in couplings(name) if into == group]
        if group == list(couplings(name))[-1][2]:
            read.append(weights["head.weight"])
        norms = []
        for channel in range(len(ones)):
            filters = [w[channel].ravel() for w in wrote]
            if scope == "layer":
                norms.append(sum(np.linalg.norm(part, 1) for part in filters))
            else:
                norms.append(np.linalg.norm(np.concatenate(filters + [w[:, channel].ravel() for w in read])))
        values = torch.tensor(np.array(norms))
        expected[group] = values if scope == "layer" else values / values.mean()
    method = Magnitude(MagnitudeOptions(scope=scope))
    agree(method.scores(network, channel_groups(network, SIZE), [], ToyContext()), expected, 1e-12)


# SNIP: |∂L(c ⊙ w)/∂c| at c = 1 (Lee et al., equations 3 to 5), with the statistics that training stored.


def snip_scores(name: str, network: nn.Module, batches: Chunks, masks: Tensors, gates: Tensors) -> Tensors:
    tensors = tensors_of(network)

    def loss(masks: Tensors, gates: Tensors) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for images, labels in batches:
            logits = FORWARD[name](Formula(tensors, STORED, gates, masks), images.double())
            chosen = logits.gather(1, labels[:, None])[:, 0]
            total = total + (logits.logsumexp(1) - chosen).mean()
        return total

    found = grad(loss)(masks, gates) if masks else grad(loss, argnums=1)(masks, gates)
    return {name: gradient.abs() for name, gradient in found.items()}


@pytest.mark.parametrize("count", [1, 2])
def test_snip_is_the_derivative_with_respect_to_a_mask(name, network, batches, count):
    method = Snip(SnipOptions(batches=count))
    masks, gates = ones_like(prunable_weights(network)), ones_of_groups(network)
    found = method.weight_scores(network, batches, ToyContext())
    agree(found, snip_scores(name, network, batches[:count], masks, {}))
    found = method.scores(network, channel_groups(network, SIZE), batches, ToyContext())
    agree(found, snip_scores(name, network, batches[:count], {}, gates))


# GraSP: with g = ∇L, the derivative of ½‖g‖² along θ_j is θ_j (Hg)_j, and along a gate c it is (∂²L/∂c∂θ) g.


def grasp_scores(name: str, network: nn.Module, chunks: Chunks, temperature: float, channels: bool) -> Tensors:
    """The scores of any layout of images: each chunk is normalised by its own statistics, and all losses add up."""
    fixed, weights = tensors_of(network), {n: w.detach() for n, w in prunable_weights(network).items()}
    count = sum(len(labels) for _, labels in chunks)

    def loss(weights: Tensors, gates: Tensors) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for images, labels in chunks:
            logits = FORWARD[name](Formula({**fixed, **weights}, BATCH, gates, {}), images.double()) / temperature
            total = total + (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).sum() / count
        return total

    gates = ones_of_groups(network)
    direction = grad(loss)(weights, gates)
    if channels:
        return jvp(lambda w: grad(loss, argnums=1)(w, gates), (weights,), (direction,))[1]
    products = jvp(lambda w: grad(loss)(w, gates), (weights,), (direction,))[1]
    return {name: weights[name] * product for name, product in products.items()}


def shares(scores: Mapping[str, Tensor]) -> Tensors:
    """Scores as shares of the sum of all magnitudes, as the authors divide them: the scale of the loss drops out."""
    total = sum(score.detach().abs().sum() for score in scores.values())
    return {name: score.detach() / total for name, score in scores.items()}


@pytest.mark.parametrize(
    ("layout", "temperature"), [("one mixed batch", 1.0), ("two halves sorted by class", TEMPERATURE)]
)
def test_grasp_is_a_mixed_second_derivative(name, network, batches, layout, temperature):
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    order = torch.argsort(labels, stable=True) if "sorted" in layout else torch.arange(len(labels))
    pieces = 2 if "sorted" in layout else 1
    chunks = list(zip(images[order].chunk(pieces), labels[order].chunk(pieces), strict=True))
    network = copy.deepcopy(network).train()
    weights = prunable_weights(network)
    found = grasp.flow_derivatives(network, weights, chunks, temperature)
    found = {n: weights[n] * product for n, product in found.items()}
    agree(shares(found), shares(grasp_scores(name, network, chunks, temperature, channels=False)), 1e-8)
    groups = channel_groups(network, SIZE)
    gates = unit_gates(network, groups)
    with channel_gates(network, groups, gates):
        found = grasp.flow_derivatives(network, gates, chunks, temperature)
    agree(shares(found), shares(grasp_scores(name, network, chunks, temperature, channels=True)), 1e-8)


@pytest.mark.parametrize("channels", [False, True])
def test_grasps_own_layout_is_scored_by_the_same_formula(name, network, batches, channels, monkeypatch):
    """Whatever chunks the method makes of the images, the formula given these chunks must agree."""
    seen: list[Chunks] = []

    def watched(*arguments: Any, original: Callable[..., Tensors] = grasp.flow_derivatives) -> Tensors:
        seen.append(list(arguments[2]))
        return original(*arguments)

    monkeypatch.setattr(grasp, "flow_derivatives", watched)
    method = Grasp(GraspOptions(per_class=4))
    if channels:
        found = method.scores(network, channel_groups(network, SIZE), batches, ToyContext())
    else:
        found = method.weight_scores(network, batches, ToyContext())
    assert sorted(torch.cat([labels for _, labels in seen[0]]).tolist()) == sorted(list(range(CLASSES)) * 4)
    agree(shares(found), shares(grasp_scores(name, network, seen[0], TEMPERATURE, channels)), 1e-8)


# SynFlow: R = 1ᵀ f(1; |θ|) with a neutral batch norm; the score is ∂R/∂c of a mask c on |θ|.


class OneImage:
    input_size = SIZE


def flow(name: str, network: nn.Module) -> Callable[[Tensors, Tensors], Tensor]:
    positive = {n: tensor.abs() for n, tensor in tensors_of(network).items()}
    image = torch.ones(1, 3, SIZE, SIZE, dtype=torch.float64)
    return lambda masks, gates: FORWARD[name](Formula(positive, NEUTRAL, gates, masks), image).sum()


def test_synflow_is_the_flows_derivative_with_respect_to_a_mask(name, network):
    method, total = Synflow(SynflowOptions()), flow(name, network)
    masks, gates = ones_like(prunable_weights(network)), ones_of_groups(network)
    found = method.weight_scores(network, OneImage(), ToyContext())
    agree(found, grad(total)(masks, {}))
    found = method.scores(network, channel_groups(network, SIZE), OneImage(), ToyContext())
    agree(found, grad(total, argnums=1)({}, gates))


def test_synflows_scores_are_what_the_flow_loses_along_a_direction(name, network):
    """Forward mode, which never runs backward: the scores of a random part of the weights add up to one derivative."""
    scores = Synflow(SynflowOptions()).weight_scores(network, OneImage(), ToyContext())
    masks = ones_like(prunable_weights(network))
    stream = torch.Generator().manual_seed(9)
    part = {n: (torch.rand(m.shape, generator=stream) < 0.3).double() for n, m in masks.items()}
    total = flow(name, network)
    lost = jvp(lambda m: total(m, {}), (masks,), (part,))[1]
    assert sum((scores[n] * part[n]).sum() for n in scores).item() == pytest.approx(lost.item(), rel=1e-9)


class Pointwise(nn.Module):
    """Three 1×1 convolutions with batch norm and a head: for one colour, every pixel is a product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 6, 5, 7)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.head = nn.Linear(7, 4)

    def forward(self, images: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            images = torch.relu(norm(conv(images)))
        return self.head(images.mean((2, 3)))


def test_synflow_with_neutral_batch_norm_is_a_product_of_matrices():
    """S of the weight from i to j is (what flows into i) × |w| × (what flows on from j), by loops over numpy arrays."""
    network = Pointwise()
    stream = torch.Generator().manual_seed(10)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_(generator=stream)
        for norm in network.norms:
            norm.running_var.abs_()
    scores = Synflow(SynflowOptions()).weight_scores(network, OneImage(), ToyContext())
    layers = [*(f"convs.{index}.weight" for index in range(3)), "head.weight"]
    matrices = [np.abs(network.get_parameter(layer).detach().double().numpy().squeeze()) for layer in layers]
    scale = (1 + EPSILON) ** -1.5
    for index, (layer, matrix) in enumerate(zip(layers, matrices, strict=True)):
        before = np.ones(3)
        for earlier in matrices[:index]:
            before = earlier @ before
        after = np.ones(4)
        for later in matrices[:index:-1]:
            after = after @ later
        expected = np.array(
            [[after[j] * matrix[j, i] * before[i] * scale for i in range(matrix.shape[1])] for j in range(len(matrix))]
        )
        np.testing.assert_allclose(scores[layer].numpy().squeeze(), expected, rtol=1e-12)
