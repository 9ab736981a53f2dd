"""The machine's settings: the only place that reads the environment.

Variables:
    HF_ENDPOINT, HF_TOKEN        the Hub (also `~/.cache/huggingface/token`, read by huggingface_hub itself)
    DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG   the engine and its credentials, as the Docker CLI reads them
    DOCKER_TLS_VERIFY, DOCKER_CERT_PATH   TLS to the engine of DOCKER_HOST, likewise (docs/builders.md)
    FACTORY_REGISTRY_USERNAME, FACTORY_REGISTRY_PASSWORD   credentials that win over Docker's config
    FACTORY_REGISTRY             prefix put before every recipe's repository, e.g. 127.0.0.1:5000
    FACTORY_SHARED               repository in which the recipes of a namespace share environments and weights, e.g.
                                 user/name; by default user/factory-shared beside each recipe's own
    FACTORY_BASE                 base image that stands in for every recipe's own (no registry in reach)
    FACTORY_BUILDER              a buildx builder that builds and pushes instead of the engine; `--builder` wins
    FACTORY_NETWORK, FACTORY_CA  network and CA bundle for builds; flags of `factory build` win
    http_proxy, https_proxy, no_proxy   handed to builds (not for the upper-case forms: see docs/commands.md)
    RUNPOD_API_KEY               the key of your RunPod account (console.runpod.io, Settings, API keys)
    RUNPOD_API                   which management API to use: rest (default) or graphql
    RUNPOD_API_BASE_URL          RunPod's management, default https://api.runpod.io
    RUNPOD_ENDPOINT_BASE_URL     RunPod's job API, default https://api.runpod.ai/v2
    RUNPOD_PATIENCE_S            seconds that one call to RunPod may take, silence and repeats included, default 60
    RUNPOD_S3_ACCESS_KEY_ID, RUNPOD_S3_SECRET_ACCESS_KEY   keys of RunPod's S3 API (`user_…`, `rps_…`; console, under
                                 S3 API keys), with which `factory volumes prefill` fills a volume
    RUNPOD_S3_ENDPOINT_URL       another S3 server, e.g. a mirror's; by default that of the volume's data centre
    DOCKERHUB_API                Docker Hub's API, default https://hub.docker.com
    FACTORY_SIGN_KEY             private key (PEM, PKCS8, EC P-256) that signs every pushed image, as cosign does
    FACTORY_SIGN_PASSWORD        its passphrase where it is encrypted
    FACTORY_VERIFY_KEY           public key (PEM) that `factory verify` checks signatures by; by default the public half
                                 of FACTORY_SIGN_KEY
    FACTORY_HOME                 where factory keeps downloads and reports, default ./.factory
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from factory.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """What this machine says; nothing here enters an image."""

    home: Path
    registry_prefix: str | None = None
    shared: str | None = None
    stand_in_base: str | None = None
    network: str | None = None
    ca_file: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    docker_host: str | None = None  # None: that of the context
    docker_context: str | None = None  # None: the current one of Docker's configuration
    docker_tls_verify: bool = False
    builder: str | None = None  # None: the engine builds
    docker_cert_path: Path | None = None
    worker_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hub_endpoint: str = "https://huggingface.co"
    hub_token: str | None = field(default=None, repr=False)
    docker_config: Path = Path("~/.docker/config.json")
    registry_username: str | None = None
    registry_password: str | None = field(default=None, repr=False)
    dockerhub_api: str = "https://hub.docker.com"
    runpod_key: str | None = field(default=None, repr=False)
    runpod_api: Literal["rest", "graphql"] = "rest"
    runpod_api_url: str = "https://api.runpod.io"
    runpod_jobs_url: str = "https://api.runpod.ai/v2"
    s3_access_key_id: str | None = field(default=None, repr=False)
    s3_secret_access_key: str | None = field(default=None, repr=False)
    s3_url: str | None = None  # None: RunPod's own, by data centre
    runpod_patience_s: float = 60.0
    sign_key: Path | None = None
    sign_password: str | None = field(default=None, repr=False)
    verify_key: Path | None = None

    @property
    def own_secrets(self) -> dict[str, str]:
        """The logins of this machine, by the variables that hold them: no image may."""
        found = {
            "HF_TOKEN": self.hub_token,
            "RUNPOD_API_KEY": self.runpod_key,
            "RUNPOD_S3_SECRET_ACCESS_KEY": self.s3_secret_access_key,
            "FACTORY_REGISTRY_PASSWORD": self.registry_password,
            "FACTORY_SIGN_PASSWORD": self.sign_password,
        }
        return {name: value for name, value in found.items() if value}


_flags: dict[str, str] = {}


@contextmanager
def flag(name: str, value: str) -> Iterator[None]:
    """Let a command's flag win over the variable of that name while the block runs."""
    _flags[name] = value
    try:
        yield
    finally:
        _flags.pop(name, None)


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings, or raise SettingsError with the variable's name and the fix."""
    ca = environ.get("FACTORY_CA")
    if ca and not Path(ca).is_file():
        raise SettingsError(f"no such file ({ca})", where="FACTORY_CA", fix="name a PEM bundle, or unset it")
    network = environ.get("FACTORY_NETWORK")
    if network not in (None, "", "host", "none", "bridge", "default"):
        raise SettingsError(f"unknown network ({network})", where="FACTORY_NETWORK", fix="use host, or unset it")
    api = environ.get("RUNPOD_API") or "rest"
    if api not in ("rest", "graphql"):
        raise SettingsError(f"unknown API ({api})", where="RUNPOD_API", fix="use rest or graphql, or unset it")
    config = Path(environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"
    return Settings(
        home=Path(environ.get("FACTORY_HOME", ".factory")),
        registry_prefix=environ.get("FACTORY_REGISTRY") or None,
        shared=environ.get("FACTORY_SHARED") or None,
        stand_in_base=environ.get("FACTORY_BASE") or None,
        network=network or None,
        ca_file=Path(ca) if ca else None,
        proxies={k: environ[k] for k in ("http_proxy", "https_proxy", "no_proxy") if environ.get(k)},
        docker_host=environ.get("DOCKER_HOST") or None,
        docker_context=environ.get("DOCKER_CONTEXT") or None,
        builder=_flags.get("FACTORY_BUILDER") or environ.get("FACTORY_BUILDER") or None,
        docker_tls_verify=bool(environ.get("DOCKER_TLS_VERIFY")),  # any value, as for the Docker CLI
        docker_cert_path=Path(path).expanduser() if (path := environ.get("DOCKER_CERT_PATH")) else None,
        worker_environment=secrets(("HF_ENDPOINT", "HF_TOKEN"), environ),
        hub_endpoint=(environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
        hub_token=environ.get("HF_TOKEN") or None,
        docker_config=config,
        registry_username=environ.get("FACTORY_REGISTRY_USERNAME") or None,
        registry_password=environ.get("FACTORY_REGISTRY_PASSWORD") or None,
        dockerhub_api=(environ.get("DOCKERHUB_API") or "https://hub.docker.com").rstrip("/"),
        runpod_key=(environ.get("RUNPOD_API_KEY") or "").strip() or None,
        runpod_api="graphql" if api == "graphql" else "rest",
        runpod_api_url=_url("RUNPOD_API_BASE_URL", "https://api.runpod.io", environ),
        runpod_jobs_url=_url("RUNPOD_ENDPOINT_BASE_URL", "https://api.runpod.ai/v2", environ),
        s3_access_key_id=(environ.get("RUNPOD_S3_ACCESS_KEY_ID") or "").strip() or None,
        s3_secret_access_key=(environ.get("RUNPOD_S3_SECRET_ACCESS_KEY") or "").strip() or None,
        s3_url=_url("RUNPOD_S3_ENDPOINT_URL", "https://s3api-eu-ro-1.runpod.io", environ)
        if environ.get("RUNPOD_S3_ENDPOINT_URL")
        else None,
        runpod_patience_s=_patience_s(environ),
        sign_key=Path(path).expanduser() if (path := environ.get("FACTORY_SIGN_KEY")) else None,
        sign_password=environ.get("FACTORY_SIGN_PASSWORD") or None,
        verify_key=Path(path).expanduser() if (path := environ.get("FACTORY_VERIFY_KEY")) else None,
    )


def _url(name: str, default: str, environ: Mapping[str, str]) -> str:
    """Return a base URL without a slash at its end."""
    url = (environ.get(name) or default).strip().rstrip("/")
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", url):
        raise SettingsError("not a base URL", where=name, fix=f"use one such as {default}, or unset it")
    return url


def _patience_s(environ: Mapping[str, str]) -> float:
    """Return the seconds for one call to RunPod."""
    text = (environ.get("RUNPOD_PATIENCE_S") or "60").strip()
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text) or float(text) < 1:
        raise SettingsError(
            f"no number of seconds from 1 to 9999 ({text})", where="RUNPOD_PATIENCE_S", fix="use one, or unset it"
        )
    return float(text)


def secrets(names: Iterable[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the values that this machine has for a recipe's secrets, for the workers that verify starts."""
    return {name: environ[name] for name in names if environ.get(name)}
