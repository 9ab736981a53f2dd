"""Each rule: what it finds, and what it must let pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.checks import check
from factory.checks.packages import HUB_VERSION, RUNPOD_VERSION, release
from factory.checks.rules import MODEL_RULES, RULES
from factory.recipe import Recipe, RecipeFile

MakeRecipe = Callable[[str], RecipeFile]

TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ3sT"
RANDOM = "q7Xw2Lk9Vb4Zt8Rn1Yc6Hs3Df5Gj0P"

FOUND = [
    ("token-like", "error", f"env: {{A: {TOKEN}}}", "env.A", "this holds a Hugging Face token (hf_…)"),
    (
        "token-like",
        "error",
        f"image: {{repository: acme/demo, steps: ['curl -H {TOKEN} x']}}",
        "image.steps.0",
        "(hf_…)",
    ),
    (
        "token-like",
        "error",
        "tests: [{input: {url: 'https://u:pw@h/x'}, expect: {a: 1}}]",
        "tests.0.input.url",
        "credentials in a URL",
    ),
    (
        "token-like",
        "error",
        f"handler: {{name: echo, options: {{{TOKEN}: 1}}}}",
        "handler.options",
        "a Hugging Face token",
    ),
    ("token-like", "error", "env: {A: AKIAIOSFODNN7EXAMPLE}", "env.A", "an AWS access key (AKI…)"),
    ("token-like", "error", "env: {A: 'rpa_ABCDEFGHIJKLMNOPQRSTUV'}", "env.A", "a RunPod API key (rpa…)"),
    ("token-like", "warning", f"env: {{A: {RANDOM}}}", "env.A", "looks like a key or token (q7X…)"),
    (
        "secret-value",
        "error",
        "image: {repository: acme/demo, env: {API_TOKEN: hunter2}}",
        "image.env.API_TOKEN",
        "image layer",
    ),
    (
        "secret-value",
        "error",
        "image: {repository: acme/demo, env: {HF_TOKEN: '{{ RUNPOD_SECRET_HF }}'}}",
        "image.env.HF_TOKEN",
        "at run time only",
    ),
    ("secret-value", "warning", "env: {DB_PASSWORD: hunter2}", "env.DB_PASSWORD", "has its value here"),
    ("floating-revision", "note", "model: a/b", "model.revision", "'main' may be another commit"),
    ("cached-placement", "error", "model: {repo: a/b, placement: cached}", "model.placement", "GPU endpoints only"),
    (
        "cached-placement",
        "warning",
        "gpu: {pools: [ADA_24]}\nmodels: [{repo: a/b, placement: cached}, {repo: a/c, placement: cached}]",
        "models.1.placement",
        "one cached model",
    ),
    (
        "cached-placement",
        "warning",
        "gpu: {pools: [ADA_24]}\nmodels: [{repo: a/b, placement: cached, include: ['*.json']}]",
        "models.0.placement",
        "every file of the repository",
    ),
    ("no-model", "error", "models: []\nhandler: transcription", "handler", "transcription loads a model"),
    ("base-tag", "warning", "image: {repository: acme/demo, base: python}", "image.base", "python has no tag"),
    (
        "base-tag",
        "warning",
        "image: {repository: acme/demo, base: 'r.io:5000/python:latest'}",
        "image.base",
        "the tag 'latest'",
    ),
    ("base-tag", "warning", "image: {repository: acme/demo, base: 'r.io:5000/python'}", "image.base", "has no tag"),
    (
        "base-platform",
        "error",
        "image: {repository: acme/demo, base: 'arm64v8/debian:bookworm'}",
        "image.base",
        "for arm64v8",
    ),
    ("base-platform", "error", "image: {repository: acme/demo, base: 'x/y:1-aarch64'}", "image.base", "for aarch64"),
    ("base-python", "error", "image: {repository: acme/demo, base: 'python:3.12-slim'}", "image.base", "Python 3.12"),
    (
        "base-python",
        "error",
        "image: {repository: acme/demo, base: 'nvidia/cuda:12.4.1-runtime-ubuntu22.04'}",
        "image.base",
        "Python 3.10, and image.python is 3.11",
    ),
    (
        "base-python",
        "error",
        "image: {repository: acme/demo, base: 'runpod/pytorch:2.4.0-py3.10-cuda12.4.1'}",
        "image.base",
        "3.10",
    ),
    ("base-python", "error", "image: {repository: acme/demo, base: 'ubuntu:24.04'}", "image.base", "Python 3.12"),
    (
        "python-version",
        "error",
        "image: {repository: acme/demo, python: '3.9'}",
        "image.python",
        "needs Python 3.10 or later",
    ),
    ("unpinned-pip", "warning", "image: {repository: acme/demo, pip: [numpy]}", "image.pip.0", "numpy is not pinned"),
    (
        "unpinned-pip",
        "warning",
        "image: {repository: acme/demo, pip: ['numpy>=2,<3']}",
        "image.pip.0",
        "numpy is not pinned",
    ),
    (
        "unpinned-pip",
        "warning",
        "image: {repository: acme/demo, pip: ['numpy==2.*']}",
        "image.pip.0",
        "numpy is not pinned",
    ),
    (
        "unpinned-pip",
        "warning",
        "image: {repository: acme/demo, pip: ['git+https://h/a/b']}",
        "image.pip.0",
        "a URL without",
    ),
    (
        "unpinned-pip",
        "warning",
        "image: {repository: acme/demo, pip: ['x @ git+https://h/a/b@main']}",
        "image.pip.0",
        "a URL without",
    ),
    ("unpinned-pip", "error", "image: {repository: acme/demo, pip: ['numpy = 2']}", "image.pip.0", "no requirement"),
    (
        "duplicate-pip",
        "error",
        "image: {repository: acme/demo, pip: [Foo_bar==1.0, foo-bar==2.0]}",
        "image.pip.1",
        "foo-bar is there twice (Foo_bar==1.0 on line 1)",
    ),
    (
        "duplicate-pip",
        "warning",
        "image: {repository: acme/demo, pip: [a==1, 'a == 1']}",
        "image.pip.1",
        "a is there twice",
    ),
    (
        "sdk-version",
        "error",
        "image: {repository: acme/demo, pip: [runpod==1.9.0]}",
        "image.pip.0",
        "all jobs to one worker",
    ),
    ("sdk-version", "error", "image: {repository: acme/demo, pip: [runpod==1.7.11]}", "image.pip.0", "fixed in 1.10.1"),
    ("sdk-version", "warning", "image: {repository: acme/demo, pip: [runpod==1.10.1]}", "image.pip.0", "runpod 1.12.0"),
    (
        "hub-version",
        "warning",
        "image: {repository: acme/demo, pip: [huggingface_hub==0.36.0]}",
        "image.pip.0",
        "2.4.0",
    ),
    ("handler-packages", "error", "handler: embeddings", "handler", "embeddings imports numpy"),
    (
        "pipe-to-shell",
        "warning",
        "image: {repository: acme/demo, steps: ['curl -sL x | bash']}",
        "image.steps.0",
        "whatever",
    ),
    (
        "pipe-to-shell",
        "warning",
        "image: {repository: acme/demo, steps: ['bash <(wget -qO- x)']}",
        "image.steps.0",
        "whatever",
    ),
    ("ignored-failure", "warning", "image: {repository: acme/demo, steps: ['make || true']}", "image.steps.0", "hides"),
    (
        "step-pip",
        "warning",
        "image: {repository: acme/demo, steps: ['pip install x==1']}",
        "image.steps.0",
        "past image.pip",
    ),
    (
        "apt-upgrade",
        "warning",
        "image: {repository: acme/demo, steps: ['apt-get -y upgrade']}",
        "image.steps.0",
        "an upgrade",
    ),
    ("weights-path", "error", "env: {MODEL_DIR: /workspace/models}", "env.MODEL_DIR", "at /runpod-volume"),
    (
        "weights-path",
        "error",
        "handler: {name: echo, options: {a: [{dir: /workspace}]}}",
        "handler.options.a.0.dir",
        "pods",
    ),
    (
        "weights-path",
        "warning",
        "image: {repository: acme/demo, steps: ['cp x /workspace/y']}",
        "image.steps.0",
        "in the image",
    ),
    ("cache-path", "warning", "env: {HF_HOME: /tmp/hf}", "env.HF_HOME", "HF_HOME is not on the volume"),
    ("cache-path", "warning", "env: {HF_HUB_CACHE: /runpod-volumes/x}", "env.HF_HUB_CACHE", "is not on the volume"),
    ("hf-transfer", "note", "env: {HF_HUB_ENABLE_HF_TRANSFER: '1'}", "env.HF_HUB_ENABLE_HF_TRANSFER", "ignores"),
    ("gpu-pool", "error", "gpu: NVIDIA A100 80GB PCIe", "gpu", "is a GPU's name"),
    ("gpu-pool", "error", "gpu: [ADA_24, 'NVIDIA GeForce RTX 4090']", "gpu.1", "is a GPU's name"),
    ("gpu-pool", "error", "gpu: ampere_80", "gpu", "is no GPU pool"),
    ("gpu-pool", "warning", "gpu: AMPERE_40", "gpu", "no pool AMPERE_40"),
    ("gpu-pool", "error", "gpu: {min_vram_gb: 200}", "gpu.min_vram_gb", "no pool has 200 GB per GPU"),
    ("gpu-twice", "warning", "gpu: [ADA_24, AMPERE_24, ADA_24]", "gpu.2", "ADA_24 is there twice"),
    ("min-cuda", "note", "gpu: ADA_24\nimage: {repository: acme/demo, pip: [torch==2.6.0]}", "gpu", "no min_cuda"),
    (
        "min-cuda",
        "warning",
        "gpu: ADA_24\nimage: {repository: acme/demo, pip: [torch==2.6.0+cu124]}",
        "gpu",
        "for CUDA 12.4",
    ),
    (
        "min-cuda",
        "warning",
        "gpu: {pools: [ADA_24], min_cuda: '12.4'}\n"
        "image: {repository: acme/demo, python: '3.12', base: 'nvidia/cuda:12.8.1-runtime-ubuntu24.04'}",
        "gpu.min_cuda",
        "made for CUDA 12.8, and gpu.min_cuda is 12.4",
    ),
    (
        "data-center",
        "warning",
        "gpu: ADA_24\nendpoint: {data_centers: [EU-RO-2]}",
        "endpoint.data_centers.0",
        "no data centre EU-RO-2",
    ),
    (
        "data-center",
        "warning",
        "gpu: ADA_24\nvolume: models\nendpoint: {data_centers: [US-TX-3]}",
        "endpoint.data_centers.0",
        "US-TX-3 had no network volumes",
    ),
    (
        "data-center",
        "warning",
        "endpoint: {data_centers: [US-KS-2]}",
        "endpoint.data_centers",
        "CPU workers run in EU-RO-1",
    ),
    ("workers", "warning", "endpoint: {workers: {max: 0}}", "endpoint.workers.max", "waits for ever"),
    ("always-on", "note", "gpu: AMPERE_80\nendpoint: {workers: {min: 1}}", "endpoint.workers.min", "about $66 a day"),
    (
        "idle-timeout",
        "warning",
        "endpoint: {scaler: {type: request_count, value: 1}, idle_timeout_s: 30}",
        "endpoint.idle_timeout_s",
        "refuses an idle timeout",
    ),
    (
        "timeouts",
        "warning",
        "endpoint: {execution_timeout_s: 60}\ntests: [{input: {a: 1}, expect: {b: 2}, timeout_s: 90}]",
        "tests.0.timeout_s",
        "may take 90 seconds",
    ),
    (
        "unused-volume",
        "warning",
        "volume: models\nmodel: {repo: a/b, placement: image}",
        "volume",
        "no model is placed",
    ),
    ("unused-volume", "warning", "disk: {volume: 50}\nmodels: []", "disk.volume", "no model is placed"),
    ("no-tests", "warning", "tests: []", "tests", "no test job"),
    ("test-without-expect", "note", "tests: [{input: {a: 1}}]", "tests.0", "passes with any answer"),
]


@pytest.mark.parametrize(("rule", "severity", "text", "key", "words"), FOUND)
def test_a_rule_finds_its_case(recipe: MakeRecipe, rule: str, severity: str, text: str, key: str, words: str) -> None:
    """The rule names the key as written and its line, says what it found, and gives a fix."""
    (found,) = [finding for finding in check(recipe(text)) if finding.rule == rule]
    assert (found.severity, found.where.partition(": ")[2]) == (severity, key)
    assert words in found.sentence
    assert found.fix
    assert found.where.startswith("r.yaml")
    assert TOKEN[3:] not in str(found)
    assert RANDOM[3:] not in str(found)
    assert "hunter2" not in str(found)


def test_every_rule_has_a_case() -> None:
    """No offline rule is without an example that it finds."""
    assert {rule.id for rule in RULES} == {rule for rule, *_ in FOUND}


def test_rule_ids_are_unique() -> None:
    """Two rules never share an id."""
    ids = [*(rule.id for rule in RULES), *(rule.id for rule in MODEL_RULES)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "env: {TOKENIZERS_PARALLELISM: 'false', MAX_TOKENS: '512', HF_TOKEN: '{{ RUNPOD_SECRET_HF_TOKEN }}'}",
        "env: {HF_HOME: /runpod-volume/hf, A: /my/workspace/x, B: /workspaces, C: x/workspace}",
        "env: {HF_HOME: /models}\n"
        "model: {repo: a/b, placement: image, revision: 0123456789abcdef0123456789abcdef01234567}",
        "image: {repository: acme/demo, base: 'python:3.11-slim-bookworm'}",
        "image: {repository: acme/demo, base: 'r.io:5000/x@sha256:" + "0a" * 32 + "'}",
        "image: {repository: acme/demo, python: '3.12', base: 'nvidia/cuda:12.0.1-runtime-ubuntu24.04'}\n"
        "gpu: {pools: [ADA_24], min_cuda: '12.4'}",
        "image: {repository: acme/demo, pip: ['torch==2.6.0+cu124', 'diffusers[torch]==0.35.1',"
        " 'x==1 ; python_version<\"4\"',"
        " '--extra-index-url https://download.pytorch.org/whl/cu124', 'y==2 --hash=sha256:" + "ab" * 32 + "',"
        " 'git+https://h/a/b@0123456789abcdef0123456789abcdef01234567', 'z @ https://h/z-1.0-py3-none-any.whl',"
        " 'runpod==1.12.0', 'w===1.0']}\ngpu: {pools: [ADA_24], min_cuda: '12.4'}",
        "image: {repository: acme/demo, steps: ['curl -fsSLo x https://h/x && echo \"sum x\" | sha256sum -c && sh x']}",
        "gpu: {min_vram_gb: 24, min_cuda: '12.4'}",
        "gpu: [AMPERE_80, ADA_80_PRO]\nendpoint: {data_centers: [EU-RO-1, US-KS-2]}",
        "handler: embeddings\nimage: {repository: acme/demo, pip: [numpy==2.2.6]}",
        "tests: [{input: {image: '" + "aB3dE5gH7jK9mN1p" * 40 + "'}, expect: {b: 2}}]",
        "models: [{repo: sentence-transformers/all-MiniLM-L6-v2, revision: 0123456789abcdef0123456789abcdef01234567},"
        " {repo: Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4, revision: 0123456789abcdef0123456789abcdef01234567}]",
    ],
)
def test_what_is_right_passes_without_a_word(recipe: MakeRecipe, text: str) -> None:
    """Near misses of every rule give no finding at all."""
    assert [str(finding) for finding in check(recipe(text))] == []


def test_findings_come_in_file_order(recipe: MakeRecipe) -> None:
    """Findings follow the lines of the file, whatever the order of the rules."""
    text = "env:\n  HF_HUB_ENABLE_HF_TRANSFER: '1'\n  DB_PASSWORD: x\nimage:\n  repository: acme/demo\n  pip: [numpy]\n"
    assert [finding.rule for finding in check(recipe(text))] == ["hf-transfer", "secret-value", "unpinned-pip"]


def test_a_finding_reads_as_one_line(recipe: MakeRecipe) -> None:
    """A finding's text is `where: severity: sentence; fix [rule]`, and its record has the same parts."""
    (found,) = check(recipe("image:\n  repository: acme/demo\n  pip:\n  - numpy\n"))
    line = "r.yaml:4: image.pip.0: warning: numpy is not pinned; write 'numpy==VERSION' [unpinned-pip]"
    assert str(found) == line
    assert found.as_record() == {
        "rule": "unpinned-pip",
        "severity": "warning",
        "where": "r.yaml:4: image.pip.0",
        "sentence": "numpy is not pinned",
        "fix": "write 'numpy==VERSION'",
    }


