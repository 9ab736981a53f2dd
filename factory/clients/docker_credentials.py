"""What Docker's own configuration says of a registry's login: `auths`, `credHelpers`, `credsStore`.

The rules are docker-py's (`docker.auth.AuthConfig`), so that factory and Docker find the same login. A helper is the
program `docker-credential-NAME`, run once per question.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import docker.auth
import docker.errors

from factory.errors import SettingsError

Login = tuple[str, str]

TOKEN_USERNAME = "<token>"  # noqa: S105  Docker's own mark: the secret beside it is an identity token


def read(config: Path, registry: str) -> Login | None:
    """Return user name and password (or `<token>` and an identity token) for a registry; None when there is none.

    Raises SettingsError, with the file as its place, when the file can't be used or a helper fails.
    """
    try:
        auth = docker.auth.AuthConfig.load_config(str(config), _load(config))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "helper not installed": the error below says it
            entry = auth.resolve_authconfig(registry)
    except docker.errors.InvalidConfigFile as error:
        raise _unusable(config, "an entry of 'auths' is no mapping") from error
    except docker.errors.DockerException as error:
        raise _unusable(config, f"the credential helper for {registry} failed ({_reason(error)})") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _unusable(config, f"the login for {registry} can't be read ({type(error).__name__})") from error
    return _login(entry)


def _load(config: Path) -> dict[str, object]:
    """Read the file; an `auths` key is added so that docker-py never takes the whole file for logins."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(config, f"can't be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise _unusable(config, f"is no mapping (found {type(content).__name__})")
    return {"credsStore": None, **content, "auths": content.get("auths") or {"": {}}}


def _login(entry: dict[str, str] | None) -> Login | None:
    """Turn docker-py's entry into a login. Its keys are lower case from the file, capitalised from a helper."""
    found = {key.lower(): value for key, value in (entry or {}).items() if value}
    if token := found.get("identitytoken"):
        return TOKEN_USERNAME, token
    if "username" in found and "password" in found:
        return found["username"], found["password"]
    return None


def _reason(error: Exception) -> str:
    """Return the helper's own words; they name no secret (a helper prints those only on success)."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split())[:200]


def _unusable(config: Path, what: str) -> SettingsError:
    return SettingsError(what, where=str(config), fix="run `docker login` again, or set FACTORY_REGISTRY_USERNAME")
