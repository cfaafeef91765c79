"""Object stores: where credentials come from, that neither they nor other secrets are ever shown, and what a store means by its answers.

delta-rs, Sail and Spark all read the environment's ``AWS_*``, ``AZURE_*`` and ``GOOGLE_*`` variables, so the environment is
the one place from which all three get them.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

_OPTION = re.compile(r"(AWS|AZURE|GOOGLE)_[A-Z0-9_]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SECRET = re.compile(r"SECRET|KEY|TOKEN|PASSWORD|SAS|SERVICE_ACCOUNT|CREDENTIALS")
_PARAMETER = re.compile(r"(?<=;)(?!(?:use_ssl|user_id|user_agent|session_id)=)[^;]+")
_SHORTEST_SECRET = 6
"""A shorter value may be a word of any sentence."""


def is_uri(path: str) -> bool:
    """Whether a log names a file by where it is, not by where it is below the table."""
    return _URI.match(path) is not None


def located(place: str) -> tuple[str, str]:
    """The scheme of a place and what follows it, as it is called there; a path of this machine is a ``file``.

    delta-rs takes a URI for escaped, and escapes those that it gives. Who is not told ``my%20lake`` for ``my lake``
    needs this.
    """
    if place.startswith("file:/") and not place.startswith("file://"):  # as Java writes it
        return "file", unquote(place.removeprefix("file:"))
    scheme, is_uri, rest = place.partition("://")
    return (scheme, unquote(rest)) if is_uri else ("file", str(Path(place).absolute()))


def unknown_options(options: Mapping[str, str]) -> list[str]:
    """The names among ``options`` that are none of a store's environment variables."""
    return [name for name in options if not _OPTION.fullmatch(name.upper())]


def use(options: Mapping[str, str]) -> None:
    """Put a store's options into the environment of this process and of those that it starts; they win over what is there."""
    # Where there is an AWS_ENDPOINT_URL, delta-rs would look for keys in the environment alone, and for no profile or role.
    os.environ.setdefault("AWS_FORCE_CREDENTIAL_LOAD", "true")
    os.environ.update({name.upper(): value for name, value in options.items()})


_hidden: set[str] = set()


def hide(*secrets: str) -> None:
    """Let ``without_secrets`` hide these in this process, too, as they are and percent-encoded."""
    _hidden.update(text for secret in secrets for text in (secret, unquote(secret), quote(secret, safe="")))


def hide_address(address: str) -> None:
    """Let ``without_secrets`` hide the password and the parameters in the address of a server."""
    password = re.search(r"//[^/:@]*:(.*)@", address)
    values = [parameter.partition("=")[2] for parameter in _PARAMETER.findall(address)]
    hide(*values, *([password[1]] if password else []))


def without_secrets(text: str) -> str:
    """The text with ``***`` in place of each secret that the environment holds for a store, or that is to be hidden."""
    of_stores = {value for name, value in os.environ.items() if _OPTION.fullmatch(name) and _SECRET.search(name)}
    for secret in sorted(of_stores | _hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def without_credentials(address: str) -> str:
    """The address of a server with ``***`` in place of its user and of its parameters, each after a ``;``, but for those that are known to be none.

    A text that is no address may be a secret as a whole.
    """
    if "://" not in address:
        return "***"
    address = re.sub(r"(?<=//).*@", "***@", address)
    return _PARAMETER.sub("***", address)


_WRONG_CREDENTIALS = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthenticationFailed", "XAdminUserNotFound"}
_OLD_CREDENTIALS = {"ExpiredToken", "RequestExpired", "TokenRefreshRequired", "InvalidToken"}
_NO_CREDENTIALS = re.compile(
    r"while loading credentials|no credentials found|Error performing \w+ http://169\.254\.169\.254/"
)
"""A machine of the cloud asks that address for its role, when no other credentials were found."""


def explanation(text: str) -> tuple[str, str] | None:
    """What a store's client says of a failure, in a few words that can stand inside a sentence, and what to do about it.

    None where it is not a store's.
    """
    if _NO_CREDENTIALS.search(text):
        found = "there are no credentials for the store in the environment, in a profile or in a role of this machine"
        return found, "give this process some"
    request = re.search(r"Error performing ([A-Z]+) (\S+?)[?\s]", text)
    if request is None:
        return None
    method, url = request[1], request[2]
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"\b([45]\d\d) [A-Z]\w+", text)
    answer = code[1] if code else status[0] if status else ""
    if answer == "NoSuchBucket":
        return f"the store has no such bucket: NoSuchBucket at {url}", "correct the place, or make the bucket"
    if answer in _WRONG_CREDENTIALS:
        return f"the store takes the credentials for wrong: {answer}", "correct the credentials"
    if answer in _OLD_CREDENTIALS:
        return f"the credentials for the store have expired: {answer}", "renew them"
    if status and status[1] in ("401", "403"):
        return f"the credentials have no permission for {method} {url}: {answer}", "give them the permission"
    if answer == "NotImplemented" and method == "PUT":
        found = "the store refuses a conditional put (If-None-Match), without which commits could overwrite each other"
        return found, "keep the lake in a store that has it"
    if answer:
        return f"the store answered {method} {url} with {answer}", "see that the store is well"
    if "URL scheme is not allowed" in text:
        return f"{url} has no TLS, which AWS_ALLOW_HTTP=true would allow", "set it, or give an address with TLS"
    cause = [line.strip(" \u21b3") for line in re.sub("\x1b\\[\\d+m", "", text).splitlines() if line.strip()][-1]
    cause = re.sub(r".*retry_timeout: \S+\s+- ", "", cause)  # delta-rs has some on one line
    return f"the store does not answer at {url}: {cause}", "see that it can be reached from here"
