"""One case for each mutation of the contracts, by area: what it is sent with, and how its effect is counted.

A case is given `twice`, which sends requests of its one method; tests/integration/test_repetition.py runs it.
"""

from tests.integration.repetitions import inference, market_data, monitoring, pipeline, trading, workbench
from tests.integration.repetitions.case import Case

CASES: dict[str, Case] = {
    f"/{service}/{method}": case
    for service, cases in (
        ("fxmesh.trading.v1.TradingService", trading.CASES),
        ("fxmesh.marketdata.v1.MarketDataService", market_data.CASES),
        ("fxmesh.pipeline.v1.PipelineService", pipeline.CASES),
        ("fxmesh.inference.v1.InferenceService", inference.CASES),
        ("fxmesh.workbench.v1.WorkbenchService", workbench.CASES),
        ("fxmesh.monitoring.v1.MonitoringService", monitoring.CASES),
    )
    for method, case in cases.items()
}
