"""templates/install.py, which runs in every build: pip's settings in uv's words, and byte code of what is imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from wheel_index import wheel

SCRIPT = Path(__file__).parents[2] / "templates" / "install.py"
UNCHECKED = 1  # PEP 552: hash-based, not checked at import


@pytest.fixture(scope="module")
def installer() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("installer", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it, not even pip."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def site(venv: Path) -> Path:
    """Return where its packages lie."""
    return next((venv / "lib").glob("python3.*")) / "site-packages"


def unpack(venv: Path, name: str, **modules: str) -> None:
    """Put a package there; `modules` are its files beside `__init__.py`."""
    from io import BytesIO
    from zipfile import ZipFile

    init = modules.pop("__init__", "")
    with ZipFile(BytesIO(wheel(name, "1", source=init))) as archive:
        archive.extractall(site(venv))
    for module, source in modules.items():
        (site(venv) / name / f"{module}.py").write_text(source)


def compiled(venv: Path, name: str) -> dict[str, int]:
    """Return the modules of a package that have byte code, with the flags of its header."""
    files = (site(venv) / name).rglob("*.pyc")
    return {file.name.split(".")[0]: int.from_bytes(file.read_bytes()[4:8], "little") for file in files}


def test_what_is_imported_is_compiled(venv: Path) -> None:
    """Byte code of what importing loads, unchecked; none of the rest, nor of what can't be imported here."""
    unpack(venv, "lazy", __init__="from lazy import used", used="import broken_here", unused="X = 1")
    unpack(venv, "whole", __init__="from whole import part", part="X = 1", other="X = 1")
    unpack(venv, "broken_here", __init__="raise SystemExit('no GPU')")
    python = venv / "bin" / "python"
    done = subprocess.run(
        [python, "-B", SCRIPT, "--import", "lazy", "whole", "gone"], capture_output=True, text=True, check=True
    )
    assert compiled(venv, "whole") == {"__init__": UNCHECKED, "part": UNCHECKED}
    assert compiled(venv, "lazy") == {"__init__": UNCHECKED, "used": UNCHECKED}
    assert "it can't be imported here: lazy (SystemExit)" in done.stderr
    assert "it can't be imported here: gone (ModuleNotFoundError)" in done.stderr
    assert compiled(venv, "broken_here") == {"__init__": UNCHECKED}


PIP_SAYS = {
    "index-url": "https://ada:pw@x.org/simple",
    "extra-index-url": "https://y.org/simple\n  https://z.org/simple",
    "find-links": "/wheels https://x.org/wheels",
    "constraint": "/etc/constraints.txt",
    "trusted-host": "x.org y.org",
    "no-index": "yes",
    "proxy": "http://p:1",
    "cert": "/ca.pem",
}
UV_HEARS = {
    "UV_DEFAULT_INDEX": "https://ada:pw@x.org/simple",
    "UV_INDEX": "https://y.org/simple https://z.org/simple",
    "UV_FIND_LINKS": "/wheels,https://x.org/wheels",
    "UV_CONSTRAINT": "/etc/constraints.txt",
    "UV_INSECURE_HOST": "x.org y.org",
    "UV_NO_INDEX": "1",
    "ALL_PROXY": "http://p:1",
    "SSL_CERT_FILE": "/ca.pem",
}


@pytest.mark.parametrize("name", UV_HEARS)
def test_uv_hears_what_pip_was_told(installer: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each setting of pip has its word in uv's environment; nothing is said that pip wasn't told."""
    for variable in UV_HEARS:
        monkeypatch.delenv(variable, raising=False)
    assert installer.uv_environment(PIP_SAYS, "/mnt")[name] == UV_HEARS[name]
    assert name not in installer.uv_environment({}, "/mnt")


def test_a_ca_of_the_machine_wins(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the building machine trusts goes before the base image's own pip.conf."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/shm/machine-ca.pem")
    assert installer.uv_environment(PIP_SAYS, "/mnt")["SSL_CERT_FILE"] == "/dev/shm/machine-ca.pem"


def test_pips_own_settings_are_read(installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration file, its section for `install` before `global`, and the environment before both."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.org\nproxy = http://p\n[install]\nindex-url = https://b.org\n"
        "extra-index-url =\n  https://c.org\n  https://d.org\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    found = installer.pip_settings()
    assert (found["index-url"], found["proxy"]) == ("https://b.org", "http://p")
    assert found["extra-index-url"].split() == ["https://c.org", "https://d.org"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://e.org")
    assert installer.pip_settings()["index-url"] == "https://e.org"


def test_listed_packages(installer: ModuleType, tmp_path: Path) -> None:
    """Names as PEP 503 has them; options and comments are none."""
    (tmp_path / "r.txt").write_text(
        "# why\nTorch_Audio==1\n--extra-index-url https://x.org\nsix[a]>=1\n\n x @ https://y\n"
    )
    assert installer.listed_names(str(tmp_path / "r.txt")) == {"torch-audio", "six", "x"}


def test_times_are_fixed(installer: ModuleType, tmp_path: Path) -> None:
    """Files, folders and links have one time; what has it is left alone."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    installer.fix_times(str(tmp_path))
    assert {path.lstat().st_mtime for path in [tmp_path, *tmp_path.rglob("*")]} == {installer.FIXED_TIME_S}
    changed = (tmp_path / "folder" / "file").stat().st_ctime_ns
    installer.fix_times(str(tmp_path))
    assert (tmp_path / "folder" / "file").stat().st_ctime_ns == changed


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("--index-url https://x.org/simple\nnumpy==2.4.6\n", True),
        ("numpy==2.4.6\n-i https://x.org/simple\n", True),
        ("--index-url=https://x.org/simple\n", True),
        ("--extra-index-url https://x.org/simple\nnumpy==2.4.6\n", False),
        ("i-d==1\n", False),
    ],
)
def test_an_index_in_the_requirements_is_seen(installer: ModuleType, tmp_path: Path, text: str, names: bool) -> None:
    """It goes before what pip's settings say, as with pip itself."""
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    assert installer.name_an_index([str(path)]) is names
