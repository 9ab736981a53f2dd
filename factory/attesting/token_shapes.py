"""What secrets look like: the shapes that issuers document for their tokens, and the files that hold logins.

A shape has a `probe`, which is looked for in everything, and an `exact` form, by which Python judges the place that the
probe found; both are compiled when first needed. `sign`, in lower case, is in each match of the probe.

Sources, read 2026-11-25: huggingface.co/docs/hub/security-tokens; docs.runpod.io (API keys, S3 API); IAM User Guide,
"Unique identifiers"; GitHub, "About authentication to GitHub" (token formats); GitLab, "Token overview";
docs.docker.com/security/access-tokens; api.slack.com/authentication/token-types; docs.npmjs.com/about-access-tokens;
docs.pypi.org/api/secrets; cloud.google.com/docs/authentication/api-keys; RFC 7468 (PEM), RFC 7519 (JWT). Lengths are
those of real tokens, so that a word which only begins like one is none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

RULES = "1"  # raised with every change here: what was searched by older rules is searched again
REACH_BYTES = 4096  # a token, and what its exact form looks at around it, lies within so many bytes

# Files in which people and programs keep configuration: the only ones where a login in a URL or a JWT is a finding,
# since documentation and tests are full of made-up ones.
_CONFIG_FILES = (
    r"(?:^|/)(?:\.?env(?:\.[\w.-]+)?|[\w.-]*\.(?:env|json|ya?ml|toml|ini|cfg|conf|list|properties|tfvars|tfstate|sh|"
    r"service)|\.?(?:netrc|npmrc|pypirc|yarnrc|bashrc|profile|bash_history|python_history|gitconfig|git-credentials)|"
    r"\.git/config|credentials|environment|Dockerfile[\w.-]*|requirements[\w.-]*\.txt|\(image [a-z ]+\))$"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of secret. `files` limits it to paths that match; `value` is the group that holds the secret itself."""

    kind: str
    sign: bytes
    probe: bytes
    exact: bytes
    files: str | None = None
    is_random: bool = True  # what it finds must look like something a machine has drawn

    def is_for(self, path: str) -> bool:
        """Does the shape count in a file of that path?"""
        return self.files is None or bool(re.search(self.files, path))


def _token(kind: str, sign: str, pattern: str, probe: str | None = None) -> Shape:
    """Return a shape with a fixed beginning, which stands alone: no letter or digit before or after it."""
    exact = rb"(?<![A-Za-z0-9_])(?P<value>%s)(?![A-Za-z0-9])" % pattern.encode()
    return Shape(kind, sign.encode(), (probe or pattern).encode(), exact)


def _login(kind: str, sign: str, pattern: str, probe: str, files: str, *, is_random: bool = False) -> Shape:
    """Return a shape that counts in some files alone."""
    return Shape(kind, sign.encode(), probe.encode(), pattern.encode(), files, is_random)


