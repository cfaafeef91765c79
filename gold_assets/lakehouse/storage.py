"""Object stores: where credentials come from, and that they are never shown.

delta-rs, Sail and Spark all read the environment's ``AWS_*``, ``AZURE_*`` and ``GOOGLE_*`` variables, so the environment is
the one place from which all three get them.
"""

import os
import re
from collections.abc import Mapping

_OPTION = re.compile(r"(AWS|AZURE|GOOGLE)_[A-Z0-9_]+")
_SECRET = re.compile(r"SECRET|KEY|TOKEN|PASSWORD|SAS|SERVICE_ACCOUNT|CREDENTIALS")
_SHORTEST_SECRET = 6
"""A shorter value may be a word of any sentence."""


def unknown_options(options: Mapping[str, str]) -> list[str]:
    """The names among ``options`` that are none of a store's environment variables."""
    return [name for name in options if not _OPTION.fullmatch(name.upper())]


def use(options: Mapping[str, str]) -> None:
    """Put a store's options into the environment of this process and of those that it starts; they win over what is there."""
    os.environ.update({name.upper(): value for name, value in options.items()})


def without_secrets(text: str) -> str:
    """The text with ``***`` in place of each secret that the environment holds for a store."""
    for name, value in os.environ.items():
        if _OPTION.fullmatch(name) and _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text
