"""Files in a job's result come to a folder: whole, under their own names, never over another or elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import RunError
from factory.results import file_places, keep_files


def file(content: bytes = b"video", name: str = "clip.mp4", **more: Any) -> dict[str, Any]:
    """Return a file as the worker runtime sends it in a result."""
    inside = {"base64": base64.b64encode(content).decode()}
    return {"name": name, "content_type": "video/mp4", "size_bytes": len(content), **inside, **more}


def no_fetch(url: str, path: Path) -> None:
    """Refuse: nothing is linked."""
    raise AssertionError(f"{url} should not be fetched")


def test_files_are_saved_and_named_in_the_output(tmp_path: Path) -> None:
    """Content leaves the output for the folder; what is no file stays as it was."""
    output = {"seed": 7, "videos": [file(), file(b"other")]}
    left, kept = keep_files(output, tmp_path / "out", no_fetch)
    assert [(k.place, k.path) for k in kept] == [
        ("videos.0", tmp_path / "out/clip.mp4"),
        ("videos.1", tmp_path / "out/clip-2.mp4"),
    ]
    assert (tmp_path / "out/clip-2.mp4").read_bytes() == b"other"
    assert isinstance(left, dict) and left["seed"] == 7
    assert "base64" not in left["videos"][0] and left["videos"][0]["saved_as"] == str(tmp_path / "out/clip.mp4")


def test_links_are_fetched_and_the_volume_is_named(tmp_path: Path) -> None:
    """A link is downloaded; a path on the volume stays there and is said."""

    def fetch(url: str, path: Path) -> None:
        path.write_bytes(url.encode())

    url = "https://bucket.example/a?sig=1"
    output = [
        {"name": "a.png", "size_bytes": len(url), "url": url},
        {"name": "b.png", "size_bytes": 3, "path": "/runpod-volume/outputs/j/b.png"},
    ]
    left, kept = keep_files(output, tmp_path, fetch)
    assert (tmp_path / "a.png").read_text() == url
    assert kept[1].path is None and "/runpod-volume/outputs/j/b.png" in kept[1].note
    assert isinstance(left, list) and "sig" not in str(left)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (file() | {"base64": "no base64!"}, "base64 is broken"),
        (file() | {"size_bytes": 99}, "5 bytes came, the result says 99"),
    ],
)
def test_what_did_not_come_whole_is_not_kept(tmp_path: Path, broken: dict[str, Any], sentence: str) -> None:
    """A broken content is one sentence, and nothing lies half-made in the folder."""
    with pytest.raises(RunError, match=sentence):
        keep_files(broken, tmp_path, no_fetch)
    assert list(tmp_path.iterdir()) == []


@given(name=st.text(max_size=300))
def test_no_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever a worker calls a file, it lands in the folder itself."""
    folder = tmp_path_factory.mktemp("out")
    _, kept = keep_files(file(name=name), folder, no_fetch)
    assert kept[0].path is not None and kept[0].path.parent == folder and kept[0].path.read_bytes() == b"video"


def test_places() -> None:
    """Files are found at any depth; plain objects with a name are none."""
    assert list(file_places({"a": [file()], "b": {"name": "x"}})) == ["a.0"]
    assert list(file_places(file())) == ["$"]
