"""Sends boto3's requests to a caller's bucket at addresses that were checked.

botocore's `before-send` event may answer a request itself. This does: it checks the URL like that of an input and
connects to the checked address, so that an `s3Config` can't reach into RunPod's network, whatever its name resolves to.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any

import certifi
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError

from worker_runtime.addresses import Resolver, Target, check
from worker_runtime.input_rules import AllowList

CONNECT_S = 10.0
READ_S = 60.0


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


class PinnedSender:
    """A handler of `before-send.s3`. `allow` opens addresses on purpose, as for inputs."""

    def __init__(self, allow: AllowList, resolve: Resolver) -> None:
        self._allow = allow
        self._resolve = resolve

    def __call__(self, request: Any, **_: object) -> AWSResponse:
        """Send one prepared request. Raises InputRefused, and botocore's EndpointConnectionError, which is retried."""
        target = check(request.url, self._allow, self._resolve)
        headers = {name: _text(value) for name, value in request.headers.items()}
        try:
            answer = _pool(target).urlopen(
                request.method,
                target.path_and_query,
                body=request.body,
                headers={"Host": target.netloc, **headers},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EndpointConnectionError(endpoint_url=target.place, error=error) from error
        return AWSResponse(request.url, answer.status, answer.headers, answer)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _pool(target: Target) -> urllib3.HTTPConnectionPool:
    address, timeout = target.addresses[0], urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(address, target.port, timeout=timeout)
    return urllib3.HTTPSConnectionPool(
        address,
        target.port,
        timeout=timeout,
        ssl_context=_trust(),
        server_hostname=target.host,
        assert_hostname=target.host,
    )
