"""The GraphQL client against the emulator: what it reads, and every way in which a call can go wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.account import Balance
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.entities import Person
from factory.errors import CloudDenied, CloudFailed, CloudGone, CloudRefused, CloudUnreachable, ProvisionError

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """RunPod, emulated, once for all tests here."""
    with emulated(person=Person(balance_usd=12.5, worker_quota=20)) as box:
        yield box


@pytest.fixture
def client(runpod: Emulated) -> Iterator[GraphqlClient]:
    """A client that loses patience soon."""
    with RunPodClient(runpod.url, KEY, timeout_s=2.0, patience_s=0.7) as http:
        yield GraphqlClient(http)


def test_it_reads_the_balance(client: GraphqlClient) -> None:
    """Money, spend and worker quota come in one call."""
    assert GraphqlAccount(client).balance() == Balance(12.5, 0.0, is_under_balance=False, worker_quota=20)


def test_it_reads_the_money_where_the_rest_is_unknown(runpod: Emulated, client: GraphqlClient) -> None:
    """A schema without `maxServerlessConcurrency` answers 400: then the money is read alone."""
    runpod.faults.append(Fault("status", status=400, containing="maxServerlessConcurrency"))
    assert GraphqlAccount(client).balance() == Balance(12.5, 0.0)


def test_it_reads_the_names_of_secrets(runpod: Emulated, client: GraphqlClient) -> None:
    """Names, and nothing of the values."""
    runpod.call(lambda box: box.world.create_secret("HF_TOKEN", "hf_very_secret"))
    assert GraphqlAccount(client).secrets() == ("HF_TOKEN",)


def test_it_sets_cached_models_and_nothing_else(runpod: Emulated, client: GraphqlClient) -> None:
    """All that an endpoint has is the same before and after, but for the models; RunPod pins them to commits."""
    made = runpod.call(
        lambda box: box.world.create_endpoint(
            an_endpoint(
                pools=["ADA_24", "AMPERE_48"],
                excluded_gpus=["NVIDIA L4"],
                allowed_cuda=["12.4"],
                data_centers=["EU-RO-1"],
                workers_max=2,
                idle_timeout_s=77,
                execution_timeout_ms=120_000,
                flashboot="PRIORITY_FLASHBOOT",
            )
        )
    )
    before = runpod.call(lambda box: box.world.find_endpoint(made.id))
    account = GraphqlAccount(client)
    kept = account.set_models(made.id, [f"https://huggingface.co/org/name:{COMMIT}"])
    after = runpod.call(lambda box: box.world.find_endpoint(made.id))
    assert kept == account.models(made.id) == (f"https://huggingface.co/org/name:{COMMIT}",)
    assert after.model_references == list(kept)
    ignored = {"model_references", "version", "releases", "template_id"}
    for name in after.__slots__:
        assert name in ignored or getattr(after, name) == getattr(before, name), name
    account.set_models(made.id, [])
    assert account.models(made.id) == ()


def test_an_endpoint_that_is_gone_has_no_models(client: GraphqlClient) -> None:
    """The error names the endpoint."""
    with pytest.raises(CloudRefused, match="endpoint nosuchendpoint: RunPod has no such endpoint"):
        GraphqlAccount(client).models("nosuchendpoint")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault("status", status=410), CloudGone, r"retired GraphQL \(HTTP 410\); set RUNPOD_API=rest"),
        (Fault("status", status=401), CloudDenied, r"HTTP 401.*RUNPOD_API_KEY"),
        (Fault("status", status=403, body="error code: 1010"), CloudDenied, "User-Agent"),
        (Fault("status", status=404), CloudRefused, "HTTP 404"),
        (Fault("status", status=500), CloudFailed, "HTTP 500"),
        (Fault("status", status=503, times=FOREVER), CloudFailed, "HTTP 503"),
        (Fault("html"), CloudFailed, "no answer of RunPod's API .found a web page"),
        (Fault("garbage"), CloudFailed, "no answer of RunPod's API"),
        (Fault("status", status=200, body='{"data": null}'), CloudFailed, "no answer of RunPod's API"),
        (Fault("status", status=200, body='{"data": {"myself": null}}'), CloudFailed, "lacks what it should have"),
        (Fault("status", status=200, body='{"data": {"myself": {"secrets": [{}]}}}'), CloudFailed, "'name' in secrets"),
        (
            Fault(
                "status",
                status=200,
                body='{"errors": [{"message": "Something went wrong. Please try again later or contact support."}]}',
            ),
            CloudFailed,
            "RunPod hides the reason",
        ),
        (
            Fault(
                "status",
                status=400,
                body='{"errors": [{"message": "Cannot query field \\"secrets\\" on type \\"User\\"."}]}',
            ),
            CloudRefused,
            "update factory",
        ),
        (Fault("cut", times=FOREVER, after_bytes=3), CloudUnreachable, "the connection broke"),
    ],
    ids=lambda value: f"{value.kind} {value.status}" if isinstance(value, Fault) else None,
)
def test_each_fault_is_one_clear_error(
    runpod: Emulated, client: GraphqlClient, fault: Fault, error: type[ProvisionError], message: str
) -> None:
    """The class says what may have happened, the sentence what to do; the key is in none."""
    runpod.faults.append(fault)
    with pytest.raises(error, match=message) as caught:
        GraphqlAccount(client).secrets()
    assert KEY not in str(caught.value) + repr(caught.value.as_record())


@pytest.mark.parametrize("fault", [Fault("status", status=503), Fault("cut", after_bytes=3), Fault("rate_limit")])
def test_what_passes_is_tried_again(runpod: Emulated, client: GraphqlClient, fault: Fault) -> None:
    """A query meets one 503, one broken connection or one 429, and answers."""
    runpod.faults.append(fault)
    assert GraphqlAccount(client).secrets() == ()
    assert len(runpod.calls) == 2


def test_a_wrong_key_is_said() -> None:
    """RunPod's 401 becomes CloudDenied."""
    with emulated(keys=frozenset({"rpa_right"})) as box, RunPodClient(box.url, "rpa_wrong") as http:
        with pytest.raises(CloudDenied, match="RUNPOD_API_KEY") as caught:
            GraphqlAccount(GraphqlClient(http)).secrets()
        assert "rpa_wrong" not in str(caught.value)


def test_no_error_shows_a_secret_that_runpod_repeats(client: GraphqlClient) -> None:
    """RunPod quotes variables that it rejects; a password among them is cut out."""
    values = {"name": "n", "username": "u", "password": ["hunter2-very-secret"]}
    with pytest.raises(CloudRefused) as caught:
        client.query("create_login", values, is_create=True, secrets=("hunter2-very-secret",))
    assert "***" in str(caught.value)
    assert "hunter2" not in str(caught.value) + repr(caught.value.as_record())
