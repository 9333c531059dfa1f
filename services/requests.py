"""The same request again gets the first answer; another request under its id is refused."""

from __future__ import annotations

from typing import Protocol

from services.errors import FxError, Kind


class Answers(Protocol):
    """What requests were answered with, kept for ever. `content` is the request as text."""

    async def recall(self, request_id: str) -> tuple[str, str] | None:
        """The (content, result) remembered under a request id."""

    async def remember(self, request_id: str, content: str, result: str) -> None:
        """Keep it, unless there is one already: the first stays."""


async def answered(answers: Answers, request_id: str, content: str) -> str | None:
    """What the same request was answered with. FxError ALREADY_EXISTS `REQUEST_ID_REUSED` for another one."""
    known = await answers.recall(request_id)
    if known is None:
        return None
    if known[0] != content:
        raise reused(request_id)
    return known[1]


def reused(request_id: str) -> FxError:
    """The error of an id that came with another request before."""
    detail = f"request_id {request_id} was used for a different request"
    return FxError(Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED", detail)
