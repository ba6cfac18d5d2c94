"""A network of one's own, which a suite names as "module:factory" and which lies beside the suite file."""

import sys

import pytest

from stampbench import cli
from stampbench import suite as suites
from stampbench.errors import NetworkError, SuiteError, UserError
from stampbench.networks.check import checked
from stampbench.store import Store
from tests.fixtures.quickly import quicken
from tests.fixtures.tiny import tiny_toml

MINE = """
from torch import nn
from stampbench.networks.contract import Network, scaled

class Mine(Network):
    def __init__(self, classes, width, widths=None):
        super().__init__()
        first = scaled(32, width) if widths is None else widths["first"]
        second = scaled(64, width) if widths is None else widths["second"]
        self.first = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(first)
        self.second = nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(second)
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(second, classes)

    def forward(self, images):
        hidden = self.relu(self.first_norm(self.first(images)))
        hidden = self.relu(self.second_norm(self.second(hidden)))
        return self.head(self.pool(hidden).flatten(1))
"""
PLAIN = """
from torchvision.models import mobilenet_v2

def plain(classes, width, widths=None):
    return mobilenet_v2(num_classes=classes)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of that name beside the suite; Python forgets it and the folder afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    written = []

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        written.append(name)
        sys.modules.pop(name, None)

    yield write
    for name in written:
        sys.modules.pop(name, None)


def suite_with(folder, network: str):
    path = folder / "own.toml"
    methods = '["dense", "magnitude"]'
    path.write_text(tiny_toml(methods, seeds=1).replace('"resnet18"', f'"{network}"'))
    return path


def test_a_network_beside_the_suite_goes_all_the_way(module, tmp_path, packed_images, monkeypatch, capsys):
    module("own_network", MINE)
    path, results = suite_with(tmp_path, "own_network:Mine"), tmp_path / "results"
    monkeypatch.setenv("STAMPBENCH_CACHE", str(packed_images.parent))
    # The working folder is another one.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    quicken(monkeypatch.setattr)
    with pytest.raises(SystemExit):
        cli.main(["list", "networks", "no_network:Mine"])
    assert "there is no module 'no_network'" in capsys.readouterr().err
    for command in (["plan", str(path)], ["run", str(path)], ["report", str(path), "--out", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*command, "--results", str(results)])
        said = capsys.readouterr()
        # Markdown escapes the underscore.
        assert not stopped.value.code and "own_network:Mine" in said.out.replace("\\", ""), said
    records = list(Store(results).records())
    assert [record.status for record in records] == ["done"] * 2
    pruned = next(record for record in records if record.job.method == "magnitude")
    # By hand, for 16 × 16 images: 3 → a channels at 256 places, a → b at 64, b → 10 classes.
    a, b = (pruned.cost.widths[name] for name in ("first", "second"))
    assert pruned.cost.macs == 9 * 3 * a * 256 + 9 * a * b * 64 + b * 10
    assert list((tmp_path / "out" / "figures").glob("*.svg"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module:Mine", "network 'no_such_module:Mine': there is no module 'no_such_module' beside the suite"),
        ("no_such.module:Mine", "No module named 'no_such'"),
        ("two words:Mine", "unknown network 'two words:Mine'"),
        ("vgg91", "did you mean 'vgg19'"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_when_jobs_are_listed(module, tmp_path, name, said):
    with pytest.raises(SuiteError, match=said):
        suites.load(suite_with(tmp_path, name)).jobs("tiny", "fp32")


@pytest.mark.parametrize(
    ("code", "factory", "said"),
    [
        ("import no_such_thing", "Mine", "cannot be loaded from 'spoilt:Mine': ModuleNotFoundError: .*no_such_thing"),
        ("1 / 0", "Mine", "ZeroDivisionError"),
        ("raise SystemExit('enough')", "Mine", "cannot be loaded from 'spoilt:Mine': SystemExit: enough"),
        (MINE, "Yours", "has no attribute 'Yours'"),
        ("def Mine(classes): pass", "Mine", "was called with classes=2, width=0.125.*TypeError.*positional argument"),
        ("def Mine(classes, width, widths): return widths['stem']", "Mine", "raised TypeError"),
        ("def Mine(classes, width, widths): raise KeyError('stem')", "Mine", "asks for the width of 'stem', though no"),
        (PLAIN, "plain", "is a MobileNetV2; derive it from stampbench.networks.contract.Network"),
        (MINE.replace("self.head", "self.last"), "Mine", "no linear classifier named 'head'"),
        (MINE.replace("self.pool(hidden)", "self.pool(self.first(hidden))"), "Mine", "cannot be used: .*channels"),
        (MINE.replace('widths["second"]', "64"), "Mine", "its factory does not keep to `widths`: 'second.weight'"),
        (MINE.replace("nn.ReLU()", "nn.Dropout()"), "Mine", "the Dropout 'relu' is not understood"),
    ],
    ids=["import", "code", "exit", "name", "call", "body", "width", "class", "head", "forward", "widths", "module"],
)
def test_a_network_that_breaks_the_contract_is_told_what_is_wrong(module, tmp_path, code, factory, said):
    module("spoilt", code)
    suites.load(suite_with(tmp_path, f"spoilt:{factory}")).jobs("tiny", "fp32")
    with pytest.raises((NetworkError, UserError), match=said):
        checked.__wrapped__(f"spoilt:{factory}", 0.125, 16)
