"""Volumes on this machine's disk: a file system of their true size where it can be mounted, else plain folders."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory.emulator.runpod import disks as module
from factory.emulator.runpod.disks import (
    FILLER,
    OWNER,
    SCRATCH_PREFIX,
    DiskProblem,
    Disks,
    is_attached,
    is_mounted,
    run_program,
    why_no_loop,
)
from factory.emulator.runpod.entities import Volume

pytestmark = pytest.mark.anyio


@pytest.fixture
async def disks(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Disks]:
    """The best that this machine can do."""
    made = Disks(tmp_path / "volumes")
    yield made
    await made.close()


def volume(size_gb: int = 10) -> Volume:
    """Return a volume."""
    return Volume("vol1", "weights", size_gb, "EU-RO-1")


async def test_the_machine_decides_and_is_asked(disks: Disks, tmp_path: Path) -> None:
    """Either the folder is a mount of the volume's size, or `limit_problem` says why it isn't."""
    folder = await disks.mounted(volume())
    assert bool(disks.limit_problem) != is_mounted(folder)
    assert disks.limit_problem == why_no_loop(tmp_path)
    if is_mounted(folder):
        assert shutil.disk_usage(folder).total == pytest.approx(10e9, rel=0.01)
        assert (tmp_path / "volumes" / "vol1.img").stat().st_blocks * 512 < 100e6, "it takes only what is written"


async def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's engine takes a relative path for a volume's name, so it must never see one."""
    monkeypatch.chdir(tmp_path)
    disks = Disks(Path("volumes"), may_mount=False)
    assert await disks.mounted(volume()) == tmp_path / "volumes" / "vol1"
    await disks.close()


async def test_content_outlives_the_emulator(disks: Disks, tmp_path: Path) -> None:
    """Unmounted at the end, mounted again by the next emulator; a new volume is empty."""
    folder = await disks.mounted(volume())
    assert list(folder.iterdir()) == []
    (folder / "x").write_text("kept")
    await disks.close()
    assert not is_mounted(folder)
    again = Disks(tmp_path / "volumes")
    assert again.known() == {"vol1"}
    assert (await again.mounted(volume()) / "x").read_text() == "kept"
    await again.close()


async def test_a_killed_emulators_mount_is_taken_over(disks: Disks, tmp_path: Path) -> None:
    """What is mounted already, with a trouble's filler in it, is used as it is and emptied."""
    folder = await disks.mounted(volume())
    (folder / "x").write_text("kept")
    await disks.care(volume(), is_full=True, is_used=False)
    successor = Disks(tmp_path / "volumes")
    assert (await successor.mounted(volume()) / "x").read_text() == "kept"
    assert not (folder / FILLER).exists()
    await successor.close()
    assert not is_mounted(folder)


async def test_a_full_volume_says_so(disks: Disks) -> None:
    """The trouble takes every byte: a write meets ENOSPC; afterwards there is room again."""
    folder = await disks.mounted(volume())
    await disks.care(volume(), is_full=True, is_used=True)
    if is_mounted(folder):
        with pytest.raises(OSError) as caught:
            (folder / "y").write_bytes(b"1" * 100_000)
        assert caught.value.errno == errno.ENOSPC
    else:
        (folder / "y").write_bytes(b"1" * 100_000)  # a plain folder can't be full, and the log has said so
    assert not disks.needs_care(volume(), is_full=True)
    await disks.care(volume(), is_full=False, is_used=True)
    (folder / "y").write_bytes(b"1" * 100_000)


async def test_a_volume_grows_with_its_content(disks: Disks) -> None:
    """In place where the kernel can; else when no worker uses it, and until then it keeps its size."""
    folder = await disks.mounted(volume())
    (folder / "x").write_text("kept")
    bigger = volume(20)
    assert disks.needs_care(bigger, is_full=False)
    await disks.care(bigger, is_full=False, is_used=True)
    if is_mounted(folder) and disks.needs_care(bigger, is_full=False):
        assert shutil.disk_usage(folder).total == pytest.approx(10e9, rel=0.01)
        await disks.care(bigger, is_full=False, is_used=True)  # asked again and again, it waits
        await disks.care(bigger, is_full=False, is_used=False)
    assert not disks.needs_care(bigger, is_full=False)
    if is_mounted(folder):
        assert shutil.disk_usage(folder).total == pytest.approx(20e9, rel=0.01)
    assert (folder / "x").read_text() == "kept"


