"""The only place that builds clients. A door is opened on first use, so `factory size` never imports docker."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import CloudDenied, SettingsError, StoreDenied, StoreMissing
from factory.records import BuildOptions
from factory.references import is_loopback, parse, with_prefix
from factory.settings import Settings, secrets

if TYPE_CHECKING:
    from factory.account import Volume
    from factory.attesting.keys import Keys
    from factory.clients.credentials import Credentials
    from factory.clients.docker_contexts import EngineAddress
    from factory.clients.registry_store import DistributionStore
    from factory.clients.runpod.transport import RunPodClient
    from factory.gathering import Target
    from factory.journal import Journal
    from factory.kept import Kept
    from factory.ledger import Ledger
    from factory.looking import ImageLook
    from factory.pipeline import Line, Machine
    from factory.ports import (
        Checkout,
        Cloud,
        Engine,
        ImageDirectory,
        ImageStore,
        Jobs,
        ModelHub,
        PackageIndex,
        Registry,
        VolumeStore,
        WeightSource,
    )
    from factory.recipe.load import RecipeFile


@dataclass
class Clients:
    """The doors of `pipeline.Doors` for one recipe, built from the machine's settings."""

    settings: Settings
    file: RecipeFile
    shared: Shared | None = None

    @cached_property
    def credentials(self) -> Credentials:
        """Logins for registries; the environment's pair is shown only to the one that this recipe is pushed to."""
        from factory.clients.credentials import Credentials

        s = self.settings
        target = with_prefix(self.file.recipe.image.repository, s.registry_prefix)
        return Credentials(s.docker_config, s.registry_username, s.registry_password, parse(target).registry)

    @cached_property
    def hub(self) -> ModelHub:
        """The Hugging Face Hub."""
        if self.shared:
            return self.shared.hub
        return _kept_hub(self.settings)

    @cached_property
    def engine(self) -> Engine:
        """The Docker engine that DOCKER_HOST or a Docker context names, behind the buildx builder where one is chosen.

        Raises SettingsError for an unknown context.
        """
        from factory.clients.docker_engine import DockerEngine

        s, login_for = self.settings, self.credentials.login_for
        engine = DockerEngine(_engine_address(s), login_for=login_for)
        if s.builder is None:
            return engine
        from factory.clients.docker_buildx import BuildxEngine

        return BuildxEngine(s.builder, engine, self.registry, s.docker_config, login_for)

    def interrupt(self) -> None:
        """Stop what the engine is doing for other threads; nothing when it was never used."""
        if "engine" in self.__dict__:
            self.engine.interrupt()

    @cached_property
    def registry(self) -> Registry:
        """Any registry that speaks the Distribution API."""
        if self.shared:
            return self.shared.registry_for(self.credentials)
        from factory.clients.registry import DistributionRegistry

        return DistributionRegistry(login_for=self.credentials.login_for, notes=_kept(self.settings))

    @cached_property
    def store(self) -> ImageStore:
        """The same registries, where blobs and manifests go with no engine between."""
        if self.shared:
            return self.shared.store_for(self.credentials)
        from factory.clients.registry_store import DistributionStore

        return DistributionStore(login_for=self.credentials.login_for, notes=_kept(self.settings))

    @cached_property
    def weights(self) -> WeightSource:
        """Where the content of weights comes from: the Hub."""
        return weight_source(self.settings)

    @cached_property
    def directory(self) -> ImageDirectory:
        """Docker Hub's own API."""
        from factory.clients.dockerhub import DockerHub

        return DockerHub(self.settings.dockerhub_api, login_for=self.credentials.login_for)


def _kept(settings: Settings) -> Kept:
    """Return the answers that can't change, or only cost a question more when they did."""
    from factory.kept import Kept

    return Kept.below(settings.home)


def _kept_hub(settings: Settings) -> ModelHub:
    """Return the Hub; what a commit holds is asked for once on this machine."""
    from factory.kept import HubKept

    def open_hub() -> ModelHub:
        from factory.clients.huggingface import HuggingFaceHub

        return HuggingFaceHub(settings.hub_endpoint, settings.hub_token)

    return HubKept(open_hub, _kept(settings), settings.hub_endpoint)


def _engine_address(settings: Settings) -> EngineAddress:
    from factory.clients.docker_contexts import engine_address

    return engine_address(
        settings.docker_config,
        host=settings.docker_host,
        context=settings.docker_context,
        is_tls_verified=settings.docker_tls_verify,
        certificates=settings.docker_cert_path,
    )


