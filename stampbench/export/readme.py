"""The README of an exported network: what it is, how accurate it is, and code that loads it in each of its formats."""

from __future__ import annotations

from collections.abc import Collection

from stampbench.contract import Granularity
from stampbench.export.folder import DESCRIPTION, RECORD, TENSORS, Description
from stampbench.export.formats import ONNX, PROGRAM
from stampbench.record import Record
from stampbench.report.words import network_label, share_in_words, start_in_words

_INPUTS = """## Its input

RGB images of {size} × {size} pixels, as float32 of shape (N, 3, {size}, {size}), in [0, 1] and then normalised by the
mean and standard deviation of each channel; N is any number. The output has shape (N, {classes}): a logit for each
class{names}. The code below is run in this folder.

```python
import torch

images = torch.randint(0, 256, (4, 3, {size}, {size}), dtype=torch.uint8)  # put yours here
mean = torch.tensor({mean}).view(3, 1, 1)
std = torch.tensor({std}).view(3, 1, 1)
inputs = (images / 255 - mean) / std
```
"""
_NETWORK = f"""## With stampbench

The network is an `nn.Module` on the CPU, in eval mode. `{TENSORS}` is its state dict.

```python
import stampbench

network = stampbench.load_network(".")
with torch.no_grad():
    logits = network(inputs)
```
"""
_LOADERS = {
    PROGRAM: f"""## With torch alone

```python
program = torch.export.load("{PROGRAM}").module()
logits = program(inputs)
```
""",
    ONNX: f"""## With onnxruntime

```python
import onnxruntime

session = onnxruntime.InferenceSession("{ONNX}")
(logits,) = session.run(["logits"], {{"images": inputs.numpy()}})
```
""",
}


def readme(held: Description, record: Record, formats: Collection[str], remarks: Collection[str]) -> str:
    """Return the text, in Markdown, for a folder with these of the formats; remarks stand below the accuracy."""
    names = f"; their names are in `{DESCRIPTION}`" if held.class_names else ""
    inputs = _INPUTS.format(
        size=held.input_size, classes=held.classes, names=names, mean=list(held.mean), std=list(held.std)
    )
    parts = [_head(held, record, remarks), inputs, _NETWORK, *(_LOADERS[name] for name in _LOADERS if name in formats)]
    return "\n".join(parts)


def _head(held: Description, record: Record, remarks: Collection[str]) -> str:
    accuracy, cost = record.accuracy, record.cost
    assert accuracy and cost
    used = record.data[held.target]
    share = share_in_words(held.budget.keep, held.budget.resource)
    pruned = "not pruned" if held.budget.keep == 1 else f"pruned by {held.method} to {share}"
    zeros = " Pruned weights are zeros in layers of the dense shape." if held.granularity is Granularity.WEIGHT else ""
    top5 = "" if accuracy.top5 is None else f", top-5 {accuracy.top5:.2%}"
    lines = [
        f"# {network_label(held.network, held.width)}, {pruned}",
        "",
        f"It was trained by stampbench on {used.train:,} images of {used.display_name}, "
        f"{start_in_words(held.start)}, with seed {held.seed}.{zeros}",
        "",
        f"- Top-1 accuracy on {used.test:,} test images: {accuracy.top1:.2%}{top5}, {_precision(record)}.",
        f"- Parameters: {cost.params:,} of {cost.dense_params:,}.",
        f"- MACs for one image: {cost.macs:,} of {cost.dense_macs:,}.",
        f"- `{RECORD}` is the record of job {held.key}: options, recipe, seconds and versions.",
        *(f"- {remark}." for remark in remarks),
        "",
    ]
    return "\n".join(lines)


def _precision(record: Record) -> str:
    if record.job.protocol.precision == "fp32":
        return "measured in fp32"
    return "measured in bf16; the files compute in fp32, so that some images may be told apart otherwise"


def left_out(package: str) -> str:
    """Return what is said where ONNX is left out because a package is missing."""
    return f"{ONNX} will be left out, as the package {package} is missing; for it: pip install 'stampbench[onnx]'"
