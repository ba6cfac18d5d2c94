"""A small depthwise network with all that the contract allows, and networks that break it, each in one way."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stampbench.networks.contract import Network, scaled


class Separable(Network):
    """Depthwise and pointwise convolutions with biases, as in MobileNet (arXiv 1704.04861), one of them residual."""

    def __init__(self, classes, width, widths=None):
        super().__init__()
        first, second = (scaled(b, width) if widths is None else widths[n] for n, b in (("stem", 32), ("point", 48)))
        self.stem = nn.Conv2d(3, first, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(first)
        self.deep1 = nn.Conv2d(first, first, 3, stride=2, padding=1, groups=first)
        self.norm2 = nn.BatchNorm2d(first)
        self.point = nn.Conv2d(first, second, 1)
        self.norm3 = nn.BatchNorm2d(second)
        self.deep2 = nn.Conv2d(second, second, 5, padding=2, groups=second, bias=False)
        self.norm4 = nn.BatchNorm2d(second)
        self.active = nn.ReLU6()
        self.pool = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(second, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.active(self.norm2(self.deep1(self.active(self.norm1(self.stem(images))))))
        hidden = self.active(self.norm3(self.point(hidden)))
        # The depthwise convolution is added to: its group is gated on both ways.
        return self.head(self.pool(self.active(self.norm4(self.deep2(hidden)) + hidden)))


def changed(change: Callable[[Network], None]) -> Callable[..., Network]:
    """A factory of that network with something changed in it."""

    def factory(classes, width, widths=None):
        network = Separable(classes, width, widths)
        change(network)
        return network

    return factory


def setting(name: str, make: Callable[[Network], object]) -> Callable[..., Network]:
    return changed(lambda network: setattr(network, name, make(network)))


class Concatenated(Separable):
    def __init__(self, classes, width, widths=None):
        super().__init__(classes, width, widths)
        self.head = nn.Linear(2 * self.head.in_features, classes)

    def forward(self, images):
        hidden = self.norm3(self.point(self.active(self.norm1(self.stem(images)))))
        return self.head(self.pool(torch.cat([self.active(hidden), self.active(self.norm4(self.deep2(hidden)))], 1)))


class Flattened(Separable):
    def __init__(self, classes, width, widths=None):
        super().__init__(classes, width, widths)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * self.head.in_features, classes)


class Sigmoid(Separable):
    def forward(self, images):
        hidden = torch.sigmoid(self.norm2(self.deep1(self.active(self.norm1(self.stem(images))))))
        return self.head(self.pool(self.norm4(self.deep2(self.norm3(self.point(hidden))))))


class Twice(Separable):
    def forward(self, images):
        hidden = self.active(self.norm2(self.deep1(self.active(self.norm1(self.stem(images))))))
        hidden = self.active(self.norm3(self.point(hidden)))
        return self.head(self.pool(self.norm4(self.deep2(self.active(self.norm4(self.deep2(hidden)))))))


class HalfInitialised(Separable):
    def initialise_body(self, stream):
        for name, module in self.named_children():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and name != "deep2":
                module.reset_parameters()


class Blocks(Network):
    """What used to end in an IndexError: LayerNorm and Linear."""

    def __init__(self, classes, width, widths=None):
        super().__init__()
        self.blocks = nn.Sequential(nn.Flatten(), nn.LayerNorm(768), nn.Linear(768, 16))
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        return self.head(self.blocks(images))


def without_head(network: Network) -> None:
    network.classifier = network.head
    del network.head


def plain_module(classes, width, widths=None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())


def other_names(classes, width, widths=None) -> Network:
    return Separable(classes, width, widths and {"stem": widths["conv1"], "point": widths["point"]})


# What is wrong with each, in words that the error must hold.
FAULTS: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "layer norm and linear": (Blocks, ("LayerNorm 'blocks.1'",)),
    "layer norm": (setting("active", lambda n: nn.LayerNorm(8)), ("LayerNorm 'active'", "BatchNorm2d")),
    "group norm": (setting("norm3", lambda n: nn.GroupNorm(1, n.norm3.num_features)), ("GroupNorm 'norm3'",)),
    "transposed": (setting("point", lambda n: nn.ConvTranspose2d(4, 6, 1)), ("ConvTranspose2d 'point'",)),
    "another linear": (setting("active", lambda n: nn.Linear(4, 4)), ("Linear 'active'", "head")),
    "learned activation": (setting("active", lambda n: nn.PReLU()), ("PReLU 'active'",)),
    "dropout": (setting("active", lambda n: nn.Dropout()), ("Dropout 'active'",)),
    "parameter": (setting("scale", lambda n: nn.Parameter(torch.ones(1))), ("'scale'",)),
    "nested buffer": (
        changed(lambda n: n.pool.register_buffer("seen", torch.ones(1))),
        ("Sequential 'pool'", "'seen'"),
    ),
    "grouped": (setting("deep2", lambda n: nn.Conv2d(6, 6, 1, groups=2)), ("Conv2d 'deep2'", "groups=2")),
    "no head": (changed(without_head), ("no linear classifier named 'head'",)),
    "no batch norm": (setting("norm3", lambda n: nn.Identity()), ("'point'", "no batch norm right behind it")),
    "bare batch norm": (
        setting("norm2", lambda n: nn.BatchNorm2d(n.norm2.num_features, affine=False)),
        ("BatchNorm2d 'norm2'", "scale and shift"),
    ),
    "unused": (setting("spare", lambda n: nn.Conv2d(3, 4, 1)), ("'spare' does not run",)),
    "twice": (Twice, ("'deep2'",)),
    "concatenation": (Concatenated, ("'head' reads 12 values", "6 channels", "concatenation")),
    "flattened": (Flattened, ("'head' reads 24 values", "6 channels", "flattening")),
    "sigmoid": (Sigmoid, ("its output changes by", "zero to zero")),
    "half initialised": (HalfInitialised, ("'deep2.weight'", "undefined")),
    "deaf to widths": (lambda classes, width, widths=None: Separable(classes, 0.125), ("`widths`", "'stem.weight'")),
    "other names": (other_names, ("'conv1'", "stem, point")),
    "no network": (plain_module, ("Sequential", "stampbench.networks.contract.Network")),
}
