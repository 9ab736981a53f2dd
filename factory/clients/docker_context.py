"""The build context as the engine gets it: one deterministic tar stream, and what the machine adds to it.

**What the machine adds** (a CA bundle, so far) must reach the RUN steps and leave no trace in the image. So every
Dockerfile writes each RUN step that may use the network as

    RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && COMMAND

and every context has an empty file `.machine/env` (part of the digest, always the same). When the options of a build
name a CA, the stream carries another `.machine/env` and `.machine/ca.pem` in its place: outside the digest, so the
tag stays. The mount is in no layer and in no history; an empty folder /run/machine is all that any image has of it,
CA or not (measured 2026-11-24, docker 20.10.24). `env` sets the variables by which pip, curl, git, requests and
OpenSSL find a CA, and trusts it *beside* the system's own bundle. Never `COPY . .` in a template.

Proxies go as predefined build arguments (http_proxy, https_proxy, no_proxy): the engine gives them to RUN steps and
writes them nowhere, credentials in them included.

**The engine's cache** for packages is a mount too, where the engine has BuildKit: `CACHE_MOUNT`, at /mnt, which Debian
has and leaves empty. templates/install.py does without where there is none.

The classic builder has no mounts: `without_machine` takes the phrases out again, and a CA is refused there,
since it could only be a layer. A build secret would be the other way, and needs a session, which docker-py has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from factory.errors import BuildError
from factory.oci import tars
from factory.records import BuildOptions, Context, ContextFile

MACHINE_FOLDER = ".machine"
MACHINE_MOUNT = "--mount=type=bind,source=.machine,target=/run/machine"
MACHINE_SOURCE = ". /run/machine/env"
CACHE_MOUNT = "--mount=type=cache,id=factory-packages,target=/mnt"

CHUNK_BYTES = 1 << 20

# /dev/shm is a tmpfs of the RUN step's own container: the joined bundle is in no layer.
CA_ENV = b"""cat /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /run/machine/ca.pem \
> /dev/shm/machine-ca.pem 2>/dev/null || :
export PIP_CERT=/dev/shm/machine-ca.pem SSL_CERT_FILE=/dev/shm/machine-ca.pem CURL_CA_BUNDLE=/dev/shm/machine-ca.pem
export REQUESTS_CA_BUNDLE=/dev/shm/machine-ca.pem GIT_SSL_CAINFO=/dev/shm/machine-ca.pem
export APT_CONFIG=/run/machine/apt.conf
"""
APT_CONF = b'Acquire::https::CAInfo "/dev/shm/machine-ca.pem";\n'


def machine_files(options: BuildOptions) -> dict[str, bytes]:
    """Return the files below `.machine/` for these options: an empty `env` when there is nothing to say.

    Raises BuildError when the CA file can't be read.
    """
    if options.ca_file is None:
        return {f"{MACHINE_FOLDER}/env": b""}
    try:
        bundle = options.ca_file.read_bytes()
    except OSError as error:
        raise BuildError(
            f"the CA file can't be read ({error.strerror})", where=str(options.ca_file), fix="name a PEM bundle"
        ) from error
    return {
        f"{MACHINE_FOLDER}/apt.conf": APT_CONF,
        f"{MACHINE_FOLDER}/ca.pem": bundle,
        f"{MACHINE_FOLDER}/env": CA_ENV,
    }


def without_machine(text: str) -> str:
    """Return a Dockerfile, or one of its commands, without our mounts and what is read from them.

    The classic builder refuses `RUN --mount`, and people who read a step need not know of it.
    """
    for mount in (CACHE_MOUNT, MACHINE_MOUNT):
        text = re.sub(re.escape(mount) + r"\s+", "", text)
    return re.sub(re.escape(MACHINE_SOURCE) + r"\s*(&&|;)\s*", "", text)


def context_tar(
    context: Context, machine: Mapping[str, bytes] | None = None, *, is_classic: bool = False
) -> Iterator[bytes]:
    """Yield the context as a tar stream: same context, same bytes, in constant memory.

    GNU format with whole-second times and the Dockerfile first: the engine sniffs the first entry, and takes a PAX
    header there for a Dockerfile (measured 2026-11-23, docker 20.10). `machine` (from `machine_files`) replaces what
    the context has below `.machine/`. Raises BuildError when a file of the context is no longer what it was.
    """
    files = {file.path: file for file in context.files}
    for path, content in (machine if machine is not None else {f"{MACHINE_FOLDER}/env": b""}).items():
        files[path] = ContextFile(path, 0o644, "", len(content), content=content)
    if is_classic and (dockerfile := files.get("Dockerfile")) and dockerfile.content is not None:
        content = without_machine(dockerfile.content.decode()).encode()
        files["Dockerfile"] = ContextFile("Dockerfile", dockerfile.mode, "", len(content), content=content)
    folders: set[str] = set()
    for path in sorted(files, key=lambda p: (p != "Dockerfile", p)):
        for folder in tars.folders_above(path):
            if folder not in folders:
                folders.add(folder)
                yield tars.entry(folder, 0o755, 0, "folder")
        yield tars.entry(path, files[path].mode & 0o777, files[path].size_bytes, "file")
        yield from _padded(files[path])
    yield tars.END


def _padded(file: ContextFile) -> Iterator[bytes]:
    sent_bytes = 0
    for chunk in _chunks(file):
        sent_bytes += len(chunk)
        yield chunk
    if sent_bytes != file.size_bytes:
        raise BuildError(
            f"the file has {sent_bytes:,} bytes, not {file.size_bytes:,}: it changed since the context was rendered",
            where=str(file.source or file.path),
            fix="run the command again",
        )
    yield tars.padding(sent_bytes)


def _chunks(file: ContextFile) -> Iterator[bytes]:
    if file.source is None:
        yield file.content or b""
        return
    try:
        with file.source.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise BuildError(
            f"the file can't be read ({error.strerror})", where=str(file.source), fix="put it back, or render again"
        ) from error
