"""What a user can put right: one sentence that says what was found, what was expected and what to do."""


class UserError(Exception):
    """A failure that the person who runs the project can cause and mend. Its text is the whole message."""


def reason(error: Exception) -> str:
    """What a library says of a failure, on one line, to stand inside a sentence."""
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("An error occurred while calling")]  # py4j, of any failure
    return lines[0].rstrip(".!") if lines else type(error).__name__
