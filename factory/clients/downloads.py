"""Fetch a link that a job's result holds (a bucket's presigned URL) to a file of this machine."""

from __future__ import annotations

from pathlib import Path

import httpx

from factory import __version__
from factory.clients.retries import send_patiently
from factory.errors import RunError

PATIENCE_S = 120.0
SILENCE_S = 60.0


def download(url: str, path: Path) -> None:
    """Fetch `url` whole into `path`. Raises RunError; its text holds no query, since that is what signs a link."""
    where = url.split("?", 1)[0]

    def send() -> httpx.Response:
        with http.stream("GET", url) as answer, path.open("wb") as file:
            if answer.is_success:
                for part in answer.iter_bytes(1 << 20):
                    file.write(part)
        return answer

    agent = {"User-Agent": f"factory/{__version__}"}
    try:
        with httpx.Client(follow_redirects=True, timeout=SILENCE_S, headers=agent) as http:
            answer = send_patiently(send, PATIENCE_S)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        what = f"the file can't be fetched ({type(error).__name__})"
        raise RunError(what, where=where, fix="check the connection; the link may have expired") from error
    if not answer.is_success:
        raise RunError(
            f"the file can't be fetched (HTTP {answer.status_code})",
            where=where,
            fix="the link may have expired: run the job again",
        )
