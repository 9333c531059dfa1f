"""Page tokens: where the next page starts, as text that callers hand back unread.

A token carries the position and a fingerprint of the request it belongs to, so that a token used with another
filter is refused rather than silently answering something else.
"""

import base64
import binascii
import hashlib
import json

from services.errors import FxError, Kind

DEFAULT_PAGE_SIZE = 100


def page_size(asked: int, default: int = DEFAULT_PAGE_SIZE) -> int:
    """Rows a page holds: what was asked for, or the default for 0."""
    return asked or default


def encode_token(position: list[int | str], *filters: object) -> str:
    """The token of the page that starts after `position` of a list with these filters."""
    content = json.dumps([position, _fingerprint(filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_token(token: str, *filters: object) -> list[int | str] | None:
    """The position in a token, None for the first page. FxError INVALID_ARGUMENT `BAD_PAGE_TOKEN`."""
    if not token:
        return None
    try:
        content = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        position, fingerprint = content
    except (binascii.Error, ValueError, TypeError) as error:
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "BAD_PAGE_TOKEN",
            "page_token is none that was given out",
        ) from error
    if not isinstance(position, list) or fingerprint != _fingerprint(filters):
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "BAD_PAGE_TOKEN",
            "page_token belongs to a list with other filters",
        )
    return position


def _fingerprint(filters: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(filters).encode()).hexdigest()[:8]
