"""What is struck out of text before it is logged."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker_runtime.redaction import redact

# In other letters than the words around them, so that finding a secret means that it was let through.
SECRETS = st.text(string.ascii_uppercase + string.digits, min_size=12, max_size=40)
WORDS = st.text(string.ascii_lowercase + " .,()\n", max_size=30)


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        (
            "GET https://b.s3.amazonaws.com/a.png?X-Amz-Signature=5ec7e7 done",
            "GET https://b.s3.amazonaws.com/a.png?*** done",
        ),
        ('{"url": "https://h/a?sig=x&se=1", "n": 2}', '{"url": "https://h/a?***", "n": 2}'),
        ("HTTPS://u:p@h/x", "HTTPS://***@h/x"),
        ("redis://:pass@h:6379/0", "redis://***@h:6379/0"),
        ("token hf_abcdefghijKLMNOP1234", "token ***"),
        ("key rpa_ABCDEFGH12345678 and rps_ABCDEFGH12345678", "key *** and ***"),
        ("id AKIAIOSFODNN7EXAMPLE", "id ***"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        ("BUCKET_SECRET_ACCESS_KEY=a/b+c next", "BUCKET_SECRET_ACCESS_KEY=*** next"),
        ('{"accessSecret": "a/b", "bucketName": "b"}', '{"accessSecret": "***", "bucketName": "b"}'),
        ('{"accessSecret": "cut o', '{"accessSecret": "***"'),
        (r'"{\"accessSecret\": \"a/b\", \"n\": 1}"', r'"{\"accessSecret\": \"***\", \"n\": 1}"'),
        ("{'accessId': 'AB', 'api_key': 'x'}", "{'accessId': '***', 'api_key': '***'}"),
        ("PUT /b/k?partNumber=1&X-Amz-Signature=abc&x=1", "PUT /b/k?partNumber=1&X-Amz-Signature=***&x=1"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln end", "jwt *** end"),
    ],
)
def test_strikes_out(text: str, struck: str) -> None:
    """Each kind of secret goes, and what stands around it stays."""
    assert redact(text) == struck


@pytest.mark.parametrize(
    "text",
    [
        "job 7f2a-u1 done in 1.5 s; output_too_large: the output is 12000000 bytes",
        "https://host/path#part is no secret, is it?",
        "64 tokens made, top_p: 0.9",
        "input_invalid: max_new_tokens: at most 50 (found 51); tokenizer: missing",
        "mail a@b.c",
        "",
    ],
)
def test_leaves_the_rest(text: str) -> None:
    """Text without a secret stays as it is."""
    assert redact(text) == text


@given(WORDS, SECRETS, WORDS, st.sampled_from(["Signature", "token", "sv", "X-Amz-Credential", "e"]))
def test_no_query_of_a_url_is_left(before: str, secret: str, after: str, name: str) -> None:
    """Whatever a URL's query is called, its value is gone."""
    assert secret not in redact(f"{before} https://h.example/a/b?x=1&{name}={secret} {after}")


@given(WORDS, st.text(min_size=6, max_size=40).filter(lambda text: "*" not in text), WORDS)
@example("", "a b?c=d&\"e'", "")
def test_no_known_secret_is_left(before: str, secret: str, after: str) -> None:
    """A secret that is known goes whatever it looks like, and wherever it stands."""
    assert secret not in redact(f"{before}{secret}{after}", [secret]).replace("***", "")


@given(
    SECRETS,
    st.sampled_from(
        ["HF_TOKEN={0}", "password: {0}", '"secretKey": "{0}"', "Bearer {0}", "hf_{0}", "https://u:{0}@h/", "rpa_{0} x"]
    ),
    WORDS,
)
def test_no_secret_by_its_look_is_left(secret: str, form: str, around: str) -> None:
    """A secret that isn't known goes when its name or its form gives it away."""
    assert secret not in redact(f"{around} {form.format(secret)} {around}")


@given(st.text(max_size=80) | SECRETS.map(lambda text: f"https://h/?a={quote(text)} token={text}"))
def test_twice_is_once(text: str) -> None:
    """Redacting what is redacted changes nothing, so no part of the log needs to know of the others."""
    assert redact(redact(text)) == redact(text)
