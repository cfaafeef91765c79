"""The README and the pages of docs/, their links and the blocks in them that people copy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
ALL_PAGES = [*sorted(REPOSITORY.glob("*.md")), *PAGES]

_BLOCK = re.compile(
    r"(?:<!-- (?P<said>[^>]*) -->\n\s*)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block. ``said`` is the comment before it, which may say that it is not run, and why, or which test runs it."""

    page: Path
    language: str
    text: str
    said: str

    @property
    def is_run_here(self) -> bool:
        return not self.said.startswith(("not run: ", "run by "))

    def commands(self) -> Iterator[str]:
        """The command lines: of a console those after a ``$``. One goes on where a quote is open or a \\ ends the line."""
        lines = iter(re.sub(r"\s+# .*", "", line) for line in self.text.splitlines())
        for line in lines:
            if self.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            while line.endswith("\\") or line.count('"') % 2 or line.count("'") % 2:
                line = line.removesuffix("\\") + " " + next(lines).strip()
            if line.strip():
                yield line.strip()


def blocks_of(page: Path) -> list[Block]:
    """All blocks of the page, in order."""
    return [
        Block(
            page,
            found["language"],
            re.sub(rf"(?m)^{found['indent']}", "", found["text"]),
            (found["said"] or "").strip(),
        )
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def links_of(page: Path) -> list[str]:
    """What the page links to, and the pictures that it shows."""
    return _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))


def anchors_of(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub and the site make them."""
    headings = re.findall(
        r"(?m)^#+ (.*)$", _CODE.sub(lambda found: found[0] if "\n" not in found[0] else "", page.read_text())
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
