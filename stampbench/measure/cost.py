"""Parameters and MACs in closed form, as functions of the channel groups' widths.

MACs are those of convolutions and linear layers, per image: Σ k_h k_w c_in c_out h_out w_out. They equal fvcore's
conv + linear count and half of `torch.utils.flop_counter`'s. A depthwise convolution reads one channel an output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from stampbench.errors import NetworkError
from stampbench.pruning.groups import Group, blank_image, evaluation_mode


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: MACs = `positions` × c_in × c_out; a side without group has a fixed width."""

    positions: int
    kernel: int
    bias: bool
    in_group: str | None
    out_group: str | None
    in_fixed: int
    out_fixed: int


@dataclass(frozen=True)
class CostModel:
    """Cost of a network whose groups have any widths; `widths` are the dense ones."""

    layers: tuple[Layer, ...]
    norm_channels: Mapping[str, int]
    widths: Mapping[str, int]

    @classmethod
    def of(cls, network: nn.Module, groups: Sequence[Group], input_size: int) -> CostModel:
        """Reads the layers' shapes in one forward pass of a blank image; leaves the network as it was.

        Raises `NetworkError` if the parameters counted at the dense widths are not those that the network has.
        """
        outputs = _output_positions(network, input_size)
        reads = {name: group.name for group in groups for name in group.consumers}
        writes = {name: group.name for group in groups for name in group.producers + group.depthwise}
        layers = []
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                kernel = module.kernel_size[0] * module.kernel_size[1]
                fan = (module.in_channels // module.groups, module.out_channels)
            elif isinstance(module, nn.Linear):
                kernel, fan = 1, (module.in_features, module.out_features)
            else:
                continue
            layers.append(
                Layer(kernel * outputs[name], kernel, module.bias is not None, reads.get(name), writes.get(name), *fan)
            )
        norms = {group.name: len(group.norms) for group in groups}
        model = cls(tuple(layers), norms, {group.name: group.width for group in groups})
        held = sum(parameter.numel() for parameter in network.parameters())
        if model.params() != held:
            raise NetworkError(f"{model.params():,} parameters are counted, but the network has {held:,}")
        return model

    def macs(self, widths: Mapping[str, int] | None = None) -> int:
        """Multiply-accumulates of one image at these widths (default: dense)."""
        widths = self.widths if widths is None else widths
        return sum(layer.positions * c_in * c_out for layer, c_in, c_out in self._sides(widths))

    def params(self, widths: Mapping[str, int] | None = None) -> int:
        """Trainable parameters at these widths (default: dense): weights, biases, batch norms' scales and shifts."""
        widths = self.widths if widths is None else widths
        weights = sum(layer.kernel * i * o + layer.bias * o for layer, i, o in self._sides(widths))
        return weights + sum(2 * count * widths[group] for group, count in self.norm_channels.items())

    def _sides(self, widths: Mapping[str, int]) -> list[tuple[Layer, int, int]]:
        return [
            (
                layer,
                layer.in_fixed if layer.in_group is None else widths[layer.in_group],
                layer.out_fixed if layer.out_group is None else widths[layer.out_group],
            )
            for layer in self.layers
        ]


def _output_positions(network: nn.Module, input_size: int) -> dict[str, int]:
    """Spatial positions h_out × w_out of every convolution and linear layer, each of which runs once."""
    positions: dict[str, int] = {}
    handles = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def record(_m: nn.Module, _i: object, output: torch.Tensor, name: str = name) -> None:
                if name in positions:
                    raise NetworkError(f"{name!r} runs more than once in a forward pass")
                positions[name] = output[0, 0].numel() if output.dim() == 4 else 1

            handles[name] = module.register_forward_hook(record)
    try:
        with evaluation_mode(network), torch.no_grad():
            network(blank_image(network, input_size))
    finally:
        for handle in handles.values():
            handle.remove()
    for name in handles:
        if name not in positions:
            raise NetworkError(f"{name!r} does not run in a forward pass")
    return positions
