"""Network volumes on this machine's disk: a file system of the volume's real size where that can be, else a folder.

As root with loop devices, `ID.img` is a sparse file of the volume's size with ext4 in it, mounted at `ID/`: it takes
only what is written, and when it is full, workers get ENOSPC. Elsewhere `ID/` is a plain folder whose size nobody
limits; `limit_problem` says why. A volume that grows is grown while it is mounted, or, where the kernel forbids that
(no CAP_SYS_RESOURCE, as in many containers), as soon as no worker uses it. What a killed emulator left mounted is
taken over by the next one on the same folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import anyio.to_thread

from factory import owners
from factory.emulator.runpod.entities import Volume

GB = 1_000_000_000
BLOCK_BYTES = 4096
FILLER = ".emulator-filler"
SCRATCH_PREFIX = "runpod-volumes-"
"""How folders of volumes begin that end with their emulator."""
OWNER = ".owner"
PROGRAMS = ("mkfs.ext4", "e2fsck", "resize2fs", "losetup", "mount", "umount")
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
"""Where administrators' programs are: an ordinary user's PATH lacks half of it."""
# One inode per 64 kB (the default of 16 kB would take 1.6 % of the volume), none of it reserved for root, and no
# journal: it would take up to 1 GB, and e2fsck mends what a power cut leaves.
MKFS = (
    "-q",
    "-F",
    "-b",
    str(BLOCK_BYTES),
    "-m",
    "0",
    "-i",
    "65536",
    "-O",
    "^has_journal",
    "-E",
    "lazy_itable_init=1,nodiscard",
)
log = logging.getLogger(__name__)


class DiskProblem(Exception):
    """A volume's file system can't be made, mounted or grown; the text has the program's own words."""


