import subprocess
import sys

import pytest
from pydantic import ValidationError

from stampbench.data.catalogue import DATASETS, CustomDataset, resolve, selected_classes
from stampbench.errors import DataError


def test_importing_the_catalogue_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pandas', 'torchvision'}"
    script = f"import sys, stampbench.data.catalogue; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_development_classes_and_reference_classes_part_the_source():
    parts = [selected_classes(DATASETS[f"tinyimagenet-dev{fold}"]) for fold in range(4)]
    assert [len(part) for part in parts] == [10] * 4
    everything = sorted(sum(parts, selected_classes(DATASETS["tinyimagenet"])))
    assert everything == list(range(200))


def test_the_development_classes_never_change():
    # Frozen: reference networks were trained without exactly these.
    assert selected_classes(DATASETS["tinyimagenet-dev0"]) == (56, 76, 107, 113, 124, 126, 136, 172, 176, 186)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(DataError, match="did you mean 'cifar10'"):
        resolve("cifar-10")
    with pytest.raises(DataError, match="did you mean 'flowers'"):
        resolve("flower", {"flowers": CustomDataset(path="x", size=32)})
    with pytest.raises(DataError, match="known are cifar10"):
        resolve("zzzz")


def test_an_own_dataset_may_not_take_a_known_name():
    with pytest.raises(DataError, match="another name"):
        resolve("svhn", {"svhn": CustomDataset(path="x", size=32)})


def test_an_own_dataset_refuses_unknown_keys():
    with pytest.raises(ValidationError, match="flips"):
        CustomDataset(path="x", size=32, flips=True)


@pytest.mark.parametrize("name", ["digits", "glyphs", "svhn"])
def test_no_flip_where_mirrored_characters_mean_something_else(name):
    assert not DATASETS[name].flip
