"""The weights lane against a store in memory: what lies in the layers, what is found, sent and refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_hub import FakeRegistry
from fake_store import FakeStore

from factory.errors import HubFailed, LaneUnavailable
from factory.kept import Kept
from factory.lanes import packing, weights
from factory.lanes.compressing import decide
from factory.lanes.packing import Compress
from factory.oci import tars
from factory.ports import WeightSource
from factory.records import ModelFile, ModelFiles, Progress, StoredLayer

HOST = "registry.test"
RECIPE, OTHER, SHARED = f"{HOST}/user/one", f"{HOST}/user/two", f"{HOST}/user/factory-shared"
NOISE = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(4096))  # 128 KiB that don't shrink
FILES = {
    "config.json": b"{}",
    "empty.bin": b"",
    f"deep/{'long' * 40}/tokenizer.txt": b"words " * 100,
    "model.safetensors": NOISE + b"\0" * 100_000,
}


@dataclass
class Source:
    """A Hub in memory; `reads` lists the paths that were read, `wrong` those that come with other bytes."""

    contents: dict[str, bytes]
    wrong: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)

    def read(self, repo: str, commit: str, file: ModelFile) -> Iterator[bytes]:
        """Yield a file in small pieces."""
        self.reads.append(file.path)
        content = self.contents[file.path]
        if file.path in self.wrong:
            content = content[:-1] + b"?"
        for start in range(0, len(content), 50_000):
            yield content[start : start + 50_000]


_source: type[WeightSource] = Source


def model(contents: dict[str, bytes], key: str = "main") -> ModelFiles:
    """Return a model of these files, small ones by git's digest as the Hub has them."""
    files = tuple(ModelFile(path, len(content), _hub_digest(content)) for path, content in contents.items())
    return ModelFiles("org/model", key, "main", "c" * 40, files, "image", sum(map(len, contents.values())))


@dataclass
class Bench:
    """One registry and one Hub."""

    contents: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    store: FakeStore = field(default_factory=FakeStore)
    told: list[Progress] = field(default_factory=list)
    kept: Kept = field(default_factory=lambda: Kept(Path("/dev/null/none")))  # a machine that remembers nothing

    def __post_init__(self) -> None:
        self.source = Source(self.contents)

    @property
    def registry(self) -> FakeRegistry:
        """What was put."""
        return self.store.registry

    def bake(
        self, *models: ModelFiles, repository: str = RECIPE, compress: Compress = "auto", is_oci: bool = False
    ) -> tuple[StoredLayer, ...]:
        """Bake these models, or the one of all files."""
        return weights.bake(
            models or (model(self.contents),),
            repository,
            SHARED,
            self.source,
            self.store,
            self.registry,
            self.kept,
            compress=compress,
            is_oci=is_oci,
            tell=self.told.append,
        )

    def unpack(self, layers: tuple[StoredLayer, ...], repository: str = RECIPE) -> dict[str, tarfile.TarInfo | bytes]:
        """Return what the layers give together: folders' entries, files' contents."""
        found: dict[str, tarfile.TarInfo | bytes] = {}
        for layer in layers:
            blob = self.registry.blobs[repository][layer.blob.digest]
            tar = zlib.decompress(blob, 31) if layer.blob.media_type.endswith("gzip") else blob
            assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
            assert (layer.unpacked_bytes, layer.blob.size_bytes) == (len(tar), len(blob))
            with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
                for entry in opened:
                    assert (entry.uid, entry.gid, entry.mtime) == (0, 0, tars.MTIME_S)
                    assert entry.mode == (0o755 if entry.isdir() else 0o644)
                    content = opened.extractfile(entry)
                    found[entry.name] = content.read() if content else entry
        return found


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call 100 kB large."""
    monkeypatch.setattr(packing, "LARGE_BYTES", 100_000)


@pytest.mark.parametrize("compress", ["auto", "gzip", "none"])
def test_layers_give_the_files(compress: Compress) -> None:
    """All layers together are the model's files below /models/KEY, and every folder above them."""
    bench = Bench()
    layers = bench.bake(compress=compress)
    found = bench.unpack(layers)
    assert {path: content for path, content in found.items() if isinstance(content, bytes)} == {
        f"models/main/{path}": content for path, content in FILES.items()
    }
    assert {"models", "models/main", "models/main/deep"} <= set(found)
    assert len(layers) == 2
    assert "2 layers sent, 0 found" in bench.told[-1].text


