"""Who is told of what, and when: by a real HTTP and a real SMTP server, from Dagster's records and real tables."""

import json
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType, SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from deltalake import DeltaTable, Field, Schema

from gold_assets import transactions
from gold_assets.alerts.alerts import State, Watch
from gold_assets.alerts.messengers import Mailbox, Message, Webhook
from gold_assets.code_location import definitions
from gold_assets.config import load_settings
from gold_assets.delta.dates import days
from gold_assets.gold.lake import Lake
from gold_assets.gold.tables import TABLES
from gold_assets_tests.engines.processes import free_port
from gold_assets_tests.micro_batches.test_micro_batch_runs import Project
from gold_assets_tests.small_silver import MONDAY, TUESDAY, WEDNESDAY, row, write_silver

pytestmark = pytest.mark.sail

HOUR = 3600
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Chat:
    """An incoming webhook, which can be away or answer that it is broken."""

    def __init__(self) -> None:
        self.port = free_port()
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/secret"

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
        texts = [body["text"] for body in self.bodies]
        self.bodies.clear()
        return texts


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    chat.open()
    yield chat
    chat.close()


class Watched(Project):
    """The project with its alert sensor, whose clock is the test's."""

    def __init__(self, lake: Lake, instance: dg.DagsterInstance) -> None:
        super().__init__(lake, instance)
        self._state: str | None = None
        self.load()

    def load(self) -> None:
        """Take the settings as they are now."""
        self.repository = definitions(transactions.project).get_repository_def()

    def look(self) -> str:
        """A tick of the alert sensor. What it says of itself."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self._state, repository_def=self.repository, resources=self.resources
        ) as context:
            result = self.repository.get_sensor_def("alerts").evaluate_tick(context)
        self._state = result.cursor
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
    monkeypatch.setenv("GOLD_ALERT_WEBHOOK", chat.url)
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
    other = Schema([Field("n", "long"), Field("event_date", "date")])
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
    assert said.startswith("1 message could not be told by webhook (") and "the next attempt is in 60 s." in said
    assert "secret" not in said + str(project._state)
    assert project.look().startswith("1 message to be told by webhook in ")
    if trouble == "away":
        chat.open()
    chat.status = 200
    project.later(monkeypatch, 61)
    assert project.look() == "Told by webhook: 1 message."
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
    assert project.look() == "1 message to be told by webhook in 600 s."
    project.later(monkeypatch, -86_400 + 601)
    assert project.look() == "Told by webhook: 1 message."


def test_a_new_instance_is_told_nothing_of_what_failed_before_and_a_cursor_of_another_release_begins_anew(
    project: Watched, chat: Chat
) -> None:
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    project._state = '{"began": "never"}'
    project.look()
    assert chat.heard() == []
    assert State.model_validate_json(project._state or "").failed == []


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
        monkeypatch.setenv("GOLD_ALERT_MAIL", "oncall@example.com, data@example.com")
        monkeypatch.setenv("GOLD_ALERT_SMTP", f"smtp://127.0.0.1:{server.port}")
        project.load()
        break_spend(project)
        assert not project.execute({}, str(TUESDAY))
        assert project.look() == "Told by webhook: 1 message. Told by mail: 1 message."
    finally:
        server.stop()
    [mail] = post.mails
    assert mail.rcpt_tos == ["oncall@example.com", "data@example.com"]
    text = bytes(mail.content or b"").decode()
    assert f"Subject: gold_assets: The run for Gold's {TUESDAY} failed" in text
    assert "https://dagster.example.com/runs/" in text


@pytest.mark.parametrize("written", ["pä/ss#w@rt", "p%C3%A4%2Fss%23w%40rt"])
def test_a_mail_password_may_hold_any_letter_and_be_written_as_it_is_or_percent_encoded(written: str) -> None:
    post, heard = Post(), []

    def log_in(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        heard.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)

    server = Controller(
        post, hostname="127.0.0.1", port=free_port(), authenticator=log_in, auth_required=True, auth_require_tls=False
    )
    server.start()
    try:
        address = f"smtp://jörg:{written}@127.0.0.1:{server.port}"
        Mailbox("oncall@example.com", address).tell(Message(text="Gold lags,\nfor long.", link="https://here"))
    finally:
        server.stop()
    assert heard == [("jörg", "pä/ss#w@rt")]
    assert "Subject: gold_assets: Gold lags, for long." in bytes(post.mails[0].content or b"").decode()


def test_one_messengers_failure_is_its_own_and_what_was_told_is_remembered(project: Watched, chat: Chat) -> None:
    class Broken:
        name = "broken"

        def tell(self, message: Message) -> None:
            raise ValueError("Port could not be cast to integer value as 'S3cretPart'")

    settings, messengers = load_settings(transactions.project), [Broken(), Webhook(chat.url)]
    watch = Watch(project.instance, project.lake, (MONDAY, WEDNESDAY), settings)
    state, _ = watch.tick(None, messengers, time.time())
    break_spend(project)
    assert not project.execute({}, str(TUESDAY))
    for said in ("Told by webhook: 1 message.", ""):
        state, told = watch.tick(state.model_dump_json(), messengers, time.time())
        assert told.endswith(said)
        assert "S3cretPart" not in told + state.model_dump_json()
    assert len(chat.heard()) == 1


def test_a_teams_workflow_gets_a_card_and_others_a_text() -> None:
    message = Message(text="Gold lags.", link="https://dagster.example.com/automation")
    card = Webhook("https://prod-1.westeurope.logic.azure.com/workflows/1").body(message)
    assert card["attachments"][0]["content"]["body"][0]["text"] == "Gold lags."
    assert Webhook("https://hooks.slack.com/services/1").body(message) == {
        "text": "Gold lags. https://dagster.example.com/automation"
    }
