"""The writing of a trained network's folder: its tensors, what describes them, and the other formats, each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from stampbench import __version__
from stampbench.data import catalogue, folder, packed
from stampbench.data.catalogue import CustomDataset, Dataset
from stampbench.data.loader import evaluation_batches
from stampbench.export.folder import DESCRIPTION, README, RECORD, TENSORS, Description, load_network
from stampbench.export.formats import ONNX, WRITERS, compare, lacking
from stampbench.export.readme import readme
from stampbench.record import Record
from stampbench.running.runner import reason
from stampbench.seeding import digest_of_tensors
from stampbench.store import json_of

# The files are compared on so many test images.
COMPARED_IMAGES = 16


def write_folder(
    working: Path, record: Record, network: nn.Module, remarks: Sequence[str], custom: Mapping[str, CustomDataset]
) -> tuple[list[str], list[str]]:
    """Fill a folder with a trained network, its record, and a README with these remarks.

    Returns the names of the files, and a sentence for each format that is left out because it went wrong. Raises
    `UserError` if the network that is read back computes something else.
    """
    dataset, data = catalogue.resolve(record.job.target, custom), packed.load(record.job.target, custom)
    network = network.cpu().to(memory_format=torch.contiguous_format).requires_grad_(False)
    held = _description(record, dataset, data.manifest, network)
    (working / TENSORS).write_bytes(save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    (working / DESCRIPTION).write_text(held.model_dump_json(indent=1) + "\n", encoding="utf-8")
    batches = evaluation_batches(data.test, dataset, held.mean, held.std, COMPARED_IMAGES)
    inputs = next(batches)[0].contiguous()
    compare(TENSORS, network, load_network(working), inputs)
    formats, faults = _write_formats(working, network, inputs)
    (working / RECORD).write_text(json_of(record), encoding="utf-8")
    (working / README).write_text(readme(held, record, formats, [*remarks, *faults]), encoding="utf-8")
    return [TENSORS, DESCRIPTION, *formats, RECORD, README], faults


def _description(record: Record, dataset: Dataset, manifest: packed.Manifest, network: nn.Module) -> Description:
    job = record.job
    assert record.cost
    # A channel that is the same everywhere is only centred, by `channel_affine` too.
    red, green, blue = (deviation or 1.0 for deviation in manifest.std)
    return Description(
        network=job.network,
        width=job.width,
        widths=record.cost.widths,
        classes=manifest.classes,
        class_names=_class_names(dataset),
        input_size=dataset.input_size,
        mean=manifest.mean,
        std=(red, green, blue),
        target=job.target,
        method=job.method,
        start=job.start,
        granularity=job.granularity,
        budget=job.budget,
        seed=job.seed,
        key=job.key,
        tensors=digest_of_tensors(network.state_dict()),
        versions={"stampbench": __version__} | record.provenance.versions,
    )


def _class_names(dataset: Dataset) -> list[str] | None:
    """Return the names of the user's own class folders in the order of labels, or None where classes have no names."""
    if dataset.custom is None or not folder.has_tree(dataset.custom.path):
        return None
    return list(folder.class_images(dataset.custom.path / folder.SPLITS[0]))


def _write_formats(working: Path, network: nn.Module, inputs: Tensor) -> tuple[list[str], list[str]]:
    """Write the network in the formats that can be had; return their names, and what went wrong with others."""
    files, faults = [], []
    for name, write in WRITERS.items():
        if name == ONNX and lacking():
            continue
        try:
            write(network, inputs, working / name)
        except OSError:
            raise
        except Exception as error:  # whatever a converter raises: the other files are of use without this one
            (working / name).unlink(missing_ok=True)
            faults.append(f"{name} is left out, as it went wrong: {reason(error)}")
        else:
            files.append(name)
    return files, faults
