"""Who is told of what, and when: by a real HTTP and a real SMTP server, from Dagster's records and real tables."""

import json
import time
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType, SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, Envelope, Session
from apprise import NotifyBase
from apprise.manager_plugins import NotificationManager
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType

from gold_assets import transactions
from gold_assets.alerts.alerts import State, Watch
from gold_assets.alerts.messengers import Message, Unsent, messengers_of
from gold_assets.code_location import definitions
from gold_assets.delta.dates import days
from gold_assets.delta.errors import UserError
from gold_assets.environment import load_settings
from gold_assets.gold.lake import Lake
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.engines.processes import free_port
from gold_assets_tests.micro_batches.test_micro_batch_runs import Project
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver

pytestmark = pytest.mark.sail

HOUR = 3600
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Chat:
    """A server that takes messages over HTTP, and can be away or answer that it is broken."""

    def __init__(self) -> None:
        self.port = free_port()
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/services/secret"

    def open(self) -> None:
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if chat.status == 200:
                    chat.bodies.append(body)
                self.send_response(chat.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def heard(self) -> list[str]:
        """What was told since this was last asked."""
        texts = []
        for body in self.bodies:
            title, text = body["title"], " ".join(body["message"].split())
            texts.append(text if title.endswith("…") else f"{title} {text}")
        self.bodies.clear()
        return texts


class Watched(Project):
    """The project with its alert sensor, whose clock is the test's."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        super().__init__(lake, instance)
        self.state: str | None = None
        self.load()

    def load(self) -> None:
        """Take the settings as they are now."""
        self.repository = definitions(transactions.project).get_repository_def()

    def look(self) -> str:
        """A tick of the alert sensor. What it says of itself."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.state, repository_def=self.repository, resources=self.resources
        ) as context:
            result = self.repository.get_sensor_def("alerts").evaluate_tick(context)
        self.state = result.cursor
        return str(result.skip_message)

    def later(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """Let the sensor's clock be so far ahead."""
        now = time.time() + seconds
        monkeypatch.setattr("gold_assets.alerts.alerts.time", SimpleNamespace(time=lambda: now))

    def attempt(self) -> list[bool]:
        """Run what the micro-batch sensor asks for; whether each run succeeded."""
        return [self.execute(dict(request.tags), request.partition_key, request.run_config) for request in self.tick()]

    def execute(
        self, tags: dict[str, str], partition: str | None, run_config: Mapping[str, Any] = MappingProxyType({})
    ) -> bool:
        """Whether a run over the tables and their checks succeeded."""
        job = self.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(table.name) for table in TABLES}
        )
        return job.execute_in_process(
            instance=self.instance,
            tags=tags,
            partition_key=partition,
            resources=self.resources,
            run_config={**SILENT, **run_config},
            raise_on_error=False,
        ).success


