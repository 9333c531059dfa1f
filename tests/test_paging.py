"""Page tokens: round trip, and every way to hand back a wrong one."""

import pytest

from services.errors import FxError
from services.paging import decode_token, encode_token


def test_a_token_gives_back_its_position() -> None:
    assert decode_token(encode_token([12, "x"], "EURUSD"), "EURUSD") == [12, "x"]
    assert decode_token("") is None


@pytest.mark.parametrize("token", ["!", "AAAA", "eyJ9", "ä", "W10", encode_token([1], "GBPUSD")])
def test_a_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(FxError) as caught:
        decode_token(token, "EURUSD")
    assert caught.value.reason == "BAD_PAGE_TOKEN"
