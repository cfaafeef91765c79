"""Those who are told: the chats, mailboxes and the like that the URLs of the settings name, each reached by apprise."""

import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel

from gold_assets.config import Settings
from gold_assets.delta.plural import plural

if TYPE_CHECKING:  # imported where a message is sent: few processes do
    from apprise import Apprise

_SECONDS = 5
"""A server that does not answer keeps the daemon's other sensors waiting no longer."""

_LONGEST_PAUSE = 600
_LONGEST_TITLE = 200

logging.getLogger("apprise").propagate = False  # a URL that it reads wrong is in its messages


class Message(BaseModel):
    """A sentence, and where to look."""

    text: str
    link: str


class Unsent(BaseModel):
    """What a messenger could not be told yet, and when that is tried again, in seconds since 1970."""

    messages: list[Message] = []
    failures: int = 0
    again_at: float = 0


@dataclass
class Messenger:
    """One URL of apprise, which is a secret; ``name`` is its scheme, with a number where there are several of it."""

    name: str
    _url: str = field(repr=False)
    setting: str = "GOLD_ALERT_URLS"

    @cached_property
    def _apprise(self) -> "Apprise | None":
        from apprise import Apprise, AppriseAsset

        apprise = Apprise(asset=AppriseAsset(async_mode=False, app_id="gold_assets"))
        if not apprise.add(self._url):
            return None
        for service in apprise:
            service.socket_connect_timeout = min(service.socket_connect_timeout, _SECONDS)
            service.request_rate_per_sec = 0  # a tick has no time to wait; what is refused is tried again
        return apprise

    def deliver(self, unsent: Unsent, now: float) -> str:
        """Tell what is unsent, in order, unless it is too early to try again. What came of it, in a sentence."""
        if self._apprise is None:
            return f"apprise knows no such URL as that of {self.name}: correct {self.setting}."
        if not unsent.messages:
            return ""
        waiting = len(unsent.messages)
        unsent.again_at = min(unsent.again_at, now + _LONGEST_PAUSE)  # a clock may have been put back since
        if now < unsent.again_at:
            return f"{plural(waiting, 'message')} to be told by {self.name} in {unsent.again_at - now:.0f} s."
        while unsent.messages:
            if why := _failure(self._apprise, unsent.messages[0]):
                unsent.failures += 1
                unsent.again_at = now + min(30 * 2**unsent.failures, _LONGEST_PAUSE)
                return (
                    f"{plural(len(unsent.messages), 'message')} could not be told by {self.name} ({why}): correct its URL, or see "
                    f"why it does not answer; the next attempt is in {unsent.again_at - now:.0f} s."
                )
            del unsent.messages[0]
        unsent.failures = 0
        return f"Told by {self.name}: {plural(waiting, 'message')}."


def _failure(apprise: "Apprise", message: Message) -> str:
    """Tell the message. Why that failed, in words that hold no part of the URL; empty where it was told."""
    from apprise import LogCapture, NotifyFormat

    text = " ".join(message.text.split())
    title, body = (
        (text, message.link)
        if len(text) <= _LONGEST_TITLE
        else (text[:_LONGEST_TITLE] + "…", f"{text}\n{message.link}")
    )
    try:
        with LogCapture(level=logging.WARNING, fmt="%(message)s") as log:
            if apprise.notify(title=title, body=body, body_format=NotifyFormat.TEXT):
                return ""
            status = re.search(r"error=(\d{3})\b", log.getvalue())
    except Exception as error:  # a service's own, whose text may hold the URL; the others are told
        return type(error).__name__
    return f"status {status[1]}" if status else "not reached"


def messengers_of(settings: Settings) -> list[Messenger]:
    """Those that the settings name."""
    named: list[Messenger] = []
    for url in settings.alert_addresses():
        scheme = url.partition("://")[0].lower()
        number = 1 + sum(each.name.partition(" ")[0] == scheme for each in named)
        name = scheme if number == 1 else f"{scheme} {number}"
        named.append(Messenger(name, url, settings.setting("alert_urls")))
    return named
