"""The echo service behind every shape, and its composition. Run as a program it is one process of it.

What a request's `text` says is what the handler does: see `_act`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from pydantic_settings import BaseSettings

from services.errors import FxError, Kind, Violation
from services.runtime import context
from services.runtime.mesh import Mesh, Service
from services.runtime.run import run
from services.runtime.settings import service_config
from tests.fakes.echo import SERVICE, service_pb2, service_pb2_grpc

Request = service_pb2.EchoRequest
Response = service_pb2.EchoResponse
SECRET = "the password is hunter2"
REFUSAL = FxError(Kind.NOT_FOUND, "UNKNOWN_ORDER", "no such order", (Violation("text", "is unknown"),), 1.5)


class EchoServicer:
    """Answers with the correlation id it saw, and counts what happened to its handlers."""

    def __init__(self, onward: Any = None) -> None:
        self.onward = onward
        """Stub of the next hop."""
        self.running = 0
        self.finished: list[str] = []
        """How each handler ended: "done" or the name of the exception it saw."""
        self.changed = asyncio.Condition()
        self.telling: set[asyncio.Task[None]] = set()
        self.deadline_left_s: float | None = None
        self.recorded: dict[str, int] = {}
        """What mutations left, in order."""

    async def Unary(self, request: Any, context_: Any) -> Any:  # noqa: N802 the contract's name
        async with _Watched(self):
            self.deadline_left_s = context_.time_remaining()
            return Response(text=await self._act(request.text))

    async def Gather(self, requests: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        async with _Watched(self):
            texts = [await self._act(request.text) async for request in requests]
            return Response(text=" ".join(texts), number=len(texts))

    async def Spread(self, request: Any, _: Any) -> AsyncIterator[Any]:  # noqa: N802 the contract's name
        async with _Watched(self):
            for number in range(request.count):
                yield Response(text=await self._act(""), number=number)
            if request.text:
                yield Response(text=await self._act(request.text))

    async def Converse(self, requests: Any, context_: Any) -> None:  # noqa: N802 the contract's name
        # The other style of a streaming handler: it writes its answers itself.
        async with _Watched(self):
            async for request in requests:
                await context_.write(Response(text=await self._act(request.text)))

    async def Record(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        async with _Watched(self):
            self.recorded.setdefault(request.text, len(self.recorded) + 1)
            return Response(text=request.text, number=self.recorded[request.text])

    async def Append(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        async with _Watched(self):
            self.recorded[f"{len(self.recorded)} {request.text}"] = 1
            return Response(text=request.text, number=len(self.recorded))

    async def Follow(self, request: Any, context_: Any) -> AsyncIterator[Any]:  # noqa: N802 the contract's name
        async for answer in self.Spread(request, context_):
            yield answer

    async def Look(self, request: Any, _: Any) -> Any:  # noqa: N802 the contract's name
        async with _Watched(self):
            return Response(text=await self._act(request.text), number=len(self.finished) + 1)

    async def until_finished(self, count: int) -> list[str]:
        """Wait until `count` handlers have ended."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.finished) >= count)
        return self.finished

    async def until_running(self, count: int) -> None:
        """Wait until `count` handlers are running at once."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: self.running >= count)

    async def _act(self, text: str) -> str:
        """Do what `text` says: tell of the context, call the next hop ("onward …"), or fail."""
        tell = TELL.get(text)
        if tell is not None:
            return tell()
        if text.startswith("onward "):
            return str((await self.onward.Unary(Request(text=text.removeprefix("onward ")))).text)
        await _fail(text)
        return context.correlation_id.get() or ""


def _time_left() -> str:
    limit = context.time_limit()
    assert limit is not None
    return f"{limit - time.monotonic():.6f}"


TELL: Mapping[str, Callable[[], str]] = {
    "time left": _time_left,
    "traceparent": lambda: context.traceparent.get() or "none",
    "causation": lambda: context.causation_id.get() or "none",
}


async def _fail(text: str) -> None:
    match text:
        case "refuse":
            raise REFUSAL
        case "crash":
            raise ValueError(SECRET)
        case "slow":
            await asyncio.sleep(1.5)
        case "block":
            time.sleep(1.5)  # noqa: ASYNC251 what nobody should do: the whole event loop stands still
        case "hang":
            await asyncio.Event().wait()
        case "stray cancel":
            cancelled = asyncio.ensure_future(asyncio.Event().wait())
            cancelled.cancel()
            await cancelled
        case "time out":
            raise TimeoutError(SECRET)
        case "many violations":
            fields = tuple(Violation(f"field[{n}]", "x" * 500) for n in range(200))
            raise FxError(Kind.INVALID_ARGUMENT, "VALIDATION_FAILED", "y" * 5000, fields)


class _Watched:
    def __init__(self, servicer: EchoServicer) -> None:
        self._servicer = servicer

    async def __aenter__(self) -> None:
        async with self._servicer.changed:
            self._servicer.running += 1
            self._servicer.changed.notify_all()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._servicer.running -= 1
        self._servicer.finished.append("done" if kind is None else kind.__name__)
        # Not awaited under cancellation; kept, because the loop alone does not keep a task alive.
        telling = asyncio.get_running_loop().create_task(self._tell())
        self._servicer.telling.add(telling)
        telling.add_done_callback(self._servicer.telling.discard)

    async def _tell(self) -> None:
        async with self._servicer.changed:
            self._servicer.changed.notify_all()


class EchoSettings(BaseSettings):
    model_config = service_config("echo")
    greeting: str = "hello"
    """What nobody says."""


def compose(settings: EchoSettings, mesh: Mesh) -> Service:
    return Service(EchoServicer(), service_pb2_grpc.add_EchoServiceServicer_to_server)


if __name__ == "__main__":
    run(SERVICE, EchoSettings, compose)
