"""A real PostgreSQL for tests: Debian's, on a Unix socket of its own, with the faults a test may want.

The server refuses to run as root, so a test run as root gives it to the user `postgres` or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.kit.ports import HOST, free_port

PROGRAMS_VARIABLE = "FXMESH_TEST_POSTGRES_PROGRAMS"
"""Folder of initdb and postgres to test with; without it PATH is searched, then where Debian puts them."""
_DEBIAN = Path("/usr/lib/postgresql")
_HOW = (
    "install PostgreSQL (Debian: apt-get install postgresql), or name the folder of initdb and postgres in "
)
_START_LIMIT_S = 30.0


class PostgresServer:
    """One cluster in a temporary folder. Its data stays when it is killed and started again."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _unprivileged()
        # Short, because the path of a socket may not be long, and open to the server's user.
        self.folder = Path(tempfile.mkdtemp(prefix="fxmesh-pg-"))
        self.folder.chmod(0o755)
        self._data, self._log = self.folder / "data", self.folder / "log"
        for each in (self._data, self.folder / "socket"):
            each.mkdir(mode=0o700 if each is self._data else 0o755)
        if self._user is not None:
            for each in (self.folder, self._data, self.folder / "socket"):
                os.chown(each, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self.port = free_port()
        """Of this machine, beside the socket: for what stands between a client and the server."""
        made = self._run("initdb", "-D", str(self._data), "-U", "fxmesh", "-A", "trust", "-E", "UTF8", "-N")
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout.decode()[-2000:]}")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://fxmesh@/{database}?host={self.folder / 'socket'}&port={self.port}"

    def number(self) -> int:
        """1, 2, 3 …, for names of things in it."""
        return next(self._numbers)

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{self.number()}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as a person with psql would."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def start(self, *options: str) -> None:
        """Start and return once it takes connections. `options`: settings such as `fsync=on`."""
        # Tests end processes, not the machine: nothing is lost that the kernel has.
        settings = [
            "fsync=off",
            f"listen_addresses={HOST}",
            f"port={self.port}",
            f"unix_socket_directories={self.folder / 'socket'}",
        ]
        given = [part for each in (*settings, *options) for part in ("-c", each)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        until = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"no PostgreSQL:\n{self._log.read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL to all its processes, as a power cut."""
        assert self._process is not None
        family = psutil.Process(self._process.pid)
        for each in (family, *family.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # those of one that is gone go by themselves
                each.kill()
        self._process.wait()

    def terminate(self) -> None:
        """An operator's fast shutdown: sessions end, everything is written down."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def remove(self) -> None:
        """End it, whatever state it is in, and its folder."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            [self._programs / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_user(),
        )
        return done

    def _as_user(self) -> dict[str, Any]:
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        if self._user is None:
            return {"env": environment, "cwd": self.folder}
        return {
            "env": environment,
            "cwd": self.folder,
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
        }


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run it as; None: ourselves."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def find_programs() -> Path:
    """Folder of initdb and postgres. Fails the test with what to do where there is none."""
    if given := os.environ.get(PROGRAMS_VARIABLE):
        return Path(given)
    on_path = shutil.which("postgres")
    if on_path is not None and shutil.which("initdb") is not None:
        return Path(on_path).resolve().parent
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda each: int(each.parts[4].split(".")[0]))
    if not found:
        pytest.fail(_HOW + PROGRAMS_VARIABLE, pytrace=False)
    return found[-1].parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that do not break it."""
    server = PostgresServer(find_programs())
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to kill and restart."""
    server = PostgresServer(find_programs())
    try:
        server.start()
        yield server
    finally:
        server.remove()