@pytest.mark.parametrize("first", ["gzip", "none"])
def test_second_recipe_sends_nothing(first: Compress) -> None:
    """Another recipe with the same weights mounts the layers, whatever packed them, and reads no file."""
    bench = Bench()
    sent = bench.bake(compress=first)
    bench.source.reads.clear()
    sent_bytes = bench.store.sent_bytes
    found = bench.bake(repository=OTHER)
    assert found == tuple(replace(layer, was_sent=False) for layer in sent)
    assert bench.store.sent_bytes == sent_bytes
    assert bench.source.reads == []
    assert bench.unpack(found, OTHER).keys() == bench.unpack(sent).keys()
    assert "0 layers sent, 2 found" in bench.told[-1].text


def test_other_family_finds_the_same_blob() -> None:
    """An image of OCI's media types uses the layers that one of Docker's had sent."""
    bench = Bench()
    docker = bench.bake()
    oci = bench.bake(repository=OTHER, is_oci=True)
    assert [layer.blob.digest for layer in docker] == [layer.blob.digest for layer in oci]
    assert all(layer.blob.media_type.startswith("application/vnd.oci.image.layer") for layer in oci)
    assert all(layer.blob.media_type.startswith("application/vnd.docker.") for layer in docker)


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_wrong_bytes_get_no_entry(path: str) -> None:
    """A file that isn't what the Hub's digest says is one sentence, and its layer is found by nobody."""
    bench = Bench()
    bench.source.wrong = {path}
    with pytest.raises(HubFailed, match=r"the Hub lists") as caught:
        bench.bake(compress="gzip")
    assert path in caught.value.what
    bench.source.wrong = set()
    assert path in "".join(bench.source.reads)
    assert any(layer.was_sent for layer in bench.bake(compress="gzip"))


def test_shared_repository_that_refuses() -> None:
    """A shared repository that can't be written is a sentence that names the way out."""
    bench = Bench()
    bench.store.refused = {SHARED}
    with pytest.raises(LaneUnavailable, match="can't be written") as caught:
        bench.bake()
    assert "FACTORY_SHARED" in caught.value.fix


def test_refused_mounts_are_copied() -> None:
    """A registry without mounts gets the blob a second time, from the first."""
    bench = Bench()
    bench.store.may_mount = False
    layers = bench.bake()
    assert bench.unpack(layers)["models/main/config.json"] == b"{}"


def test_cut_uploads_begin_again() -> None:
    """An upload that was cut is made anew, with the same result."""
    bench, other = Bench(), Bench()
    bench.store.cuts = 2
    assert bench.bake(compress="gzip") == other.bake(compress="gzip")


def test_lost_blob_is_sent_again() -> None:
    """An entry whose blob the registry has lost is no layer: the file is sent again."""
    bench = Bench()
    for layer in bench.bake():
        del bench.registry.blobs[SHARED][layer.blob.digest]
    layers = bench.bake(repository=OTHER)
    assert all(layer.was_sent for layer in layers)


