"""The authorities that servers' certificates are checked against: read once for all clients, which takes 0.05 s."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Return the TLS settings of this machine: SSL_CERT_FILE or SSL_CERT_DIR where set, else httpx's own list."""
    return httpx.create_ssl_context(trust_env=True)
