"""RunPod's GraphQL API: one call, and what only it has (balance, secrets, cached models).

Every operation is a file in `graphql_queries/`, sent as it is with variables; an operation may spread the fragments of
`graphql_queries/fragments/`. RunPod answers an operation that its schema doesn't know with HTTP 400, and a refusal with
HTTP 200 and `errors` (recorded 2026-08-20).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import httpx

from factory.account import Balance
from factory.clients.runpod.errors import cloud_error, no_sense, read_object, unreachable
from factory.clients.runpod.graphql_wire import full_input, read_balance
from factory.clients.runpod.rest_client import lacking
from factory.clients.runpod.transport import SAFE, RunPodClient
from factory.errors import CloudRefused

T = TypeVar("T")


@cache
def document(name: str) -> str:
    """Return the text of an operation, followed by the fragments that it spreads."""
    folder = files(__package__).joinpath("graphql_queries")
    parts = {name: folder.joinpath(f"{name}.graphql").read_text()}
    waiting = [name]
    while waiting:
        for fragment in re.findall(r"\.\.\.(\w+)", parts[waiting.pop()]):
            if fragment not in parts:
                parts[fragment] = folder.joinpath("fragments", f"{fragment}.graphql").read_text()
                waiting.append(fragment)
    return "\n".join(parts.values())


class GraphqlClient:
    """Sends operations by name. Every method raises the tree below ProvisionError."""

    def __init__(self, client: RunPodClient) -> None:
        self._client = client

    def query(
        self,
        name: str,
        variables: Mapping[str, object] | None = None,
        *,
        where: str = "RunPod's account",
        is_create: bool = False,
        secrets: Iterable[str] = (),
    ) -> Mapping[str, Any]:
        """Send an operation and return its `data`.

        `where` names in an error what was asked about. An operation that creates goes out once; the others are sent
        again by the transport's policy. `secrets` are values that no error may show.
        """
        body = {"query": document(name), "variables": dict(variables or {})}
        marks: dict[str, Any] = {"factory.secrets": tuple(secrets), **({} if is_create else SAFE)}
        try:
            answer = self._client.http.post("/graphql", json=body, extensions=marks)
        except httpx.TransportError as error:
            raise unreachable(error, where, self._client.http.base_url.host) from error
        if answer.status_code != 200:
            raise cloud_error(answer, where, "graphql")
        content = read_object(answer)
        if content is not None and content.get("errors"):
            raise cloud_error(answer, where, "graphql")
        data = None if content is None else content.get("data")
        if not isinstance(data, Mapping):
            raise no_sense(answer, where)
        return data

    def read(
        self,
        parse: Callable[[Mapping[str, Any]], T],
        name: str,
        variables: Mapping[str, object] | None = None,
        *,
        where: str = "RunPod's account",
        is_create: bool = False,
        secrets: Iterable[str] = (),
    ) -> T:
        """Send an operation and return what `parse` reads from its `data`; CloudFailed when that isn't there."""
        data = self.query(name, variables, where=where, is_create=is_create, secrets=secrets)
        try:
            return parse(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise lacking(f"{type(error).__name__}: {error} in {name}", where) from error


class GraphqlAccount:
    """What REST v2 has no route for; both clouds read it here."""

    def __init__(self, client: GraphqlClient) -> None:
        self._client = client

    def balance(self) -> Balance:
        """Return money, spend and worker quota.

        `underBalance` and `maxServerlessConcurrency` were last seen in 2026, undocumented: where RunPod's schema no
        longer has them (HTTP 400), the money alone is read.
        """
        try:
            return self._client.read(read_balance, "account")
        except CloudRefused as error:
            if error.details.get("status") != 400:
                raise
            return self._client.read(read_balance, "account_money")

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the account's secrets."""
        return self._client.read(lambda data: tuple(s["name"] for s in data["myself"]["secrets"] or ()), "secrets")

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return the cached models of an endpoint, as RunPod pinned them (`https://huggingface.co/org/name:commit`)."""
        return tuple(self.endpoint(endpoint_id).get("modelReferences") or ())

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models of every endpoint that has some, by its id."""
        return self._client.read(
            lambda data: {
                row["id"]: tuple(row["modelReferences"])
                for row in data["myself"]["endpoints"]
                if row["modelReferences"]
            },
            "all_models",
        )

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Give an endpoint these cached models and no others, and return them as RunPod keeps them.

        `saveEndpoint` is a full replace (runpodctl, internal/api/endpoints.go, read 2026-11-25), so all that the
        endpoint has is read and written back with them.
        """
        changed = {**full_input(self.endpoint(endpoint_id)), "modelReferences": list(references)}
        where = f"endpoint {endpoint_id}"
        saved = self._client.read(
            lambda data: dict(data["saveEndpoint"]), "save_endpoint", {"input": changed}, where=where
        )
        return tuple(saved.get("modelReferences") or ())

    def endpoint(self, endpoint_id: str) -> Mapping[str, Any]:
        """Return an endpoint as GraphQL shows it. Raises CloudRefused when there is none."""
        found = self.find_endpoint(endpoint_id)
        if found is None:
            raise CloudRefused(
                "RunPod has no such endpoint",
                where=f"endpoint {endpoint_id}",
                fix="it may have been deleted meanwhile: run this again",
                details={"status": 200, "code": "not_found", "message": "null", "hint": None},
            )
        return found

    def find_endpoint(self, endpoint_id: str) -> Mapping[str, Any] | None:
        """Return an endpoint as GraphQL shows it; None when there is none."""
        return self._client.read(
            lambda data: data["myself"]["endpoint"] or None,
            "endpoint",
            {"id": endpoint_id},
            where=f"endpoint {endpoint_id}",
        )
