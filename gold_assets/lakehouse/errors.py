"""What a user can put right: one sentence that says what was found, what was expected and what to do."""


class UserError(Exception):
    """A failure that the person who runs the project can cause and mend. Its text is the whole message."""


def reason(error: Exception) -> str:
    """What a library says of a failure, on one line, to stand inside a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".!") if lines else type(error).__name__
