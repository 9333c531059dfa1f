"""Hints name reasons and commands that exist."""

import re

import typer
from fxmesh.errors.v1 import reason_pb2

from services.cli.hints import HINTS
from services.cli.main import app


def test_every_reason_is_one_of_the_contract() -> None:
    known = {name.removeprefix("REASON_") for name in reason_pb2.Reason.DESCRIPTOR.values_by_name}
    assert set(HINTS) <= known


def test_every_command_named_exists() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = {name for hint in HINTS.values() for name in re.findall(r"`fxmesh ([a-z]+)", hint)}
    assert named
    assert named <= known
