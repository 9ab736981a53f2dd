"""Runs while an image is built: packages into its environment, and byte code of what will be imported.

    python -B /opt/requirements/install.py REQUIREMENTS [--with FILE] [--locked FILE]

`--with` names what is installed already and must go together with REQUIREMENTS; `--locked` a requirements file with
every package and its hashes, installed in place of both.

Standard library only, for every Python an image may have. What it leaves depends on the packages alone: the same ones
give the same files, byte for byte, with the same times.

**uv installs** (a torch stack in 4.7 s instead of pip's 14 s, measured 2026-11-23), and is gone afterwards: it lies in
the engine's cache mount, else in a folder that is removed. What it downloads is unpacked beside the environment and
hard-linked into it: out of a mount nothing can be linked, and copying a torch stack's 1.3 GB takes as long as unpacking
it (7 s of a core on a busy machine, measured 2026-11-25). It gets pip's own configuration (index, find-links,
constraints), which it doesn't read. In an environment that sees the base image's packages pip installs, since uv takes
no notice of those and would bring torch again (uv 0.13.9, measured 2026-11-25).

**Byte code**: small distributions whole; of large ones what importing the listed packages loads, since most of torch,
transformers and diffusers is never imported. It is not checked at import (`unchecked-hash`), and has no times in it.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

# The wheel for linux/amd64, by its hash: every index that has this version has this file.
UV = "uv==0.13.9 --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19\n"
CACHE = "/mnt"  # where the engine mounts its cache, which keeps uv, in a folder that Debian has and leaves empty
SCRATCH = "/opt/.packages"
FIXED_TIME_S = 315532800  # 1980-01-01, as everything in the image
# Of a torch stack all but torch, transformers, diffusers, sympy, networkx, numpy and setuptools.
WHOLE_SOURCE_BYTES = 2_000_000
IMPORT_LIMIT_S = 240

# Modules that `import NAME` leaves to be loaded later, and that nearly every use of the package loads.
HIDDEN = {
    "torch": ("torch._dynamo", "torch.utils.data", "torch.profiler"),
    "transformers": (
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.processing_auto",
        "transformers.models.auto.tokenization_auto",
        "transformers.generation.utils",
        "transformers.pipelines.automatic_speech_recognition",
    ),
    "diffusers": (
        "diffusers.pipelines.auto_pipeline",
        "diffusers.pipelines.pipeline_utils",
        "diffusers.schedulers.scheduling_ddim",
        "diffusers.schedulers.scheduling_euler_discrete",
        "diffusers.schedulers.scheduling_flow_match_euler_discrete",
    ),
}

# Folders of which importing loads nearly all (torch 2.13, diffusers 0.42, sympy 1.14, measured 2026-11-25): compiled in
# another process ahead of the import, which else would have to wait for each file.
AHEAD = {
    "torch": (
        *(
            "",
            "_dynamo",
            "_dynamo/variables",
            "_higher_order_ops",
            "_prims",
            "_refs",
            "_subclasses",
            "ao/nn",
            "autograd",
        ),
        *(
            "distributed",
            "distributed/fsdp",
            "distributed/tensor",
            "distributions",
            "fx",
            "fx/passes",
            "nn",
            "nn/modules",
        ),
        *("optim", "testing", "utils/_sympy", "utils/data"),
    ),
    "sympy": (
        *(
            "core",
            "functions/elementary",
            "functions/special",
            "functions/combinatorial",
            "geometry",
            "matrices/expressions",
        ),
        *("ntheory", "polys", "polys/matrices", "series", "sets", "simplify", "solvers", "solvers/ode"),
    ),
    "transformers": ("generation", "models/auto", "quantizers"),
    "diffusers": ("hooks", "loaders", "models", "models/autoencoders", "models/transformers", "models/unets"),
    "numpy": ("_core", "lib", "linalg"),
}


# --- packages --------------------------------------------------------------------------------------------------------
def install(requirements: list[str], must_hash: bool) -> None:
    """Install requirements files into the environment of this Python. Ends the program as the installer ends."""
    common = [word for path in requirements for word in ("--requirement", path)]
    common += ["--require-hashes"] if must_hash else []
    if sees_base_packages():
        pip = ["--no-cache-dir", "--no-compile", "--disable-pip-version-check", "--progress-bar", "off"]
        command, environment = [sys.executable, "-m", "pip", "install", *pip, *common], dict(os.environ)
    else:
        settings = pip_settings()
        if name_an_index(requirements):
            settings.pop("index-url", None)
        environment = uv_environment(settings, SCRATCH)
        # pip takes the best version of all indexes together; image.pip was written for that.
        uv = ["pip", "install", "--python", sys.executable, "--index-strategy", "unsafe-best-match"]
        command = [find_uv(CACHE if is_mounted(CACHE) else SCRATCH), *uv, "--no-progress", *common]
    done = subprocess.run(command, env=environment)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    if done.returncode:
        sys.exit(done.returncode)


def name_an_index(requirements: list[str]) -> bool:
    """Do requirements files name the index themselves? To pip that goes before its settings, to uv after them."""
    for path in requirements:
        with open(path, encoding="utf-8") as file:
            if re.search(r"^\s*(--index-url|-i)[\s=]", file.read(), re.MULTILINE):
                return True
    return False


def sees_base_packages() -> bool:
    """Is this the environment of an image whose base brings packages of its own?"""
    with open(os.path.join(sys.prefix, "pyvenv.cfg"), encoding="utf-8") as file:
        return bool(re.search(r"^include-system-site-packages\s*=\s*true", file.read(), re.IGNORECASE | re.MULTILINE))


def is_mounted(folder: str) -> bool:
    """Has the engine mounted something there?"""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        return any(line.split()[1] == folder for line in file)


def find_uv(cache: str) -> str:
    """Return uv's path in the cache, brought by pip when it isn't there: whole, or not at all."""
    home = os.path.join(cache, "uv-" + re.sub(r"\W+", "-", UV.split()[0] + UV[-17:].strip()))
    if not os.path.exists(home):
        os.makedirs(cache, exist_ok=True)
        arrived = tempfile.mkdtemp(prefix="uv.", dir=cache)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pin:
            pin.write(UV)
            pin.flush()
            quiet = ["--quiet", "--no-cache-dir", "--no-compile", "--disable-pip-version-check"]
            pip = [sys.executable, "-m", "pip", "install", *quiet, "--require-hashes", "--no-deps"]
            done = subprocess.run([*pip, "--target", arrived, "--requirement", pin.name])
        if done.returncode:
            shutil.rmtree(arrived, ignore_errors=True)
            sys.exit(done.returncode)
        try:
            os.rename(arrived, home)
        except OSError:  # another build was quicker
            shutil.rmtree(arrived, ignore_errors=True)
    return os.path.join(home, "bin", "uv")


def pip_settings() -> dict[str, str]:
    """Return what pip has been told by its configuration files and the environment: `index-url` → value."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in told.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in found and value:
            found[section][name] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def uv_environment(pip: dict[str, str], cache: str) -> dict[str, str]:
    """Return the environment for uv: pip's settings in uv's words; in it, since an index's URL may hold a password."""
    environment = {
        **os.environ,
        "UV_CACHE_DIR": os.path.join(cache, "packages"),
        "UV_LINK_MODE": "hardlink",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_HTTP_TIMEOUT": "120",
    }
    if "SSL_CERT_FILE" not in environment:
        if "cert" in pip:
            environment["SSL_CERT_FILE"] = pip["cert"]
        elif os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
            environment["UV_SYSTEM_CERTS"] = "1"
    words = {"extra-index-url": "UV_INDEX", "constraint": "UV_CONSTRAINT", "trusted-host": "UV_INSECURE_HOST"}
    environment.update({name: " ".join(pip[key].split()) for key, name in words.items() if key in pip})
    if "index-url" in pip:
        environment["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "find-links" in pip:
        environment["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        environment["UV_NO_INDEX"] = "1"
    if "proxy" in pip:
        environment["ALL_PROXY"] = pip["proxy"]
    return environment


def drop_tests(new: list[importlib.metadata.Distribution]) -> None:
    """Remove the tests that packages carry inside themselves (7 MB of numpy's 50): a worker runs none."""
    for each in new:
        parts = [file.parts for file in each.files or () if "tests" in file.parts[1:-1] and ".." not in file.parts]
        for folder in {found[: found.index("tests", 1) + 1] for found in parts}:
            shutil.rmtree(str(each.locate_file(os.path.join(*folder))), ignore_errors=True)


# --- byte code -------------------------------------------------------------------------------------------------------
def distributions() -> dict[str, importlib.metadata.Distribution]:
    """Return the distributions of this environment by the names of their folders."""
    site = sysconfig.get_path("purelib")
    sites = {site, sysconfig.get_path("platlib")}
    found = {}
    for each in importlib.metadata.distributions(path=sorted(sites)):
        if "Name" in each.metadata:  # a folder that is left of a package that was removed has none
            found[f"{each.metadata['Name']}-{each.version}".lower()] = each
    return found


def sources(distribution: importlib.metadata.Distribution) -> list[tuple[str, int]]:
    """Return a distribution's Python files with their sizes, tests left out, in order."""
    found = []
    for file in distribution.files or ():
        if file.suffix == ".py" and not {"test", "tests", ".."} & set(file.parts[:-1]):
            path = os.path.normpath(str(distribution.locate_file(file)))
            if os.path.isfile(path):
                found.append((path, os.path.getsize(path)))
    return sorted(found)


def sources_ahead(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return those of a large distribution's files that will be imported for certain."""
    name = normal(distribution.metadata["Name"])
    folders = {os.path.normpath(str(distribution.locate_file(f"{name}/{folder}"))) for folder in AHEAD.get(name, ())}
    return [path for path, _ in sources(distribution) if os.path.dirname(path) in folders] if folders else []


def modules(distribution: importlib.metadata.Distribution, is_listed: bool) -> list[str]:
    """Return what to import of a distribution: its top-level modules when it is listed, and what those hide."""
    names = set()
    for file in distribution.files or ():
        head = file.parts[0]
        name = head.split(".")[0] if len(file.parts) == 1 and head.endswith((".py", ".so")) else head
        if name.isidentifier() and (len(file.parts) > 1 or head != name) and not name.startswith("_"):
            names.add(name)
    return [module for name in sorted(names) for module in ([name] if is_listed else []) + [*HIDDEN.get(name, ())]]


def compile_source(path: str) -> None:
    """Write one file's byte code; a file that is no valid Python for this version has none, as pip has it too."""
    try:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(path, doraise=True, quiet=2, invalidation_mode=mode)
    except (OSError, ValueError, SyntaxError, RecursionError, py_compile.PyCompileError):
        pass


def compile_imported(names: list[str]) -> None:
    """Import modules, and compile each file of the environment just before it is loaded.

    Another process compiles, so that what was loaded before has no influence on the bytes. A module that can't be
    imported here (no GPU, a library that a later step brings) costs nothing but its byte code.
    """
    site, told = sys.prefix + os.sep, os.fdopen(os.dup(2), "w")
    for stream in (1, 2):  # packages have much to say of what this machine lacks
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    load = importlib.machinery.SourceFileLoader.get_code
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        started = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
        # What .pth files load at every start is loaded here already; this also starts the process, before `get_code`.
        list(pool.map(compile_source, ["", *(path for path in started if path.startswith(site))]))

        def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> object:
            path = loader.get_filename(name)
            if path.startswith(site) and not os.path.exists(importlib.util.cache_from_source(path)):
                pool.submit(compile_source, path).result()
            return load(loader, name)

        importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException as problem:
                told.write(f"not compiled, since it can't be imported here: {name} ({type(problem).__name__})\n")
        importlib.machinery.SourceFileLoader.get_code = load  # type: ignore[method-assign]


def compile_new(new: list[importlib.metadata.Distribution], listed: set[str]) -> None:
    """Compile the new distributions: small ones whole, large ones as far as the listed packages import them."""
    files = [sources(each) for each in new]
    small = [path for each in files if sum(size for _, size in each) < WHOLE_SOURCE_BYTES for path, _ in each]
    ahead = [path for each in new for path in sources_ahead(each)]
    names = [name for each in new for name in modules(each, normal(each.metadata["Name"]) in listed)]
    home = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home, "CUDA_VISIBLE_DEVICES": ""}
    importer = subprocess.Popen(
        [sys.executable, "-B", os.path.abspath(__file__), "--import", *names], cwd="/", env=environment
    )
    with concurrent.futures.ProcessPoolExecutor(max(1, (os.cpu_count() or 1) - 1)) as pool:
        list(pool.map(compile_source, [*ahead, *small], chunksize=4))
    try:
        importer.wait(IMPORT_LIMIT_S)
    except subprocess.TimeoutExpired:
        importer.kill()
        importer.wait()
    shutil.rmtree(home, ignore_errors=True)


def listed_names(*paths: str) -> set[str]:
    """Return the normal names of the packages that requirements files list by name."""
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            heads = (re.match(r"\s*([A-Za-z0-9][\w.-]*)", line) for line in file)
            found |= {normal(head[1]) for head in heads if head}
    return found


def normal(name: str) -> str:
    """Return a package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fix_times(*folders: str) -> None:
    """Give everything below the folders one time; what has it already is of a lower layer, and isn't touched."""
    for folder in folders:
        for parent, names, files in os.walk(folder):
            for path in [parent, *(os.path.join(parent, name) for name in [*names, *files])]:
                if os.lstat(path).st_mtime != FIXED_TIME_S:
                    os.utime(path, (FIXED_TIME_S, FIXED_TIME_S), follow_symlinks=False)


def main(words: list[str]) -> None:
    """Install, compile, fix the times."""
    if words[:1] == ["--import"]:
        sys.path.pop(0)  # this file's folder
        compile_imported(words[1:])
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("requirements")
    parser.add_argument("--with", dest="beside")
    parser.add_argument("--locked")
    asked = parser.parse_args(words)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    before = distributions()
    files = [asked.locked] if asked.locked else [asked.requirements, *filter(None, [asked.beside])]
    install(files, must_hash=bool(asked.locked))
    new = [each for name, each in sorted(distributions().items()) if name not in before]
    drop_tests(new)
    compile_new(new, listed_names(asked.requirements))
    if os.path.exists(lock := os.path.join(sys.prefix, ".lock")):
        os.remove(lock)  # uv's
    fix_times(sys.prefix, os.path.dirname(os.path.abspath(__file__)))
    for folder in ("/opt", "/tmp"):
        os.utime(folder, (FIXED_TIME_S, FIXED_TIME_S))


if __name__ == "__main__":
    main(sys.argv[1:])