def test_what_had_arrived_is_found_after_a_failure() -> None:
    """A run that failed at one layer leaves the whole ones: the same command again reads only what is missing."""
    bench = Bench({"a.bin": NOISE, "b.bin": NOISE[::-1], "c.bin": NOISE[1:] + b"c"})
    bench.source.wrong = {"c.bin"}
    with pytest.raises(HubFailed):
        bench.bake(compress="gzip")
    bench.source.wrong = set()
    bench.source.reads.clear()
    layers = bench.bake(compress="gzip")
    assert [layer.was_sent for layer in layers] == [path in bench.source.reads for path in ("a.bin", "b.bin", "c.bin")]
    assert layers[-1].was_sent


def test_a_layer_whose_entry_was_refused_is_not_sent_again(tmp_path: Path) -> None:
    """A blob that arrived whole before the registry refused its entry is found by this machine's note."""
    bench = Bench(kept=Kept(tmp_path))
    sent = bench.bake(compress="gzip")
    for entry in [key for key in bench.registry.digests if ":weights-" in key]:
        del bench.registry.digests[entry]
    bench.source.reads.clear()
    found = bench.bake(compress="gzip")
    assert (found, bench.source.reads) == (tuple(replace(layer, was_sent=False) for layer in sent), [])
    other = Bench(bench.contents, bench.store)  # the entries are there now, for every machine
    assert other.bake(repository=OTHER, compress="gzip") == found


def test_one_file_in_two_models() -> None:
    """What two entries of a recipe have at one path with one digest is one layer; a file named twice is there once."""
    bench = Bench()
    twice = model(bench.contents)
    twice = replace(twice, files=twice.files * 2)
    assert len(bench.bake(twice, model(bench.contents))) == 2


def test_other_placements_stay_out() -> None:
    """Models that come to a volume are no layer."""
    bench = Bench()
    assert bench.bake(replace(model(bench.contents), placement="volume")) == ()


def test_many_tiny_files_are_one_layer() -> None:
    """Hundreds of small files make one layer."""
    bench = Bench({f"part-{i:03}/{i}.json": b"%d" % i for i in range(300)})
    (layer,) = bench.bake()
    assert len([v for v in bench.unpack((layer,)).values() if isinstance(v, bytes)]) == 300


def _hub_digest(content: bytes) -> str:
    if len(content) > 100_000:
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    return f"git-sha1:{hashlib.sha1(b'blob %d' % len(content) + bytes(1) + content, usedforsecurity=False).hexdigest()}"


@pytest.mark.parametrize(
    ("ratio", "gzip_pace", "uplink", "kind"),
    [
        (0.78, 300e6, None, "gzip"),
        (0.78, 300e6, 1e9, "none"),  # packing would take longer
        (0.95, 300e6, 12e6, "gzip"),
        (0.45, 300e6, 1e9, "gzip"),  # each pull saves half
        (1.0, 300e6, 12e6, "none"),
        (1.25, 300e6, None, "none"),
    ],
)
def test_auto_decides_by_sample_and_uplink(ratio: float, gzip_pace: float, uplink: float | None, kind: str) -> None:
    """gzip where it saves half or ends sooner; its reason names the figures and whether the uplink is known."""
    choice = decide(ratio, gzip_pace, uplink)
    assert choice.compression == kind
    assert ("known" if uplink else "assumed") in choice.why


def test_sizes_over_8_gib_and_long_paths() -> None:
    """A header holds a size that octal digits can't, and a name of any length."""
    path = f"models/main/{'x' * 300}"
    info = tarfile.TarInfo.frombuf(tars.entry(path, 0o644, 69 << 30, "file")[-512:], "utf-8", "strict")
    assert info.size == 69 << 30


def test_many_large_files_share_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """More large files than an image has layers for come together, and none is lost."""
    monkeypatch.setattr(packing, "LARGE_BYTES", 10)
    monkeypatch.setattr(packing, "PACK_BYTES", 20)
    some = model({f"{i:03}.bin": b"0123456789" for i in range(200)})
    found = packing.parcels([some])
    assert len(found) <= packing.MOST_LAYERS
    assert sorted(weight.file.path for parcel in found for weight in parcel.weights) == [f.path for f in some.files]
