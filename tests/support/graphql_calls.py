"""One GraphQL call, for tests: to a client in-process (`starlette.testclient`) or over the network (`httpx`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Json = dict[str, Any]


class Answered(Protocol):
    """What both sorts of client give back."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    def json(self) -> Any:
        """The body."""
        ...


class Poster(Protocol):
    """A client that can POST JSON."""

    def post(self, url: str, *, json: Any) -> Answered:
        """Send it."""
        ...


def data(client: Poster, query: str, variables: Mapping[str, Any] | None = None) -> Json:
    """Return the `data` of a call that succeeds."""
    answer = client.post("/graphql", json={"query": query, "variables": dict(variables or {})})
    body: Json = answer.json()
    assert answer.status_code == 200, body
    assert "errors" not in body, body
    given: Json = body["data"]
    return given


def refusal(client: Poster, query: str, variables: Mapping[str, Any] | None = None) -> str:
    """Return the one message of a call that RunPod's rules refuse: 200, `data` with the field null."""
    answer = client.post("/graphql", json={"query": query, "variables": dict(variables or {})})
    body: Json = answer.json()
    assert answer.status_code == 200, body
    [error] = body["errors"]
    assert error["extensions"] == {"code": "RUNPOD"}, body
    assert body["data"] == {error["path"][0]: None}
    message: str = error["message"]
    return message


SAVE_TEMPLATE = """mutation Save($input: SaveTemplateInput!) {
  saveTemplate(input: $input) {
    id name imageName dockerArgs containerDiskInGb volumeInGb volumeMountPath ports env { key value } isServerless
    isPublic isRunpod readme startSsh startJupyter containerRegistryAuthId boundEndpointId category allowedCudaVersions
  }
}"""

ENDPOINT = """fragment All on Endpoint {
  id name userId type computeType gpuIds gpuCount instanceIds templateId
  template { id name imageName env { key value } }
  env { key value } workersMin workersMax workersStandby idleTimeout scalerType scalerValue locations dataCenterIds
  networkVolumeId networkVolume { id size } networkVolumeIds { networkVolumeId dataCenterId } executionTimeoutMs
  allowedCudaVersions minCudaVersion flashBootType modelReferences version createdAt
}"""

SAVE_ENDPOINT = "mutation Save($input: EndpointInput!) { saveEndpoint(input: $input) { ...All } }" + ENDPOINT
GET_ENDPOINT = "query One($id: String!) { myself { endpoint(id: $id) { ...All } } }" + ENDPOINT


def template_input(name: str = "minilm", **fields: Any) -> Json:
    """Return the input of a serverless template; `fields` replace its own."""
    required = {"imageName": "org/worker:1", "dockerArgs": "", "containerDiskInGb": 10, "volumeInGb": 0, "env": []}
    return {"name": name, **required, "isServerless": True, **fields}


def save_template(client: Poster, name: str = "minilm", **fields: Any) -> Json:
    """Make (or with `id` change) a template."""
    saved: Json = data(client, SAVE_TEMPLATE, {"input": template_input(name, **fields)})["saveTemplate"]
    return saved


def save_endpoint(client: Poster, **fields: Any) -> Json:
    """Make (or with `id` change) an endpoint from exactly these fields."""
    saved: Json = data(client, SAVE_ENDPOINT, {"input": fields})["saveEndpoint"]
    return saved


def create_volume(client: Poster, name: str = "weights", size: int = 20, data_center: str = "EU-RO-1") -> str:
    """Make a volume and return its id."""
    query = """mutation Create($input: CreateNetworkVolumeInput!) { createNetworkVolume(input: $input) { id } }"""
    values = {"name": name, "size": size, "dataCenterId": data_center}
    made: str = data(client, query, {"input": values})["createNetworkVolume"]["id"]
    return made
