"""Headers of a message on the wire: `NATS/1.0`, a line each, an empty line; all text between is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nats import errors

_VERSION = b"NATS/1.0\r\n"
_END = "\r\n\r\n"


class Headers(Mapping[str, str]):
    """Headers that are looked up where they lie, and taken apart only for somebody who wants all of them."""

    __slots__ = ("_all", "_block")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._all: dict[str, str] | None = None

    def find(self, mark: bytes) -> str | None:
        """The value after a `mark` as `mark_of` makes it; None when it is not there."""
        block = self._block
        start = block.find(mark)
        if start < 0:
            return None
        start += len(mark)
        return block[start : block.index(b"\r", start)].decode("utf-8", "replace")

    def __getitem__(self, name: str) -> str:
        return self._parsed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def _parsed(self) -> dict[str, str]:
        if self._all is None:
            self._all = decode_headers(self._block)
        return self._all


def mark_of(name: str) -> bytes:
    """What stands before the value of a header as `encode_headers` writes it."""
    return f"\r\n{name}: ".encode()


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Headers as they are sent. Raises BadHeaderError for a value of several lines."""
    text = "NATS/1.0\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "\r\n"
    if text.count("\n") != len(headers) + 2 or text.count("\r") != len(headers) + 2:
        raise errors.BadHeaderError("a header has several lines")
    return text.encode()


def decode_headers(block: bytes) -> dict[str, str]:
    """What `encode_headers` made, here or elsewhere. A status is under `Status`, as nats-py has it."""
    if not block:
        return {}
    if block.startswith(_VERSION):
        lines = block[len(_VERSION) :].decode("utf-8", "replace").removesuffix(_END).split("\r\n")
        try:
            return dict([line.split(": ", 1) for line in lines])
        except ValueError:
            pass
        parts = (line.partition(":") for line in lines)
        return {name.strip(): value.strip() for name, colon, value in parts if colon}
    first, _, rest = block.partition(b"\r\n")
    _, _, status = first.decode("utf-8", "replace").partition(" ")
    number, _, words = status.strip().partition(" ")
    return (
        {"Status": number, "Description": words, **decode_headers(_VERSION + rest)}
        if rest.strip()
        else {
            "Status": number,
            "Description": words,
        }
    )
