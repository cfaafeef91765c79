"""Those who are told when something goes wrong: a chat's webhook, a mailbox."""

import smtplib
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import requests
from pydantic import BaseModel

from gold_assets.config import Settings
from gold_assets.delta.storage import without_secrets

_SECONDS = 5
"""A messenger that does not answer keeps the daemon's other sensors waiting no longer."""

_LOGGED_IN = 235

_TEAMS = (".logic.azure.com", ".powerplatform.com")


class Message(BaseModel):
    """A sentence, and where to look."""

    text: str
    link: str


class Messenger(Protocol):
    """Tells a message. Raises ``OSError`` where that fails."""

    @property
    def name(self) -> str: ...

    def tell(self, message: Message) -> None: ...


@dataclass(frozen=True)
class Webhook:
    """An incoming webhook of Slack, Mattermost or a Teams workflow."""

    url: str = field(repr=False)
    name: str = "webhook"

    def tell(self, message: Message) -> None:
        try:
            answer = requests.post(self.url, json=self.body(message), timeout=_SECONDS)
        except (requests.RequestException, ValueError) as error:
            raise OSError(type(error).__name__) from None  # its text has the address, which is a secret
        if not answer.ok:
            raise OSError(f"status {answer.status_code}")

    def body(self, message: Message) -> dict[str, Any]:
        """The JSON body that the address expects."""
        # Slack and Mattermost read "text"; a Teams workflow posts the cards attached, and Slack refuses those.
        if not (urlsplit(self.url).hostname or "").endswith(_TEAMS):
            return {"text": f"{message.text} {message.link}"}
        card = {
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": message.text, "wrap": True}],
            "actions": [{"type": "Action.OpenUrl", "title": "Open Dagster", "url": message.link}],
        }
        return {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
        }


@dataclass(frozen=True)
class Mailbox:
    """Addresses of people, and the SMTP server that takes their mail. Dagster's own mails tell of failed runs alone."""

    to: str
    server: str = field(repr=False)
    name: str = "mail"

    def tell(self, message: Message) -> None:
        server = SmtpServer.of(self.server)
        user = server.user
        mail = EmailMessage()
        mail["From"] = user if "@" in user else self.to.split(",")[0].strip()
        mail["To"] = self.to
        mail["Subject"] = f"gold_assets: {' '.join(message.text.split())[:120]}"
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain="gold-assets")
        mail.set_content(f"{message.text}\n\n{message.link}\n")
        tls = ssl.create_default_context()
        try:
            with (
                smtplib.SMTP_SSL(server.host, server.port or 465, timeout=_SECONDS, context=tls)
                if server.is_tls
                else smtplib.SMTP(server.host, server.port or 25, timeout=_SECONDS)
            ) as smtp:
                smtp.ehlo()
                if smtp.has_extn("starttls"):
                    smtp.starttls(context=tls)
                if user:
                    _log_in(smtp, user, server.password)
                smtp.send_message(mail)
        except smtplib.SMTPException as error:
            raise OSError(without_secrets(str(error))) from None


@dataclass(frozen=True)
class SmtpServer:
    """What GOLD_ALERT_SMTP says."""

    is_tls: bool
    host: str
    port: int | None
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, address: str) -> "SmtpServer":
        """Reads ``smtp://user:password@host:587``; the password may be percent-encoded, or as it is. Raises ``OSError``."""
        scheme, _, rest = address.partition("://")
        credentials, _, place = rest.rpartition("@")  # a password may hold what ends a host elsewhere: / ? # @
        user, _, password = credentials.partition(":")
        try:
            server = urlsplit(f"//{place}")
            host, port = server.hostname or "localhost", server.port
        except ValueError:
            raise OSError("GOLD_ALERT_SMTP is no address such as smtp://user:password@host:587") from None
        return cls(scheme == "smtps", host, port, unquote(user), unquote(password))


def _log_in(smtp: smtplib.SMTP, user: str, password: str) -> None:
    if user.isascii() and password.isascii():
        smtp.login(user, password)
        return
    # smtplib sends ASCII alone; RFC 4616 says UTF-8.
    code, answer = smtp.docmd("AUTH", f"PLAIN {b64encode(f'{chr(0)}{user}{chr(0)}{password}'.encode()).decode()}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, answer)


def messengers_of(settings: Settings) -> list[Messenger]:
    """Those that the settings name."""
    named: list[Messenger] = []
    if settings.alert_webhook is not None:
        named.append(Webhook(settings.alert_webhook.get_secret_value()))
    if settings.alert_mail is not None:
        named.append(Mailbox(settings.alert_mail, settings.alert_smtp.get_secret_value()))
    return named
