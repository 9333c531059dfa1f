"""The command line: help with examples, one shape for failures, and a quick start."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer

from services.cli import output
from services.cli.main import app, main
from services.cli.output import CliError, ExitCode
from services.errors import FxError, Kind, Violation


def commands(group: typer.Typer, before: str = "") -> list[str]:
    """Every command, those of groups as `order buy`."""
    own = [
        before + (each.name or each.callback.__name__) for each in group.registered_commands if each.callback
    ]
    inner = [
        name
        for each in group.registered_groups
        if each.typer_instance
        for name in commands(each.typer_instance, f"{each.name} ")
    ]
    return sorted(own + inner)


COMMANDS = commands(app)
OFFLINE = {"keys scopes", "policy list", "policy show"}
"""Read the contracts alone: they have no use for a platform."""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fxmesh", *arguments])
    try:
        return main()
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_platform_commands_are_there() -> None:
    assert set(COMMANDS) >= {"up", "down", "status", "logs"}


@pytest.mark.parametrize("group", ["order", "accounts", "alerts", "policy"])
def test_each_group_has_examples_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    assert run(monkeypatch, group, "--help") == 0
    assert f"Examples:\n    fxmesh {group}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_examples_of_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, *command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:\n  " in shown
    assert f"\n    fxmesh {command}" in shown
    assert "--json" in shown
    assert ("--home" in shown) != (command in OFFLINE)


def test_the_exit_codes_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert all(str(int(code)) in shown for code in ExitCode)


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fxmesh {version('fxmesh')}\n"


def test_a_rule_of_a_whole_request_is_told_without_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    broken = (Violation("", "start must be before end"),)
    refused = FxError(Kind.INVALID_ARGUMENT, "VALIDATION_FAILED", "invalid: request", broken)
    output.print_error(output.from_service(refused), as_json=False)
    assert capsys.readouterr().err == "fxmesh: invalid: request\n  start must be before end\n"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("up", "--port-offset", "x"), "--port-offset"),
        (("up", "--port-offset", "99999"), "--port-offset"),
        (("up", "--otlp", "localhost"), "--otlp"),
        (("up", "--symbols", "EURUSD,FOOBAR"), "--symbols FOOBAR"),
        (("up", "--nats-port", "0"), "--nats-port"),
        (("up", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_names_what_is_wrong_in_both_forms(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    names: str,
) -> None:
    assert run(monkeypatch, *arguments) == ExitCode.USAGE
    assert names in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--json") == ExitCode.USAGE
    printed = capsys.readouterr()
    assert names in json.loads(printed.out)["error"]["message"]
    assert printed.err == ""


def test_a_refusal_of_a_service_keeps_its_violations(capsys: pytest.CaptureFixture[str]) -> None:
    refused = FxError(Kind.INVALID_ARGUMENT, "BAD_SIZE", "size is wrong", (Violation("size", "is negative"),))
    error = output.from_service(refused)
    assert (error.reason, error.exit_code) == ("BAD_SIZE", ExitCode.REFUSED)
    output.print_error(error, as_json=False)
    assert capsys.readouterr().err == "fxmesh: size is wrong\n  size: is negative\n"
    assert error.details["violations"] == [{"field": "size", "description": "is negative"}]
    unknown = output.from_service(FxError(Kind.DEADLINE_EXCEEDED, "DEADLINE", "too late"))
    assert unknown.exit_code == ExitCode.UNAVAILABLE


def test_an_error_is_one_document_or_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    error = CliError("WHY", "It failed.", "Do this.", details={"log_tail": ["a", "b"]})
    output.print_error(error, as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "error": {
            "reason": "WHY",
            "message": "It failed.",
            "hint": "Do this.",
            "details": {"log_tail": ["a", "b"]},
        }
    }
    output.print_error(error, as_json=False)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "  | a\n  | b\nfxmesh: It failed. Do this.\n")


def test_a_table_is_aligned() -> None:
    table = output.text_table(("NAME", "N"), [("a", "1"), ("long name", "100")], frozenset({1}))
    assert table == "NAME         N\na            1\nlong name  100"


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = ("grpc", "rich", "google", "nats", "numpy", "pydantic", "psutil", "asyncio", "duckdb")
    code = f"import sys, services.cli.main; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
