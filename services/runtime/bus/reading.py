"""Takes messages of some subscriptions out of what the connection brings; the rest is for nats-py's parser.

That one matches each line against seven patterns and copies each message twice; of an event it was a third
of all work. This one looks only at whole messages that somebody listens to, and gives everything else on as
it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Heard = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes subject, reply, payload and raw headers (empty without any) of a message, at once."""

_LINE_END = b"\r\n"


class SwiftParser(Parser):
    """`heard` by subscription id; `failed` is told what one of them raised: the reading must go on."""

    def __init__(
        self, client: Any, heard: Mapping[bytes, Heard], failed: Callable[[Exception], None]
    ) -> None:
        super().__init__(client)
        self._heard = heard
        self._failed = failed

    def reset(self) -> None:
        """Begin anew, on another connection."""
        super().reset()
        self._rest = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what was read."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self.buf and self.state == AWAITING_CONTROL_LINE:  # the beginning of a line
            data = bytes(self.buf) + data
            self.buf.clear()
        while data:
            if self.buf or self.state != AWAITING_CONTROL_LINE:  # in the middle of a message
                missing = self.needed + len(_LINE_END) - len(self.buf)
                part, data = data[:missing], data[missing:]
                await super().parse(part)
                continue
            data = self._hand_over(data)
            if data:
                await super().parse(data)
                return

    def _hand_over(self, data: bytes) -> bytes:
        """Whole messages at the beginning go to who listens; returns what is not such a message."""
        at, end = 0, len(data)
        while at < end:
            line_end = data.find(_LINE_END, at)
            if line_end < 0:
                break
            words = data[at:line_end].split()
            kind = words[0] if words else b""
            with_headers = kind == b"HMSG"
            if not with_headers and kind != b"MSG":
                break
            heard = self._heard.get(words[2])
            if heard is None:
                break
            start = line_end + 2
            stop = start + int(words[-1])
            if stop + 2 > end:
                self._rest = data[at:]
                return b""
            body = start + int(words[-2]) if with_headers else start
            reply = words[3] if len(words) == (6 if with_headers else 5) else b""
            try:
                heard(words[1], reply, data[body:stop], data[start:body])
            except Exception as failure:  # noqa: BLE001
                self._failed(failure)
            at = stop + 2
        return data[at:]