class Disks:
    """The volumes' folders below one folder."""

    def __init__(self, folder: Path, *, may_mount: bool = True) -> None:
        """`may_mount` False: plain folders, whatever the machine can do.

        The folder is made absolute: an engine takes a relative path for the name of a volume of its own.
        """
        self._folder = folder = folder.resolve()
        self._may_mount = may_mount
        self._lock = asyncio.Lock()  # one program at a time works on file systems
        self._sizes: dict[str, int] = {}  # what is mounted, or a folder in use: its size in GB
        self._is_full: set[str] = set()
        self._waits_for_end: set[str] = set()  # grown once no worker uses it
        self._limit_problem: str | None = None
        self._lying = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()

    @property
    def limit_problem(self) -> str:
        """Why sizes are not enforced here; empty when they are, and until the first volume is mounted."""
        return self._limit_problem or ""

    def known(self) -> set[str]:
        """Return the ids of the volumes that are in use, or lie on the disk from an earlier run."""
        return self._lying | self._sizes.keys()

    async def sweep(self) -> None:
        """Say whose folder this is; beside a scratch folder, unmount and remove those of emulators that are gone."""
        async with self._lock:
            await anyio.to_thread.run_sync(self._sweep)

    async def mounted(self, volume: Volume) -> Path:
        """Return the folder with a volume's content, mounted. Raises DiskProblem, OSError."""
        async with self._lock:
            await anyio.to_thread.run_sync(self._mount, volume.id, volume.size_gb)
            return self._path(volume.id)

    def needs_care(self, volume: Volume, *, is_full: bool) -> bool:
        """Has a mounted volume grown, or must it be filled or emptied?"""
        size_gb = self._sizes.get(volume.id)
        return size_gb is not None and (size_gb < volume.size_gb or is_full != (volume.id in self._is_full))

    async def care(self, volume: Volume, *, is_full: bool, is_used: bool) -> None:
        """Grow a mounted volume, and fill it (a trouble) or empty it again. Raises DiskProblem, OSError."""
        async with self._lock:
            if not self.needs_care(volume, is_full=is_full):
                return
            if not (is_used and volume.id in self._waits_for_end):
                await anyio.to_thread.run_sync(self._grow, volume.id, volume.size_gb, is_used)
            await anyio.to_thread.run_sync(self._fill if is_full else self._empty, volume.id)

    async def remove(self, volume_id: str) -> None:
        """Remove a volume with all that it holds."""
        async with self._lock:
            await anyio.to_thread.run_sync(self._remove, volume_id)

    async def close(self) -> None:
        """Unmount everything; the content stays."""
        async with self._lock:
            for volume_id in list(self._sizes):
                await anyio.to_thread.run_sync(self._unmount, volume_id)
            self._sizes.clear()
            self._is_full.clear()

    # --- in threads --------------------------------------------------------------------------------------------------
    def _sweep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / OWNER).write_text(owners.me())
        if not self._folder.name.startswith(SCRATCH_PREFIX):
            return
        for owner in self._folder.parent.glob(f"{SCRATCH_PREFIX}*/{OWNER}"):
            if owners.is_gone(owner.read_text()):
                for path in owner.parent.iterdir():
                    if is_mounted(path):
                        unmount(path)
                shutil.rmtree(owner.parent, ignore_errors=True)

    def _mount(self, volume_id: str, size_gb: int) -> None:
        path, image = self._path(volume_id), self._image(volume_id)
        path.mkdir(parents=True, exist_ok=True)
        if volume_id not in self._sizes:
            if self._can_limit() and not is_mounted(path) and not (any(path.iterdir()) and not image.exists()):
                if not image.exists():
                    make_image(image, size_gb * GB)
                mount_image(image, path)
            self._empty(volume_id)  # of a killed emulator's trouble
            self._sizes[volume_id] = _fs_gb(image) if is_mounted(path) else size_gb

    def _can_limit(self) -> bool:
        if self._limit_problem is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._limit_problem = why_no_loop(self._folder) if self._may_mount else "plain folders were asked for"
            if self._limit_problem:
                log.warning("the size of volumes is not enforced: %s", self._limit_problem)
        return not self._limit_problem

    def _grow(self, volume_id: str, size_gb: int, is_used: bool) -> None:
        """Grow to `size_gb`: in place, else unmounted when no worker is on it, else later."""
        path, image = self._path(volume_id), self._image(volume_id)
        if self._sizes[volume_id] >= size_gb:
            return
        if is_mounted(path) and not self._grew(image, path, size_gb, is_used):
            if volume_id not in self._waits_for_end:
                log.warning("volume %s grows once nobody uses it: this kernel can't while it is mounted", volume_id)
            self._waits_for_end.add(volume_id)
            return
        self._waits_for_end.discard(volume_id)
        self._sizes[volume_id] = _fs_gb(image) if is_mounted(path) else size_gb

    def _grew(self, image: Path, path: Path, size_gb: int, is_used: bool) -> bool:
        os.truncate(image, whole_blocks(size_gb * GB))
        device = loop_device(image)
        run_program("losetup", "-c", device)
        with contextlib.suppress(DiskProblem):
            run_program("resize2fs", device)
            return True
        if is_used:
            return False
        try:
            run_program("umount", str(path))
        except DiskProblem:  # some process has a file open there
            return False
        is_free = not is_attached(image)  # a container that nobody knows of would keep it
        if is_free:
            grow_image(image)
        mount_image(image, path)
        return is_free

    def _fill(self, volume_id: str) -> None:
        """Take every free byte, as far as the volume has a file system of its own."""
        path = self._path(volume_id)
        self._is_full.add(volume_id)
        if not is_mounted(path):
            log.warning("volume %s can't be filled: %s", volume_id, self.limit_problem)
            return
        with (path / FILLER).open("ab") as filler:
            # In ever smaller steps: the last blocks go to the file's own map.
            step = shutil.disk_usage(path).free
            while step >= BLOCK_BYTES:
                try:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), step)
                except OSError:
                    step //= 2

    def _empty(self, volume_id: str) -> None:
        self._is_full.discard(volume_id)
        (self._path(volume_id) / FILLER).unlink(missing_ok=True)

    def _unmount(self, volume_id: str) -> None:
        self._empty(volume_id)
        if is_mounted(self._path(volume_id)):
            unmount(self._path(volume_id))

    def _remove(self, volume_id: str) -> None:
        self._unmount(volume_id)
        shutil.rmtree(self._path(volume_id), ignore_errors=True)
        self._image(volume_id).unlink(missing_ok=True)
        self._sizes.pop(volume_id, None)
        self._lying.discard(volume_id)

    def _path(self, volume_id: str) -> Path:
        return self._folder / volume_id

    def _image(self, volume_id: str) -> Path:
        return self._folder / f"{volume_id}.img"