SHAPES = (
    _token("a Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,64}", r"hf_[A-Za-z0-9]{30}"),
    _token("a RunPod API key", "rpa_", r"rpa_[A-Za-z0-9]{32,64}", r"rpa_[A-Za-z0-9]{32}"),
    _token("a RunPod S3 key", "rps_", r"rps_[A-Za-z0-9]{20,64}", r"rps_[A-Za-z0-9]{20}"),
    _token("an AWS access key", "ia", r"(?:AKIA|ASIA)[A-Z2-7]{16}"),
    Shape(
        "an AWS secret key",
        b"secret",
        rb"(?i)aws_?secret_?access_?key",
        rb"(?i)aws_?secret_?access_?key[\"']?\s{0,8}[=:]\s{0,8}[\"']?(?P<value>[A-Za-z0-9/+]{40})(?![\w/+=])",
    ),
    _token("a GitHub token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,255}", r"gh[pousr]_[A-Za-z0-9]{36}"),
    _token("a GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("a GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,64}", r"glpat-[A-Za-z0-9_-]{20}"),
    _token(
        "a Docker Hub token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,64}", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20}"
    ),
    _token("a Slack token", "xox", r"xox[abeprs]-[0-9]{8,}-[A-Za-z0-9-]{16,200}", r"xox[abeprs]-[0-9]{8}"),
    _token("an npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    # A PyPI token is a macaroon: what follows `pypi-` always begins with its location, pypi.org or test.pypi.org.
    _token(
        "a PyPI token",
        "pypi-age",
        r"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,1000}",
        r"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)",
    ),
    _token("a Google API key", "aiza", r"AIza[A-Za-z0-9_-]{35}"),
    _token(
        "an Anthropic API key", "sk-ant-", r"sk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{60,200}", r"sk-ant-[a-z]{2,8}[0-9]{2}-"
    ),
    # OpenAI's keys hold its name in base64 (T3BlbkFJ) between two random halves.
    _token("an OpenAI API key", "t3blbkfj", r"sk-[A-Za-z0-9_-]{0,100}T3BlbkFJ[A-Za-z0-9_-]{16,100}", r"T3BlbkFJ"),
    _token("a Stripe key", "k_live_", r"[sr]k_live_[A-Za-z0-9]{20,250}", r"[sr]k_live_[A-Za-z0-9]{20}"),
    Shape(
        "a private key",
        b"private key",
        rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY( BLOCK)?-----",
        # A key and not just the words: what follows is base64, perhaps after header lines, also as a JSON string.
        rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?:\\r|\\n|\s)+"
        rb"(?:[A-Za-z-]{1,30}: [^\r\n\\]{1,120}(?:\\r|\\n|\s)+){0,6}(?P<value>[A-Za-z0-9+/=]{40,})",
    ),
    _login(
        "a JSON web token",
        "eyj",
        r"(?<![A-Za-z0-9_-])(?P<value>eyJ[A-Za-z0-9_-]{8,500}\.eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{16,700})",
        r"eyJ[A-Za-z0-9_-]{8,500}\.eyJ",
        _CONFIG_FILES,
        is_random=True,
    ),
    _login(
        "credentials in a URL",
        "://",
        r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:\"'<>{}$]{0,100}:(?P<value>[^\s/@:\"'<>{}$%()\[\]]{3,200})@[A-Za-z0-9\[]",
        r"://[^\s/@:]{0,100}:[^\s/@]{3,200}@",
        _CONFIG_FILES,
    ),
    _login(
        "a password in .netrc", "password", r"\bpassword\s+(?P<value>\S{3,200})", r"password\s", r"(?:^|/)[._]netrc$"
    ),
    _login(
        "an npm login",
        "_",
        r"_(?:authToken|auth|password)\s*=\s*(?P<value>[^\s$]{6,500})",
        r"_auth|_password",
        r"npmrc$",
    ),
    _login(
        "a PyPI login", "password", r"(?m)^\s*password\s*[:=]\s*(?P<value>\S{3,1000})", r"password", r"(?:^|/)\.pypirc$"
    ),
    _login(
        "a registry login",
        '"',
        r"\"(?:auth|identitytoken|registrytoken)\"\s*:\s*\"(?P<value>[A-Za-z0-9+/=_.-]{6,2000})\"",
        r"\"(auth|identitytoken|registrytoken)\"",
        r"(?:^|/)(?:\.docker/config|\.dockercfg|containers/auth|auth|config)(?:\.json)?$",
    ),
)

# What the makers of documentation and tests write in a token's place.
_PLACEHOLDER = (
    rb"(?i)example|placeholder|dummy|changeme|redacted|secret_?here|your[_-]|x{6}|\*{4}|0{8}|1234567|abcdefg|a1b2c3|"
    rb"deadbeef|^(?:pass(?:word)?|pwd|secret|token|test|user|none|null|foo|bar|hunter2)$"
)


def is_placeholder(value: bytes, *, is_random: bool) -> bool:
    """Was the value made up by a person, to stand for one? A random one has many different characters."""
    if re.search(_PLACEHOLDER, value):
        return True
    return is_random and _bits(value.rpartition(b"_")[2][:128]) < 3.0


def _bits(text: bytes) -> float:
    """Return Shannon's entropy, in bits a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0
