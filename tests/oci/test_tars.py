"""Layers are deterministic tars that hold what COPY would have put there."""

from __future__ import annotations

import gzip
import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from factory.oci import media, tars

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1)
PATHS = (
    st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda path: len(path.encode()) < 400)
)


@given(st.dictionaries(PATHS, st.binary(max_size=1200), max_size=6))
def test_a_layer_holds_every_file_and_its_folders(files: dict[str, bytes]) -> None:
    """Every file comes back with content, owner, mode and time, after each folder above it."""
    names = {path for path in files if not any(other.startswith(path + "/") for other in files)}
    files = {path: content for path, content in files.items() if path in names}
    seen: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(tars.layer_tar(files))) as layer:
        for member in layer:
            assert set(tars.folders_above(member.name)) <= seen
            seen.add(member.name)
            assert (member.uid, member.gid, member.mtime) == (0, 0, tars.MTIME_S)
            if member.isdir():
                assert member.mode == 0o755
            else:
                stream = layer.extractfile(member)
                assert stream is not None
                assert (member.mode, stream.read()) == (0o644, files[member.name])
    assert seen >= set(files)


def test_a_file_over_8_gib_has_its_size() -> None:
    """Sizes that octal digits can't hold are read back as they were."""
    header = tars.entry("models/a/b", 0o644, 70 << 30, "file")
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 70 << 30


def test_gzip_has_no_date() -> None:
    """The same tar is the same blob, and any gunzip reads it."""
    content = tars.layer_tar({"app/a": b"x" * 5000})
    assert tars.gzipped(content) == tars.gzipped(content)
    assert tars.gzipped(content)[4:8] == b"\0\0\0\0"
    assert gzip.decompress(tars.gzipped(content)) == content


def test_media_types_follow_the_manifest() -> None:
    """An OCI manifest gets OCI layers, Docker's gets Docker's."""
    assert media.is_oci(media.OCI_MANIFEST) and not media.is_oci(media.DOCKER_MANIFEST)
    assert media.layer_type("gzip", oci=True) == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert media.layer_type("none", oci=False) == "application/vnd.docker.image.rootfs.diff.tar"
