"""Makes one table of several data sets and files, without texts to be tested on.

sentiment gather --sources=configs/sources/quickstart.cfg --output=train.parquet
"""

import dataclasses
from pathlib import Path

from sentiment.cli.flagfiles import found_flagfile
from sentiment.cli.flags import HelpAsked, parse_flags, parse_values
from sentiment.config import GatherCommand, GatheredSource
from sentiment.errors import InputError

CONFIG = GatherCommand
IN_FLAGFILES = GatheredSource  # one for each source


def parse(arguments: list[str]) -> GatherCommand:
    """The settings, with those in the flagfile of each source."""
    flag_values, _ = parse_values(CONFIG, arguments)
    gathered, left_out = (
        _sources(flag_values[name].value, flag_values["tfds_data_dir"].value)
        for name in ("sources", "exclude")
    )
    return parse_flags(CONFIG, arguments, gathered=gathered, left_out=left_out)


def run(command: GatherCommand):
    """Gathers, writes the table and says what became of each source."""
    from sentiment.data.gathering import gather, write_rows
    from sentiment.evaluation.summary import print_gathered
    from sentiment.runtime.outputs import check_is_no_input, check_target

    sources = [*command.gathered.values(), *command.left_out.values()]
    check_is_no_input(command.output, [path for s in sources for path in s.files])
    check_target(command.output, command.overwrite)
    found = gather(command.gathered, tuple(command.left_out.values()), command.seed)
    write_rows(found.rows, command.output, command.overwrite)
    print_gathered(found.counts)
    print(f"{len(found.rows):,} rows written to {command.output}.")


def _sources(paths: list[str], tfds_data_dir: str) -> dict[str, GatheredSource]:
    sources = {}
    for path in paths:
        name = Path(path).stem
        if name in sources:
            raise InputError(f"Two sources are called {name!r}. Rename a flagfile.")
        try:
            source = parse_flags(GatheredSource, [f"--flagfile={found_flagfile(path)}"])
        except HelpAsked:
            raise InputError(
                f"{path}: --help is for the command line, not for a flagfile."
            ) from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if tfds_data_dir and source.dataset:
            source = dataclasses.replace(source, tfds_data_dir=tfds_data_dir)
        sources[name] = source
    return sources
