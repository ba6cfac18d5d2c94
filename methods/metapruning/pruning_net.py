"""The PruningNet, which generates weights for any widths from the width ratios (Liu et al., arXiv 1903.10258)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stampbench.contract import Artefact, ArtefactSpec, Context, Task
from stampbench.networks.initial import build
from stampbench.pruning.groups import Group, channel_groups, module_key
from stampbench.training import Recipe, Trainer

RATIOS = tuple(round(0.10 + 0.03 * step, 2) for step in range(31))
HIDDEN = 32


class PruningNet(nn.Module):
    """A generator of weights for every convolution, and the weights of the head.

    A convolution has an MLP: ratios of its groups → 32 hidden units → ReLU → the full weight, which is then cropped to
    the leading channels.
    A depthwise convolution writes its group and reads none, as each of its filters has one input.
    """

    def __init__(self, network: nn.Module, groups: Sequence[Group]) -> None:
        super().__init__()
        self.reads = {name: group.name for group in groups for name in group.consumers}
        self.writes = {name: group.name for group in groups for name in group.producers + group.depthwise}
        self.depthwise = {name for group in groups for name in group.depthwise}
        self.dense = {group.name: group.width for group in groups}
        self.convolutions = {n: m.weight.shape for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
        self.generators = nn.ModuleDict(
            {module_key(name): self._generator(name, shape) for name, shape in self.convolutions.items()}
        )
        head = network.get_submodule("head")
        assert isinstance(head, nn.Linear)
        self.head_weight, self.head_bias = (nn.Parameter(torch.empty(p.shape)) for p in (head.weight, head.bias))

    def initialise(self, stream: torch.Generator) -> None:
        """Draw weights so that generated ones have Kaiming's scale (fan-out), nine tenths of it whatever the ratios."""
        for name, shape in self.convolutions.items():
            generator = self.generators[module_key(name)]
            hidden, last = generator.get_submodule("0"), generator.get_submodule("2")
            assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)
            nn.init.uniform_(hidden.weight, -1, 1, generator=stream)
            nn.init.uniform_(hidden.bias, -1, 1, generator=stream)
            fan_out = (1 if name in self.depthwise else shape[0]) * shape[2] * shape[3]
            scale = (2 / fan_out) ** 0.5
            nn.init.normal_(last.bias, std=0.9 * scale, generator=stream)
            nn.init.normal_(last.weight, std=0.1 * scale, generator=stream)
        nn.init.normal_(self.head_weight, std=0.01, generator=stream)
        nn.init.zeros_(self.head_bias)

    def forward(self, ratios: Mapping[str, float]) -> dict[str, Tensor]:
        """Return the weights of every convolution and of the head at these ratios, by parameter name."""
        widths = self.widths(ratios)
        weights = {}
        for name, shape in self.convolutions.items():
            inputs = torch.tensor(self._inputs(name, ratios), device=self.head_weight.device)
            full = self.generators[module_key(name)](inputs).view(shape)
            rows = widths.get(self.writes.get(name, ""), shape[0])
            columns = widths.get(self.reads.get(name, ""), shape[1])
            weights[f"{name}.weight"] = full[:rows, :columns]
        columns = widths.get(self.reads.get("head", ""), self.head_weight.shape[1])
        return weights | {"head.weight": self.head_weight[:, :columns], "head.bias": self.head_bias}

    def widths(self, ratios: Mapping[str, float]) -> dict[str, int]:
        """Return the width of every group at these ratios, at least one channel each."""
        return {name: max(1, round(ratios[name] * width)) for name, width in self.dense.items()}

    def _inputs(self, name: str, ratios: Mapping[str, float]) -> list[float]:
        touched = (self.reads.get(name), self.writes.get(name))
        return [ratios[group] for group in touched if group is not None]

    def _generator(self, name: str, shape: torch.Size) -> nn.Sequential:
        inputs = sum(name in side for side in (self.reads, self.writes))
        return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, shape.numel()))


class Generated:
    """A network of given widths that runs on generated weights; its batch norms neither scale nor shift."""

    def __init__(self, name: str, classes: int, widths: Mapping[str, int], weights: Mapping[str, Tensor]) -> None:
        self.network = build(name, classes, 1.0, widths).requires_grad_(False)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                # Without a momentum the running statistics are plain means over the batches.
                module.momentum = None
        device = next(iter(weights.values())).device
        self.network.to(device)
        self._weights = dict(weights)

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of float32 images (N, 3, H, W)."""
        logits: Tensor = functional_call(self.network, self._weights, (images,))
        return logits

    def recalibrate(self, batches: Sequence[Tensor]) -> None:
        """Replace batch norm's statistics by their means over these batches, then set eval mode."""
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        for images in batches:
            self(images)
        self.network.eval()


class RandomWidths(nn.Module):
    """The module that is trained: each forward pass draws ratios for all groups and generates weights for them."""

    def __init__(self, pruning_net: PruningNet, name: str, classes: int, stream: torch.Generator) -> None:
        super().__init__()
        self.pruning_net = pruning_net
        self._name, self._classes, self._stream = name, classes, stream

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of a network of random widths; batch norm uses the statistics of this batch."""
        groups = list(self.pruning_net.dense)
        drawn = torch.randint(len(RATIOS), (len(groups),), generator=self._stream).tolist()
        ratios = {group: RATIOS[index] for group, index in zip(groups, drawn, strict=True)}
        weights = self.pruning_net(ratios)
        network = Generated(self._name, self._classes, self.pruning_net.widths(ratios), weights)
        network.network.train()
        return network(images)


def blank(name: str, classes: int, width: float, input_size: int) -> PruningNet:
    """Return a PruningNet for that network with undefined weights: call `initialise`, or load a state dict."""
    network = build(name, classes, width)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.zero_()
    groups = channel_groups(network, input_size)
    # On "meta" the layers draw no weights, so the global random state stays as it was.
    with torch.device("meta"):
        pruning_net = PruningNet(network, groups)
    return pruning_net.to_empty(device="cpu")


def train_pruning_net(spec: ArtefactSpec, task: Task, context: Context) -> Artefact:
    """Train a PruningNet on the task with random widths at each step, by the recipe of the specification."""
    pruning_net = blank(spec.network, task.classes, spec.width, task.input_size)
    pruning_net.initialise(context.generator("pruning-net/initial-weights"))
    pruning_net.to(context.device)
    stream = context.generator("pruning-net/widths")
    network = RandomWidths(pruning_net, spec.network, task.classes, stream)
    loader = context.loader(task, spec.settings["batch_size"], "pruning-net")
    trainer = Trainer(network, loader, Recipe.of_spec(spec))
    start = context.now()
    losses = list[float]()
    for epoch in range(spec.recipe["epochs"]):
        losses.append(trainer.epoch())
        context.progress(epoch + 1, spec.recipe["epochs"])
    seconds = context.now() - start
    notes = {"train_loss": losses, "network": spec.network, "width": spec.width}
    return Artefact(pruning_net.state_dict(), seconds, notes)
