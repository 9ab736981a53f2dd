"""The keys that images are signed with and checked by: ECDSA on P-256, as PEM files.

The one scheme that every tool of cosign's signatures must know (cosign, SIGNATURE_SPEC.md, "Signature Schemes", read
2026-11-25); the hash is sha256.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from factory.errors import SettingsError

SIGN_KEY = "FACTORY_SIGN_KEY"
SIGN_PASSWORD = "FACTORY_SIGN_PASSWORD"  # noqa: S105 - the variable's name
VERIFY_KEY = "FACTORY_VERIFY_KEY"

_MAKE = "make one by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sign.pem`"
_MAKE_PUBLIC = "make it by `openssl pkey -in sign.pem -pubout -out verify.pem`"
_LIMIT_BYTES = 64_000  # a key file has less than 1 kB
_ALGORITHM = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Keys:
    """What this machine signs by (None: it only checks), and what signatures are checked by."""

    private: ec.EllipticCurvePrivateKey | None = field(repr=False)
    public: ec.EllipticCurvePublicKey

    @property
    def can_sign(self) -> bool:
        """Is there a private key?"""
        return self.private is not None

    def sign(self, content: bytes) -> bytes:
        """Return a signature (DER), another one each time."""
        assert self.private is not None, "asked to sign without a key"
        return self.private.sign(content, _ALGORITHM)

    def is_own(self, signature: bytes, content: bytes) -> bool:
        """Was this signature made of this content by `private`?"""
        return self.private is not None and _is_valid(self.private.public_key(), signature, content)

    def is_valid(self, signature: bytes, content: bytes) -> bool:
        """Was this signature made of this content by the private half of `public`?"""
        return _is_valid(self.public, signature, content)


def _is_valid(public: ec.EllipticCurvePublicKey, signature: bytes, content: bytes) -> bool:
    try:
        public.verify(signature, content, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=4)  # all recipes of a run have the same; a passphrase takes a moment by design
def load_keys(sign_key: Path | None, password: str | None, verify_key: Path | None) -> Keys:
    """Read the key files; without `verify_key` the public half of `sign_key` checks.

    Raises SettingsError with the variable's name, and never a word of a key or passphrase.
    """
    private = _private(_read(sign_key, SIGN_KEY), password) if sign_key else None
    if verify_key:
        return Keys(private, _public(_read(verify_key, VERIFY_KEY)))
    assert private is not None, "one of the two is set"
    return Keys(private, private.public_key())


def _read(path: Path, variable: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT_BYTES)
    except OSError as error:
        what = f"can't be read ({path}: {error.strerror})"
        raise SettingsError(what, where=variable, fix="name a PEM file, or unset it") from None
    return content


def _private(content: bytes, password: str | None) -> ec.EllipticCurvePrivateKey:
    if b"SIGSTORE PRIVATE KEY" in content or b"COSIGN PRIVATE KEY" in content:
        raise SettingsError(
            "this is cosign's own form of an encrypted key, which is not read here",
            where=SIGN_KEY,
            fix=f"use a PKCS8 key: {_MAKE} (`cosign import-key-pair` makes cosign's form of it)",
        )
    is_encrypted = b"ENCRYPTED" in content
    if is_encrypted and not password:
        raise SettingsError("the key is encrypted", where=SIGN_KEY, fix=f"set {SIGN_PASSWORD} to its passphrase")
    try:
        key = serialization.load_pem_private_key(content, password.encode() if is_encrypted and password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_encrypted:
            what = "the key can't be decrypted: the passphrase is another one, or the file is damaged"
            raise SettingsError(what, where=SIGN_KEY, fix=f"set {SIGN_PASSWORD} to its passphrase") from None
        raise SettingsError("no private key in PEM (PKCS8)", where=SIGN_KEY, fix=_MAKE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError(f"{_kind(key)}, and cosign's signatures want EC P-256", where=SIGN_KEY, fix=_MAKE)
    return key


def _public(content: bytes) -> ec.EllipticCurvePublicKey:
    if b"PRIVATE KEY" in content:
        raise SettingsError(
            "this is a private key, and checking wants the public one", where=VERIFY_KEY, fix=_MAKE_PUBLIC
        )
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError("no public key in PEM", where=VERIFY_KEY, fix=_MAKE_PUBLIC) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError(f"{_kind(key)}, and cosign's signatures want EC P-256", where=VERIFY_KEY, fix=_MAKE_PUBLIC)
    return key


def _kind(key: object) -> str:
    """Return what a key is, in words."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"the key is of the curve {key.curve.name}"
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    return f"the key is {name}"
