"""Tokens are known by their form, cut wherever they would be shown, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import RecipeError
from factory.recipe import loads
from factory.recipe.tokens import _KINDS, looks_random, redacted, token_in

BODY = "aB3dE5gH7jK9mN1pQ3sT5uV7wX9yZ1bC3dE5"
TOKENS = {
    "a Hugging Face token": f"hf_{BODY}",
    "a RunPod API key": f"rpa_{BODY}",
    "a RunPod S3 key": f"rps_{BODY}",
    "an API key": f"sk-proj-{BODY}",
    "a GitHub token": f"ghp_{BODY}",
    "a GitLab token": f"glpat-{BODY}",
    "a Docker Hub token": f"dckr_pat_{BODY}",
    "an AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a Google API key": f"AIza{BODY}",
    "a Slack token": f"xoxb-{BODY}",
    "a PyPI token": f"pypi-{BODY}",
    "a JSON web token": f"eyJ{BODY}.eyJ{BODY}.{BODY}",
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "credentials in a URL": "https://user:hunter2@example.com/x",
}


def test_every_kind_has_its_example() -> None:
    """No kind of token is without an example below."""
    assert TOKENS.keys() == _KINDS.keys()


@pytest.mark.parametrize(("kind", "token"), TOKENS.items())
def test_a_token_is_known_by_its_form_and_cut_where_it_is_shown(kind: str, token: str) -> None:
    """A token is found alone and inside a command, and only its first three characters survive."""
    assert token_in(token) == token_in(f"curl -H 'Authorization: {token}'") == (kind, token[:3])
    shown = redacted(f"a {token} b")
    assert shown.startswith(f"a {token[:3]}…")
    assert token[3:] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download",
        "user_defined",
        "sk-learn",
        "https://github.com/a/b@main",
        "git+https://github.com/a/b@0123456789abcdef0123456789abcdef01234567",
        "sha256:" + "0a" * 32,
        "sentence-transformers/all-MiniLM-L6-v2",
        "diffusion_pytorch_model-00001-of-00006.safetensors",
        "NVIDIAGeForceRTX4090AndMore24GB",
        "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
        "{{ RUNPOD_SECRET_HF_TOKEN }}",
    ],
)
def test_names_and_digests_are_no_tokens(text: str) -> None:
    """What recipes hold for good reasons is left alone."""
    assert token_in(text) is None
    assert not looks_random(text)
    assert redacted(text) == text


PLACES = ["model: %s", "image: {repository: %s}", "gpu: {%s: 1}", "secrets: ['%s']", "handler: '%s'", "volume: '%s'",
          "env: {A: '%s'}\nzzz: '%s'", "tests: [{input: {a: 1}, expect: {a: {type: '%s'}}}]", "image: {apt: ['%s']}",
          "image: {git: [{url: '%s', commit: '%s'}]}", "%s: 1", "model: {dtype: '%s'}", "- %s", "%s"]  # fmt: skip


@given(st.sampled_from(PLACES), st.sampled_from(sorted(TOKENS.values())))
def test_no_problem_ever_shows_a_token(place: str, token: str) -> None:
    """Wherever a token was pasted, the sentences that refuse the file do not hold it."""
    try:
        loads(place.replace("%s", token), Path("r.yaml"))
    except RecipeError as error:
        assert token not in str(error)
        assert "hunter2" not in str(error)