async def test_growth_waits_for_who_still_has_a_file_open(disks: Disks) -> None:
    """A process that nobody knows of keeps the file system: it is never resized under it."""
    folder = await disks.mounted(volume())
    with (folder / "x").open("w") as held:
        await disks.care(volume(20), is_full=False, is_used=False)
        held.write("still here")
    await disks.care(volume(20), is_full=False, is_used=False)
    assert (folder / "x").read_text() == "still here"
    assert not disks.needs_care(volume(20), is_full=False)


async def test_a_removed_volume_leaves_nothing(disks: Disks, tmp_path: Path) -> None:
    """Mount, file and folder go."""
    folder = await disks.mounted(volume())
    image = tmp_path / "volumes" / "vol1.img"
    was_mounted = is_mounted(folder)
    await disks.remove("vol1")
    assert os.listdir(tmp_path / "volumes") == []  # noqa: PTH208 - a name list is what is meant
    assert disks.known() == set()
    assert not was_mounted or not is_attached(image)


async def test_what_a_killed_emulator_left_is_removed(anyio_backend: str, ended_owner: str, tmp_path: Path) -> None:
    """Scratch folders whose emulator is gone are unmounted and removed; those of a living one stay."""
    dead = Disks(tmp_path / f"{SCRATCH_PREFIX}dead")
    living = Disks(tmp_path / f"{SCRATCH_PREFIX}living")
    for made in (dead, living):
        await made.sweep()
        await made.mounted(volume())
    (tmp_path / f"{SCRATCH_PREFIX}dead" / OWNER).write_text(ended_owner)
    successor = Disks(tmp_path / f"{SCRATCH_PREFIX}next")
    await successor.sweep()
    found = sorted(os.listdir(tmp_path))  # noqa: PTH208
    assert found == [f"{SCRATCH_PREFIX}living", f"{SCRATCH_PREFIX}next"]
    assert (await living.mounted(volume())).is_dir()
    await living.close()


async def test_plain_folders_on_demand(tmp_path: Path) -> None:
    """Where nothing may be mounted a volume is a folder, kept, grown and removed all the same."""
    plain = Disks(tmp_path, may_mount=False)
    folder = await plain.mounted(volume())
    (folder / "x").write_text("kept")
    assert plain.limit_problem == "plain folders were asked for" and not is_mounted(folder)
    await plain.care(volume(20), is_full=True, is_used=False)
    assert not plain.needs_care(volume(20), is_full=True)
    await plain.close()
    # What an emulator kept as a folder stays one, also where the next could mount: the content is not hidden.
    later = Disks(tmp_path)
    assert (await later.mounted(volume()) / "x").read_text() == "kept"
    await later.remove("vol1")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("is_root", "paths", "says"),
    [
        (False, module.SBIN, "only root can mount a file system"),
        (True, (), "mkfs.ext4, e2fsck, resize2fs, losetup, mount, umount missing (Debian: e2fsprogs, mount)"),
    ],
)
def test_why_sizes_are_not_enforced(
    is_root: bool, paths: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reason is one that a person can do something about."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    monkeypatch.setattr(module, "SBIN", paths)
    assert why_no_loop(tmp_path) == says


def test_a_program_that_fails_speaks(tmp_path: Path) -> None:
    """The problem has the program's name and its last line."""
    (tmp_path / "no.img").write_bytes(b"0" * 100_000)
    if shutil.which("e2fsck", path=":".join(module.SBIN)) is None:
        with pytest.raises(DiskProblem, match="e2fsck is not installed"):
            run_program("e2fsck", "-p", str(tmp_path / "no.img"))
        return
    with pytest.raises(DiskProblem, match="e2fsck: "):
        run_program("e2fsck", "-p", str(tmp_path / "no.img"))
