"""`import`, `storage`."""

from pathlib import Path

from tests.cli.commands.conftest import Fxmesh

HEADER = "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n"
BAR = "2014-05-01T{:02d}:00:00Z,1.3867,1.3869,1.3865,1.3868,1.3868,1.3870,1.3866,1.3869\n"


def bars(folder: Path, *extra: str) -> Path:
    path = folder / "bars.csv"
    path.write_text(HEADER + "".join(BAR.format(hour) for hour in range(5)) + "".join(extra))
    return path


def test_bars_are_imported_once_and_read_back(fxmesh: Fxmesh, tmp_path: Path) -> None:
    path = bars(tmp_path)
    done = fxmesh("import", path, "--symbol", "eurusd", "--timeframe", "1h")
    assert (done.code, done.err) == (0, "")
    assert "rows stored  5" in done.out
    assert "Every line was taken." in done.out
    assert "stored before" not in done.out
    again = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h")
    assert (again.code, "Its content was stored before" in again.out) == (0, True)
    again = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h", "--json").data
    source = again["sourceId"]
    assert again["execution"]["state"] == "EXECUTION_STATE_COMPLETED"
    counts = {each["name"]: each["count"] for each in fxmesh("storage", source, "--json").data["counts"]}
    assert counts["bars"] == "5"
    read = fxmesh("bars", "EURUSD", "-t", "1h", "--source", source, "--json").data["bars"]
    assert [each["bidClose"] for each in read] == ["1.38680"] * 5


def test_bad_lines_are_counted_and_strict_stores_nothing(fxmesh: Fxmesh, tmp_path: Path) -> None:
    path = bars(tmp_path, BAR.format(7).replace("1.3869,1.3865", "nonsense,1.3865"), BAR.format(8))
    done = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h")
    assert done.code == 0
    (reject,) = [line for line in done.out.splitlines() if line.startswith("rejected")]
    assert reject.split()[1:4] == ["BAD_PRICE", "1", "7"]
    said = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h", "--strict").out
    assert "Every line was taken." not in said
    (reject,) = [line for line in said.splitlines() if line.startswith("rejected")]
    assert reject.split()[1:4] == ["BAD_PRICE", "1", "7"]
    strict = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h", "--strict", "--json")
    assert (strict.code, strict.error["reason"]) == (1, "BAD_PRICE")
    assert "Without --strict" in strict.error["hint"]


def test_a_file_cut_short_is_said_to_be(fxmesh: Fxmesh, tmp_path: Path, shared_data: Path) -> None:
    whole = (shared_data / "bars_h1" / "oanda_eurusd_h1_bidask_2007-2014.csv.gz").read_bytes()
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[:20_000])
    done = fxmesh("import", path, "--symbol", "EURUSD", "-t", "1h")
    assert done.code == 0
    assert "The file is damaged, and what follows in it is missing. TRUNCATED: the gzip stream" in done.out


def test_a_file_of_another_symbol_is_no_success(fxmesh: Fxmesh, shared_data: Path) -> None:
    path = shared_data / "bad_input" / "mislabelled_symbol_h1_2019.csv.gz"
    done = fxmesh("import", path, "--symbol", "EURUSD")
    assert done.code == 1
    assert "PRICE_IMPLAUSIBLE" in done.out
    assert "fxmesh: The import failed:" in done.err


def test_faults_of_a_file(fxmesh: Fxmesh, tmp_path: Path) -> None:
    assert fxmesh("import", tmp_path / "none.csv").code == 2
    assert fxmesh("import", bars(tmp_path), "--symbol", "EURUSD", "-t", "9z").code == 2
    unnamed = fxmesh("import", bars(tmp_path))
    assert unnamed.code == 4
    assert "--symbol" in unnamed.err
    text = tmp_path / "text.csv"
    text.write_text("hello\n")
    assert fxmesh("import", text, "--symbol", "EURUSD", "--json").error["reason"] == "UNKNOWN_FORMAT"


def test_what_is_stored(fxmesh: Fxmesh) -> None:
    done = fxmesh("storage")
    assert done.code == 0
    assert "MB on disk" in done.out
    assert fxmesh("storage", "not a source!").code == 4
    unknown = fxmesh("storage", "nope")
    assert (unknown.code, unknown.out) == (4, "")
    assert "Nothing is stored of nope." in unknown.err
