"""A real PostgreSQL on loopback, in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from gold_assets_tests.engines.processes import free_port

_NOT_ROOT = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian does not put on the PATH."""
    if found := shutil.which("pg_ctl"):
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return debian[-1].parent if debian else None


def on_postgres(url: str) -> dict[str, Any]:
    """An instance's setting ``storage``, as docs/architecture.md has it."""
    where = {"module": "gold_assets.automation.postgres", "class": "StaysConnectedPostgresStorage"}
    return {"custom": where | {"config": {"postgres_url": url}}}


class PostgresServer:
    """The server, with its data in a temporary folder. Its port stays the same when it is started again."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gold_assets-postgres-"))
        self._user = _NOT_ROOT if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._port = free_port()
        self._run("initdb", "--auth", "trust", "--username", "dagster", "--no-sync", "--pgdata", self._data)

    @property
    def url(self) -> str:
        return f"postgresql://dagster@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -F"
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        """Hang up on everybody, as when the machine is started again."""
        self._run("pg_ctl", "stop", "--wait", "-D", self._data, "-m", "immediate")

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        groups = (
            {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []} if self._user else {}
        )
        subprocess.run(
            [folder / program, *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            **groups,  # type: ignore[call-overload]
        )
