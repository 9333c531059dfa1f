"""The decision about one REST request: it goes on as it was typed, or is refused in the services' own words.

The transcoder drops fields it does not know, so that a mistyped `stop_loss` would vanish from an order. The
gate reads the request before it and refuses whatever would not reach the service as it stands. Before that it
asks who calls and whether they may, as the service will once more (edge/callers.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge import body, query
from edge.body import malformed
from edge.callers import Callers
from edge.rest import Match, RestForms
from edge.scalars import wrong_scalar
from services.errors import VALIDATION_FAILED, FxError, Kind, Violation


@dataclass(frozen=True, slots=True)
class Request:
    """A request as Envoy tells of it. `target` is path and query as sent."""

    verb: str
    target: str
    content: bytes
    authorization: str | None = None


class Gate:
    """`check` returns for a request that may go on, and raises FxError for one that may not."""

    def __init__(self, forms: RestForms, callers: Callers | None = None) -> None:
        """Without `callers` everybody may call everything."""
        self._forms = forms
        self._callers = callers

    def check(self, request: Request) -> None:
        """Raises FxError: UNKNOWN_PATH, MALFORMED_REQUEST, REQUEST_TOO_LARGE, VALIDATION_FAILED, and what
        `check_call` raises.
        """
        path, _, asked = request.target.partition("?")
        match = self._forms.find(request.verb, path)
        if match is None:
            raise self._unknown(request.verb, path)
        self._admit(match.form.method, request)
        found = [*_in_path(match), *_in_query(match, asked), *_in_body(match, request.content)]
        if found:
            names = ", ".join(dict.fromkeys(each.field or "body" for each in found))
            raise FxError(Kind.INVALID_ARGUMENT, VALIDATION_FAILED, f"invalid: {names}", tuple(found))

    def check_call(self, request: Request) -> None:
        """Of a gRPC call only who calls is asked; its path is the method's.

        Raises FxError UNAUTHENTICATED, PERMISSION_DENIED.
        """
        self._admit(request.target, request)

    def _admit(self, method: str, request: Request) -> None:
        if self._callers is not None:
            self._callers.check(method, request.authorization)

    def _unknown(self, verb: str, path: str) -> FxError:
        known = self._forms.verbs(path)
        if known:
            return FxError(
                Kind.NOT_FOUND,
                "UNKNOWN_PATH",
                f"{path} answers to {', '.join(known)}, not to {verb}",
            )
        return FxError(Kind.NOT_FOUND, "UNKNOWN_PATH", f"nothing answers at {path}")


def _in_path(match: Match) -> list[Violation]:
    fields = match.form.request.fields_by_name
    return [
        Violation(name, wrong)
        for name, value in match.given.items()
        if (wrong := wrong_scalar(fields[name], value, as_text=True))
    ]


def _in_query(match: Match, text: str) -> list[Violation]:
    form = match.form
    parameters = query.parse(text)
    if form.body == "*":
        return [
            Violation(name, f"{form.verb} {form.template} takes its fields in the body")
            for name, _ in parameters
        ]
    found = list(query.violations(parameters, form.request))
    elsewhere = {*form.fields_in_path, form.body} - {""}
    return found + [
        Violation(name, "is given by the path or the body")
        for name, _ in parameters
        if _name(match, name.partition(".")[0]) in elsewhere
    ]


def _in_body(match: Match, content: bytes) -> list[Violation]:
    form = match.form
    if len(content) > form.max_request_bytes:
        raise FxError(
            Kind.INVALID_ARGUMENT,
            "REQUEST_TOO_LARGE",
            f"{form.method} takes at most {form.max_request_bytes} bytes, this body has {len(content)}",
        )
    if not form.body:
        if content:
            raise malformed(f"{form.verb} {form.template} takes no body")
        return []
    value = body.parse(content)
    if form.body == "*":
        return [*body.violations(value, form.request), *_against_path(match, value)]
    return list(body.violations({form.body: value}, form.request))


def _against_path(match: Match, value: Any) -> list[Violation]:
    """A field that the path gives may be repeated in the body, but not with another value."""
    given = value.items() if isinstance(value, dict) else ()
    return [
        Violation(field, f"the path says {match.given[field]}")
        for name, inner in given
        if (field := _name(match, name)) in match.given and inner != match.given[field]
    ]


def _name(match: Match, name: str) -> str:
    field = body.find_field(match.form.request, name)
    return field.name if field else ""
