"""A real PostgreSQL server of a test's own, in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from support.doors import free_port

PASSWORD = "not-to-be-seen"  # noqa: S105 - of a server that lives as long as the test
_DEBIAN = Path("/usr/lib/postgresql")
_SILENT_INSTALL = {"DEBIAN_FRONTEND": "noninteractive"}
_WAIT_S = "60"  # for a start or an end; a machine with other work may take a while


def _found() -> Path | None:
    """The folder with the newest server's programs, which Debian leaves out of the PATH."""
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _install() -> None:
    """From the distribution's packages, which root can do on Debian and what comes from it."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "-qq", *command], env={**os.environ, **_SILENT_INSTALL}, check=False)  # noqa: S603, S607 - fixed words


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where there is no PostgreSQL and none can be installed."""
    found = _found()
    if found is None:
        _install()
        found = _found()
    return found


class Postgres:
    """A server that is initialised; `start` it. Its superuser is `postgres`, its password `PASSWORD`.

    Args:
        programs: The folder of `initdb` and `pg_ctl`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="serve-app-postgres-"))  # pytest's are closed to other users
        self._user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # it refuses to run as root
        self._password_file = self._folder / "password"
        self._password_file.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self._folder, self._password_file):
                shutil.chown(path, self._user)
        self.port = free_port()
        self._run(
            "initdb", "--username=postgres", "--auth=scram-sha-256", "--no-sync", f"--pwfile={self._password_file}"
        )

    def start(self) -> None:
        """Let it run; it takes connections then."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--timeout={_WAIT_S}", f"--log={self._folder}/log", "-o", options)

    def stop(self) -> None:
        """End it as a machine that breaks does: nobody is told, nothing is written."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait", f"--timeout={_WAIT_S}")

    def remove(self) -> None:
        """End it, if it runs, and delete what it wrote."""
        if (self._folder / "data/postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """As SQLAlchemy has it."""
        login = f"postgres:{password}" if password else "postgres"
        return f"postgresql+psycopg://{login}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """As the superuser, in a connection of its own and outside of a transaction."""
        address = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres"}
        with psycopg.connect(**address, user="postgres", password=PASSWORD, autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        output = self._folder / "output"
        with output.open("wb") as file:  # a pipe would stay open as long as the server runs
            done = subprocess.run(  # noqa: S603 - what this machine has installed
                [self._programs / program, *arguments],
                env={**os.environ, "PGDATA": str(self._folder / "data")},
                cwd=self._folder,
                user=self._user if os.geteuid() == 0 else None,
                group=self._user if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        assert done.returncode == 0, output.read_text()
