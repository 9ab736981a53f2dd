"""Signatures of images: what is taken, what is refused, and which keys can be used at all."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fake_hub import FakeRegistry
from fake_store import FakeStore
from hypothesis import given
from hypothesis import strategies as st

from factory.attesting.keys import Keys, load_keys
from factory.attesting.signing import ANNOTATION, PAYLOAD_TYPE, check_signature, is_signed, payload, sign, signature_tag
from factory.errors import AttestationWrong, PushDenied, SettingsError
from factory.oci import media
from factory.records import PushedImage

HEX = "12" * 32
PUSHED = PushedImage("reg.io/acme/demo", "0123456789abcdef", f"sha256:{HEX}")
OTHER = replace(PUSHED, digest="sha256:" + "34" * 32)
PASSPHRASE = "correct horse"


def new_keys() -> Keys:
    """Make a pair."""
    private = ec.generate_private_key(ec.SECP256R1())
    return Keys(private, private.public_key())


OURS, THEIRS = new_keys(), new_keys()


@pytest.fixture
def store() -> FakeStore:
    """A registry in memory."""
    return FakeStore(FakeRegistry({}))


def signatures(store: FakeStore, pushed: PushedImage = PUSHED) -> list[dict[str, object]]:
    """Return the layers under an image's tag for signatures."""
    layers: list[dict[str, object]] = json.loads(store.manifest_bytes(pushed.repository, signature_tag(pushed.digest)))[
        "layers"
    ]
    return layers


def lay(store: FakeStore, content: bytes, signature: str, pushed: PushedImage = PUSHED) -> None:
    """Put a signature of anybody's making where an image's are looked for."""
    blob, config = store.put(pushed.repository, content), store.put(pushed.repository, b"{}")
    entry = {"mediaType": PAYLOAD_TYPE, "size": blob.size_bytes, "digest": blob.digest}
    value = {
        "config": {"mediaType": media.OCI_CONFIG, "size": config.size_bytes, "digest": config.digest},
        "layers": [{**entry, "annotations": {ANNOTATION: signature}}],
    }
    tag = signature_tag(pushed.digest)
    store.put_manifest(pushed.repository, tag, media.OCI_MANIFEST, json.dumps(value).encode())


def made_by(keys: Keys, content: bytes) -> str:
    """Sign, as it stands in the annotation."""
    return base64.b64encode(keys.sign(content)).decode()


