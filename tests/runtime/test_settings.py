"""Settings from the environment, and what a person reads when one is wrong."""

from __future__ import annotations

import os

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.runtime.fatal import FatalError
from services.runtime.settings import CommaSeparated, RuntimeSettings, load, service_config


class FeedSettings(BaseSettings):
    model_config = service_config("market_data")
    symbols: CommaSeparated = ("EURUSD",)
    depth: int = 5
    token: SecretStr = SecretStr("")
    ratio: float = 0.5


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FXMESH_"):
            monkeypatch.delenv(name)


def test_defaults_keep_to_loopback() -> None:
    settings = load(RuntimeSettings)
    assert (settings.host, settings.nats_url) == ("127.0.0.1", "nats://127.0.0.1:4222")
    assert (settings.grpc_port, settings.http_port, settings.data_dir) == (None, None, None)


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_GRPC_PORT", "0")
    monkeypatch.setenv("FXMESH_MARKET_DATA_SYMBOLS", "EURUSD, GBPUSD,")
    assert load(RuntimeSettings).grpc_port == 0
    assert load(FeedSettings).symbols == ("EURUSD", "GBPUSD")


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_GRPC_PORT", "")
    assert load(RuntimeSettings).grpc_port is None


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("FXMESH_GRPC_PORT", "many", "FXMESH_GRPC_PORT is 'many', but should be a whole number"),
        (
            "FXMESH_HTTP_PORT",
            "70000",
            "HTTP_PORT is '70000', but should be less than or equal to 65535",
        ),
        (
            "FXMESH_LOG_LEVEL",
            "loud",
            "FXMESH_LOG_LEVEL is 'loud', but should be 'debug', 'info'",
        ),
        ("FXMESH_ADMISSION", "perhaps", "FXMESH_ADMISSION is 'perhaps', but should be true or false"),
        ("FXMESH_TRACE_SAMPLE", "some", "FXMESH_TRACE_SAMPLE is 'some', but should be a number"),
        (
            "FXMESH_RATE_KEYS",
            "7",
            "is '7', but is no TOKENS_A_SECOND/BURST such as 2000/4000",
        ),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(FatalError) as caught:
        load(RuntimeSettings)
    assert sentence in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_MARKET_DATA_DEPTH", "x")
    monkeypatch.setenv("FXMESH_MARKET_DATA_RATIO", "y")
    with pytest.raises(FatalError, match=r"DEPTH is 'x'.*; FXMESH_MARKET_DATA_RATIO is 'y'"):
        load(FeedSettings)


def test_a_mistyped_name_is_told_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_MARKET_DATA_SYMBLOS", "EURUSD")
    with pytest.raises(FatalError, match=r"did you mean FXMESH_MARKET_DATA_SYMBOLS\?"):
        load(FeedSettings)


def test_names_of_other_services_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_TRADING_GATEWAY_LEVERAGE", "30")
    monkeypatch.setenv("FXMESH_LOG_LEVEL", "debug")
    assert load(FeedSettings).depth == 5
    assert load(RuntimeSettings).log_level == "debug"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(FeedSettings).depth = 6


def test_credentials_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXMESH_GRPC_PORT", "nats://me:hunter2@host")
    with pytest.raises(FatalError) as caught:
        load(RuntimeSettings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [("localhost:4317", "http://localhost:4317"), ("https://traces:443", "https://traces:443")],
)
def test_a_collector_is_host_and_port(monkeypatch: pytest.MonkeyPatch, given: str, url: str) -> None:
    monkeypatch.setenv("FXMESH_OTLP_ENDPOINT", given)
    assert load(RuntimeSettings).otlp_endpoint == url


@pytest.mark.parametrize(
    "wrong", ["localhost", ":4317", "localhost:99999", "ftp://a:1", "a:1/v1/traces", "a:b"]
)
def test_anything_else_is_no_collector(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("FXMESH_OTLP_ENDPOINT", wrong)
    with pytest.raises(FatalError, match=r"FXMESH_OTLP_ENDPOINT .*is no HOST:PORT"):
        load(RuntimeSettings)
