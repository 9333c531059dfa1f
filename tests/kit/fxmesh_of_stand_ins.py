"""The `fxmesh` command over a platform of stand-ins: everything is real but the list of processes.

Run as `python fxmesh_of_stand_ins.py <plan.json> <fxmesh arguments...>`; the plan gives the behaviour of each
process by name, and under `ports` the port of those that must not have a free one.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.cli.home import Home
from services.cli.main import main
from services.cli.supervisor import start
from services.cli.supervisor.plan import Plan
from services.cli.supervisor.probe import HttpProbe
from tests.kit.ports import HOST
from tests.kit.processes import plan_of


def make_from(told: dict[str, Any]) -> start.MakePlan:
    def make(home: Home) -> Plan:
        plan = plan_of(home, told.get("drain_s", 10.0), **told["behaviours"])
        fixed = told.get("ports", {})
        services = tuple(
            replace(each, ports={"http": fixed[each.name]}, probe=HttpProbe(HOST, fixed[each.name]))
            if each.name in fixed
            else each
            for each in plan.services
        )
        return replace(plan, services=services)

    return make


if __name__ == "__main__":
    made = make_from(json.loads(Path(sys.argv[1]).read_text()))
    start.platform_plan = lambda *_: made
    sys.argv = ["fxmesh", *sys.argv[2:]]
    sys.exit(main())