def test_a_signature_lies_where_cosign_looks(store: FakeStore) -> None:
    """Tag, media types, annotation and payload are those of SIGNATURE_SPEC.md; the public half alone can check it."""
    assert sign(PUSHED, OURS, store, store.registry)
    (entry,) = signatures(store)
    assert entry["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    content = store.registry.blobs[PUSHED.repository][str(entry["digest"])]
    assert json.loads(content)["critical"] == {
        "identity": {"docker-reference": "reg.io/acme/demo"},
        "image": {"docker-manifest-digest": PUSHED.digest},
        "type": "cosign container image signature",
    }
    assert store.registry.digests[f"reg.io/acme/demo:sha256-{HEX}.sig"]
    annotations = entry["annotations"]
    assert isinstance(annotations, dict)
    signature = base64.b64decode(annotations["dev.cosignproject.cosign/signature"])
    OURS.public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    assert check_signature(PUSHED, Keys(None, OURS.public), store, store.registry).verdict == "ok"


def test_an_own_signature_is_not_made_again_and_a_foreign_one_stays(store: FakeStore) -> None:
    """The second time nothing is sent; another key's signature is put beside it, and both are valid."""
    assert sign(PUSHED, OURS, store, store.registry)
    first, sent = signatures(store), store.sent_bytes
    assert not sign(PUSHED, OURS, store, store.registry)
    assert store.sent_bytes == sent
    assert is_signed(PUSHED, OURS, store, store.registry) and not is_signed(PUSHED, THEIRS, store, store.registry)
    assert sign(PUSHED, THEIRS, store, store.registry)
    assert signatures(store)[:1] == first and len(signatures(store)) == 2
    for keys in (OURS, THEIRS):
        assert check_signature(PUSHED, keys, store, store.registry).verdict == "ok"
        assert not sign(PUSHED, keys, store, store.registry)


def _nothing(_: FakeStore) -> None:
    pass


def _by_another_key(store: FakeStore) -> None:
    sign(PUSHED, THEIRS, store, store.registry)


def _tampered(store: FakeStore) -> None:
    content = payload(PUSHED)
    lay(store, content.replace(b"optional", b"Optional"), made_by(OURS, content))


def _tampered_in_place(store: FakeStore) -> None:
    sign(PUSHED, OURS, store, store.registry)
    digest = str(signatures(store)[0]["digest"])
    blobs = store.registry.blobs[PUSHED.repository]
    blobs[digest] = blobs[digest].replace(b"demo", b"dem0")


def _of_another_digest(store: FakeStore) -> None:
    lay(store, payload(OTHER), made_by(OURS, payload(OTHER)))


def _of_another_tag(store: FakeStore) -> None:
    older = payload(replace(PUSHED, tag="f" * 16))
    lay(store, older, made_by(OURS, older))


def _of_another_kind(store: FakeStore) -> None:
    content = payload(PUSHED).replace(b"cosign container image signature", b"atomic container signature")
    lay(store, content, made_by(OURS, content))


def _no_base64(store: FakeStore) -> None:
    lay(store, payload(PUSHED), "?" + made_by(OURS, payload(PUSHED)))


def _no_json(store: FakeStore) -> None:
    lay(store, b"[1", made_by(OURS, b"[1"))


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (_nothing, "it has no signature"),
        (_by_another_key, r"none of its signatures \(1\) is valid by the configured key"),
        (_tampered, "is valid by the configured key"),
        (_tampered_in_place, "is valid by the configured key"),
        (_of_another_digest, "of another image or tag"),
        (_of_another_tag, "of another image or tag"),
        (_of_another_kind, "of another image or tag"),
        (_no_base64, "is valid by the configured key"),
        (_no_json, "of another image or tag"),
    ],
)
def test_what_does_not_vouch_for_this_image_is_refused(
    store: FakeStore, prepare: Callable[[FakeStore], None], sentence: str
) -> None:
    """Verify ends with 78 and says which it is; who signs takes none of it for his own, and a signature mends it."""
    prepare(store)
    with pytest.raises(AttestationWrong, match=sentence) as caught:
        check_signature(PUSHED, OURS, store, store.registry)
    assert caught.value.exit_code == 78 and PUSHED.digest in str(caught.value)
    assert not is_signed(PUSHED, OURS, store, store.registry)
    if prepare is not _tampered_in_place:  # a registry that gives other bytes than it was sent is beyond mending
        assert sign(PUSHED, OURS, store, store.registry)
        assert check_signature(PUSHED, OURS, store, store.registry).verdict == "ok"


def test_a_signature_by_cosign_itself_says_no_tag_and_is_taken(store: FakeStore) -> None:
    """`optional` is null there."""
    value = json.loads(payload(PUSHED)) | {"optional": None}
    content = json.dumps(value).encode()
    lay(store, content, made_by(OURS, content))
    assert check_signature(PUSHED, OURS, store, store.registry).verdict == "ok"


WORDS = st.sampled_from(["layers", "mediaType", PAYLOAD_TYPE, "size", "digest", "annotations", ANNOTATION])
VALUES = st.recursive(st.none() | st.integers() | WORDS, lambda x: st.lists(x) | st.dictionaries(WORDS, x))


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_anything_under_the_tag_is_no_signature(content: bytes) -> None:
    """Whatever somebody put there, the image counts as unsigned; nothing breaks."""
    store = FakeStore(FakeRegistry({}))
    store.registry.manifests[PUSHED.repository] = {"x": (media.OCI_MANIFEST, content)}
    store.registry.digests[f"{PUSHED.repository}:{signature_tag(PUSHED.digest)}"] = "x"
    with pytest.raises(AttestationWrong, match="no signature"):
        check_signature(PUSHED, OURS, store, store.registry)


