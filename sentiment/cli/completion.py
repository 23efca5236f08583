"""What a shell completes on the command line, as a script for that shell.

The script holds every command and flag, so that completing starts no Python.
"""

import dataclasses
from collections.abc import Iterator

from sentiment.cli import main as cli
from sentiment.cli.flagfiles import CONFIGS, purposes

_SCRIPT = """\
# Completion of `sentiment`. For {shell}, in ~/.{shell}rc:
#   eval "$(sentiment completion --shell={shell})"
{helpers}_sentiment() {{
  local line="${{COMP_LINE:0:$COMP_POINT}}"
  local word="${{line##* }}" command="" name="" value="" choices="" flags=""
  local -a words
  words=( ${{COMP_WORDS[@]}} )
  command="${{words[{second}]}}"
  if [ "$COMP_CWORD" -le 1 ]; then
    COMPREPLY=( $(_sentiment_words "{commands}" "$word") )
    return
  fi
  case "$command" in
{flags}
  esac
  if [ "${{word#*=}}" = "$word" ]; then
    COMPREPLY=( $(_sentiment_words "$flags" "$word") )
    return
  fi
  name="${{word%%=*}}" value="${{word#*=}}"
  case "$command $name" in
{choices}
  esac
  if [ "$name" = "--flagfile" ]; then
    COMPREPLY=( $(_sentiment_words "{flagfiles}" "$value") )
    COMPREPLY+=( $(_sentiment_files "$value") )
  elif [ -n "$choices" ]; then
    COMPREPLY=( $(_sentiment_words "$choices" "$value") )
  else
    COMPREPLY=( $(_sentiment_files "$value") )
  fi
{end}}}
complete -o nospace -F _sentiment sentiment
"""
# Words, or files, that begin with what has been typed.
_HELPERS = {
    "bash": """\
_sentiment_words() { compgen -W "$1" -- "$2"; }
_sentiment_files() { compgen -f -- "$1"; }
""",
    # Its own compgen, of bashcompinit, leaves all of them.
    "zsh": """\
autoload -U +X bashcompinit && bashcompinit
_sentiment_words() { print -rl -- ${(M)${=1}:#$2*}; }
_sentiment_files() { print -rl -- $1*(N); }
""",
}
# Where bash begins a new word at "=", zsh goes on with the one that holds it.
_ZSH_END = '  COMPREPLY=( "${COMPREPLY[@]/#/$name=}" )\n'


def completion_script(shell: str) -> str:
    """The script that teaches a shell our commands, flags and their values.

    Args:
        shell: `bash` or `zsh`.
    """
    is_zsh = shell == "zsh"
    names = [name for name in cli.COMMANDS if not cli.is_internal(name)]
    flags = [f'    {name}) flags="{" ".join(_flags(name))}" ;;' for name in names]
    choices = [
        f'    "{name} --{flag}") choices="{" ".join(values)}" ;;'
        for name in names
        for flag, values in _choices(name)
    ]
    return _SCRIPT.format(
        shell=shell,
        helpers=_HELPERS[shell],
        second=2 if is_zsh else 1,  # zsh counts from 1
        commands=" ".join(names),
        flags="\n".join(flags),
        choices="\n".join(choices),
        flagfiles=" ".join(f"{CONFIGS}/{name}.cfg" for name in purposes()),
        end=_ZSH_END if is_zsh else "",
    )


def _flags(name: str) -> Iterator[str]:
    yield "--help"
    yield "--flagfile="
    for field in cli.flags_of(name):
        if field.type is bool:
            yield from (f"--{field.name}", f"--no{field.name}")
        else:
            yield f"--{field.name}="


def _choices(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in cli.flags_of(name):
        if values := _values(name, field):
            yield field.name, values


def _values(name: str, field: dataclasses.Field) -> tuple[str, ...]:
    if (name, field.name) == ("configs", "copy"):
        return tuple(purposes())
    return field.metadata["choices"] or ()