class Shared:
    """The Hub and the registries for all recipes of one run: each asked the same thing once.

    `patience_s` is for how long a registry is asked again that doesn't answer (None: as long as a deployment would).
    """

    def __init__(self, settings: Settings, *, patience_s: float | None = None) -> None:
        self._settings = settings
        self._patience = {} if patience_s is None else {"patience_s": patience_s}
        self._registries: dict[Credentials, Registry] = {}
        self._stores: dict[Credentials, DistributionStore] = {}

    @cached_property
    def hub(self) -> ModelHub:
        """The Hugging Face Hub."""
        from factory.once import HubOnce

        return HubOnce(_kept_hub(self._settings))

    @cached_property
    def anonymous(self) -> Registry:
        """Any registry, as it is to a stranger."""
        from factory.clients.registry import DistributionRegistry
        from factory.once import RegistryOnce

        notes = _kept(self._settings)
        return RegistryOnce(DistributionRegistry(login_for=lambda _registry: None, notes=notes, **self._patience))

    def registry_for(self, credentials: Credentials) -> Registry:
        """Return any registry, as those see it who log in like this."""
        from factory.clients.registry import DistributionRegistry
        from factory.once import RegistryOnce

        if credentials not in self._registries:
            notes = _kept(self._settings)
            registry = DistributionRegistry(login_for=credentials.login_for, notes=notes, **self._patience)
            self._registries[credentials] = RegistryOnce(registry)
        return self._registries[credentials]

    def store_for(self, credentials: Credentials) -> ImageStore:
        """Return where blobs go for those who log in like this: recipes of one run share all but the count of bytes."""
        from factory.clients.registry_store import DistributionStore

        if credentials not in self._stores:
            notes = _kept(self._settings)
            self._stores[credentials] = DistributionStore(login_for=credentials.login_for, notes=notes)
        return self._stores[credentials].counting_apart()


def image_look(settings: Settings, file: RecipeFile, shared: Shared, *, is_unbuilt: bool = False) -> ImageLook:
    """Return what looks at a recipe's image in its registry, as this machine and as a stranger.

    Raises SettingsError when it shall be taken as it is rendered and RunPod isn't emulated on this machine.
    """
    return _look(settings, Clients(settings, file).credentials, shared, is_unbuilt)


def _look(settings: Settings, credentials: Credentials, shared: Shared, is_unbuilt: bool) -> ImageLook:
    from factory.looking import ImageLook

    is_local = is_loopback(settings.runpod_api_url.split("/")[2])
    if is_unbuilt and not is_local:
        raise SettingsError(
            f"RunPod runs images, not rendered contexts ({settings.runpod_api_url})",
            where="--unbuilt",
            fix="leave it out, or start `factory emulator --workers process`",
        )
    return ImageLook(
        anonymous=shared.anonymous,
        login_for=credentials.login_for,
        kept=_kept(settings),
        is_cloud_local=is_local,
        is_unbuilt=is_unbuilt,
    )


def target(settings: Settings, name: str, line: Line | None, shared: Shared, *, is_unbuilt: bool = False) -> Target:
    """Return what `factory diagnose` gathers from, for a recipe on the road or an endpoint by name or id.

    Without a recipe the environment's login is shown only to the registry of FACTORY_REGISTRY. Raises SettingsError as
    `image_look` does.
    """
    from factory.clients.credentials import Credentials
    from factory.gathering import Target

    if line is not None:
        credentials = Clients(settings, line.file).credentials
    else:
        own = parse(f"{settings.registry_prefix}/x").registry if settings.registry_prefix else "none.invalid"
        credentials = Credentials(
            settings.docker_config, settings.registry_username, settings.registry_password, registry=own
        )
    return Target(
        name=name,
        account=Account(settings),
        ledger=ledger(settings),
        look=_look(settings, credentials, shared, is_unbuilt),
        registry=shared.registry_for(credentials),
        line=line,
        memory=journal(settings, line.file.recipe.name).memory if line else None,
        store=partial(volume_store, settings) if settings.s3_access_key_id else None,
    )


def volume_store(settings: Settings, volume: Volume) -> VolumeStore:
    """Return a network volume's files through RunPod's S3 API, or the server that RUNPOD_S3_ENDPOINT_URL names.

    Raises StoreMissing where RunPod has no S3 API, StoreDenied without keys.
    """
    from factory.account import S3_DATA_CENTERS, s3_url
    from factory.clients.volume_store import S3VolumeStore

    where = f"volume {volume.name} ({volume.id})"
    url = settings.s3_url or s3_url(volume.data_center)
    if url is None:
        what = f"RunPod has no S3 API in {volume.data_center} (it has in {', '.join(S3_DATA_CENTERS)})"
        raise StoreMissing(what, where=where, fix="let a worker or a pod in that data centre do it")
    if settings.s3_access_key_id is None or settings.s3_secret_access_key is None:
        raise StoreDenied(
            "no keys for RunPod's S3 API, which has its own",
            where=where,
            fix="make a pair at console.runpod.io (Settings, S3 API keys), then set RUNPOD_S3_ACCESS_KEY_ID and "
            "RUNPOD_S3_SECRET_ACCESS_KEY",
        )
    keys = (settings.s3_access_key_id, settings.s3_secret_access_key)
    return S3VolumeStore(volume.id, volume.data_center, url, *keys)


