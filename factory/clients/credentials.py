"""Who we are to a registry: the environment's pair first, then what `docker login` left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """The logins of this machine; nothing of them is ever printed.

    `username` and `password` (FACTORY_REGISTRY_USERNAME, FACTORY_REGISTRY_PASSWORD) win over Docker's configuration.
    `registry` says whose they are (`ghcr.io`), so that no other registry is shown them; None means every registry.
    """

    docker_config: Path
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    registry: str | None = None

    def login_for(self, registry: str) -> tuple[str, str] | None:
        """Return user name and password for a registry (`docker.io`, `127.0.0.1:5000`); None: ask anonymously.

        The name `<token>` marks the password as an identity token (OAuth 2), as Docker's own tools do. Raises
        SettingsError when half of the pair is missing, or Docker's configuration is unusable.
        """
        if self.registry in (None, registry) and (self.username or self.password):
            return self._pair()
        if not self.docker_config.is_file():
            return None
        # Here, because docker-py takes 0.3 s to import, which the environment's pair does not need.
        from factory.clients import docker_credentials

        return docker_credentials.read(self.docker_config, registry)

    def _pair(self) -> tuple[str, str]:
        if self.username and self.password:
            return self.username, self.password
        missing = "FACTORY_REGISTRY_USERNAME" if self.password else "FACTORY_REGISTRY_PASSWORD"
        raise SettingsError("is not set, though its other half is", where=missing, fix="set both, or neither")
