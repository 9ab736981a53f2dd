"""Signed images as other tools see them: skopeo, which reads cosign's signatures, and openssl, which checks them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from handlers import EMPTY

from factory.attesting.keys import load_keys
from factory.attesting.signing import check_signature, sign, signature_tag
from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.clients.registry_store import DistributionStore
from factory.records import PushedImage

pytestmark = pytest.mark.engine


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair of keys as the documentation says, by openssl."""
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "genpkey", *options, "-out", str(private)], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    return private, public


@dataclass
class Shop:
    """A recipe, and the command that releases it, on a machine with this or that key."""

    folder: Path
    registry: str
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))

    def change(self, mark: str) -> None:
        """Change one line of the handler, which makes another tag of it."""
        (self.folder / "handler.py").write_text(f"# {mark} {self.run_id}\n{EMPTY}")

    def factory(self, *arguments: str, **env: str | Path) -> tuple[int, str, str]:
        """Run a command on the recipe to its end."""
        command = [sys.executable, "-m", "factory", *arguments, str(self.folder / "signed.yaml"), "--json"]
        whole = {**os.environ, "FACTORY_HOME": str(self.folder / "home")} | {k: str(v) for k, v in env.items()}
        done = subprocess.run(command, capture_output=True, text=True, env=whole, check=False, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def refusal(self, public: Path) -> str:
        """Verify the image by this public key; return what is said when it is refused, nothing when it is taken."""
        code, out, err = self.factory("verify", "--no-run", FACTORY_VERIFY_KEY=public)
        if code == 0:
            checks = {check["name"]: check["verdict"] for check in json.loads(out)["report"]["checks"]}
            assert checks["signature"] == "ok"
            return ""
        assert code == 78, err
        return err

    def push(self, **env: str | Path) -> dict[str, object]:
        """Build and push; return what `--json` says of it."""
        code, out, err = self.factory("build", "--push", **env)
        assert code == 0, err
        said: dict[str, object] = json.loads(out)[0]
        return said


@dataclass
class Skopeo:
    """Skopeo, told that signatures lie in the registry (containers-registries.d(5)), and openssl to check them.

    Debian 12's podman and skopeo read cosign's signatures, but can't check them: a policy of `sigstoreSigned` refuses
    every image ("Debian-local change: sigstore disabled"; podman 4.3.1, skopeo 1.9.3, seen 2026-11-25).
    """

    folder: Path
    registry: str

    def copy(self, reference: object, target: str) -> tuple[int, str]:
        """Copy an image with its signatures; return the exit status and what was said."""
        places = self.folder / "registries.d"
        places.mkdir(exist_ok=True)
        place = {"docker": {self.registry: {"use-sigstore-attachments": True}}}
        (places / "here.yaml").write_text(json.dumps(place))  # JSON is YAML
        command = ["skopeo", "--registries.d", str(places), "--insecure-policy", "copy", "--src-tls-verify=false"]
        if target.startswith("docker:"):
            command.append("--dest-tls-verify=false")
        done = subprocess.run(
            [*command, f"docker://{reference}", target], capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stderr

    def accepts(self, reference: object, *publics: Path) -> list[bool]:
        """By which of these keys is the image signed, as skopeo hands its signatures over and openssl checks them?"""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            code, said = self.copy(reference, f"dir:{folder}")
            assert code == 0, said
            found = [path.read_bytes() for path in Path(folder).glob("signature-*")]
        digest = str(reference).partition("@")[2]
        return [any(self._checks(each, public, digest) for each in found) for public in publics]

    def _checks(self, content: bytes, public: Path, digest: str) -> bool:
        """Check one signature, in the form that skopeo keeps those of cosign in (a zero byte and the format's name)."""
        name, _, body = content.partition(b"\n")
        assert name == b"\0sigstore-json"
        parts = json.loads(body)
        assert parts["mimeType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
        payload, signature = self.folder / "payload", self.folder / "signature"
        payload.write_bytes(base64.b64decode(parts["payload"]))
        signature.write_bytes(base64.b64decode(parts["annotations"]["dev.cosignproject.cosign/signature"]))
        assert json.loads(payload.read_bytes())["critical"]["image"]["docker-manifest-digest"] == digest
        check = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(payload)]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0


@pytest.fixture
def shop(tmp_path: Path, engine_host: str, registry: str) -> Iterator[Shop]:
    """A recipe whose images go from the engine when the test does.

    In the registry they stay, with their layers, which are large to send; so each run has a handler of its own.
    """
    (tmp_path / "signed.yaml").write_text(
        "name: signed\nimage: {repository: signing/signed}\nhandler: handler.py\ntests: [{input: {a: 1}, expect: {}}]\n"
    )
    yield Shop(tmp_path, registry)
    client = docker.DockerClient(base_url=engine_host)
    tags = {tag for image in client.images.list() for tag in image.tags if tag.startswith(f"{registry}/signing/")}
    client.close()
    for tag in sorted(tags):
        DockerEngine(engine_host).remove(tag)


def test_others_read_and_check_what_we_signed(shop: Shop, tmp_path: Path) -> None:
    """Images of both lanes carry a signature that skopeo finds and openssl takes; verify refuses all others."""
    (own, own_public), (other, other_public) = make_key(tmp_path, "own"), make_key(tmp_path, "other")
    skopeo = Skopeo(tmp_path, shop.registry)
    shop.change("first")
    shop.push()
    assert "it has no signature" in shop.refusal(own_public)

    signed = shop.push(FACTORY_SIGN_KEY=own)  # made again, since it was there unsigned; as the environment was
    assert signed["lane"] == "docker" and skopeo.accepts(signed["image"], own_public, other_public) == [True, False]
    shop.change("second")
    patched = shop.push(FACTORY_SIGN_KEY=own)
    assert patched["lane"] == "patch" and shop.refusal(own_public) == ""
    assert "valid by the configured key" in shop.refusal(other_public)

    store, (repository, _, digest) = DistributionStore(lambda _: None), str(patched["image"]).partition("@")
    before = store.manifest_bytes(repository, signature_tag(digest))
    again = shop.push(FACTORY_SIGN_KEY=own)
    assert (again["image"], again["sent_bytes"]) == (patched["image"], 0)
    assert store.manifest_bytes(repository, signature_tag(digest)) == before

    sign(
        PushedImage(repository, "x", digest), load_keys(other, None, None), store, DistributionRegistry(lambda _: None)
    )
    third_public = make_key(tmp_path, "third")[1]
    assert skopeo.accepts(patched["image"], own_public, other_public, third_public) == [True, True, False]
    elsewhere = f"{shop.registry}/signing/elsewhere"
    code, said = skopeo.copy(patched["image"], f"docker://{elsewhere}:copy")
    assert code == 0, said
    copied = PushedImage(elsewhere, str(patched["tag"]).rpartition(":")[2], digest)
    check_signature(copied, load_keys(None, None, own_public), store, DistributionRegistry(lambda _: None))
    store.close()
