"""The formats that need no stampbench: a program of `torch.export`, and ONNX. What is written is compared."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stampbench.errors import UserError
from stampbench.export.folder import TENSORS

PROGRAM, ONNX = "program.pt2", "model.onnx"
# By how much a logit may differ, relative to the largest one where that is above 1.
TOLERANCES = {TENSORS: 1e-5, PROGRAM: 1e-5, ONNX: 1e-4}


class DiffersError(UserError):
    """A file that computes something else than the network."""


def lacking() -> str | None:
    """Return the name of a package that ONNX needs and that cannot be imported, or None."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        return error.name or str(error)
    return None


def write_program(network: nn.Module, inputs: Tensor, path: Path) -> None:
    """Write the network as a program of `torch.export` that takes batches of any size, and compare its logits.

    The network is on the CPU, in eval mode; `inputs` are normalised images (N, 3, H, W). Raises `DiffersError`.
    """
    program = torch.export.export(network, (_pair(inputs),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    written = io.BytesIO()
    torch.export.save(program, written)
    path.write_bytes(written.getvalue())
    compare(PROGRAM, network, torch.export.load(io.BytesIO(path.read_bytes())).module(), inputs)


def write_onnx(network: nn.Module, inputs: Tensor, path: Path) -> None:
    """Write the network as ONNX, from "images" to "logits", and compare what onnxruntime makes of it.

    The arguments and the error are those of `write_program`.
    """
    import onnxruntime

    program = torch.onnx.export(
        network,
        (_pair(inputs),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    compare(ONNX, network, lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), inputs)


WRITERS: Mapping[str, Callable[[nn.Module, Tensor, Path], None]] = {PROGRAM: write_program, ONNX: write_onnx}


@torch.no_grad()
def compare(name: str, network: nn.Module, outputs: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Raise `DiffersError` unless the file of that name, which computes `outputs`, gives the network's logits.

    They are compared for all inputs (N, 3, H, W) at once and for the first alone.
    """
    for images in (inputs, inputs[:1]):
        right = network(images)
        difference = float((right - outputs(images)).abs().max() / right.abs().max().clamp(min=1))
        # A difference that is no number is not within the tolerance either.
        if not difference <= TOLERANCES[name]:
            raise DiffersError(
                f"{name} would give logits that differ from the network's by {difference:.1e}, where "
                f"{TOLERANCES[name]:g} is tolerated; please report this network"
            )


def _pair(inputs: Tensor) -> Tensor:
    """Return two images, as a batch of one would be taken for the only size."""
    return torch.cat([inputs[:1], inputs[:1]])
