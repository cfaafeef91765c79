"""``gold contract``: what the tables promise their readers, as a file of the Open Data Contract Standard. Needs no engine."""

from pathlib import Path

import click

from gold_assets.commands.options import FILE, Answer, is_stdout, lake_of, opened, sub_command
from gold_assets.config import Settings
from gold_assets.trying.contract import as_yaml, changes, contract_of, read


@sub_command("contract --output contract.odcs.yaml", json_help="Write it as JSON")
@click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write it to this file, in which all but its tables stays as it is: version, team, support and the like.",
)
def command(settings: Settings, output: Path | None) -> Answer:
    """Print the contract of the tables: columns, types, keys, what each means, and the rules of quality.

    It is YAML of the Open Data Contract Standard, v3.1.0. Of Silver the schema is read, of which keys and kept columns have their types.

    Exit code 0: it is told; 2: something to put right, said in one sentence.
    """
    contract = contract_of(settings.declared, lake_of(settings).pin().fields)
    text = as_yaml(contract, output)
    if output is None or is_stdout(output):
        return Answer(lambda: text.rstrip(), lambda: contract)
    with opened(output, "--output") as stream:
        stream.write(text)
    return Answer(None, lambda: contract)


def compared_with_file(settings: Settings, file: Path, markdown: Path | None) -> Answer:
    """Whether the tables as they are declared keep the contract of the file."""
    found = changes(read(file), contract_of(settings.declared, lake_of(settings).pin().fields))
    breaks = [change.said for change in found if change.breaks]
    others = [change.said for change in found if not change.breaks]
    again = [f"Write {file} anew with gold contract --output {file}."] if found else []
    if markdown:
        with opened(markdown, "--markdown") as stream:
            lines = [f"- {said}" for said in [*(f"**breaks readers** {said}" for said in breaks), *others]]
            stream.write(
                "\n".join(
                    ["### gold try --contract", "", *(lines or [f"Readers of {file} find what it says."]), "", *again]
                )
                + "\n"
            )
    told = [*(f"Breaks readers: {said}" for said in breaks), *others] or [f"The tables are what {file} says."]
    text = None if is_stdout(markdown) else lambda: "\n".join([*told, *again])
    return Answer(text, lambda: {"breaks": breaks, "others": others}, int(bool(breaks)))
