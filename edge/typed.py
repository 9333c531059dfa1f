"""The small forms that Envoy's configuration is made of."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def typed(name: str, body: Json, kind: str) -> Json:
    """An extension: its name and its configuration of the message type `kind`."""
    return {"name": name, "typed_config": of_type(kind, body)}


def of_type(kind: str, body: Json) -> Json:
    """A `google.protobuf.Any` of the message type `kind`."""
    return {"@type": f"type.googleapis.com/{kind}", **body}


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.3f}s"
