#!/usr/bin/env python3
"""Post a file as this workflow's one comment on a pull request, or replace what that comment says.

    comment.py FILE

Reads GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN (needs `pull-requests: write`) and PULL_REQUEST, its number.
The comment is known by a mark that nobody sees. Needs Python 3.9 or later and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- factory plan -->"
MOST_CHARACTERS = 65_000  # GitHub takes 65,536
TIMEOUT_S = 30


def main() -> None:
    """Post or replace."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS] + "\n```\n… the rest is in the log of the run"
    issue = f"/issues/{int(os.environ['PULL_REQUEST'])}/comments"
    own = next((comment for comment in _comments(issue) if str(comment["body"]).startswith(MARK)), None)
    method, path = ("PATCH", f"/issues/comments/{int(own['id'])}") if own else ("POST", issue)
    answer = _call(method, path, {"body": f"{MARK}\n{text}"})
    sys.stdout.write(f"{'replaced' if own else 'posted'} {answer.get('html_url', '')}\n")


def _comments(path: str) -> list[dict[str, Any]]:
    """Return all comments, page by page."""
    found: list[dict[str, Any]] = []
    for page in range(1, 100):
        some = _call("GET", f"{path}?per_page=100&page={page}")
        found += some
        if len(some) < 100:
            break
    return found


def _call(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}{path}",
        data=json.dumps(body).encode() if body else None,
        method=method,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main()
