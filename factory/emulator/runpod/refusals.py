"""What the emulated RunPod says no to, in RunPod's own words: each face dresses it in its own clothes."""

from __future__ import annotations


class Refused(Exception):
    """A request that RunPod would refuse.

    `status` is REST v2's (400, 401, 402, 403, 404, 409, 413, 422, 429); `errors` are the parts of a 422. GraphQL
    answers the message with HTTP 200, the job API with its own status.
    """

    def __init__(self, status: int, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
