"""The base image: the official one where Docker Hub answers, else a stand-in made of Debian's packages.

The stand-in has Debian bookworm's own Python 3.11 (as `python3` and `python`), venv and CA certificates, as
`python:3.11-slim-bookworm` would; it lies in the loopback registry, so that it can be pinned by digest.
"""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request

from private_engine import debian, dockerd, registry
from private_engine.layout import CHECKOUT, Refusal, State, say

OFFICIAL = "python:3.11-slim-bookworm"
REPOSITORY, TAG = "factory-stand-in/python", "3.11-bookworm"
TAR = CHECKOUT / ".factory" / "stand-in" / "python-3.11-bookworm.tar"
DOCKER_HUB = "https://registry-1.docker.io/v2/"

# usr-is-merged instead of usrmerge, which needs all of Perl: 122 MB instead of 171 MB (measured 2026-11-24).
PACKAGES = "usr-is-merged,python3,python3-venv,ca-certificates"
# Removed at the end: dpkg's path-exclude makes mmdebstrap filter each package, 7 s slower (measured 2026-11-24).
STRIP = 'cd "$1/usr/share" && rm -rf doc/* man/* locale/* info/* lintian/*'
OFFICIAL_NAME = 'ln -s python3 "$1/usr/bin/python"'


def find_or_make(state: State) -> None:
    """Fill in `state.stand_in`: empty when the official base can be had, else the stand-in's name, pushed.

    Raises Refusal when there is neither.
    """
    if state.stand_in and registry.has(state.registry, REPOSITORY, TAG):
        return
    if _can_pull_official(state):
        state.stand_in = ""
        return
    if not TAR.exists():
        debian.install(["mmdebstrap"], why="no image registry answers, and a stand-in base needs mmdebstrap")
        _make_tar()
    if not registry.has(state.registry, REPOSITORY, TAG):
        _import_and_push(state)
    state.stand_in = f"{REPOSITORY}:{TAG}"


def _can_pull_official(state: State) -> bool:
    if dockerd.docker(state, "image", "inspect", OFFICIAL).returncode == 0:
        return True
    if not _answers(DOCKER_HUB):
        return False
    say(f"pulling {OFFICIAL}")
    pulled = dockerd.docker(state, "pull", "--platform", "linux/amd64", OFFICIAL)
    if pulled.returncode != 0:
        say(f"{OFFICIAL} can't be pulled ({dockerd.complaint(pulled)})")
    return pulled.returncode == 0


def _answers(url: str) -> bool:
    """Does an HTTP server answer, whatever it says? Docker Hub says 401 to strangers."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own constant
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _make_tar() -> None:
    say("no image registry answers: making a stand-in base of Debian's packages (about 40 s, once)")
    TAR.parent.mkdir(parents=True, exist_ok=True)
    sources, unfinished = TAR.with_suffix(".list"), TAR.with_suffix(".part")
    sources.write_text("".join(f"deb {uri} {suite} main\n" for uri, suite in _sources()))
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", "--dpkgopt=force-unsafe-io",
         "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", *_apt_options(),
         f"--customize-hook={STRIP}", f"--customize-hook={OFFICIAL_NAME}",
         "--format=tar", "bookworm", str(unfinished), str(sources)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:"))]
        raise Refusal(f"mmdebstrap failed ({(errors or [done.stderr.strip()[-300:]])[0]}): mend the package sources")
    unfinished.rename(TAR)


def _sources() -> list[tuple[str, str]]:
    """Return (mirror, suite) of bookworm at the mirrors that this machine's own apt uses."""
    for is_second_look in (False, True):
        if is_second_look:
            debian.apt_get("update")
        uris = dict(line.split("|") for line in _apt("apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"))
        if "Debian" in uris:
            main = [(uris["Debian"], "bookworm"), (uris["Debian"], "bookworm-updates")]
            return main + ([(uris["Debian-Security"], "bookworm-security")] if "Debian-Security" in uris else [])
    raise Refusal(f"no image registry answers and this machine has no Debian mirror: `docker pull {OFFICIAL}` first")


def _apt_options() -> list[str]:
    """Return the proxy and validity settings of this machine's apt; mmdebstrap reads none of its configuration."""
    kept = ("::Proxy", "Check-Valid-Until", "Check-Date", "CaInfo")
    return [f"--aptopt={line}" for line in _apt("apt-config", "dump", "Acquire") if any(word in line for word in kept)]


def _apt(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()


def _import_and_push(state: State) -> None:
    name = f"{state.registry}/{REPOSITORY}:{TAG}"
    comment = "Stand-in for the official Python image, made of Debian packages by factory's scripts/engine"
    changes = ("--change", 'CMD ["python3"]', "--change", "ENV LANG=C.UTF-8", "--message", comment)
    for words in (("import", *changes, str(TAR), name), ("push", "--quiet", name)):
        done = dockerd.docker(state, *words)
        if done.returncode != 0:
            raise Refusal(f"docker {words[0]} of the stand-in base failed ({dockerd.complaint(done)}): see {TAR}")