def checkout(folder: Path) -> Checkout:
    """Return the git repository that a folder lies in. Raises SettingsError outside one."""
    from factory.clients.git import find_checkout

    return find_checkout(folder)


def package_index() -> PackageIndex:
    """Return the package indexes that pip would ask on this machine."""
    from factory.clients.uv import UvIndex

    return UvIndex()


def weight_source(settings: Settings) -> WeightSource:
    """Return where the content of models comes from: the Hub."""
    from factory.clients.huggingface import HuggingFaceHub

    return HuggingFaceHub(settings.hub_endpoint, settings.hub_token)


def ledger(settings: Settings) -> Ledger:
    """Return the ledger of the jobs submitted from this machine."""
    from factory.ledger import Ledger

    return Ledger(settings.home / "jobs.sqlite")


def journal(settings: Settings, name: str) -> Journal:
    """Return what is remembered of the endpoint of that name (a recipe's is the recipe's), whoever made it."""
    from factory.journal import Journal

    return Journal.read(settings.home, name)


def registry(settings: Settings, file: RecipeFile | None = None) -> Registry:
    """Return any registry, as this machine sees it; the environment's pair is shown to the recipe's own alone."""
    if file is not None:
        return Clients(settings, file).registry
    from factory.clients.credentials import Credentials

    return Shared(settings).registry_for(Credentials(settings.docker_config))


def download(url: str, path: Path) -> None:
    """Fetch a link of a job's result into a file. Raises RunError."""
    from factory.clients.downloads import download

    download(url, path)


@dataclass
class Account:
    """The doors to one RunPod account, for all recipes of a run."""

    settings: Settings

    @cached_property
    def cloud(self) -> Cloud:
        """RunPod's management, by the API that RUNPOD_API names. Raises CloudDenied without a key."""
        client = self._client(self.settings.runpod_api_url)
        if self.settings.runpod_api == "graphql":
            from factory.clients.runpod.graphql_cloud import GraphqlCloud

            return GraphqlCloud(client)
        from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
        from factory.clients.runpod.rest import RestCloud

        return RestCloud(client, GraphqlAccount(GraphqlClient(client)))

    @cached_property
    def jobs(self) -> Jobs:
        """RunPod's job API. Raises CloudDenied without a key."""
        from factory.clients.runpod.jobs import JobClient

        return JobClient(self._client(self.settings.runpod_jobs_url))

    def _client(self, url: str) -> RunPodClient:
        from factory.clients.runpod.transport import TIMEOUT_S, RunPodClient

        patience_s = self.settings.runpod_patience_s
        return RunPodClient(url, self._key, timeout_s=min(TIMEOUT_S, patience_s / 2), patience_s=patience_s)

    @property
    def _key(self) -> str:
        if self.settings.runpod_key is None:
            raise CloudDenied(
                "no key for RunPod's account",
                where="RUNPOD_API_KEY",
                fix="set it to a key of console.runpod.io (Settings, API keys), or start `factory emulator`",
            )
        return self.settings.runpod_key


def machine(
    settings: Settings, file: RecipeFile, *, network: str | None = None, ca_file: Path | None = None
) -> Machine:
    """Return what this machine adds to a recipe; flags win over settings."""
    from factory.pipeline import Machine

    return Machine(
        home=settings.home,
        options=BuildOptions(network or settings.network, ca_file or settings.ca_file, settings.proxies),
        registry_prefix=settings.registry_prefix,
        shared=settings.shared,
        stand_in_base=settings.stand_in_base,
        environment={**settings.worker_environment, **secrets(file.recipe.secrets)},
        secrets={**settings.own_secrets, **secrets(file.recipe.secrets)},
        source_revision=_git_revision(file.path.resolve().parent),
        keys=_keys(settings),
    )


def _keys(settings: Settings) -> Keys | None:
    """Return what images are signed and checked by, where that is configured. Raises SettingsError."""
    if settings.sign_key is None and settings.verify_key is None:
        return None
    from factory.attesting.keys import load_keys

    return load_keys(settings.sign_key, settings.sign_password, settings.verify_key)


@lru_cache(maxsize=64)
def _git_revision(folder: Path) -> str | None:
    """Return the commit of the recipe's checkout; None outside one, or where git is not installed."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
