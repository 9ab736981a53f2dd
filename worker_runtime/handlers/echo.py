"""`echo`: gives the input back. For trying a build, a queue and a network without any weights."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """`delay_s` makes each job last, in seconds."""

    model_config = ConfigDict(extra="forbid")

    delay_s: float = Field(0, ge=0, le=3600)


class Handler:
    """Returns the job's input as it is."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._delay_s = Options.model_validate(options).delay_s

    async def __call__(self, inputs: Any) -> Any:
        """Wait `delay_s` seconds and return the input."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return inputs
