"""What a shell completes on the command line, as a script for that shell.

The script holds every command and flag, so that completing starts no Python.
"""

import dataclasses
from collections.abc import Iterator

from sentiment.cli import main as cli
from sentiment.cli.flagfiles import CONFIGS, purposes

_HEAD = """\
# Completion of `sentiment`. For {shell}, in ~/.{shell}rc:
#   eval "$(sentiment completion --shell={shell})"
"""
# What the word under the cursor may be: words, files, or, for --flagfile, both.
_BASH = """\
_sentiment() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="${{COMP_WORDS[1]}}" name="" choices="" flags="" i
  case "$command" in
{flags}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    choices="{commands}"
  elif [ "$word" = "=" ]; then  # A word of its own in bash.
    name="$before" word=""
  elif [ "$before" = "=" ]; then
    name="${{COMP_WORDS[COMP_CWORD-2]}}"
  elif [ "${{word:0:1}}" = "-" ]; then
    choices="$flags"
  fi
  case "$command $name" in
{choices}
  esac
  COMPREPLY=( $(compgen -W "$choices" -- "$word") )
  if [ -n "$choices" ] && [ "$name" != "--flagfile" ]; then
    for i in "${{!COMPREPLY[@]}}"; do  # A value is to follow on "=".
      [ "${{COMPREPLY[i]%=}}" != "${{COMPREPLY[i]}}" ] || COMPREPLY[i]+=" "
    done
    return
  fi
  local IFS=$'\\n'  # A file's name may hold a space.
  COMPREPLY+=( $(compgen -f -- "$word") )
  compopt -o filenames 2>/dev/null
}}
complete -o nospace -F _sentiment sentiment
"""
_ZSH = """\
_sentiment() {{
  local name="" choices="" flags=""
  case "$words[2]" in
{flags}
  esac
  if (( CURRENT == 2 )); then
    compadd -- {commands}
    return
  elif [[ "$PREFIX" == -*=* ]]; then
    name="${{PREFIX%%=*}}"
    compset -P "*="
  elif [[ "$PREFIX" == -* ]]; then
    compadd -S "" -- ${{(M)${{=flags}}:#*=}}
    compadd -- ${{${{=flags}}:#*=}}
    return
  fi
  case "$words[2] $name" in
{choices}
  esac
  compadd -- ${{=choices}}
  if [[ -z "$choices" || "$name" == "--flagfile" ]]; then _files; fi
}}
compdef _sentiment sentiment
"""
_SCRIPTS = {"bash": _HEAD + _BASH, "zsh": _HEAD + _ZSH}


def completion_script(shell: str) -> str:
    """The script that teaches a shell our commands, flags and their values.

    Args:
        shell: `bash` or `zsh`.
    """
    names = [name for name in cli.COMMANDS if not cli.is_internal(name)]
    flags = [f'    {name}) flags="{" ".join(_flags(name))}" ;;' for name in names]
    choices = [
        f'    "{name} --{flag}") choices="{" ".join(values)}" ;;'
        for name in names
        for flag, values in _choices(name)
    ]
    packaged = " ".join(f"{CONFIGS}/{name}.cfg" for name in purposes())
    choices.append(f'    *" --flagfile") choices="{packaged}" ;;')
    return _SCRIPTS[shell].format(
        shell=shell,
        commands=" ".join(names),
        flags="\n".join(flags),
        choices="\n".join(choices),
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
    if field.type is bool:
        return ("true", "false")
    return field.metadata["choices"] or ()
