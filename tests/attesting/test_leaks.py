"""Secrets in bytes: what is found, in which form, and what is none."""

from __future__ import annotations

import base64
import random
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.attesting.leaks import Searcher, forms_of

LETTERS = string.ascii_letters + string.digits
DRAW = random.Random(6)


def drawn(count: int, letters: str = LETTERS) -> str:
    """Return random letters; made here, so that no file of ours holds what looks like a token."""
    return "".join(DRAW.choice(letters) for _ in range(count))


KEY_BODY = "\n".join(base64.b64encode(DRAW.randbytes(48)).decode() for _ in range(3))
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}\n-----END PRIVATE KEY-----\n"
JWT = f"eyJ{drawn(30)}.eyJ{drawn(60)}.{drawn(43)}"

TOKENS = {
    "a Hugging Face token": ("app/a.py", f"TOKEN = 'hf_{drawn(34)}'"),
    "a RunPod API key": ("root/x.bin", f"\0\0rpa_{drawn(46)}\0"),
    "a RunPod S3 key": ("a", f"rps_{drawn(40)}"),
    "an AWS access key": ("a", f"AKIA{drawn(16, string.ascii_uppercase + '234567')}"),
    "an AWS secret key": ("root/.aws/credentials", f"aws_secret_access_key = {drawn(40)}"),
    "a GitHub token": ("a", f"ghp_{drawn(36)}"),
    "a GitLab token": ("a", f"glpat-{drawn(20)}"),
    "a Docker Hub token": ("a", f"dckr_pat_{drawn(27)}"),
    "a Slack token": ("a", f"xoxb-{drawn(12, string.digits[2:])}-{drawn(24)}"),
    "an npm token": ("a", f"npm_{drawn(36)}"),
    "a PyPI token": ("a", f"pypi-AgEIcHlwaS5vcmc{drawn(120)}"),
    "a Google API key": ("a", f"AIza{drawn(35)}"),
    "an OpenAI API key": ("a", f"sk-proj-{drawn(40)}T3BlbkFJ{drawn(40)}"),
    "a private key": ("etc/key.pem", PEM),
    "a JSON web token": ("app/.env", f"KEY={JWT}"),
    "credentials in a URL": ("etc/pip.conf", f"index-url = https://ada:{drawn(12)}@pypi.corp/simple"),
    "a password in .netrc": ("root/.netrc", f"machine huggingface.co login ada password {drawn(9)}"),
    "an npm login": ("root/.npmrc", f"//r.corp/:_authToken={drawn(20)}"),
    "a registry login": ("root/.docker/config.json", f'{{"auths": {{"x": {{"auth": "{drawn(24)}"}}}}}}'),
}
HARMLESS = {
    "documentation": ("a.py", "https://user:password@example.com"),
    "AWS's example": ("a", "AKIAIOSFODNN7EXAMPLE"),
    "a placeholder": ("a", "hf_" + "x" * 34),
    "a word's beginning": ("a", "hf_hub_download, gh_pages, pypi-server, xoxb-"),
    "only the words": ("a.py", 'if text.startswith("-----BEGIN PRIVATE KEY-----"):'),
    "a JWT in a test": ("site-packages/jwt/tests.py", JWT),
    "a variable": ("etc/pip.conf", "https://ada:${TOKEN}@pypi.corp/simple"),
    "part of a longer word": ("a", f"ahf_{drawn(34)}"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_known_shapes_are_found_with_their_kind(kind: str) -> None:
    """A token of each issuer is found, and what is told of it does not hold it."""
    path, text = TOKENS[kind]
    (leak,) = Searcher().search(path, [text.encode("latin-1")], "step 1")
    assert leak.kind == kind and leak.path == path and leak.at.startswith("line ")
    assert not any(word in str(leak) for word in text.split() if len(word) > 8 and word.isalnum())


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_like_one_is_let_be(case: str) -> None:
    """Documentation, placeholders, names and test data are no findings."""
    path, text = HARMLESS[case]
    assert not list(Searcher().search(path, [text.encode()], "step 1"))


@settings(max_examples=20)  # each compiles a database of its own
@given(
    value=st.text(min_size=8, max_size=60, alphabet=st.characters(codec="utf-8")),
    before=st.binary(max_size=50),
    cut=st.integers(0, 400),
)
def test_a_secret_of_this_machine_is_found_in_every_form(value: str, before: bytes, cut: int) -> None:
    """Plain, URL-encoded and within base64 at any offset, also when it comes in two pieces."""
    searcher = Searcher({"MY_SECRET": value})
    text = value.encode()
    forms = [before + text, before + quote(value, safe="").encode(), base64.b64encode(before + text + b"tail")]
    forms.append(base64.urlsafe_b64encode(before + text))
    for content in forms:
        found = {leak.kind for leak in searcher.search("a", [content[:cut], content[cut:]], "step 1")}
        assert "the value of MY_SECRET" in found


SECRETS = {"S": "planted-value-1", "OTHER": "a b/c+d=e?f"}
BY_HYPERSCAN = Searcher(SECRETS, small_bytes=0)
PIECES = [
    *(text.encode("latin-1") for _, text in (*TOKENS.values(), *HARMLESS.values())),
    *(form for value in SECRETS.values() for form in forms_of(value)),
    *(b" ", b"\n", b"a", b"_", b"eyJ", b"://a:", b"@b", b'"auth": "', b"password", b"hf_" * 12),
]


@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=12),
    path=st.sampled_from(sorted({path for path, _ in TOKENS.values()})),
    cut=st.integers(0, 600),
)
def test_small_contents_are_searched_to_the_same_result(pieces: list[bytes], path: str, cut: int) -> None:
    """Without Hyperscan the same leaks are found at the same places."""
    content = b"".join(pieces)
    chunks = [content[:cut], content[cut:]]
    small = list(Searcher(SECRETS).search(path, chunks, "step 1"))
    assert small == list(BY_HYPERSCAN.search(path, chunks, "step 1"))


@pytest.mark.parametrize("kind", TOKENS)
def test_much_content_is_searched_like_little(kind: str) -> None:
    """A token behind more than is searched without Hyperscan is found as it is alone."""
    path, text = TOKENS[kind]
    (leak,) = BY_HYPERSCAN.search(path, [text.encode("latin-1")], "step 1")
    assert [leak] == list(Searcher().search(path, [text.encode("latin-1")], "step 1"))


def test_the_place_is_a_line_or_a_byte() -> None:
    """In a small file the line is told, in one that comes in pieces the byte."""
    searcher = Searcher({"S": "planted-value-1"})
    (leak,) = searcher.search("a", [b"\n\nx planted-value-1"], "step 1")
    assert leak.at == "line 3"
    (leak,) = searcher.search("a", [b"x" * 100_000, b"y" * 7 + b"planted-value-1"], "step 1")
    assert leak.at == "byte 100007"


def test_a_short_value_is_not_looked_for() -> None:
    """What is found everywhere by chance would stop every push."""
    assert not list(Searcher({"DEBUG": "1234567"}).search("a", [b"1234567"], "step 1"))


def test_other_secrets_are_another_search() -> None:
    """What was clean of some secrets is searched again for others; the mark holds no value."""
    one, other = Searcher({"A": "first-value"}), Searcher({"A": "other-value"})
    assert one.fingerprint != other.fingerprint and one.fingerprint == Searcher({"A": "first-value"}).fingerprint
    assert "first-value" not in repr(one)
