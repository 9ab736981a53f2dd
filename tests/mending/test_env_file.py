"""An id in an environment file: the value changes, nothing else does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SettingsError
from factory.mending.env_file import check, rewrite, with_value

KEY = "RUNPOD_ENDPOINT_ID"
CASES = {
    "plain": (b"RUNPOD_ENDPOINT_ID=old\n", b"RUNPOD_ENDPOINT_ID=new\n"),
    "no line end": (b"A=1\nRUNPOD_ENDPOINT_ID=old", b"A=1\nRUNPOD_ENDPOINT_ID=new"),
    "windows": (b"A=1\r\nRUNPOD_ENDPOINT_ID=old\r\nB=2\r\n", b"A=1\r\nRUNPOD_ENDPOINT_ID=new\r\nB=2\r\n"),
    "export": (b"export RUNPOD_ENDPOINT_ID=old\n", b"export RUNPOD_ENDPOINT_ID=new\n"),
    "double quotes": (b'RUNPOD_ENDPOINT_ID="old"\n', b'RUNPOD_ENDPOINT_ID="new"\n'),
    "single quotes": (b"RUNPOD_ENDPOINT_ID='o l d'\n", b"RUNPOD_ENDPOINT_ID='new'\n"),
    "blanks": (b"  RUNPOD_ENDPOINT_ID = old  \n", b"  RUNPOD_ENDPOINT_ID = new  \n"),
    "comment": (b"RUNPOD_ENDPOINT_ID=old  # mine\n", b"RUNPOD_ENDPOINT_ID=new  # mine\n"),
    "empty": (b"RUNPOD_ENDPOINT_ID=\nA=1\n", b"RUNPOD_ENDPOINT_ID=new\nA=1\n"),
    "blank value with a comment": (b"RUNPOD_ENDPOINT_ID= # none yet\n", b"RUNPOD_ENDPOINT_ID=new # none yet\n"),
    "several": (b"RUNPOD_ENDPOINT_ID=a\nRUNPOD_ENDPOINT_ID=b\n", b"RUNPOD_ENDPOINT_ID=new\nRUNPOD_ENDPOINT_ID=new\n"),
    "longer names": (
        b"MY_RUNPOD_ENDPOINT_ID=a\nRUNPOD_ENDPOINT_ID_2=b\nRUNPOD_ENDPOINT_ID=c\n",
        b"MY_RUNPOD_ENDPOINT_ID=a\nRUNPOD_ENDPOINT_ID_2=b\nRUNPOD_ENDPOINT_ID=new\n",
    ),
    "not UTF-8": (b"A=\xff\xfe\nRUNPOD_ENDPOINT_ID=old\n", b"A=\xff\xfe\nRUNPOD_ENDPOINT_ID=new\n"),
    "in a comment": (b"# RUNPOD_ENDPOINT_ID=old\n", None),
    "absent": (b"A=1\n", None),
    "empty file": (b"", None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_value_is_replaced(name: str) -> None:
    """In its quotes, before its comment."""
    before, after = CASES[name]
    assert with_value(before, KEY, "new") == after


@given(
    lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and b"\r" not in line)), at=st.data()
)
def test_every_other_byte_stays(lines: list[bytes], at: st.DataObject) -> None:
    """Whatever lies around the line."""
    others = [line for line in lines if KEY.encode() not in line]
    place = at.draw(st.integers(0, len(others)))
    before, after = others[:place], others[place:]
    old, new = (b"\n".join([*before, f"{KEY}={value}".encode(), *after]) for value in ("old", "new"))
    assert with_value(old, KEY, "new") == new
    assert with_value(new, KEY, "old") == old


def test_the_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    """What a link leads to is replaced, and nothing is left beside it."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "env", tmp_path / ".env"
    target.write_text("RUNPOD_ENDPOINT_ID=old\n")
    target.chmod(0o640)
    link.symlink_to(target)
    rewrite(link, KEY, "new")
    assert link.is_symlink() and target.read_text() == "RUNPOD_ENDPOINT_ID=new\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["env"]


def test_what_can_not_be_written_later_is_said_before(tmp_path: Path) -> None:
    """A missing file, a folder, a key that no line sets."""
    with pytest.raises(SettingsError, match="can't be read"):
        check(tmp_path / "none", KEY)
    with pytest.raises(SettingsError, match="can't be read"):
        check(tmp_path, KEY)
    (tmp_path / ".env").write_text("A=1\n")
    with pytest.raises(SettingsError, match="no line sets RUNPOD_ENDPOINT_ID"):
        check(tmp_path / ".env", KEY)
    assert (tmp_path / ".env").read_text() == "A=1\n"
