"""One call of the job API: sent, read, and each failure as one error of the tree below RunError."""

from __future__ import annotations

from typing import Any

import httpx

from factory.clients.runpod.errors import UNSENT, job_error, lost, read_object, shown
from factory.clients.runpod.transport import RunPodClient
from factory.errors import RunError

CONNECT_TIMEOUT_S = 10.0


class JobHttp:
    """Sends calls; `where` names in an error what was asked about."""

    def __init__(self, client: RunPodClient) -> None:
        self._http = client.http

    def ask(self, method: str, path: str, where: str, *, marks: dict[str, Any] | None = None) -> httpx.Response | None:
        """Return the answer to a call about a job; None when RunPod says 404."""
        try:
            answer = self._http.request(method, path, extensions=marks)
        except httpx.TransportError as error:
            raise self._unreachable(error, where) from error
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise job_error(answer, where)
        return answer

    def of_endpoint(self, method: str, path: str, where: str) -> httpx.Response:
        """Return the answer to a call about an endpoint; 404 is EndpointNotFound."""
        try:
            answer = self._http.request(method, path)
        except httpx.TransportError as error:
            raise self._unreachable(error, where) from error
        if not answer.is_success:
            raise job_error(answer, where)
        return answer

    def submit(self, path: str, content: bytes, where: str, timeout_s: float | None = None) -> dict[str, Any]:
        """Send a job, by one call, and return the answer's object, which has the job's id.

        `timeout_s`: how long to wait for the answer, where that isn't the client's own.
        """
        request = self._http.build_request("POST", path, content=content, headers={"Content-Type": "application/json"})
        if timeout_s is not None:
            request.extensions["timeout"] = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S).as_dict()
        try:
            answer = self._http.send(request)
        except httpx.TransportError as error:
            if type(error).__name__ in UNSENT:
                raise self._unreachable(error, where) from error
            raise _in_doubt(lost(error), where) from error
        if answer.status_code == 408 or answer.status_code >= 500:
            raise _in_doubt(f"HTTP {answer.status_code}, {shown(answer)}", where)
        if not answer.is_success:
            raise job_error(answer, where)
        body = read_object(answer)
        if body is None or not body.get("id"):
            raise _in_doubt(f"HTTP {answer.status_code}, {shown(answer)}", where)
        return body

    def _unreachable(self, error: httpx.TransportError, where: str) -> RunError:
        return RunError(
            f"no answer from {self._http.base_url.host} ({lost(error)})",
            where=where,
            fix="check the network, and RUNPOD_ENDPOINT_BASE_URL; a job that is queued goes on without us",
            details={"status": None, "code": type(error).__name__, "message": str(error), "hint": None},
        )


def as_json(answer: httpx.Response, where: str) -> Any:
    """Return the JSON of an answer, of any shape. Raises RunError with the code `no_sense`."""
    try:
        return answer.json()
    except (ValueError, RecursionError) as error:
        raise _no_sense(answer, where) from error


def as_object(answer: httpx.Response, where: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises RunError with the code `no_sense`."""
    body = read_object(answer)
    if body is None:
        raise _no_sense(answer, where)
    return body


def _no_sense(answer: httpx.Response, where: str) -> RunError:
    return RunError(
        f"HTTP {answer.status_code} is no answer of RunPod's job API (found {shown(answer)})",
        where=where,
        fix="check RUNPOD_ENDPOINT_BASE_URL, and whether a proxy answers in RunPod's place",
        details={"status": answer.status_code, "code": "no_sense", "message": shown(answer), "hint": None},
    )


def _in_doubt(what: str, where: str) -> RunError:
    """Return the error of a job that may have been queued: a job has no name, so nobody can look for it."""
    return RunError(
        f"the job was sent and no job's id came back ({what}): RunPod may have queued it all the same",
        where=where,
        fix="look at the endpoint's requests at console.runpod.io before you send it again",
        details={"status": None, "code": "in_doubt", "message": what, "hint": None},
    )
