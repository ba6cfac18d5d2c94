"""`stampbench.prune`: a compact copy of a network in hand."""

import copy

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torchvision import models

import stampbench
from stampbench import registry
from stampbench.contract import BudgetError, Method
from stampbench.errors import NetworkError, UserError
from tests.fixtures.strategies import NETWORKS, lively

STREAM = np.random.default_rng(0)
IMAGES, LABELS = STREAM.integers(0, 256, (48, 3, 16, 16), dtype=np.uint8), np.arange(48) % 4
IN_HAND = [name for name in registry.METHODS.targets() if registry.METHODS.load(name).artefacts is Method.artefacts]
QUICK = {"synflow": {"rounds": 5}}


def macs(network: nn.Module, size: int = 16) -> int:
    """Return the MACs of convolutions and linear layers, as fvcore counts them."""
    count = FlopCountAnalysis(copy.deepcopy(network).eval(), torch.zeros(1, 3, size, size))
    count.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    return sum(count.by_operator()[kind] for kind in ("conv", "linear"))


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", IN_HAND)
def test_every_method_that_needs_no_artefact_prunes_every_network(method, network):
    dense = lively(network)
    before, modes = state_of(dense), [module.training for module in dense.modules()]
    small = stampbench.prune(dense, IMAGES, LABELS, method, keep=0.3, options=QUICK.get(method))
    share = 0.3 if registry.METHODS.load(method).prunes else 1.0
    assert macs(small) <= share * macs(dense) and (share == 1.0 or macs(small) > 0.2 * macs(dense))
    assert torch.isfinite(small.eval()(torch.randn(2, 3, 16, 16))).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.state_dict().items())
    assert [module.training for module in dense.modules()] == modes


@pytest.mark.parametrize("method", IN_HAND)
def test_a_network_whose_classifier_is_not_called_head_is_served_by_every_method(method):
    torch.manual_seed(0)
    dense = models.resnet18(num_classes=4, width_per_group=64)
    small = stampbench.prune(dense, IMAGES, LABELS, method, keep=0.5, options=QUICK.get(method))
    assert macs(small) <= (0.5 if method != "dense" else 1) * macs(dense)


def test_a_frozen_network_is_pruned_without_gradients_too_and_stays_frozen():
    dense = lively("resnet18").requires_grad_(False)
    dense.head.requires_grad_(True)
    with torch.inference_mode():
        small = stampbench.prune(dense, IMAGES, LABELS, "snip", keep=np.float32(0.3))
    assert macs(small) <= 0.3 * macs(dense)
    assert {name for name, p in small.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    assert not any(p.requires_grad for name, p in dense.named_parameters() if not name.startswith("head"))


def test_magnitude_keeps_the_filters_of_largest_norm_in_a_plain_torchvision_network():
    """Its classifier is called `fc`. The oracle ranks the first convolution's filters by hand."""
    torch.manual_seed(0)
    dense = models.resnet18(num_classes=4)
    small = stampbench.prune(dense, IMAGES, LABELS, "magnitude", keep=0.25)
    assert macs(small) <= 0.25 * macs(dense)
    inner = dense.layer1[0].conv1.weight.detach()
    kept = small.layer1[0].conv1.weight.shape[0]
    order = inner.abs().sum(dim=(1, 2, 3)).argsort(descending=True)[:kept]
    norms = small.layer1[0].bn1
    assert kept < inner.shape[0] == 64 and norms.num_features == kept
    again = small.layer1[0].conv1.weight.detach()
    assert small.fc.out_features == 4 and again.shape[0] == len(order)
    # The inputs of this layer were pruned too; each kept filter is a part of one of those of largest norm.
    parts = {round(float(filter_.abs().max()), 6) for filter_ in again}
    wholes = {round(float(value), 6) for index in order for value in inner[index].abs().amax(dim=(1, 2))}
    assert parts <= wholes


def test_the_copy_computes_what_is_left_of_the_network():
    """Channels that the network itself never uses are what goes first, and then the output is unchanged."""
    dense = lively("vgg19").eval()
    convolution, norm = dense.features[0], dense.features[1]
    with torch.no_grad():
        convolution.weight[1::2] = 0
        norm.weight[1::2] = 0
        norm.bias[1::2] = 0
        dense.features[3].weight[:, 1::2] = 0
    small = stampbench.prune(dense, IMAGES, LABELS, "magnitude", keep=0.999999, options={"scope": "global"})
    images = torch.randn(4, 3, 16, 16)
    assert small.features[0].out_channels < convolution.out_channels
    torch.testing.assert_close(small(images), dense(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["random", "snip", "grasp"])
def test_a_seed_gives_the_same_bits_whatever_was_drawn_before(method):
    first = state_of(stampbench.prune(lively("resnet18"), IMAGES, LABELS, method, seed=3))
    torch.rand(5)
    second = state_of(stampbench.prune(lively("resnet18"), torch.from_numpy(IMAGES), LABELS.tolist(), method, seed=3))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_parameters_are_a_budget_too():
    dense = lively("vgg19")
    small = stampbench.prune(dense, IMAGES, LABELS, keep=0.4, resource="params")
    held, whole = (sum(p.numel() for p in network.parameters()) for network in (small, dense))
    assert 0.3 * whole < held <= 0.4 * whole


class Sums(nn.Module):
    """A network whose two branches are concatenated."""

    def __init__(self):
        super().__init__()
        self.left, self.right = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)) for _ in range(2))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 4)

    def forward(self, images):
        return self.head(self.pool(torch.cat([self.left(images), self.right(images)], 1)).flatten(1))


