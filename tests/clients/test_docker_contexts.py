"""`clients/docker_contexts.py`: which engine the environment and Docker's own store name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from factory.clients.docker_contexts import EngineAddress, Tls, engine_address
from factory.errors import SettingsError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Docker's configuration, whose current context is `near`; `far` has TLS material, `odd` no host."""
    path = tmp_path / "docker" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"currentContext": "near"}))
    write_context(path, "near", {"Host": "unix:///run/near.sock", "SkipTLSVerify": False})
    write_context(path, "far", {"Host": "tcp://far.example:2376"}, ["ca.pem", "cert.pem", "key.pem"])
    write_context(path, "lax", {"Host": "tcp://lax.example:2376", "SkipTLSVerify": True}, ["ca.pem", "cert.pem"])
    write_context(path, "odd", {})
    return path


def write_context(config: Path, name: str, endpoint: dict[str, object], files: list[str] | None = None) -> None:
    """Write a context as `docker context create` lays it (docker 20.10 and 28.2, looked at 2026-11-25)."""
    store, folder = config.parent / "contexts", hashlib.sha256(name.encode()).hexdigest()
    (store / "meta" / folder).mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (store / "meta" / folder / "meta.json").write_text(json.dumps(meta))
    for file in files or []:
        (store / "tls" / folder / "docker").mkdir(parents=True, exist_ok=True)
        (store / "tls" / folder / "docker" / file).write_text("PEM")


def tls_folder(config: Path, name: str) -> Path:
    """Return where a context's TLS material lies."""
    return config.parent / "contexts" / "tls" / hashlib.sha256(name.encode()).hexdigest() / "docker"


def test_the_order_is_the_docker_clis(config: Path, tmp_path: Path) -> None:
    """DOCKER_HOST wins, then DOCKER_CONTEXT, then the current context, then the default socket."""
    near = EngineAddress("unix:///run/near.sock", None, "near")
    assert engine_address(config, host="tcp://here:2375", context="far").url == "tcp://here:2375"
    assert engine_address(config, context="odd") == EngineAddress(context="odd")
    assert engine_address(config) == near
    assert engine_address(config, context="default") == EngineAddress()
    assert engine_address(tmp_path / "none.json") == EngineAddress()
    assert near.is_chosen and not near.is_elsewhere and not EngineAddress().is_chosen


def test_tls_of_a_context(config: Path) -> None:
    """A context's material is used as far as it is there, and a key without its certificate is not."""
    folder = tls_folder(config, "far")
    far = engine_address(config, context="far")
    assert far.tls == Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", is_verified=True)
    lax = engine_address(config, context="lax")
    assert lax.tls == Tls(tls_folder(config, "lax") / "ca.pem", None, None, is_verified=False)


def test_tls_of_docker_host(config: Path, tmp_path: Path) -> None:
    """DOCKER_TLS_VERIFY takes the three files of DOCKER_CERT_PATH, or those beside the configuration."""
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("PEM")
    host = "tcp://far.example:2376"
    assert engine_address(config, host=host).tls is None
    found = engine_address(config, host=host, is_tls_verified=True, certificates=tmp_path)
    assert found.tls == Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    with pytest.raises(SettingsError, match=r"no ca.pem and no cert.pem and no key.pem") as failed:
        engine_address(config, host=host, is_tls_verified=True)
    assert "DOCKER_CERT_PATH" in failed.value.fix and failed.value.where == str(config.parent)


@pytest.mark.parametrize(
    ("name", "fix"), [("fra", "did you mean far?"), ("zzzzzzz", "docker context ls"), ("../far", "far")]
)
def test_an_unknown_context_names_the_likeliest(config: Path, name: str, fix: str) -> None:
    """A context that isn't there is a settings error with the nearest name; a name is never a path."""
    with pytest.raises(SettingsError, match="there is no Docker context") as failed:
        engine_address(config, context=name)
    assert failed.value.where == "DOCKER_CONTEXT" and fix in failed.value.fix


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": 3}}', "\ufffd{"])
def test_a_context_that_can_not_be_read(config: Path, content: str) -> None:
    """A broken context is said with its file, never taken for the default engine."""
    folder = config.parent / "contexts/meta" / hashlib.sha256(b"far").hexdigest()
    (folder / "meta.json").write_text(content)
    with pytest.raises(SettingsError, match="can't be read") as failed:
        engine_address(config, context="far")
    assert failed.value.where == str(folder / "meta.json")


@pytest.mark.parametrize("host", ["far.example:2376", "ftp://x", "tcp://", "tcp:/x", "/run/docker.sock"])
def test_what_is_no_address(config: Path, host: str) -> None:
    """DOCKER_HOST must be a URL of a kind that an engine has."""
    with pytest.raises(SettingsError, match="no address of an engine"):
        engine_address(config, host=host)


def test_no_password_is_shown(config: Path) -> None:
    """A wrong address is shown without what may be a password in it."""
    with pytest.raises(SettingsError) as failed:
        engine_address(config, host="ftp://ada:s3cr3t@far.example")
    assert "s3cr3t" not in str(failed.value)
