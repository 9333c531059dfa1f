"""`alerts`, `services`, `metrics`."""

import uuid

from tests.cli.commands.conftest import Fxmesh


def a_refused_order(fxmesh: Fxmesh) -> None:
    assert fxmesh("order", "buy", "EURUSD", "1000", "--limit", "9.00000").code == 4


def test_an_alert_is_listed_and_acknowledged(fxmesh: Fxmesh) -> None:
    a_refused_order(fxmesh)
    alerts: list[dict[str, str]] = []
    while not alerts:
        alerts = fxmesh("alerts", "--rule", "order_rejected", "--json").data["alerts"]
    alert = alerts[0]["alertId"]
    assert alert in fxmesh("alerts").out
    done = fxmesh("alerts", "ack", alert, "--by", "ann", "--comment", "seen")
    assert done.code == 0
    assert "seen by ann" in done.out
    assert fxmesh("alerts", "--all", "--json").data["alerts"]


def test_alerts_that_are_none(fxmesh: Fxmesh) -> None:
    done = fxmesh("alerts", "ack", "nope")
    assert done.code == 4
    assert "fxmesh alerts --all" in done.err
    assert "No alerts." in fxmesh("alerts", "--rule", "dead_letters").out


def test_a_silence_holds_for_a_while(fxmesh: Fxmesh) -> None:
    comment = uuid.uuid4().hex
    done = fxmesh("alerts", "silence", "--rule", "feed_silent", "--for", "30m", "--comment", comment)
    assert done.code == 0
    assert comment in fxmesh("alerts", "silences").out
    listed = fxmesh("alerts", "silences", "--json").data["silences"]
    assert comment in {each["comment"] for each in listed}
    assert fxmesh("alerts", "silence", "--for", "soon").code == 2
    assert fxmesh("alerts", "silence", "--label", "x").code == 2
    too_long = fxmesh("alerts", "silence", "--for", "999d")
    assert too_long.code == 4
    assert "\n  duration: " in too_long.err


def test_rules_and_services(fxmesh: Fxmesh) -> None:
    assert "order_rejected" in fxmesh("alerts", "rules").out
    assert fxmesh("alerts", "rules", "--json").data["rules"]
    assert fxmesh("services").code == 0
    assert "services" in fxmesh("services", "--json").data
    assert fxmesh("services", "nobody").code == 4


def test_metrics(fxmesh: Fxmesh) -> None:
    assert fxmesh("metrics").code == 0
    assert "metrics" in fxmesh("metrics", "--prefix", "fxmesh_", "--json").data
    done = fxmesh("metrics", "nope_total", "--json")
    assert (done.code, done.error["reason"]) == (4, "UNKNOWN_METRIC")
    assert fxmesh("metrics", "nope_total", "--window", "long").code == 2