def broken() -> nn.Module:
    network = lively("vgg19")
    with torch.no_grad():
        network.features[0].weight[0] = torch.nan
    return network


REFUSED = {
    "method": ({"method": "magnitud"}, UserError, "did you mean 'magnitude'"),
    "a method with artefacts": ({"method": "stamp"}, UserError, "train something of its own first.*stampbench try"),
    "resource": ({"resource": "mac"}, UserError, "did you mean 'macs'"),
    "a measured resource": ({"resource": "latency"}, UserError, "table of layers.*use macs or params"),
    "option": ({"options": {"skope": "layer"}}, UserError, "did you mean 'scope'"),
    "no share": ({"keep": 0}, UserError, "above 0 and at most 1"),
    "a share in percent": ({"keep": 25}, UserError, "at most 1, and not 25"),
    "a share below the floor": ({"keep": 1e-6}, BudgetError, "."),
    "floats": ({"images": IMAGES / 255.0}, UserError, "uint8.*multiply floats"),
    "channels last": ({"images": IMAGES.transpose(0, 2, 3, 1)}, UserError, r"shape \(N, 3, H, H\)"),
    "no images": ({"images": IMAGES[:0], "labels": []}, UserError, "N > 0"),
    "too few labels": ({"labels": LABELS[:5]}, UserError, "one integer ≥ 0 for each of the 48 images"),
    "a class too many": ({"labels": LABELS + 9}, UserError, "label 12 means 13 classes, and the network has"),
    "black images": ({"images": IMAGES * 0}, UserError, "cannot be normalised"),
    "two means": ({"mean": [0.5, 0.5]}, UserError, "mean is three numbers"),
    "a mean in 255ths": ({"mean": [120, 120, 120]}, UserError, r"mean is three numbers in \[0, 1\]"),
    "one mean": ({"mean": 0.5}, UserError, "mean is three numbers"),
    "truths for labels": ({"labels": LABELS > 1}, UserError, "one integer ≥ 0"),
    "texts for labels": ({"labels": ["cat"] * 48}, UserError, "lists of numbers"),
    "nothing for images": ({"images": None}, UserError, "lists of numbers"),
    "a truth for a share": ({"keep": True}, UserError, "at most 1, and not True"),
    "half a seed": ({"seed": 1.5}, UserError, "seed is an integer"),
    "nothing for a method": ({"method": None}, UserError, "method is a name"),
    "a list of options": ({"options": ["scope"]}, UserError, "options map"),
    "nothing for a resource": ({"resource": None}, UserError, "resource is a name"),
    "no network": ({"network": "vgg19"}, NetworkError, "torch.nn.Module with parameters, and not str"),
    "halves": ({"network": lively("vgg19").half()}, NetworkError, "holds torch.float16"),
    "no weights": ({"network": lively("vgg19").to("meta")}, NetworkError, "holds no values"),
    "NaN": ({"network": broken()}, NetworkError, "'features.conv1.weight' of the network is not finite"),
    "a concatenation": ({"network": Sums()}, NetworkError, "the Sums cannot be used: .*concatenation"),
    "hidden linear layers": ({"network": models.vgg11_bn(num_classes=4)}, NetworkError, "no linear classifier named"),
    "dropout": ({"network": models.mobilenet_v2(num_classes=4)}, NetworkError, "the Dropout 'classifier.0' is not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(case):
    changes, kind, said = REFUSED[case]
    arguments = {"network": lively("vgg19"), "images": IMAGES, "labels": LABELS} | changes
    with pytest.raises(kind, match=said):
        stampbench.prune(**arguments)
