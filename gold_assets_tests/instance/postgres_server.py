"""A real PostgreSQL on loopback, in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from gold_assets_tests.engines.processes import free_port

_NOT_ROOT = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian does not put on the PATH."""
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent  # all of them are there, whatever is on the PATH
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return debian[-1].parent if debian else None


def on_postgres(url: object) -> dict[str, Any]:
    """An instance's setting ``storage``, as docs/architecture.md has it."""
    where = {"module": "gold_assets.instance.postgres", "class": "PooledPostgresStorage"}
    return {"custom": where | {"config": {"postgres_url": url}}}


class PostgresServer:
    """A server that runs as long as the context, with its data in a temporary folder. Its port stays the same when it is started again."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gold_assets-postgres-"))
        self._user = _NOT_ROOT if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._port = free_port()
        self._run("initdb", "--auth", "trust", "--username", "dagster", "--no-sync", "--pgdata", self._data)

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        return self._database("postgres")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -F"
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        """Hang up on everybody, as when the machine is started again."""
        self._run("pg_ctl", "stop", "--wait", "-D", self._data, "-m", "immediate")

    def dump(self) -> str:
        """The path of a backup of the database."""
        backup = str(self._folder / "backup")
        self._run("pg_dump", "--format=custom", f"--file={backup}", self.url)
        return backup

    def restore(self, backup: str) -> None:
        """Let the database be as it was, whatever it is now."""
        self._run("dropdb", "--maintenance-db", self._database("template1"), "postgres")
        self._run("createdb", "--maintenance-db", self._database("template1"), "postgres")
        self._run("pg_restore", "--exit-on-error", "--dbname", self.url, backup)

    def size(self) -> int:
        """The bytes of its tables and indexes."""
        engine = sa.create_engine(self.url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            return int(connection.scalar(sa.text("SELECT pg_database_size(current_database())")))

    def keep_records_of(self, home: Path) -> None:
        """Let the instance of a ``DAGSTER_HOME`` be as it was but for its storage."""
        instance = home / "dagster.yaml"
        settings = yaml.safe_load(instance.read_text())
        instance.write_text(yaml.safe_dump(settings | {"storage": on_postgres(self.url)}))

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _database(self, name: str) -> str:
        return f"postgresql://dagster@127.0.0.1:{self._port}/{name}"

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
