"""Parameters and MACs in closed form, as functions of the channel groups' widths.

MACs are counted for convolutions and linear layers, per image: Σ k_h k_w c_in c_out h_out w_out. They equal fvcore's
conv + linear count and half the count of `torch.utils.flop_counter`. A depthwise convolution
reads one channel for each output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from stampbench.errors import NetworkError
from stampbench.pruning.groups import Group, blank_image, evaluation_mode
from stampbench.pruning.resources.polynomial import Polynomial, Side


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer with `positions` × `kernel` × c_in × c_out MACs.

    `positions` are those of its output, `kernel` those of a filter. A side without a group has a fixed width.
    """

    positions: int
    kernel: int
    bias: bool
    in_group: str | None
    out_group: str | None
    in_fixed: int
    out_fixed: int

    @property
    def reads(self) -> Side:
        """The group whose width is c_in, or c_in itself where it is fixed."""
        return self.in_fixed if self.in_group is None else self.in_group

    @property
    def writes(self) -> Side:
        """The group whose width is c_out, or c_out itself where it is fixed."""
        return self.out_fixed if self.out_group is None else self.out_group


@dataclass(frozen=True)
class CostModel:
    """The cost of a network as a function of its groups' widths; `widths` are the dense ones."""

    layers: tuple[Layer, ...]
    norm_channels: Mapping[str, int]
    widths: Mapping[str, int]

    @classmethod
    def of(cls, network: nn.Module, groups: Sequence[Group], input_size: int) -> CostModel:
        """Return the cost model of a network, read in one forward pass of a blank image that changes nothing in it.

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
                Layer(outputs[name], kernel, module.bias is not None, reads.get(name), writes.get(name), *fan)
            )
        norms = {group.name: len(group.norms) for group in groups}
        model = cls(tuple(layers), norms, {group.name: group.width for group in groups})
        held = sum(parameter.numel() for parameter in network.parameters())
        if model.params() != held:
            raise NetworkError(f"{model.params():,} parameters are counted, but the network has {held:,}")
        return model

    def macs(self, widths: Mapping[str, int] | None = None) -> int:
        """Return the multiply-accumulates of one image at these widths (default: dense)."""
        return self.macs_form.cost(widths)

    def params(self, widths: Mapping[str, int] | None = None) -> int:
        """Return the trainable parameters at these widths (default: dense): weights, biases, batch norms' affines."""
        return self.params_form.cost(widths)

    @cached_property
    def macs_form(self) -> Polynomial:
        """The MACs: Σ positions · kernel · c_in · c_out over layers."""
        terms = ((layer.positions * layer.kernel, layer.reads, layer.writes) for layer in self.layers)
        return Polynomial(tuple(terms), self.widths, "MACs")

    @cached_property
    def params_form(self) -> Polynomial:
        """The parameters: Σ kernel · c_in · c_out + c_out (bias) over layers, and 2 · width for every batch norm."""
        weights = [(layer.kernel, layer.reads, layer.writes) for layer in self.layers]
        biases = [(1, 1, layer.writes) for layer in self.layers if layer.bias]
        norms = [(2 * count, 1, group) for group, count in self.norm_channels.items()]
        return Polynomial((*weights, *biases, *norms), self.widths, "parameters")


def _output_positions(network: nn.Module, input_size: int) -> dict[str, int]:
    """Return the spatial positions, h_out × w_out, of every convolution and linear layer, each of which runs once."""
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
