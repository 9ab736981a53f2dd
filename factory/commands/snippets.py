"""How to call an endpoint, ready to paste: the key from the environment, the input from the recipe's first test."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Literal

Language = Literal["python", "curl", "js"]
LANGUAGES: tuple[Language, ...] = ("python", "curl", "js")
SYNC_WAIT_MS = 90_000  # Cloudflare cuts an idle connection at about 100 s (docs.runpod.io, read 2026-11-23)


def snippet(language: Language, endpoint_id: str, job_input: Mapping[str, Any], jobs_url: str) -> str:
    """Return a program that sends one job and prints the output; `jobs_url` is RUNPOD_ENDPOINT_BASE_URL."""
    job: dict[str, Any] = {"input": job_input or {"ping": 1}}  # RunPod drops an empty input
    url = f"{jobs_url}/{endpoint_id}"
    return {"python": _python, "curl": _curl, "js": _js}[language](job, url)


def _curl(job: Mapping[str, Any], url: str) -> str:
    body = shlex.quote(json.dumps(job, ensure_ascii=False))
    return (
        f"curl --fail-with-body --silent --show-error \\\n"
        f'  --header "Authorization: Bearer $RUNPOD_API_KEY" \\\n'
        f"  --header 'Content-Type: application/json' \\\n"
        f"  --data {body} \\\n"
        f"  '{url}/runsync?wait={SYNC_WAIT_MS}'"
    )


def _python(job: Mapping[str, Any], url: str) -> str:
    return f"""\
import json
import os
import time
import urllib.request

URL = {url!r}
HEADERS = {{"Authorization": "Bearer " + os.environ["RUNPOD_API_KEY"], "Content-Type": "application/json",
           "User-Agent": "my-client/1"}}


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, HEADERS), timeout=120) as answer:
        return json.load(answer)


job = call("/run", {job!r})
while job["status"] in ("IN_QUEUE", "IN_PROGRESS"):
    time.sleep(1)
    job = call("/status/" + job["id"])
print(job["status"], job.get("output", job.get("error")))"""


def _js(job: Mapping[str, Any], url: str) -> str:
    return f"""\
const url = {json.dumps(url)};
const headers = {{ Authorization: `Bearer ${{process.env.RUNPOD_API_KEY}}`, "Content-Type": "application/json" }};

async function call(path, body) {{
  const options = {{ method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) }};
  const answer = await fetch(url + path, options);
  if (!answer.ok) throw new Error(`${{answer.status}} ${{await answer.text()}}`);
  return answer.json();
}}

let job = await call("/run", {json.dumps(job, ensure_ascii=False)});
while (["IN_QUEUE", "IN_PROGRESS"].includes(job.status)) {{
  await new Promise((resolve) => setTimeout(resolve, 1000));
  job = await call(`/status/${{job.id}}`);
}}
console.log(job.status, job.output ?? job.error);"""
