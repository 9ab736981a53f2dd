"""Calls of REST v2 (`{base}/v2`): one at a time, or a list with all its pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from factory.clients.runpod.errors import cloud_error, no_sense, read_object, unreachable
from factory.clients.runpod.transport import SAFE, RunPodClient
from factory.clients.runpod.wire import read_spend
from factory.errors import CloudFailed

T = TypeVar("T")
Json = Mapping[str, Any]


class RestClient:
    """Sends calls and reads their JSON. Every method raises the tree below ProvisionError.

    `where` names in an error what was asked about. A POST goes out once; the others by the transport's policy: a PATCH
    of ours states whole values, so a second one changes nothing.
    """

    def __init__(self, client: RunPodClient) -> None:
        self.http = client.http

    def get(self, path: str, where: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read one thing."""
        return self._object(self._send("GET", path, where, params=params), where)

    def post(self, path: str, body: Json, where: str, *, secrets: tuple[str, ...] = ()) -> dict[str, Any]:
        """Make one thing, by one call. `secrets` are values that no error may show."""
        return self._object(self._send("POST", path, where, body=body, marks={"factory.secrets": secrets}), where)

    def patch(self, path: str, body: Json, where: str) -> dict[str, Any]:
        """Change one thing to the values in `body`."""
        return self._object(self._send("PATCH", path, where, body=body, marks=SAFE), where)

    def delete(self, path: str, where: str) -> None:
        """Remove one thing; one that isn't there (any more) is removed."""
        self._send("DELETE", path, where, allowed=(404,))

    def pages(self, path: str, key: str, where: str, params: Mapping[str, str] | None = None) -> list[Json]:
        """Read a list whole: `{key: […]}`, with RunPod's cursors where it sends some.

        `pagination.nextCursor` came in October 2026 and is in no documentation (recorded answers). RunPod ignores query
        parameters that it doesn't know, so a page that brings nothing new ends the list.
        """
        found: dict[str, Json] = {}
        cursor: object = None
        while True:
            body = self.get(path, where, {**(params or {}), **({"cursor": str(cursor)} if cursor else {})})
            rows = body.get(key)
            if not isinstance(rows, list):
                raise lacking(f"the list {key!r}", where)
            new = {str(row["id"]): row for row in rows if isinstance(row, Mapping) and row.get("id") not in (None, "")}
            is_old = new.keys() <= found.keys()
            found |= new
            pagination = body.get("pagination")
            cursor = pagination.get("nextCursor") if isinstance(pagination, Mapping) else None
            if not cursor or is_old:
                return list(found.values())

    def spend(self, hours: int) -> dict[str, float]:
        """Return endpoint id → US dollars of the last `hours`: for both clouds, GraphQL's bill being undocumented."""
        where = "the bill of the endpoints"
        body = self.get("/billing/serverless", where, {"bucketSize": "hour", "lastN": str(hours)})
        return self.read(read_spend, body, where)

    def read(self, parse: Callable[[Json], T], body: Json, where: str) -> T:
        """Return what `parse` reads from an answer; CloudFailed when it lacks something."""
        try:
            return parse(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise lacking(f"{type(error).__name__}: {error}", where) from error

    def _send(
        self,
        method: str,
        path: str,
        where: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        marks: Mapping[str, Any] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> httpx.Response:
        try:
            answer = self.http.request(method, f"/v2{path}", json=body, params=params, extensions=dict(marks or {}))
        except httpx.TransportError as error:
            raise unreachable(error, where, self.http.base_url.host) from error
        if not answer.is_success and answer.status_code not in allowed:
            raise cloud_error(answer, where, "rest")
        return answer

    @staticmethod
    def _object(answer: httpx.Response, where: str) -> dict[str, Any]:
        body = read_object(answer)
        if body is None:
            raise no_sense(answer, where)
        return body


def lacking(what: str, where: str) -> CloudFailed:
    """Return the error for an answer that lacks what it should have."""
    return CloudFailed(
        f"RunPod's answer lacks what it should have ({what})",
        where=where,
        fix="try again in a moment; if it stays, update factory: RunPod's API has changed",
        details={"status": 200, "code": "no_sense", "message": what, "hint": None},
    )
