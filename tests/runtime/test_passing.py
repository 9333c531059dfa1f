"""A call passed on keeps whom it is for, where it proves to come from an instance of the same service."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.errors import FxError
from services.runtime import context
from services.runtime.identity import ANONYMOUS, Principal, PrincipalKind
from services.runtime.leaders import Leaders
from services.runtime.memory_leadership import SoleLeadership
from services.runtime.passing import PASSED_ON, answered_by_leader
from services.runtime.policy import service_policy

SERVICE = service_policy("fxmesh.trading.v1.TradingService")
PERSON = Principal("jane", PrincipalKind.KEY)
GATEWAY = Principal("trading_gateway", PrincipalKind.SERVICE)


class Following(SoleLeadership):
    """Another instance leads."""

    held = False
    term = 0
    leader = "127.0.0.1:1"


class Instance:
    """Answers with for whom it works."""

    def __init__(self, leadership: SoleLeadership, other: Any = None) -> None:
        channels: Any = SimpleNamespace(at=lambda service, address: (service, address))
        self.leaders: Leaders[Any] = Leaders(SERVICE, channels, leadership, lambda _: other)

    @answered_by_leader
    async def ask(self, request: str, call: Any) -> str:
        return f"{request} for {context.principal.get().label}"


class Wire:
    """The stub of an instance, called by a peer: only metadata goes across."""

    def __init__(self, instance: Instance, caller: Principal) -> None:
        self.instance = instance
        self.caller = caller

    async def ask(self, request: str, metadata: Any = ()) -> str:
        mine = context.principal.set(self.caller)
        try:
            answer: str = await self.instance.ask(request, called(metadata))
        finally:
            context.principal.reset(mine)
        return answer


def called(metadata: Any = ()) -> Any:
    return SimpleNamespace(invocation_metadata=lambda: metadata)


async def test_the_leader_works_for_whoever_asked_the_other_instance() -> None:
    follower = Instance(Following(), Wire(Instance(SoleLeadership()), GATEWAY))
    context.principal.set(PERSON)
    assert await follower.ask("set limits", called()) == "set limits for key:jane"


@pytest.mark.parametrize("caller", [PERSON, Principal("market_data", PrincipalKind.SERVICE), ANONYMOUS])
async def test_nobody_else_is_taken_at_his_word(caller: Principal) -> None:
    leader = Wire(Instance(SoleLeadership()), caller)
    assert await leader.ask("x", ((PASSED_ON, "operator:owner"),)) == f"x for {caller.label}"


@pytest.mark.parametrize("word", ["", "1", "king:arthur"])
async def test_a_word_that_names_nobody_changes_nothing(word: str) -> None:
    leader = Wire(Instance(SoleLeadership()), GATEWAY)
    assert await leader.ask("x", ((PASSED_ON, word),)) == "x for service:trading_gateway"


async def test_a_call_is_passed_on_once() -> None:
    follower = Instance(Following(), Wire(Instance(Following(), "the leader"), GATEWAY))
    with pytest.raises(FxError, match="does not lead any more"):
        await follower.ask("x", called())
