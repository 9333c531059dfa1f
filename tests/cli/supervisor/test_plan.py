"""The plan follows the contracts, and keeps everything of a platform in its home and on its ports."""

import json
from pathlib import Path

import pytest

from services.cli import edge
from services.cli.commands.platform import chosen_instances
from services.cli.home import Home
from services.cli.output import CliError, ExitCode
from services.cli.supervisor.plan import Choices, Plan, make_plan, ports_to_move
from services.runtime.policy import service_policies
from services.runtime.statuses import LIVENESS

SERVER = Path("/somewhere/nats-server")


def plan_for(home: Home, choices: Choices) -> Plan:
    return make_plan(home, SERVER, choices, service_policies())


def test_every_service_of_the_contracts_is_planned_on_its_ports(home: Home) -> None:
    plan = plan_for(home, Choices())
    assert {each.name: dict(each.ports) for each in plan.processes} == {
        "nats": {"nats": 4222},
        "trading_gateway": {"grpc": 50051, "priority": 50061, "http": 9051},
        "market_data": {"grpc": 50052, "http": 9052},
        "analysis_engine": {"grpc": 50053, "http": 9053},
        "data_pipeline": {"grpc": 50054, "http": 9054},
        "ml_integration": {"grpc": 50055, "http": 9055},
        "ml_workbench": {"grpc": 50056, "http": 9056},
        "monitoring_alerting": {"grpc": 50057, "http": 9057},
    }
    assert plan.nats_url == "nats://127.0.0.1:4222"
    assert plan.bus.argv == (str(SERVER), "--config", str(home.nats_config))


def test_the_edge_leads_to_every_service_and_may_be_left_out(home: Home) -> None:
    envoy = Path("/somewhere/envoy")
    plan = make_plan(home, SERVER, Choices(port_offset=100), service_policies(), envoy)
    gate, front = plan.edge
    assert (gate.name, gate.ports) == ("edge_gate", {"grpc": 50158, "http": 9158})
    assert (front.name, front.ports) == ("edge", {"edge": 8180, "admin": 10001})
    assert front.argv[:3] == (str(envoy), "--config-path", str(home.envoy_config))
    upstreams = gate.env["FXMESH_EDGE_UPSTREAMS"].split(",")
    assert upstreams == [f"{each.name}=127.0.0.1:{each.ports['grpc']}" for each in plan.services]
    home.run.mkdir(parents=True)
    edge.write_config(home, plan, service_policies())
    assert all(
        f'"port_value": {each.ports["grpc"]}' in home.envoy_config.read_text() for each in plan.services
    )
    assert plan_for(home, Choices()).edge == ()


def test_a_given_edge_port_is_not_offset(home: Home) -> None:
    choices = Choices(port_offset=100, edge_port=8888)
    front = make_plan(home, SERVER, choices, service_policies(), Path("envoy")).edge[1]
    assert front.ports["edge"] == 8888
    assert 8080 not in ports_to_move(choices, service_policies())


def test_an_offset_moves_every_port_and_tells_every_process(home: Home) -> None:
    plan = plan_for(home, Choices(port_offset=1000))
    trading = plan.services[0]
    assert plan.nats_url == "nats://127.0.0.1:5222"
    assert trading.ports == {"grpc": 51051, "priority": 51061, "http": 10051}
    assert trading.env["FXMESH_PRIORITY_PORT"] == "51061"
    assert trading.env["FXMESH_GRPC_PORT"] == "51051"
    assert trading.env["FXMESH_HTTP_PORT"] == "10051"
    assert trading.env["FXMESH_NATS_URL"] == plan.nats_url
    assert trading.probe.port == 10051


def test_a_given_nats_port_is_not_offset(home: Home) -> None:
    plan = plan_for(home, Choices(port_offset=1000, nats_port=4333))
    assert {each.env["FXMESH_NATS_URL"] for each in plan.services} == {"nats://127.0.0.1:4333"}


def test_each_service_has_a_data_folder_of_its_own_in_the_home(home: Home) -> None:
    plan = plan_for(home, Choices())
    folders = {each.env["FXMESH_DATA_DIR"] for each in plan.services}
    assert folders == {str(home.data / each.name) for each in plan.services}
    assert all(each.env["FXMESH_HOST"] == "127.0.0.1" for each in plan.services)


