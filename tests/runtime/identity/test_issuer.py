"""A platform's own issuer: tokens are renewed and signing keys replaced, and at no moment does one fail."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from services.errors import FxError
from services.runtime.clock import WallClock
from services.runtime.fatal import FatalError
from services.runtime.identity.issuer import KEY_SET, SIGNING, TOKENS, Issuer, Lives, write
from services.runtime.identity.token_file import TokenFile
from tests.kit.identity import LOG, TRUST, Still, Trusted


class Time:
    """Wall time of an issuer, and monotonic time of a reader, that a test moves."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Moved(WallClock):
    def __init__(self, time: Time) -> None:
        self._time = time

    def monotonic(self) -> float:
        return self._time.now


def issuer(folder: Path, time: Time, lives: Lives | None = None) -> Issuer:
    made = Issuer(folder, TRUST, ("market_data", "operator"), time, lives)
    made.open()
    return made


def key_ids(folder: Path) -> list[str]:
    return [each["kid"] for each in json.loads((folder / KEY_SET).read_text())["keys"]]


def signed_by(folder: Path) -> str:
    token = (folder / TOKENS / "market_data.jwt").read_text()
    return str(jwt.get_unverified_header(token)["kid"])


def expiry(folder: Path) -> float:
    token = (folder / TOKENS / "market_data.jwt").read_text()
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])


def test_a_token_is_renewed_long_before_it_dies(tmp_path: Path) -> None:
    time = Time()
    issuing = issuer(tmp_path, time)
    first = expiry(tmp_path)
    assert first - time.now == 3600
    time.now += 600
    assert not issuing.renew()
    assert expiry(tmp_path) == first
    time.now += 600
    assert issuing.renew()
    assert expiry(tmp_path) == time.now + 3600


def test_a_clock_that_was_set_back_gets_tokens_of_its_own_time(tmp_path: Path) -> None:
    time = Time()
    issuing = issuer(tmp_path, time)
    time.now -= 7200
    assert issuing.renew()
    assert expiry(tmp_path) == time.now + 3600


def test_a_signing_key_is_shown_first_signs_then_and_stays_until_its_tokens_are_dead(tmp_path: Path) -> None:
    time, lives = Time(), Lives(token=100.0, renew=30.0, key=1000.0, shown_first=60.0)
    issuing = issuer(tmp_path, time, lives)
    (old,) = key_ids(tmp_path)
    while len(key_ids(tmp_path)) == 1:
        time.now += 5
        issuing.renew()
    shown_at = time.now
    old_again, new = key_ids(tmp_path)
    assert old_again == old
    dies_at = 0.0
    while signed_by(tmp_path) == old:
        dies_at = expiry(tmp_path)
        time.now += 5
        issuing.renew()
    assert signed_by(tmp_path) == new
    assert time.now - shown_at >= lives.shown_first
    while old in key_ids(tmp_path):
        time.now += 5
        issuing.renew()
    assert time.now >= dies_at
    assert key_ids(tmp_path) == [new]


def test_a_restart_goes_on_with_the_keys_that_were_there(tmp_path: Path) -> None:
    time = Time()
    issuer(tmp_path, time)
    (kept,) = key_ids(tmp_path)
    time.now += 3600
    issuer(tmp_path, time)
    assert key_ids(tmp_path) == [kept]
    assert expiry(tmp_path) == time.now + 3600


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / TOKENS).mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    issuer(tmp_path, Time())
    assert tmp_path.stat().st_mode & 0o777 == (tmp_path / TOKENS).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / SIGNING).stat().st_mode & 0o777 == 0o600


def test_whoever_checks_tokens_knows_a_new_key_before_its_first_token(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets")
    old = trusted.token("market_data")
    assert trusted.authenticator.principal(f"Bearer {old}").name
    now = trusted.now()
    trusted.now = lambda: now + 24 * 3600
    trusted.issuer.renew()
    trusted.keys.read_files()  # as a process does every second
    trusted.now = lambda: now + 24 * 3600 + 60
    trusted.issuer.renew()
    (first, second) = key_ids(trusted.folder)
    assert jwt.get_unverified_header(trusted.token("market_data"))["kid"] == second != first
    assert trusted.keys.find(second)
    assert trusted.authenticator.principal(f"Bearer {old}").name


def test_unknown_keys_do_not_make_us_read_all_day(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets", clock=Still())
    path = trusted.folder / KEY_SET
    assert trusted.keys.find("nothing") is None
    hidden = path.read_text().replace(key_ids(trusted.folder)[0], "new")
    path.write_text(hidden)
    assert trusted.keys.find("new") is None  # looked a moment ago
    trusted.keys.read_files()
    assert trusted.keys.find("new") is not None


def test_a_key_that_is_taken_out_stops_working_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    trusted = Trusted(tmp_path / "secrets")
    token, path = f"Bearer {trusted.token('operator')}", trusted.folder / KEY_SET
    whole = path.read_text()
    assert trusted.authenticator.principal(token).name
    for broken in ("{", "[]", '{"keys": 3}', ""):
        path.write_text(broken)
        trusted.keys.read_files()
        assert trusted.authenticator.principal(token).name
    path.unlink()
    trusted.keys.read_files()
    assert trusted.authenticator.principal(token).name
    path.write_text(whole)
    trusted.keys.read_files()
    assert trusted.authenticator.principal(token).name
    path.write_text('{"keys": []}')
    trusted.keys.read_files()
    with pytest.raises(FxError, match="not trusted"):
        trusted.authenticator.principal(token)


def test_a_process_reads_its_own_token_again_when_it_changes(tmp_path: Path) -> None:
    path, time = tmp_path / "token", Time()
    with pytest.raises(FatalError, match="there is no token in it"):
        TokenFile(path, Moved(time), LOG)
    write(path, b"one\n")
    own = TokenFile(path, Moved(time), LOG)
    write(path, b"two")
    assert own.entry() == ("authorization", "Bearer one")  # looked a moment ago
    time.now += 2
    assert own.entry() == ("authorization", "Bearer two")
    path.unlink()
    time.now += 2
    assert own.entry() == ("authorization", "Bearer two")