def test_our_versions_are_what_every_image_installs() -> None:
    """The versions that the rules compare with are those of the worker's requirements."""
    lines = (Path(__file__).parents[2] / "worker_runtime" / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert release(pinned["runpod"]) == RUNPOD_VERSION
    assert release(pinned["huggingface_hub"]) == HUB_VERSION


@pytest.mark.parametrize(
    "text",
    [
        "image: {repository: acme/demo, pip: ['a" + " " * 100_000 + "b']}",
        "image: {repository: acme/demo, pip: ['a" + "[" * 100_000 + "']}",
        "image: {repository: acme/demo, steps: ['" + "curl " * 20_000 + "']}",
        "env: {A: '" + "a." * 50_000 + "', B: '" + "-eyJaaaaaaaaa" * 8_000 + "'}",
    ],
)
def test_long_texts_cost_little(recipe: MakeRecipe, text: str) -> None:
    """Texts that send a careless regular expression to its knees are read like any other."""
    assert all(finding.rule in ("unpinned-pip", "pipe-to-shell") for finding in check(recipe(text)))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)
LINE = TEXT.filter(str.strip)


@given(
    st.lists(LINE | st.from_regex(r"[a-z]+ ?(\[[a-z]*\])? ?(==|>=|=|@)? ?[0-9a-z.*+/:]*", fullmatch=True), max_size=4),
    st.lists(LINE | st.from_regex(r"(curl|pip|apt-get) [a-z| ]+", fullmatch=True), max_size=3),
    st.lists(TEXT, max_size=3),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,30}", fullmatch=True),
    TEXT,
)
def test_any_recipe_can_be_checked(pip: list[str], steps: list[str], pools: list[str], base: str, value: str) -> None:
    """Whatever stands in the texts of a valid recipe, the rules speak in whole sentences."""
    data = {
        "name": "demo",
        "image": {"repository": "a/b", "base": base, "pip": pip, "steps": steps, "env": {"A": value}},
        "gpu": {"pools": [*pools, "x"]},
        "handler": {"name": "echo", "options": {value: [value]}},
        "endpoint": {"data_centers": pools},
        "secrets": ["HF_TOKEN"],
    }
    for finding in check(RecipeFile(Path("r.yaml"), Recipe.model_validate_json(json.dumps(data)), {}, "")):
        assert finding.sentence
        assert finding.fix
        assert finding.where.startswith("r.yaml")