def test_the_feed_is_chosen_by_symbols_or_left_out(home: Home) -> None:
    by_default = plan_for(home, Choices()).services[0].env
    chosen = plan_for(home, Choices(symbols=("EURUSD", "USDJPY"), feed=False)).services[0].env
    assert "FXMESH_MARKET_DATA_SYMBOLS" not in by_default
    assert "FXMESH_MARKET_DATA_SYNTHETIC" not in by_default
    assert chosen["FXMESH_MARKET_DATA_SYMBOLS"] == "EURUSD,USDJPY"
    assert chosen["FXMESH_MARKET_DATA_SYNTHETIC"] == "false"


def test_a_collector_is_told_to_every_service(home: Home) -> None:
    plan = plan_for(home, Choices(otlp="http://localhost:4317"))
    assert {each.env["FXMESH_OTLP_ENDPOINT"] for each in plan.services} == {"http://localhost:4317"}
    assert "FXMESH_OTLP_ENDPOINT" not in plan_for(home, Choices()).services[0].env


def test_each_process_connects_to_the_bus_as_itself_with_a_password_from_a_file(home: Home) -> None:
    plan = make_plan(home, SERVER, Choices(), service_policies(), Path("envoy"))
    told = {each.name: each.env for each in (*plan.services, plan.edge[0])}
    assert {name: env["FXMESH_NATS_USER"] for name, env in told.items()} == {name: name for name in told}
    files = {Path(env["FXMESH_NATS_PASSWORD_FILE"]) for env in told.values()}
    assert len(files) == len(told)
    assert {path.parent for path in files} == {home.secrets / "nats"}
    assert {env["FXMESH_NATS_URL"] for env in told.values()} == {plan.nats_url}


def test_further_instances_have_names_ports_and_folders_of_their_own(home: Home) -> None:
    choices = Choices(port_offset=1000, instances={"market_data": 3})
    plan = make_plan(home, SERVER, choices, service_policies(), Path("envoy"))
    several = [each for each in plan.services if each.service == "market_data"]
    assert {each.name: dict(each.ports) for each in several} == {
        "market_data": {"grpc": 51052, "http": 10052},
        "market_data-2": {"grpc": 51152, "http": 10152},
        "market_data-3": {"grpc": 51252, "http": 10252},
    }
    assert len({each.data for each in several}) == 3
    assert {each.argv[-1] for each in several} == {"services.market_data"}
    ports = [port for each in plan.processes for port in each.ports.values()]
    assert len(set(ports)) == len(ports)
    moved = ports_to_move(choices, service_policies())
    assert {50061, 50152, 9152, 50252, 9252} <= set(moved)


def test_the_edge_asks_several_instances_how_they_are_and_one_alone_whether_it_lives(home: Home) -> None:
    choices = Choices(instances={"market_data": 2})
    plan = make_plan(home, SERVER, choices, service_policies(), Path("envoy"))
    assert (
        "market_data=127.0.0.1:50052,market_data=127.0.0.1:50152"
        in (plan.edge[0].env["FXMESH_EDGE_UPSTREAMS"])
    )
    home.run.mkdir(parents=True)
    edge.write_config(home, plan, service_policies())
    clusters = json.loads(home.envoy_config.read_text())["static_resources"]["clusters"]
    found = {each["name"]: each for each in clusters}
    assert len(found["market_data"]["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 2
    asked = {
        name: each["health_checks"][0]["grpc_health_check"].get("service_name")
        for name, each in found.items()
        if "health_checks" in each
    }
    assert asked == {each.name: LIVENESS for each in service_policies()} | {
        "trading_gateway_priority": LIVENESS,
        "market_data": None,
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("analysis_engine=2", "it runs as one process, because"),
        ("market_data=0", "from 1 to 5"),
        ("market_data=many", "from 1 to 5"),
        ("prices=2", "no such service"),
    ],
)
def test_instances_that_cannot_be_are_refused_with_the_reason(asked: str, said: str) -> None:
    with pytest.raises(CliError, match=said) as refused:
        chosen_instances(asked)
    assert refused.value.exit_code is ExitCode.USAGE


def test_instances_are_chosen_by_service() -> None:
    assert chosen_instances("market_data=3, trading_gateway=1") == {"market_data": 3, "trading_gateway": 1}
    assert chosen_instances("") == {}


def test_gateways_that_share_a_database_may_be_several(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CliError) as refused:
        chosen_instances("trading_gateway=2")
    assert "Or set FXMESH_TRADING_GATEWAY_DATABASE_URL." in refused.value.hint
    monkeypatch.setenv("FXMESH_TRADING_GATEWAY_DATABASE_URL", "postgresql://somewhere/books")
    assert chosen_instances("trading_gateway=2") == {"trading_gateway": 2}
