"""A caller as the mesh knows it, whichever credentials proved it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PrincipalKind(StrEnum):
    """What proved who calls."""

    ANONYMOUS = "anonymous"
    """Nothing did."""
    SERVICE = "service"
    """A token or certificate of one of the platform's own services."""
    KEY = "key"
    """An API key of a person or outside program."""
    OPERATOR = "operator"
    """A token of whoever runs the platform: the owner of its folder, or of its namespace."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `name` is a service's folder name or a key's name; `scopes` are what it may.

    A service has no scopes: its contract lists the methods it calls.
    """

    name: str
    kind: PrincipalKind
    scopes: frozenset[str] = frozenset()
    label: str = field(init=False, repr=False)
    """Unique among principals of all kinds: the unit of rate limits, and what logs and audits say."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.kind}:{self.name}")  # the way of a frozen class


ANONYMOUS = Principal("nobody", PrincipalKind.ANONYMOUS)
