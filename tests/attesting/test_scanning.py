"""The leak scan of whole images: layer by layer, and the words around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from layered import FIRST, MadeImage

from factory.attesting.leaks import Searcher
from factory.attesting.scanning import LeakScan, read_allowed
from factory.errors import LeakFound
from factory.records import Image

SECRET = "planted-value-of-a-secret"
NAME = "acme/demo:1"


def scan(home: Path, allowed: tuple[str, ...] = ()) -> LeakScan:
    """Look for one secret."""
    return LeakScan(Searcher({"MY_SECRET": SECRET}), home, allowed)


def saved(*layers: tuple[str, Mapping[str, bytes]], labels: Mapping[str, str] | None = None) -> FakeEngine:
    """Return an engine that has an image, a base below its layers."""
    base = ("ADD base", {"etc/base.conf": SECRET.encode()})
    return FakeEngine(saved={NAME: (MadeImage([base, (FIRST, {}), *layers], labels or {}).saved(is_new=False),)})


def image(name: str = "a") -> Image:
    """Return an image as the engine tells it."""
    return Image(NAME, "sha256:" + name * 64, 1, was_built=True)


def test_a_file_that_a_later_layer_deletes_is_found(tmp_path: Path) -> None:
    """Each layer is read by itself: the whiteout above hides nothing, and the step is named, never the value."""
    engine = saved(("RUN make", {"root/key": SECRET.encode()}), ("RUN rm /root/key", {"root/.wh.key": b""}))
    with pytest.raises(LeakFound, match=r"the value of MY_SECRET in root/key, line 1 \(RUN make") as caught:
        scan(tmp_path).demand_clean_image(image(), engine)
    assert SECRET not in str(caught.value.as_record())


def test_labels_and_history_are_read(tmp_path: Path) -> None:
    """A secret in a label, or in the line that made a layer, is found."""
    with pytest.raises(LeakFound, match="labels"):
        scan(tmp_path).demand_clean_image(image(), saved(labels={"token": SECRET}))
    with pytest.raises(LeakFound, match="history, step"):
        scan(tmp_path).demand_clean_image(image(), saved((f"RUN login -p {SECRET}", {})))


def test_the_base_is_not_ours_and_a_clean_image_is_remembered(tmp_path: Path) -> None:
    """What came with the base image is let be; the second time nothing is read."""
    engine = saved(("RUN make", {"app/a.py": b"clean"}))
    scan(tmp_path).demand_clean_image(image(), engine)
    engine.saved[NAME] = (b"no tar at all",)
    scan(tmp_path).demand_clean_image(image(), engine)


def test_a_false_alarm_is_let_through_with_a_reason_but_no_real_value(tmp_path: Path) -> None:
    """`NAME.leaks-allowed` lets a path through; without a reason it is refused, and our own secrets never pass."""
    recipe = tmp_path / "demo.yaml"
    assert read_allowed(recipe) == ()
    allowed = tmp_path / "demo.leaks-allowed"
    allowed.write_text("# false alarms\n/opt/demo/*.pem  # a key of its documentation\n")
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" + b"\n"
    engine = saved(("RUN make", {"opt/demo/a.pem": key}))
    with pytest.raises(LeakFound, match="a private key"):
        scan(tmp_path).demand_clean_image(image(), engine)
    scan(tmp_path, read_allowed(recipe)).demand_clean_image(image(), engine)
    with pytest.raises(LeakFound):
        engine = saved(("RUN make", {"opt/demo/a.pem": SECRET.encode()}))
        scan(tmp_path, read_allowed(recipe)).demand_clean_image(image("b"), engine)
    allowed.write_text("/opt/demo/*.pem\n")
    with pytest.raises(LeakFound, match="no reason"):
        read_allowed(recipe)
