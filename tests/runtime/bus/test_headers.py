from __future__ import annotations

import pytest
from nats import errors
from nats.aio.client import Client

from services.runtime.bus.headers import Headers, decode_headers, encode_headers, mark_of

SOME = {"Nats-Msg-Id": "a/b", "ce-id": "a/b", "x-reason": "later: because", "empty": ""}


def test_what_is_encoded_is_decoded_as_it_was() -> None:
    assert decode_headers(encode_headers(SOME)) == SOME


def test_the_library_reads_the_same() -> None:
    block = encode_headers(SOME)
    assert Client._parse_header_lines(block[len(b"NATS/1.0\r\n") :]) == SOME


def test_what_others_write_without_a_space_is_read_too() -> None:
    assert decode_headers(b"NATS/1.0\r\nce-id:x\r\nb: y\r\n\r\n") == {"ce-id": "x", "b": "y"}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"", {}),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503", "Description": ""}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n",
            {"Status": "100", "Description": "Idle Heartbeat", "A": "b"},
        ),
    ],
)
def test_a_status_is_read(block: bytes, expected: dict[str, str]) -> None:
    assert decode_headers(block) == expected


@pytest.mark.parametrize("value", ["two\nlines", "two\r\nlines", "\r"])
def test_a_value_cannot_add_a_header(value: str) -> None:
    with pytest.raises(errors.BadHeaderError):
        encode_headers({"a": value})


def test_one_header_is_found_without_the_others() -> None:
    headers = Headers(encode_headers(SOME))
    assert headers.find(mark_of("ce-id")) == "a/b"
    assert headers.find(mark_of("e-id")) is None
    assert headers.find(mark_of("empty")) == ""
    assert dict(headers) == SOME
