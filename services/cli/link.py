"""The running platform as one command sees it: a stub for each service, one correlation id for all calls.

Calls run the mesh's client plan: correlation id, deadline, errors, and retries at another instance where the
contract allows them. No breaker: the few calls of one command are no load, and a person is waiting. A service
that cannot be reached is told apart from one that does not answer: to the first nothing was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from interceptors import deadline
from interceptors.calls import ClientCall
from interceptors.correlation import Correlation
from interceptors.plan import Hook, Place
from interceptors.retry import Retries
from services.cli import credentials, output
from services.cli.addresses import Addresses
from services.cli.hints import HINTS
from services.cli.output import CliError, ExitCode
from services.cli.reach import Instances, ServiceDown
from services.cli.render import Printer, sentence
from services.errors import FxError, Kind
from services.runtime import context
from services.runtime.channels import Connections, MeshChannels
from services.runtime.clock import WallClock
from services.runtime.identity.token_file import AUTHORIZATION
from services.runtime.ids import Uuid7Ids
from services.runtime.policy import MethodPolicy, service_policies, service_policy

if TYPE_CHECKING:
    from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub
    from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub
    from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub
    from fxmesh.monitoring.v1.service_pb2_grpc import MonitoringServiceStub
    from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub
    from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub
    from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

T = TypeVar("T")

PATIENCE_S = 10.0
"""A person waits rather than reads that a busy machine took longer than the two seconds services get."""
LOST_S = 30.0
"""How long a broken stream is opened again before the command gives up: a restart of the service."""
AGAIN_S = 1.0
_LOST = (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED)


def services() -> tuple[str, ...]:
    """Folder names: what `--address` knows."""
    return tuple(policy.name for policy in service_policies())


async def connected(
    where: Addresses, out: Printer, work: Callable[[Link], Awaitable[ExitCode | None]]
) -> ExitCode | None:
    """Give `work` its link. Raises CliError, of whatever a service answered as well."""
    # What the mesh logs of retries and ejections is for processes that serve; a command says what came of it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    link = Link(where, out)
    context.correlation_id.set(link.correlation_id)
    try:
        return await work(link)
    except FxError as refused:
        raise explained(refused, link.correlation_id) from refused
    except CliError as failed:
        if failed.exit_code in (ExitCode.REFUSED, ExitCode.UNAVAILABLE):
            failed.details.setdefault("correlation_id", link.correlation_id)
        raise
    finally:
        await link.close()


def explained(refused: FxError, correlation_id: str) -> CliError:
    """A refusal with what can be done about it and the id that finds it in the logs."""
    error = output.from_service(refused)
    error.message = sentence(refused.detail)
    if isinstance(refused, ServiceDown):
        error.hint = refused.hint
    elif "fxmesh " not in refused.detail:  # a service that names the command to use knows better
        error.hint = HINTS.get(refused.reason, "")
    error.details["correlation_id"] = correlation_id
    return error


class Link:
    """Stubs by area, and `out`, where answers go."""

    def __init__(self, where: Addresses, out: Printer) -> None:
        self.out = out
        self._where = where
        self._ids = Uuid7Ids(WallClock())
        self.correlation_id = self._ids.new()
        concerns = {
            Place.CORRELATION: Correlation(self._ids).client,
            Place.DEADLINE: _patient,
            Place.AUTHENTICATION: self._identified,
            Place.RETRY: Retries().hook,
        }
        self._channels = MeshChannels(self._find, concerns, where.certificates(), self._find_priority)

    def new_id(self) -> str:
        """A request id or client order id."""
        return self._ids.new()

    async def mutate(self, call: Awaitable[T], what: str, ask: str) -> T:
        """The answer to a call that changes something. Raises CliError OUTCOME_UNKNOWN when none came.

        `what` completes "it is unknown whether"; `ask` tells how to find out.
        """
        try:
            return await call
        except FxError as failure:
            if failure.kind not in _LOST or isinstance(failure, ServiceDown):
                raise
            details = {"cause": failure.reason}
            message = f"No answer came ({failure.detail}): it is unknown whether {what}."
            raise CliError("OUTCOME_UNKNOWN", message, ask, ExitCode.UNAVAILABLE, details) from failure

    async def follow(self, begin: Callable[[], Any]) -> AsyncIterator[Any]:
        """Answers of the stream that `begin` opens, opened again when it breaks. Raises what it broke with
        once it has been away for LOST_S, and at once when the first try fails.
        """
        heard_at: float | None = None
        clock, broke = asyncio.get_running_loop().time, False
        while True:
            stream = begin()
            try:
                async for answer in stream:
                    heard_at, broke = clock(), False
                    yield answer
                return
            except FxError as broken:
                if heard_at is None or broken.kind not in _LOST or clock() - heard_at > LOST_S:
                    raise
                if not broke:
                    self.out.note("the stream broke; opening it again")
                broke = True
            finally:
                await stream.aclose()
            await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        await self._channels.close()

    def _identified(self, method: MethodPolicy) -> Hook[ClientCall]:
        """Adds the credentials, which a command that runs for hours must read again."""
        service = service_policy(method.service).name

        def send(call: ClientCall) -> None:
            if token := credentials.bearer(self._where.home, self._where.all_of(service)[0]):
                call.metadata.append((AUTHORIZATION, f"Bearer {token}"))

        return Hook(enter=send)

    def _find(self, connections: Connections, service: str) -> Instances:
        return Instances(connections, self._where, service_policy(service).name)

    def _find_priority(self, connections: Connections, service: str) -> Instances:
        return Instances(connections, self._where, service_policy(service).name, priority=True)

    @cached_property
    def trading(self) -> TradingServiceStub:
        from fxmesh.trading.v1.service_pb2_grpc import TradingServiceStub

        return TradingServiceStub(self._channels.to("fxmesh.trading.v1.TradingService"))

    @cached_property
    def market(self) -> MarketDataServiceStub:
        from fxmesh.marketdata.v1.service_pb2_grpc import MarketDataServiceStub

        return MarketDataServiceStub(self._channels.to("fxmesh.marketdata.v1.MarketDataService"))

    @cached_property
    def analysis(self) -> AnalysisServiceStub:
        from fxmesh.analysis.v1.service_pb2_grpc import AnalysisServiceStub

        return AnalysisServiceStub(self._channels.to("fxmesh.analysis.v1.AnalysisService"))

    @cached_property
    def pipeline(self) -> PipelineServiceStub:
        from fxmesh.pipeline.v1.service_pb2_grpc import PipelineServiceStub

        return PipelineServiceStub(self._channels.to("fxmesh.pipeline.v1.PipelineService"))

    @cached_property
    def inference(self) -> InferenceServiceStub:
        from fxmesh.inference.v1.service_pb2_grpc import InferenceServiceStub

        return InferenceServiceStub(self._channels.to("fxmesh.inference.v1.InferenceService"))

    @cached_property
    def workbench(self) -> WorkbenchServiceStub:
        from fxmesh.workbench.v1.service_pb2_grpc import WorkbenchServiceStub

        return WorkbenchServiceStub(self._channels.to("fxmesh.workbench.v1.WorkbenchService"))

    @cached_property
    def monitoring(self) -> MonitoringServiceStub:
        from fxmesh.monitoring.v1.service_pb2_grpc import MonitoringServiceStub

        return MonitoringServiceStub(self._channels.to("fxmesh.monitoring.v1.MonitoringService"))


def _patient(method: MethodPolicy) -> Hook[ClientCall]:
    enter = deadline.client(method).enter
    assert enter is not None
    limit = max(method.default_deadline_s, PATIENCE_S)

    def wait_longer(call: ClientCall) -> None:
        call.timeout = limit if call.timeout is None else call.timeout
        enter(call)

    return Hook(enter=wait_longer)