@pytest.fixture
def project(lake: Lake, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setenv("GOLD_ALERT_URLS", chat.url)
    monkeypatch.setenv("GOLD_UI_URL", "https://dagster.example.com/")
    monkeypatch.setenv("GOLD_PARTITIONS_START", str(MONDAY))
    monkeypatch.setenv("GOLD_PARTITIONS_END", str(WEDNESDAY))
    write_silver(lake, [row(event_date=date) for date in days(MONDAY, WEDNESDAY)])
    with dg.DagsterInstance.ephemeral() as instance:
        project = Watched(lake, instance)
        assert all(project.attempt())
        project.look()
        assert chat.heard() == []
        yield project


def break_spend(project: Watched) -> Path:
    """Put the table where no run finds it, and one with other columns in its place."""
    place = Path(project.lake.places["user_spend_summary"])
    aside = place.with_name("aside")
    place.rename(aside)
    other = Schema([Field("n", PrimitiveType("long")), Field("event_date", PrimitiveType("date"))])
    DeltaTable.create(str(place), schema=other, partition_by=["event_date"])
    return aside


def mend_spend(project: Watched, aside: Path) -> None:
    place = Path(project.lake.places["user_spend_summary"])
    place.rename(place.with_name("broken"))
    aside.rename(place)


def check(project: Watched) -> None:
    """Every check, on all dates."""
    project.repository.get_job("run_checks").execute_in_process(
        instance=project.instance, resources=project.resources, run_config=SILENT, raise_on_error=False
    )


def test_a_failed_run_is_told_once_however_often_it_is_tried_and_once_when_its_dates_are_done(
    project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = break_spend(project)
    write_silver(project.lake, [row(event_date=TUESDAY)])
    assert not project.execute({}, str(TUESDAY))
    project.look()
    [told] = chat.heard()
    assert told.startswith(f"The run for Gold's {TUESDAY} failed: ") and "has the columns n, event_date" in told
    assert f" https://dagster.example.com/runs/{project.instance.get_runs(limit=1)[0].run_id}" in told
    for _ in range(2):
        assert not project.execute({}, str(TUESDAY))
        assert project.look().startswith(f"Told before, and not over: the run for Gold's {TUESDAY} failed")
    assert chat.heard() == []
    mend_spend(project, aside)
    assert project.execute({}, str(TUESDAY))
    project.look()
    [told] = chat.heard()
    assert told.startswith(f"Over: the run for Gold's {TUESDAY} has succeeded, after 3 failures. ")
    assert project.look() == "Nothing is wrong."


def test_a_failed_check_is_told_with_its_dates_and_what_it_found_and_once_when_they_pass(
    project: Watched, chat: Chat
) -> None:
    spend = DeltaTable(project.lake.places["user_spend_summary"])
    spend.update({"total_spend": "total_spend + 1"}, predicate=f"event_date >= '{TUESDAY}'")
    check(project)
    project.look()
    told = chat.heard()
    assert [
        text for text in told if text.startswith(f"user_spend_summary failed reconciles on {TUESDAY} to {WEDNESDAY}: ")
    ]
    assert "https://dagster.example.com/assets/user_spend_summary?view=checks" in " ".join(told)
    check(project)
    project.look()
    assert chat.heard() == []
    assert project.execute({}, str(TUESDAY))
    project.look()
    assert chat.heard() == [
        f"Over: user_spend_summary passes reconciles on {TUESDAY}. https://dagster.example.com/assets/user_spend_summary?view=checks"
    ]


def test_gold_that_lags_is_told_after_the_set_time_and_once_when_it_has_caught_up(
    project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = write_silver(project.lake, [row(event_date=TUESDAY)]).version()
    monkeypatch.setenv("GOLD_ALERT_LAG_MINUTES", "90")
    project.load()
    project.later(monkeypatch, HOUR)
    project.look()
    assert chat.heard() == []
    write_silver(project.lake, [row(event_date=WEDNESDAY)])
    for hours in (2, 3):
        project.later(monkeypatch, hours * HOUR)
        project.look()
    [told] = chat.heard()
    assert told.startswith("Gold lags: for 120 min ")
    assert f"what Silver's version {version} brought, on {TUESDAY} to {WEDNESDAY}." in told
    assert project.execute({}, str(TUESDAY)) and project.execute({}, str(WEDNESDAY))
    project.look()
    assert [text.partition(" https")[0] for text in chat.heard()] == [
        "Over: Gold has caught up with Silver, after 180 min."
    ]


def test_silver_that_cannot_be_read_is_told(project: Watched, chat: Chat) -> None:
    silver = Path(project.lake.silver)
    silver.rename(silver.with_name("away"))
    project.look()
    project.look()
    [told] = chat.heard()
    assert told.startswith("There is no Delta table at")
    silver.with_name("away").rename(silver)
    project.look()
    assert chat.heard()[0].startswith("Over: Silver and Gold can be read again.")


@pytest.mark.parametrize("trouble", ["away", "broken"])
def test_what_a_chat_did_not_take_is_told_when_it_is_back_and_its_address_is_in_no_record(
    trouble: str, project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "away":
        chat.close()
    else:
        chat.status = 500
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    said = project.look()
    assert said.startswith("1 message could not be told by json (") and "the next attempt is in 60 s." in said
    assert "secret" not in said + str(project.state)
    assert project.look().startswith("1 message to be told by json in ")
    if trouble == "away":
        chat.open()
    chat.status = 200
    project.later(monkeypatch, 61)
    assert project.look() == "Told by json: 1 message."
    assert len(chat.heard()) == 1


def test_a_message_waits_no_longer_because_a_clock_is_put_back(
    project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.status = 500
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    assert "the next attempt is in 60 s." in project.look()
    chat.status = 200
    project.later(monkeypatch, -86_400)
    assert project.look() == "1 message to be told by json in 600 s."
    project.later(monkeypatch, -86_400 + 601)
    assert project.look() == "Told by json: 1 message."


def test_a_new_instance_is_told_nothing_of_what_failed_before_and_a_cursor_of_another_release_begins_anew(
    project: Watched, chat: Chat
) -> None:
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    project.state = '{"began": "never"}'
    project.look()
    assert chat.heard() == []
    assert State.model_validate_json(project.state or "").failed == []


class Post(Sink):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Envelope] = []

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        return "250 OK"


def test_a_mail_goes_to_everybody_named_and_is_told_beside_the_chat(
    project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post()
    server = Controller(post, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        mail = f"mailto://127.0.0.1:{server.port}?from=gold@example.com&to=oncall@example.com,data@example.com"
        monkeypatch.setenv("GOLD_ALERT_URLS", f"{chat.url}, {mail}")
        project.load()
        break_spend(project)
        assert not project.execute({}, str(TUESDAY))
        assert project.look() == "Told by json: 1 message. Told by mailto: 1 message."
    finally:
        server.stop()
    assert sorted(to for mail in post.mails for to in mail.rcpt_tos) == ["data@example.com", "oncall@example.com"]
    content = post.mails[0].content
    assert isinstance(content, bytes)
    received = message_from_bytes(content, policy=default)
    assert received["Subject"].startswith(f"The run for Gold's {TUESDAY} failed")
    body = received.get_body(("plain", "html"))
    assert body is not None and "https://dagster.example.com/runs/" in body.get_content()


def test_one_messengers_failure_is_its_own_and_what_was_told_is_remembered(
    project: Watched, chat: Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(NotifyBase):
        """A service whose own code fails."""

        def url(self, privacy: bool = False, *args: Any, **kwargs: Any) -> str:
            return "broken://S3cretPart"

        def send(self, *args: Any, **kwargs: Any) -> bool:
            raise ValueError("Port could not be cast to integer value as 'S3cretPart'")

    NotificationManager().add(Broken, schemas="broken")
    unheard = f"json://127.0.0.1:{free_port()}/S3cretPart"
    monkeypatch.setenv("GOLD_ALERT_URLS", f"broken://S3cretPart {unheard} unknown://S3cretPart {chat.url}")
    watch = Watch(project.instance, project.lake, (MONDAY, WEDNESDAY), load_settings(transactions.project))
    messengers = messengers_of(load_settings(transactions.project))
    assert [each.name for each in messengers] == ["broken", "json", "unknown", "json 2"]
    state, told = watch.tick(None, messengers, time.time())
    assert told == "apprise knows no such URL as that of unknown: correct GOLD_ALERT_URLS."
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    state, told = watch.tick(state.model_dump_json(), messengers, time.time())
    assert "could not be told by broken" in told and "could not be told by json (not reached)" in told
    assert told.endswith("Told by json 2: 1 message.")
    state, again = watch.tick(state.model_dump_json(), messengers, time.time())
    assert "Told by" not in again
    assert "S3cretPart" not in told + again + state.model_dump_json() + caplog.text + repr(messengers)
    assert len(chat.heard()) == 1


def test_a_text_that_is_no_url_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_ALERT_URLS", "hooks.example.com/S3cretPart, json://here")
    with pytest.raises(UserError, match="GOLD_ALERT_URLS is none as expected") as raised:
        load_settings(transactions.project)
    assert "S3cretPart" not in str(raised.value)


def test_a_long_sentence_is_a_short_title_and_whole_below(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_ALERT_URLS", chat.url)
    [messenger] = messengers_of(load_settings(transactions.project))
    unsent = Unsent(messages=[Message(text="Gold lags. " * 50, link="https://here")])
    assert messenger.deliver(unsent, time.time()) == "Told by json: 1 message."
    [body] = chat.bodies
    assert body["title"].endswith("…") and len(body["title"]) < 250
    assert body["message"].splitlines() == [("Gold lags. " * 50).strip(), "https://here"]
