"""Logins: the environment's pair, Docker's config.json, its helpers, and what goes wrong with them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from factory.clients.credentials import Credentials
from factory.errors import SettingsError

SECRET = "s3cr3t:with:colons"


def config_file(folder: Path, content: object) -> Path:
    """Write a config.json."""
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def encoded(user: str, password: str) -> str:
    """Encode a login as `docker login` does."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a credential helper `docker-credential-drawer` that knows Docker Hub and one identity token."""
    program = tmp_path / "bin" / "docker-credential-drawer"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nread -r server\ncase $server in\n"
        'https://index.docker.io/v1/) echo \'{"Username":"hubuser","Secret":"hubpass"}\';;\n'
        'token.example) echo \'{"Username":"<token>","Secret":"refresh"}\';;\n'
        "odd.example) echo nonsense;;\nbroken.example) echo locked; exit 1;;\n"
        "*) echo credentials not found in native keychain; exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_the_environment_wins(tmp_path: Path) -> None:
    """The pair of the environment is used before Docker's file is even read."""
    config = config_file(tmp_path, "not json")
    assert Credentials(config, "ada", SECRET).login_for("ghcr.io") == ("ada", SECRET)


def test_the_environments_pair_belongs_to_one_registry(tmp_path: Path) -> None:
    """A pair that is bound to a registry is shown to no other one."""
    mine = Credentials(tmp_path / "none.json", "ada", SECRET, registry="ghcr.io")
    assert mine.login_for("ghcr.io") == ("ada", SECRET)
    assert mine.login_for("docker.io") is None


@pytest.mark.parametrize(
    ("username", "password", "missing"),
    [("ada", None, "FACTORY_REGISTRY_PASSWORD"), (None, SECRET, "FACTORY_REGISTRY_USERNAME")],
)
def test_half_a_pair_is_an_error(tmp_path: Path, username: str | None, password: str | None, missing: str) -> None:
    """A user name without a password, or the other way round, names the variable that is missing."""
    with pytest.raises(SettingsError) as caught:
        Credentials(tmp_path / "none.json", username, password).login_for("docker.io")
    assert caught.value.where == missing
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://ghcr.io", "ghcr.io"),
    ],
)
def test_reads_what_docker_login_wrote(tmp_path: Path, key: str, registry: str) -> None:
    """A login under Docker's own key for a registry is found, colons in the password included."""
    config = config_file(tmp_path, {"auths": {key: {"auth": encoded("ada", SECRET)}, "quay.io": {}}})
    assert Credentials(config).login_for(registry) == ("ada", SECRET)
    assert Credentials(config).login_for("other.example") is None
    assert Credentials(config).login_for("quay.io") is None


def test_identity_token_is_marked(tmp_path: Path) -> None:
    """An identity token comes with the user name that marks it."""
    config = config_file(tmp_path, {"auths": {"acr.example": {"identitytoken": "refresh"}}})
    assert Credentials(config).login_for("acr.example") == ("<token>", "refresh")


@pytest.mark.parametrize("content", [{}, {"auths": {}}, {"HttpHeaders": {"User-Agent": "x"}, "currentContext": "y"}])
def test_no_login_is_no_error(tmp_path: Path, content: dict[str, object]) -> None:
    """A configuration without logins, or no file at all, means anonymous."""
    assert Credentials(config_file(tmp_path, content)).login_for("docker.io") is None
    assert Credentials(tmp_path / "absent.json").login_for("docker.io") is None


def test_asks_the_helpers(tmp_path: Path, helper: Path) -> None:
    """`credsStore` answers for every registry, `credHelpers` for its own; both know identity tokens."""
    store = Credentials(config_file(tmp_path, {"credsStore": "drawer", "auths": {"https://index.docker.io/v1/": {}}}))
    assert store.login_for("docker.io") == ("hubuser", "hubpass")
    assert store.login_for("token.example") == ("<token>", "refresh")
    assert store.login_for("unknown.example") is None
    own = Credentials(config_file(tmp_path, {"credHelpers": {"token.example": "drawer"}}))
    assert own.login_for("token.example") == ("<token>", "refresh")
    assert own.login_for("docker.io") is None


@pytest.mark.parametrize(
    ("content", "registry", "sentence"),
    [
        ("{", "docker.io", "can't be read as JSON"),
        ("[]", "docker.io", "is no mapping (found list)"),
        ({"auths": {"ghcr.io": "text"}}, "ghcr.io", "an entry of 'auths' is no mapping"),
        ({"auths": {"ghcr.io": {"auth": "@@@"}}}, "ghcr.io", "the login for ghcr.io can't be read"),
        ({"auths": {"ghcr.io": {"auth": encoded("nocolon", "")[:-4]}}}, "ghcr.io", "the login for ghcr.io"),
        ({"auths": ["x"]}, "ghcr.io", "the login for ghcr.io can't be read"),
        ({"credsStore": "absent"}, "ghcr.io", "docker-credential-absent not installed"),
        ({"credsStore": "drawer"}, "broken.example", "the credential helper for broken.example failed"),
        ({"credsStore": "drawer"}, "odd.example", "the login for odd.example can't be read"),
    ],
)
def test_unusable_configuration_is_one_sentence(
    tmp_path: Path, helper: Path, content: object, registry: str, sentence: str
) -> None:
    """A malformed file or a failing helper gives one sentence with the file's path and the fix."""
    config = config_file(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        Credentials(config).login_for(registry)
    text = str(caught.value)
    assert sentence in text
    assert text.startswith(str(config))
    assert "docker login" in text
    assert "\n" not in text


def test_never_printed(tmp_path: Path) -> None:
    """The password is in no printed form of the credentials."""
    credentials = Credentials(tmp_path / "c.json", "ada", SECRET)
    assert SECRET not in repr(credentials) + str(credentials)
