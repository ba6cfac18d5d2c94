"""A package lands in the cache whole, once, and only if it is what `pack` wrote."""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from stampbench import cli
from stampbench.contract import Artefact, ArtefactSpec
from stampbench.data import packed
from stampbench.errors import UserError
from stampbench.running.artefacts import Artefacts
from stampbench.running.offline import Needs, pack
from stampbench.running.unpacking import unpack
from tests.fixtures import factories

SPEC = ArtefactSpec(
    kind="pretrained", scope="reference", dataset="glyphs", network="vgg19", width=0.25, seed=0, recipe={"epochs": 3}
)
# More than one part of 1 MiB.
WEIGHTS = torch.arange(400_000, dtype=torch.float32)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder, and a cache to unpack to."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STAMPBENCH_DATA", raising=False)
    packed.cached_read.cache_clear()
    yield tmp_path / "here"
    packed.cached_read.cache_clear()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Packs an artefact and the training images of these rows of digits."""
    made = Artefacts(tmp_path / "pool", tmp_path / "made")
    made.ensure(SPEC, lambda: Artefact({"w": WEIGHTS}, 7.5), factories.provenance())
    (tmp_path / "tiny.toml").write_text("title = 'Tiny'\n")

    def call(name: str = "packed", rows: range | None = range(100), most_mib: int | None = None) -> Path:
        needs = Needs(folders={made.held(SPEC.digest)})
        monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "origin"))
        if rows is not None:
            count = len(packed.load("digits").train)
            needs.rows["digits"] = torch.zeros(count, dtype=torch.bool).index_fill_(0, torch.tensor(list(rows)), True)
        pack(needs, tmp_path / "tiny.toml", {}, tmp_path / name, most_mib)
        monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
        return tmp_path / name

    return call


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def summed(folder: Path) -> Path:
    """Lists the files as they are, as one who can write the folder can."""
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content(folder).items()}
    (folder / "SHA256SUMS").write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return folder


@pytest.mark.parametrize("most_mib", [None, 1])
def test_what_was_packed_is_in_the_cache(make, cache, here, most_mib):
    source = make(most_mib=most_mib)
    assert len(list(source.glob("part-*"))) == (0 if most_mib is None else 2)
    found = unpack(source, cache, here)
    assert (found.added, found.held) == ([f"artefacts/{SPEC.digest}", "data/digits-v1"], [])
    assert torch.equal(Artefacts(here, cache / "artefacts").load(SPEC).tensors["w"], WEIGHTS)
    images = packed.load("digits")
    assert images.held is not None and int(images.held.sum()) == 100
    assert (here / "tiny.toml").read_text() == "title = 'Tiny'\n"
    assert {path.name for path in cache.iterdir()} == {"artefacts", "data"}


@pytest.mark.parametrize("most_mib", [None, 1])
def test_twice_is_as_once(make, cache, here, most_mib):
    source = make(most_mib=most_mib)
    unpack(source, cache, here)
    before = content(cache)
    again = unpack(source, cache, here)
    assert again.added == [] and len(again.held) == 2
    assert content(cache) == before


def test_a_whole_dataset_in_the_cache_stays(make, cache, here):
    source = make()
    whole = packed.load("digits").manifest
    assert unpack(source, cache, here).held == ["data/digits-v1"]
    assert packed.verify("digits") == whole


def test_other_images_of_a_dataset_in_part_are_refused_before_anything_is_put_there(make, cache, here):
    unpack(make(), cache, here)
    shutil.rmtree(cache / "artefacts")
    before = content(cache)
    with pytest.raises(UserError, match="other images of this dataset"):
        unpack(make("other", rows=range(50, 150)), cache, here)
    assert content(cache) == before


def test_another_suite_file_of_that_name_stays(make, cache, here):
    (here / "tiny.toml").write_text("title = 'Mine'\n")
    with pytest.raises(UserError, match="another suite file"):
        unpack(make(), cache, here)
    assert not cache.exists() and (here / "tiny.toml").read_text() == "title = 'Mine'\n"


def damage(folder: Path, how: str) -> str:
    """Damages one file; returns the name that the error must give."""
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    if how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "missing":
        path.unlink()
    else:
        path = folder / "added.bin"
        path.write_bytes(b"0")
    return path.name


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing", "added"])
@pytest.mark.parametrize("most_mib", [None, 1])
def test_damage_is_refused_by_its_name(make, cache, here, most_mib, how):
    source = make(rows=None, most_mib=most_mib)
    name = damage(source, how)
    with pytest.raises(UserError, match=rf"differ from what SHA256SUMS says: \S*{name}"):
        unpack(source, cache, here)
    assert not cache.exists() and not list(here.iterdir())


@pytest.mark.parametrize("sums", [None, "", "no sums\n", b"\xff\xfe"])
def test_without_sums_nothing_is_unpacked(make, cache, here, sums):
    source = make(rows=None)
    (source / "SHA256SUMS").unlink()
    if sums is not None:
        (source / "SHA256SUMS").write_bytes(sums if isinstance(sums, bytes) else sums.encode())
    with pytest.raises(UserError, match="SHA256SUMS"):
        unpack(source, cache, here)
    assert not cache.exists()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


HOSTILE = {
    "absolute": entry("/tmp/hostile.toml"),
    "upwards": entry("cache/data/../../../hostile.toml"),
    "upwards inside": entry("cache/data/../hostile"),
    "hidden": entry("cache/data/.locks/digits-v1"),
    "another place": entry("cache/checkpoints/x/state.safetensors"),
    "too deep": entry("cache/data/x/y/z"),
    "code": entry("sitecustomize.py"),
    "symbolic link": entry("cache/data/x/link", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": entry("cache/data/x/link", tarfile.LNKTYPE, "tiny.toml"),
    "device": entry("cache/data/x/null", tarfile.CHRTYPE),
    "pipe": entry("cache/data/x/pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path, cache, here, name):
    source = tmp_path / "packed"
    source.mkdir()
    with tarfile.open(source / "part-000", "w") as tar:
        tar.addfile(entry("tiny.toml"), io.BytesIO(b"#"))
        tar.addfile(HOSTILE[name], io.BytesIO(b"#"))
    with pytest.raises(UserError, match="not what `pack` writes"):
        unpack(summed(source), cache, here)
    assert content(cache) == {} and not list(here.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "cache", "here"}


def test_what_is_no_archive_is_refused(tmp_path, cache, here):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "part-000").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(UserError, match="is refused"):
        unpack(summed(tmp_path / "packed"), cache, here)
    assert content(cache) == {}


@pytest.mark.parametrize("name", ["sitecustomize.py", "cache/.locks/x/y", "cache/data/x", "second.toml"])
def test_a_hostile_folder_is_refused(make, cache, here, name):
    source = make(rows=None)
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_text("#")
    with pytest.raises(UserError, match=r"does not write|2 suite files"):
        unpack(summed(source), cache, here)
    assert not cache.exists()


def test_a_link_in_a_folder_is_refused(make, cache, here, tmp_path):
    source = make(rows=None)
    (tmp_path / "secret").write_text("secret")
    (source / "cache" / "artefacts" / SPEC.digest / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="not a plain file"):
        unpack(summed(source), cache, here)
    assert not cache.exists()


def test_the_command_says_what_to_run(make, capsys):
    source = make(rows=None)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["unpack", str(source)])
    assert not stopped.value.code
    assert "datasets and artefacts: 1 added to" in (out := capsys.readouterr().out)
    assert "python -m stampbench run tiny.toml" in out
    with pytest.raises(SystemExit) as stopped:
        cli.main(["unpack", "nothing"])
    assert stopped.value.code == 2 and "name a folder that `pack` wrote" in capsys.readouterr().err


NO_FILES = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("how", NO_FILES)
def test_what_is_no_file_is_refused_wherever_it_lies(make, cache, here, how):
    source = make(rows=None)
    sums = source / "SHA256SUMS"
    held = sums.read_bytes()
    sums.unlink()
    NO_FILES[how](sums)
    with pytest.raises(UserError, match=r"SHA256SUMS is no file: .*that `pack` wrote"):
        unpack(source, cache, here)
    sums.rmdir() if how == "folder" else sums.unlink()
    sums.write_bytes(held)
    NO_FILES[how](here / "tiny.toml")
    with pytest.raises(UserError, match=r"tiny\.toml is no file: .*move it away"):
        unpack(source, cache, here)


@pytest.mark.parametrize("how", NO_FILES)
def test_what_is_no_dataset_in_the_cache_is_named(make, cache, here, how):
    source = make(rows=range(10))
    (name,) = [path.name for path in (source / "cache" / "data").iterdir()]
    (cache / "data").mkdir(parents=True)
    NO_FILES[how](cache / "data" / name)
    with pytest.raises(UserError, match=f"{name} (is no folder|holds other images)"):
        unpack(source, cache, here)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "tiny.toml").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .*name another folder"):
        pack(Needs(), tmp_path / "tiny.toml", {}, tmp_path / "file" / "out")
