"""The rules, in the order in which a recipe is read. docs/checks.md has the cause and the fix of each."""

from __future__ import annotations

from factory.checks import base_image, endpoint, formats, jobs, packages, paths, steps, tokens, weights
from factory.checks.finding import ModelRule, Rule

RULES: tuple[Rule, ...] = (
    Rule("token-like", "error", tokens.token_like),
    Rule("secret-value", "error", tokens.secret_value),
    Rule("floating-revision", "note", weights.floating_revision),
    Rule("cached-placement", "error", jobs.cached_placement),
    Rule("no-model", "error", jobs.no_model),
    Rule("base-tag", "warning", base_image.base_tag),
    Rule("base-platform", "error", base_image.base_platform),
    Rule("base-python", "error", base_image.base_python),
    Rule("python-version", "error", base_image.python_version),
    Rule("unpinned-pip", "warning", packages.unpinned_pip),
    Rule("duplicate-pip", "error", packages.duplicate_pip),
    Rule("sdk-version", "error", packages.sdk_version),
    Rule("hub-version", "warning", packages.hub_version),
    Rule("handler-packages", "error", packages.handler_packages),
    Rule("pipe-to-shell", "warning", steps.pipe_to_shell),
    Rule("ignored-failure", "warning", steps.ignored_failure),
    Rule("step-pip", "warning", steps.step_pip),
    Rule("apt-upgrade", "warning", steps.apt_upgrade),
    Rule("weights-path", "error", paths.weights_path),
    Rule("cache-path", "warning", paths.cache_path),
    Rule("hf-transfer", "note", paths.hf_transfer),
    Rule("gpu-pool", "error", endpoint.gpu_pool),
    Rule("gpu-twice", "warning", endpoint.gpu_twice),
    Rule("min-cuda", "note", endpoint.min_cuda),
    Rule("data-center", "warning", endpoint.data_center),
    Rule("workers", "warning", endpoint.workers),
    Rule("always-on", "note", endpoint.always_on),
    Rule("idle-timeout", "warning", endpoint.idle_timeout),
    Rule("timeouts", "warning", endpoint.timeouts),
    Rule("unused-volume", "warning", jobs.unused_volume),
    Rule("no-tests", "warning", jobs.no_tests),
    Rule("test-without-expect", "note", jobs.test_without_expect),
)

MODEL_RULES: tuple[ModelRule, ...] = (
    ModelRule("formats", "warning", formats.formats),
    ModelRule("missing-shards", "error", weights.missing_shards),
    ModelRule("gated-token", "error", weights.gated_token),
    ModelRule("init-timeout", "warning", weights.init_timeout),
)

VRAM = "vram"  # its findings come from the stage `size`, through `findings_from_fits`
