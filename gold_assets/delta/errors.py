"""What a user can put right: one sentence that says what was found, what was expected and what to do."""

import re

from gold_assets.delta import storage


class UserError(Exception):
    """A failure that the person who runs the project can cause and mend. Its text is the whole message."""


def reason(error: Exception) -> str:
    """What a library says of a failure, on one line, to stand inside a sentence."""
    text = storage.without_secrets(str(error))
    if (of_a_store := storage.explanation(text)) is not None:
        return of_a_store
    lines = [line.strip().removeprefix(": ") for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("An error occurred while calling")]  # py4j, of any failure
    if not lines:
        return type(error).__name__
    said = lines[0].rstrip(".!")
    cause = re.search(r'message: "([^"]+)"', text)  # delta-rs, of what the operating system answered
    return said if cause is None or cause[1] in said else f"{said}: {cause[1]}"
