"""The context's tar stream: deterministic, sniffed as a tar, constant in memory, and with room for the machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.clients.docker_context import CACHE_MOUNT, context_tar, machine_files, without_machine
from factory.errors import BuildError
from factory.oci.tars import MTIME_S
from factory.records import BaseImage, BuildOptions, Context, ContextFile

names = st.text("abcdefghij-_.", min_size=1, max_size=120).filter(lambda name: name.strip(".") != "")
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def file_of(path: str, content: bytes = b"", mode: int = 0o644, source: Path | None = None) -> ContextFile:
    """Make a file of a context; with `source` its bytes lie there."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return ContextFile(path, mode, digest, len(content), None if source else content, source)


def context_of(*files: ContextFile) -> Context:
    """Make a context."""
    return Context("demo", "factory/demo", files, BaseImage("scratch"), "0" * 64)


def members(stream: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Read a tar back, in order."""
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        return {m.name: (m, (tar.extractfile(m) or io.BytesIO()).read() if m.isfile() else b"") for m in tar}


def test_the_dockerfile_is_first_and_nothing_is_of_this_machine() -> None:
    """Dockerfile first, the rest sorted with its folders; owner 0, one fixed time, modes kept."""
    files = [file_of("b/x", b"1", 0o755), file_of("Dockerfile", b"FROM scratch\n"), file_of("a", b"2")]
    found = members(b"".join(context_tar(context_of(*files))))
    assert list(found) == ["Dockerfile", ".machine", ".machine/env", "a", "b", "b/x"]
    for info, _ in found.values():
        assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", MTIME_S)
    assert found["b/x"][0].mode == 0o755 and found["b"][0].isdir()


@given(st.dictionaries(paths, st.binary(max_size=2000), max_size=6), st.randoms())
def test_same_files_same_bytes(contents: dict[str, bytes], shuffle: object) -> None:
    """The order in which files are given changes no byte, and each comes back as it was, long names too."""
    folders = {"/".join(path.split("/")[:n]) for path in contents for n in range(1, path.count("/") + 1)}
    contents = {path: content for path, content in contents.items() if path not in folders}
    files = [file_of(path, content) for path, content in {**contents, "Dockerfile": b"FROM scratch\n"}.items()]
    first = b"".join(context_tar(context_of(*files)))
    shuffle.shuffle(files)  # type: ignore[attr-defined]
    assert b"".join(context_tar(context_of(*files))) == first
    assert first[:10] == b"Dockerfile" and len(first) % 512 == 0 and b"PaxHeader" not in first
    found = members(first)
    assert {path: found[path][1] for path in contents} == contents


def test_large_files_are_streamed(tmp_path: Path) -> None:
    """Weights go from the disk to the engine in pieces: 64 MB take no 8 MB of memory."""
    source = tmp_path / "weights"
    with source.open("wb") as file:
        file.truncate(64_000_000)
    weights = ContextFile("models/m/w", 0o644, "sha256:x", 64_000_000, source=source)
    context = context_of(file_of("Dockerfile"), weights)
    tracemalloc.start()
    sent_bytes = sum(len(chunk) for chunk in context_tar(context))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent_bytes > 64_000_000 and peak_bytes < 8_000_000


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    """A source that is not as long as the context says, or is gone, ends the stream with its name."""
    source = tmp_path / "weights"
    source.write_bytes(b"four")
    context = context_of(ContextFile("w", 0o644, "sha256:x", 5, source=source))
    with pytest.raises(BuildError, match=r"has 4 bytes, not 5: it changed") as caught:
        b"".join(context_tar(context))
    assert caught.value.where == str(source)
    source.unlink()
    with pytest.raises(BuildError, match="can't be read"):
        b"".join(context_tar(context))


def test_what_the_machine_adds_replaces_the_empty_file(tmp_path: Path) -> None:
    """A CA travels below .machine/, in place of the empty file that every context has there."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    context = context_of(file_of("Dockerfile"), file_of(".machine/env"))
    plain = members(b"".join(context_tar(context, machine_files(BuildOptions()))))
    assert plain[".machine/env"][1] == b"" and ".machine/ca.pem" not in plain
    trusting = members(b"".join(context_tar(context, machine_files(BuildOptions(ca_file=bundle)))))
    assert trusting[".machine/ca.pem"][1] == bundle.read_bytes()
    assert b"PIP_CERT" in trusting[".machine/env"][1]


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """The CA is named when it can't be read."""
    with pytest.raises(BuildError, match="the CA file can't be read") as caught:
        machine_files(BuildOptions(ca_file=tmp_path / "none.pem"))
    assert caught.value.where.endswith("none.pem")


MOUNT = "--mount=type=bind,source=.machine,target=/run/machine"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (f"RUN {MOUNT} . /run/machine/env && pip install six\n", "RUN pip install six\n"),
        (f'RUN {MOUNT} ["/bin/sh", "-ec", ". /run/machine/env; make"]\n', 'RUN ["/bin/sh", "-ec", "make"]\n'),
        (f"RUN {MOUNT} \\\n . /run/machine/env \\\n && true\n", None),
        (f"RUN {MOUNT} {CACHE_MOUNT} . /run/machine/env && true\n", "RUN true\n"),
        ("RUN --mount=type=cache,target=/x true\n", "RUN --mount=type=cache,target=/x true\n"),
    ],
)
def test_the_classic_builder_gets_no_mount(given: str, plain: str | None) -> None:
    """Our mounts and what is read from them go; another mount stays, and the classic builder says that it can't."""
    found = without_machine(given)
    assert MOUNT not in found
    if plain is not None:
        assert found == plain
        dockerfile = file_of("Dockerfile", given.encode())
        stream = b"".join(context_tar(context_of(dockerfile), is_classic=True))
        assert members(stream)["Dockerfile"][1] == plain.encode()
