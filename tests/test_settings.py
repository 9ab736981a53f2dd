"""The machine's settings: what is read, what is refused, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory import settings
from factory.errors import SettingsError


def test_an_empty_environment_gives_the_public_services() -> None:
    """With nothing set, factory talks to the public Hub, Docker Hub and the default engine."""
    read = settings.read({})
    assert read.hub_endpoint == "https://huggingface.co"
    assert read.dockerhub_api == "https://hub.docker.com"
    assert (read.runpod_api_url, read.runpod_jobs_url) == ("https://api.runpod.io", "https://api.runpod.ai/v2")
    assert (read.runpod_key, read.runpod_api, read.runpod_patience_s) == (None, "rest", 60)
    assert (read.docker_host, read.registry_prefix, read.network, read.ca_file) == (None, None, None, None)


def test_values_are_taken_from_the_environment(tmp_path: Path) -> None:
    """Each variable reaches its field; a trailing slash of an endpoint does no harm."""
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    read = settings.read(
        {
            "HF_ENDPOINT": "http://127.0.0.1:8101/",
            "HF_TOKEN": "hf_x",
            "DOCKER_HOST": "unix:///x.sock",
            "DOCKER_CONFIG": str(tmp_path),
            "FACTORY_REGISTRY": "127.0.0.1:5000",
            "FACTORY_NETWORK": "host",
            "FACTORY_CA": str(ca),
            "FACTORY_SIGN_KEY": "sign.pem",
            "FACTORY_VERIFY_KEY": "~/verify.pem",
            "http_proxy": "http://p:1",
            "RUNPOD_API_KEY": " rpa_x\n",
            "RUNPOD_API": "graphql",
            "RUNPOD_PATIENCE_S": "2.5",
            "RUNPOD_API_BASE_URL": "http://127.0.0.1:8100/",
            "RUNPOD_ENDPOINT_BASE_URL": "http://127.0.0.1:8100/v2/",
        }
    )
    assert (read.runpod_key, read.runpod_api, read.runpod_patience_s) == ("rpa_x", "graphql", 2.5)
    assert (read.runpod_api_url, read.runpod_jobs_url) == ("http://127.0.0.1:8100", "http://127.0.0.1:8100/v2")
    assert read.hub_endpoint == "http://127.0.0.1:8101"
    assert read.docker_config == tmp_path / "config.json"
    assert (read.docker_host, read.network, read.ca_file) == ("unix:///x.sock", "host", ca)
    assert (read.sign_key, read.verify_key) == (Path("sign.pem"), Path.home() / "verify.pem")
    assert read.proxies == {"http_proxy": "http://p:1"}
    assert read.worker_environment == {"HF_ENDPOINT": "http://127.0.0.1:8101/", "HF_TOKEN": "hf_x"}


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"FACTORY_CA": "/nowhere.pem"}, "FACTORY_CA: no such file (/nowhere.pem); name a PEM bundle, or unset it"),
        ({"FACTORY_NETWORK": "hots"}, "FACTORY_NETWORK: unknown network (hots); use host, or unset it"),
        *(
            (
                {"RUNPOD_PATIENCE_S": text},
                f"RUNPOD_PATIENCE_S: no number of seconds from 1 to 9999 ({text}); use one, or unset it",
            )
            for text in ("0", "a minute", "-3", "inf", "1e3")
        ),
        ({"RUNPOD_API": "soap"}, "RUNPOD_API: unknown API (soap); use rest or graphql, or unset it"),
        (
            {"RUNPOD_API_BASE_URL": "api.runpod.io"},
            "RUNPOD_API_BASE_URL: not a base URL; use one such as https://api.runpod.io, or unset it",
        ),
        (
            {"RUNPOD_ENDPOINT_BASE_URL": "https://user:pw@api.runpod.ai/v2"},
            "RUNPOD_ENDPOINT_BASE_URL: not a base URL; use one such as https://api.runpod.ai/v2, or unset it",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(environ: dict[str, str], sentence: str) -> None:
    """A setting that can't be used names the variable, what was found and the fix; exit code 3."""
    with pytest.raises(SettingsError) as caught:
        settings.read(environ)
    assert str(caught.value) == sentence
    assert caught.value.exit_code == 3


def test_secrets_are_not_in_the_repr() -> None:
    """Printing the settings shows no token and no password."""
    hidden = {"HF_TOKEN": "hf_secret", "FACTORY_REGISTRY_PASSWORD": "hunter2", "RUNPOD_API_KEY": "rpa_secret"}
    hidden["FACTORY_SIGN_PASSWORD"] = "correct horse"
    text = repr(settings.read(hidden))
    assert settings.read(hidden).own_secrets == hidden  # nor may an image hold one
    assert not [value for value in hidden.values() if value in text]


def test_secrets_are_picked_by_name() -> None:
    """Only the secrets that a recipe names, and that this machine has, are handed on."""
    assert settings.secrets(["A", "B"], {"A": "1", "C": "3"}) == {"A": "1"}


def test_keys_of_s3_are_read_and_never_shown() -> None:
    """The pair and the other server reach their fields; a repr holds none of the keys, and no address is guessed."""
    keys = {"RUNPOD_S3_ACCESS_KEY_ID": "user_x ", "RUNPOD_S3_SECRET_ACCESS_KEY": "rps_y\n"}
    read = settings.read({**keys, "RUNPOD_S3_ENDPOINT_URL": "http://127.0.0.1:9000/"})
    assert (read.s3_access_key_id, read.s3_secret_access_key) == ("user_x", "rps_y")
    assert read.s3_url == "http://127.0.0.1:9000" and "user_x" not in repr(read) and "rps_y" not in repr(read)
    assert settings.read(keys).s3_url is None
    with pytest.raises(SettingsError, match="RUNPOD_S3_ENDPOINT_URL: not a base URL"):
        settings.read({"RUNPOD_S3_ENDPOINT_URL": "s3api"})


def test_a_flag_wins_over_its_variable_while_a_command_runs() -> None:
    """The builder of the flag is taken within the block, that of the environment before and after it."""
    environ = {"FACTORY_BUILDER": "farm", "DOCKER_CONTEXT": "far", "DOCKER_TLS_VERIFY": "0", "DOCKER_CERT_PATH": "/c"}
    with settings.flag("FACTORY_BUILDER", "flagged"):
        assert settings.read(environ).builder == settings.read({}).builder == "flagged"
    read = settings.read(environ)
    assert (read.builder, read.docker_context, read.docker_cert_path) == ("farm", "far", Path("/c"))
    assert read.docker_tls_verify  # any value at all, as for the Docker CLI
    assert settings.read({}).builder is None
