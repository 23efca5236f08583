"""Every command and flag as a page of the documentation: `make docs` writes it."""

from sentiment.cli import main as cli
from sentiment.cli.flags import description_of, usage_of
from sentiment.config import DEFAULT_CACHE_DIR

_HEAD = """\
# Which commands and flags are there?

Made from the commands themselves by `make docs`; `sentiment COMMAND --help` prints the
same. `--flagfile=FILE` reads flags from a file, one a line, and what comes after it
overrides it. Flags that are on or off are written `--name` and `--noname`.

"""


def reference() -> str:
    """The page, in Markdown."""
    names = [name for name in cli.COMMANDS if not cli.is_internal(name)]
    lines = [f"- [{name}](#{name}): {cli.summary_of(name)}" for name in names]
    sections = "\n".join(_section(name) for name in names)
    page = _HEAD + "\n".join([*lines, "", sections])
    # A place on this machine alone.
    return page.replace(DEFAULT_CACHE_DIR, "~/.cache/sentiment")


def _section(name: str) -> str:
    summary, _, examples = cli.command_module(name).__doc__.strip().partition("\n\n")
    lines = [f"## {name}", "", summary, ""]
    lines += [f"    {line}".rstrip() for line in examples.splitlines()]
    for title, fields in cli.help_sections_of(name):
        lines += ["", f"### {title.rstrip('.')} ({name})", ""]
        lines += [f"- `{usage_of(field)}`: {description_of(field)}" for field in fields]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(reference(), end="")
