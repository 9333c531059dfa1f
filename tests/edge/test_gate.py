"""The decision about whole requests."""

import pytest
from google.api import http_pb2
from google.protobuf import descriptor_pool, struct_pb2

from edge import query
from edge.gate import Gate, Request
from edge.rest import RestForms, read_form
from services.errors import FxError, Kind
from services.runtime.policy import service_policies

GATE = Gate(RestForms(service_policies()))
API = "/api/v1"


def check(verb: str, target: str, content: bytes = b"") -> None:
    GATE.check(Request(verb, API + target, content))


def refused(verb: str, target: str, content: bytes = b"") -> FxError:
    with pytest.raises(FxError) as failure:
        check(verb, target, content)
    return failure.value


def fields(error: FxError) -> dict[str, str]:
    assert (error.kind, error.reason) == (Kind.INVALID_ARGUMENT, "VALIDATION_FAILED")
    return {each.field: each.description for each in error.violations}


@pytest.mark.parametrize(
    ("verb", "target", "content"),
    [
        ("GET", "/market-data/quotes?symbol=EURUSD&symbol=USDJPY", b""),
        ("GET", "/market-data/quotes", b""),
        ("GET", "/bars?symbol=&start=2026-01-02T03:04:05+01:00", b""),
        ("GET", "/bars?symbol=EURUSD&timeframe=1", b""),
        ("GET", "/bars?symbol=EURUSD&timeframe=TIMEFRAME_H1&page_size=5", b""),
        ("GET", "/trading/orders:stream?account_id=demo", b""),
        ("POST", "/predict", b""),
        ("POST", "/trading/accounts/demo:autoTrade", b'{"account_id": "demo", "request_id": "r"}'),
        ("DELETE", "/monitoring/rules/mine?request_id=r", b""),
    ],
)
def test_what_the_contracts_take_goes_on(verb: str, target: str, content: bytes) -> None:
    check(verb, target, content)


@pytest.mark.parametrize(
    ("verb", "target", "content", "field", "says"),
    [
        ("GET", "/market-data/quotes?symbl=EURUSD", b"", "symbl", "did you mean symbol?"),
        ("GET", "/bars?symbol=EURUSD&symbol=USDJPY", b"", "symbol", "is given twice"),
        ("GET", "/trading/positions?account_id=a&accountId=b", b"", "account_id", "is given twice"),
        ("GET", "/market-data/quotes?symbol", b"", "symbol", "has no value"),
        ("GET", "/bars?timeframe=99", b"", "timeframe", "must be one of TIMEFRAME_UNSPECIFIED"),
        ("GET", "/bars?start=2026-01-02T03:04:05%2B24:00", b"", "start", "must be a time"),
        ("GET", "/bars?start=2026-1-2T3:4:5Z", b"", "start", "must be a time"),
        ("GET", "/bars?page_size=many", b"", "page_size", "must be a whole number"),
        ("GET", "/bars?page_size=-1", b"", "page_size", "must be from 0"),
        ("GET", "/bars?page_size.x=1", b"", "page_size.x", "no such field"),
        ("GET", "/trading/orders/o-1?order_id=o-2", b"", "order_id", "is given by the path"),
        ("POST", "/predict?symbol=EURUSD", b"{}", "symbol", "takes its fields in the body"),
        ("POST", "/trading/accounts/demo:autoTrade", b'{"accountId": "other"}', "account_id", "says demo"),
    ],
)
def test_what_would_not_arrive_as_typed_is_named(
    verb: str, target: str, content: bytes, field: str, says: str
) -> None:
    ((name, sentence),) = fields(refused(verb, target, content)).items()
    assert name == field
    assert says in sentence


def test_only_one_of_a_choice_may_be_given_in_a_query() -> None:
    given = query.parse("listValue.values=1&bool_value=true")
    found = query.violations(given, struct_pb2.Value.DESCRIPTOR)
    assert [(each.field, each.description) for each in found] == [
        ("list_value.values", "cannot be given in a query"),
        ("bool_value", "cannot be given together with list_value"),
    ]


def test_a_value_in_the_path_is_checked_as_well() -> None:
    method = descriptor_pool.Default().FindMethodByName("fxmesh.pipeline.v1.PipelineService.ListBars")
    forms = RestForms(())
    forms.all = (read_form(method, http_pb2.HttpRule(get="/pages/{page_size}")),)
    with pytest.raises(FxError) as failure:
        Gate(forms).check(Request("GET", "/pages/many", b""))
    assert fields(failure.value) == {"page_size": "must be a whole number"}


def test_everything_wrong_is_told_at_once() -> None:
    error = refused("GET", "/bars?symbl=EURUSD&page_size=x")
    assert list(fields(error)) == ["symbl", "page_size"]
    assert error.detail == "invalid: symbl, page_size"


def test_an_unknown_path_and_a_wrong_verb_are_told_apart() -> None:
    assert refused("GET", "/nothing").detail == "nothing answers at /api/v1/nothing"
    assert refused("GET", "/predict").detail == "/api/v1/predict answers to POST, not to GET"
    assert {refused("PUT", path).reason for path in ("/nothing", "/predict")} == {"UNKNOWN_PATH"}


def test_a_body_where_none_belongs_is_refused() -> None:
    assert refused("GET", "/bars", b'{"symbol": "EURUSD"}').reason == "MALFORMED_REQUEST"


def test_the_limit_is_that_of_the_method() -> None:
    long = b'{"symbol": "' + b"A" * 300_000 + b'"}'
    assert refused("POST", "/predict", long).reason == "REQUEST_TOO_LARGE"
    check("POST", "/batch-predict", long)


@pytest.mark.parametrize("target", ["/bars?symbol=%ff", "/bars?" + "symbol=A&" * 2000])
def test_a_query_that_cannot_be_read_is_refused(target: str) -> None:
    assert refused("GET", target).reason == "MALFORMED_REQUEST"