def test_a_registry_that_takes_no_signature_is_an_error(store: FakeStore) -> None:
    """It was asked for."""
    store.refused.add(PUSHED.repository)
    with pytest.raises(PushDenied):
        sign(PUSHED, OURS, store, store.registry)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, passphrase: str = "") -> bytes:
    """Write a private key as PKCS8."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Write the public half."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
_LINE = "ENCRYPTED SIGSTORE PRIVATE KEY-----"
COSIGN = f"-----BEGIN {_LINE}\neyJrZGYiOnsibmFtZSI6InNjcnlwdCJ9fQ==\n-----END {_LINE}\n".encode()


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_a_key_is_read_encrypted_or_not(tmp_path: Path, passphrase: str) -> None:
    """Its public half checks where no other is named; a passphrase that isn't needed does no harm."""
    path, public = tmp_path / "sign.pem", tmp_path / "verify.pem"
    path.write_bytes(pem(P256, passphrase))
    public.write_bytes(public_pem(P256))
    keys = load_keys(path, PASSPHRASE, None)
    assert keys.can_sign and load_keys(path, PASSPHRASE, public).is_valid(keys.sign(b"x"), b"x")
    checking = load_keys(None, None, public)
    assert not checking.can_sign and checking.is_valid(keys.sign(b"x"), b"x")
    assert not checking.is_valid(keys.sign(b"x"), b"y") and "private" not in repr(keys)


@pytest.mark.parametrize(
    ("content", "passphrase", "sentence"),
    [
        (None, None, "FACTORY_SIGN_KEY: can't be read"),
        (b"", None, "FACTORY_SIGN_KEY: no private key in PEM"),
        (b"not a key", None, "FACTORY_SIGN_KEY: no private key in PEM"),
        (public_pem(P256), None, "FACTORY_SIGN_KEY: no private key in PEM"),
        (pem(RSA), None, "FACTORY_SIGN_KEY: the key is RSA, and cosign's signatures want EC P-256"),
        (pem(ed25519.Ed25519PrivateKey.generate()), None, "FACTORY_SIGN_KEY: the key is Ed25519"),
        (pem(P384), None, "FACTORY_SIGN_KEY: the key is of the curve secp384r1"),
        (pem(P256, PASSPHRASE), None, "FACTORY_SIGN_KEY: the key is encrypted; set FACTORY_SIGN_PASSWORD"),
        (pem(P256, PASSPHRASE), "wrong", "FACTORY_SIGN_KEY: the key can't be decrypted"),
        (COSIGN, "x", "FACTORY_SIGN_KEY: this is cosign's own form of an encrypted key"),
    ],
    ids=lambda value: "key" if isinstance(value, bytes) else None,  # new ones in each process: no name for a test
)
def test_a_key_that_cannot_sign_is_one_sentence(
    tmp_path: Path, content: bytes | None, passphrase: str | None, sentence: str
) -> None:
    """It names the variable and what was found, and holds nothing of key or passphrase."""
    path = tmp_path / "sign.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_keys(path, passphrase, None)
    text = str(caught.value)
    assert text.startswith(sentence) and "\n" not in text and caught.value.exit_code == 3
    body = (content or b"").decode().splitlines()[1:2]
    assert not [secret for secret in (*body, passphrase if passphrase != "x" else "") if secret and secret in text]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "can't be read"),
        (b"x", "no public key in PEM"),
        (pem(P256), "this is a private key"),
        (public_pem(RSA), "the key is RSA, and"),
        (public_pem(P384), "the key is of the curve secp384r1"),
    ],
    ids=lambda value: "key" if isinstance(value, bytes) else None,
)
def test_a_key_that_cannot_check_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """It names FACTORY_VERIFY_KEY."""
    path = tmp_path / "verify.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^FACTORY_VERIFY_KEY: {sentence}"):
        load_keys(None, None, path)
