"""Limits set at run time, and who set them."""

from __future__ import annotations

from collections.abc import Sequence

from services.market.instruments import require_known
from services.trading_gateway.domain.engine import Engine
from services.trading_gateway.domain.inputs import SetLimits
from services.trading_gateway.domain.limits import LimitChange, LimitName, LimitSetting, parse_value
from services.trading_gateway.handlers.desk import Desk


class RiskLimits:
    """Use cases of limits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def set(
        self,
        request_id: str,
        account_id: str,
        symbol: str,
        wanted: Sequence[tuple[LimitName, str]],
        reason: str,
        changed_by: str,
    ) -> list[LimitChange]:
        """Set limits of an account, or of a symbol of it; what that changed.

        Raises FxError: NOT_FOUND `UNKNOWN_ACCOUNT`, INVALID_ARGUMENT `UNKNOWN_SYMBOL` or `VALIDATION_FAILED`.
        """
        require_known([symbol] if symbol else [])
        code = self._desk.engine.book.account(account_id).currency
        settings = tuple(
            LimitSetting(account_id, symbol, name, parse_value(name, text, symbol, code))
            for name, text in wanted
        )

        def act(engine: Engine) -> list[str]:
            time_ns = self._desk.time(engine.book.account(account_id).session_id)
            wall_ns = self._desk.clock.now_ns()
            changes = engine.set_limits(SetLimits(time_ns, account_id, settings, changed_by, reason, wall_ns))
            return [str(each.number) for each in changes]

        used_for = ("limits", account_id, symbol, tuple(wanted), reason)
        numbers = {int(each) for each in await self._desk.once(request_id, used_for, act)}
        if not numbers:
            return []
        found = await self._desk.store.limit_changes(account_id, max(numbers) + 1, len(numbers))
        return sorted((each for each in found if each.number in numbers), key=lambda each: each.number)

    async def changes(self, account_id: str, before: int | None, limit: int) -> list[LimitChange]:
        """The audit of an account, newest first. Raises FxError `UNKNOWN_ACCOUNT`."""
        self._desk.engine.book.account(account_id)
        return await self._desk.store.limit_changes(account_id, before, limit)