# --- file systems in files -------------------------------------------------------------------------------------------
def why_no_loop(folder: Path) -> str:
    """Return why no file system in a file can be mounted below a folder; empty when it can. It is tried."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    missing = [name for name in PROGRAMS if shutil.which(name, path=":".join(SBIN)) is None]
    if missing:
        return f"{', '.join(missing)} missing (Debian: e2fsprogs, mount)"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".try-") as scratch:
        image, path = Path(scratch) / "try.img", Path(scratch) / "mount"
        path.mkdir()
        try:
            make_image(image, 4_000_000)
            mount_image(image, path)
            unmount(path)
        except (DiskProblem, OSError) as problem:
            return str(problem)
    return ""


def whole_blocks(size_bytes: int) -> int:
    """Round down to whole blocks."""
    return size_bytes // BLOCK_BYTES * BLOCK_BYTES


def make_image(image: Path, size_bytes: int) -> None:
    """Make a sparse file with an empty ext4 in it. Raises DiskProblem."""
    made = image.with_suffix(".new")
    with made.open("wb") as file:
        file.truncate(whole_blocks(size_bytes))
    run_program("mkfs.ext4", *MKFS, str(made))
    made.rename(image)  # a kill before this leaves no half-made volume


def grow_image(image: Path) -> None:
    """Let the unmounted ext4 in a file fill it. Raises DiskProblem."""
    run_program("e2fsck", "-f", "-p", str(image), allowed=(0, 1))
    run_program("resize2fs", str(image))


def mount_image(image: Path, path: Path) -> None:
    """Mount, after a check that mends what a power cut left. Raises DiskProblem.

    A file system that some process still holds is the same one again: a check under its feet would break it.
    """
    if is_attached(image):
        run_program("mount", "-o", "noatime", loop_device(image), str(path))
    else:
        run_program("e2fsck", "-p", str(image), allowed=(0, 1))
        run_program("mount", "-o", "loop,noatime,noinit_itable", str(image), str(path))
    with contextlib.suppress(OSError):
        (path / "lost+found").rmdir()  # RunPod's volumes have none


def unmount(path: Path) -> None:
    """Unmount; what still holds a file there keeps it, out of sight, until it ends. Raises DiskProblem."""
    try:
        run_program("umount", str(path))
    except DiskProblem:
        run_program("umount", "--lazy", str(path))


def loop_device(image: Path) -> str:
    """Return the device that a file is attached to. Raises DiskProblem."""
    listed = run_program("losetup", "--noheadings", "--output", "NAME", "--associated", str(image))
    if not listed.split():
        raise DiskProblem(f"{image} has no loop device")
    return listed.split()[0]


def is_attached(image: Path) -> bool:
    """Is a loop device still on the file?"""
    return bool(run_program("losetup", "--noheadings", "--output", "NAME", "--associated", str(image)).split())


def is_mounted(path: Path) -> bool:
    """Is something mounted there?"""
    return os.path.ismount(path)


def run_program(name: str, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Run one of PROGRAMS and return what it printed. Raises DiskProblem with its last line."""
    path = ":".join(SBIN)
    found = shutil.which(name, path=path)
    if found is None:
        raise DiskProblem(f"{name} is not installed")
    done = subprocess.run(
        [found, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, env={"PATH": path, "LC_ALL": "C"}
    )
    if done.returncode not in allowed:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DiskProblem(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def _fs_gb(image: Path) -> int:
    """Return the size of the ext4 in a file, from its superblock: after a growth cut short it is less than the file's.

    s_blocks_count_lo at 0x4, s_blocks_count_hi at 0x150 (kernel.org, "ext4: super block", read 2026-11-25).
    """
    with image.open("rb") as file:
        file.seek(1024)
        block = file.read(1024)
    blocks = int.from_bytes(block[0x4:0x8], "little") + (int.from_bytes(block[0x150:0x154], "little") << 32)
    return round(blocks * BLOCK_BYTES / GB)
