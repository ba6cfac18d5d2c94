"""The folder of an exported network: the names of its files, and how its network is read back."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from stampbench.errors import DamagedError, UserError
from stampbench.job import Budget, Granularity, Start
from stampbench.networks.initial import build
from stampbench.reading import content_of, read, state_of
from stampbench.record import Key, Positive
from stampbench.seeding import digest_of_tensors

TENSORS, DESCRIPTION, RECORD, README = "model.safetensors", "network.json", "record.json", "README.md"
_REMEDY = "export the network again, or name a folder that `export` wrote"


class Description(BaseModel):
    """`network.json`: all that is needed to build the network and to feed it, and which job trained it.

    `widths` are the channels of every group, `width` is the multiplier of the dense network. An image, RGB of
    `input_size` × `input_size` pixels in [0, 1], enters as (image - `mean`) / `std` for each channel. `class_names` are
    in the order of the logits, where the dataset has names. `tensors` is the digest of the state dict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    network: str
    width: float = Field(gt=0)
    widths: dict[str, Positive]
    classes: Positive
    class_names: list[str] | None
    input_size: Positive
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    target: str
    method: str
    start: Start
    granularity: Granularity
    budget: Budget
    seed: int
    key: Key
    tensors: Key
    versions: dict[str, str]


def load_network(folder: str | Path) -> nn.Module:
    """Return the network of a folder that `export` wrote: on the CPU, in eval mode, normalised images to logits.

    Its input is float32 (N, 3, H, W), normalised as the folder's `network.json` says, its output (N, classes). Raises
    `UserError` for a folder that `export` did not write, and where its network is unknown or its tensors are damaged.
    """
    path = Path(folder)
    held = description(path)
    network = build(held.network, held.classes, held.width, held.widths)
    try:
        tensors = load(_content(path / TENSORS))
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise DamagedError(f"{path / TENSORS} does not hold the network ({error})", _REMEDY) from error
    if digest_of_tensors(tensors) != held.tensors:
        raise DamagedError(f"{path / TENSORS} holds other tensors than {DESCRIPTION} says", _REMEDY)
    return network.eval()


def description(folder: Path) -> Description:
    """Return what a folder's `network.json` says. Raises `UserError` where there is none, or it is damaged."""
    content = read(folder / DESCRIPTION, _REMEDY)
    if content is None:
        raise UserError(f"{folder / DESCRIPTION} is missing; {_REMEDY}")
    try:
        return Description.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DamagedError(f"{folder / DESCRIPTION} describes no network: {where}: {first['msg']}", _REMEDY) from error


def _content(path: Path) -> bytes:
    content = content_of(path) if state_of(path, _REMEDY, most=None) else None
    if content is None:
        raise UserError(f"{path} is missing; {_REMEDY}")
    return content
