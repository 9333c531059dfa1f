"""Which method a path means, by the contracts."""

import pytest
from google.api import http_pb2
from google.protobuf import descriptor_pool

from edge.rest import RestForms, read_form
from services.runtime.fatal import FatalError
from services.runtime.policy import service_policies

FORMS = RestForms(service_policies())
TRADING = "/fxmesh.trading.v1.TradingService"

# DESIGN's table, word for word: what callers of the platform were promised.
PROMISED = [
    ("GET", "/api/v1/market-data/quotes", "marketdata.v1.MarketDataService/ListQuotes"),
    ("GET", "/api/v1/market-data/orderbooks", "marketdata.v1.MarketDataService/ListOrderBooks"),
    ("GET", "/api/v1/analysis/signals", "analysis.v1.AnalysisService/ListSignals"),
    ("GET", "/api/v1/analysis/indicators", "analysis.v1.AnalysisService/ListIndicators"),
    ("POST", "/api/v1/predict", "inference.v1.InferenceService/Predict"),
    ("POST", "/api/v1/feature-importance", "inference.v1.InferenceService/GetFeatureImportance"),
    ("GET", "/api/v1/bars", "pipeline.v1.PipelineService/ListBars"),
    ("POST", "/api/v1/batch-predict", "inference.v1.InferenceService/BatchPredict"),
    ("GET", "/api/v1/model-registry/models/m/1", "workbench.v1.WorkbenchService/GetModelVersion"),
    ("GET", "/api/v1/model-serving/endpoints/e", "workbench.v1.WorkbenchService/GetEndpoint"),
    ("GET", "/api/v1/features", "pipeline.v1.PipelineService/GetFeatures"),
    ("GET", "/api/v1/datasets/d", "pipeline.v1.PipelineService/GetDataset"),
    ("GET", "/api/v1/datasets/d/features", "pipeline.v1.PipelineService/GetDatasetFeatures"),
]


@pytest.mark.parametrize(("verb", "path", "method"), PROMISED)
def test_the_promised_paths_are_there(verb: str, path: str, method: str) -> None:
    match = FORMS.find(verb, path)
    assert match is not None
    assert match.form.method == f"/fxmesh.{method}"


def test_every_form_is_found_by_its_own_path() -> None:
    assert len(FORMS.all) > 70
    for form in FORMS.all:
        filled = form.template.replace("{", "").replace("}", "")
        match = FORMS.find(form.verb, filled)
        assert match is not None
        assert match.form is form
        assert match.given == {name: name for name in form.fields_in_path}


@pytest.mark.parametrize(
    ("verb", "path", "method", "given"),
    [
        ("GET", "/api/v1/trading/orders/a%2Fb", f"{TRADING}/GetOrder", {"order_id": "a/b"}),
        ("POST", "/api/v1/trading/orders/o-1:cancel", f"{TRADING}/CancelOrder", {"order_id": "o-1"}),
        ("GET", "/api/v1/trading/orders:stream", f"{TRADING}/StreamOrders", {}),
        ("GET", "/api/v1/trading/orders/a:b", f"{TRADING}/GetOrder", {"order_id": "a:b"}),
    ],
)
def test_values_and_actions_are_told_apart(verb: str, path: str, method: str, given: dict[str, str]) -> None:
    match = FORMS.find(verb, path)
    assert match is not None
    assert (match.form.method, match.given) == (method, given)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/nothing",
        "/api/v1/trading/orders/",
        "/api/v1/trading/orders/:cancel",
        "/api/v1/trading/orders:delete",
        f"{TRADING}/GetOrder",
    ],
)
def test_other_paths_mean_nothing(path: str) -> None:
    assert FORMS.verbs(path) == ()


def test_the_verbs_of_a_path_are_known() -> None:
    assert FORMS.verbs("/api/v1/trading/accounts") == ("GET", "POST")
    assert FORMS.find("PUT", "/api/v1/trading/accounts") is None


@pytest.mark.parametrize("template", ["/api/**", "/api/{nothing}", "/api/{name=x/*}", "/api//x"])
def test_a_path_that_only_envoy_would_understand_stops_the_start(template: str) -> None:
    method = descriptor_pool.Default().FindMethodByName("fxmesh.trading.v1.TradingService.GetOrder")
    with pytest.raises(FatalError, match="is not understood"):
        read_form(method, http_pb2.HttpRule(get=template))
