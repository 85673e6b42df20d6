"""`python -m callbridge`: the command line."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import callbridge
from callbridge.migrate.commands.cli import COMMANDS, run_command

__all__ = ["command_parsers", "main"]

_MODULE = "python -m callbridge"
_EPILOG = """\
examples:
  python -m callbridge demo              both directions on a small legacy chain
  python -m callbridge scan src          find legacy callback use in a codebase
  python -m callbridge fix --diff src    show what can be rewritten, as a patch
  python -m callbridge explain CB301     what a rule is about
  python -m callbridge explain CapacityError    what causes an error, its cure
  python -m callbridge report            what is left, by package
  python -m callbridge replay run.jsonl  the events of a recorded run
  python -m callbridge relay list --url sqlite:///runs.db    published runs

`python -m callbridge COMMAND --help` says more about each. For completion in
the shell: eval "$(callbridge --print-completion bash)"
"""

_DEMO = """\
Show a legacy chain with a legacy handler and a fake streaming model:

  1. callbacks -> events   stream_call() reads the untouched legacy call as
                           typed events, live
  2. events -> callbacks   drive() feeds the recorded events to the old
                           handler, and compares what it heard
  3. leaving early         astream_call() is left after a few words, and the
                           model stops

examples:
  callbridge demo              as it would be with a real model
  callbridge demo --events     each event as the dict that it is
  callbridge demo --delay 0    as fast as it goes

It needs no key and no network.
Exit status: 0 if both directions told the same story and the model stopped,
1 if not.
"""

_REPLAY = """\
Show the events of a file that callbridge.testing.record wrote, a line each.

examples:
  callbridge replay run.jsonl              all of them, at once
  callbridge replay --speed 1 run.jsonl    with the timing of the recorded run
  callbridge replay --partial run.jsonl    a recording that was cut off

Exit status: 0, or 2 if the file cannot be read.
"""

_RELAY = """\
List the runs of a relay, follow one in this terminal, or stop one.

examples:
  export CALLBRIDGE_RELAY_URL=sqlite:///runs.db
  callbridge relay list
  callbridge relay follow RUN             its text, as it comes
  callbridge relay follow --events RUN    a line for each event
  callbridge relay stop RUN

Ctrl-C leaves a run as it is.
Exit status of follow: 0 if the run ended well, 1 if it did not, 2 if it could
not be followed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments without the program's name. By default, those of the process.

    Returns:
        The exit status.
    """
    parser = command_parsers()["callbridge"]
    options = parser.parse_args(arguments)
    if options.command == "replay":
        return _replay(options)
    if options.command == "relay":
        return _relay(options)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return _run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at exit
        return 141


def _run(options: argparse.Namespace) -> int:
    if options.command in COMMANDS:
        return run_command(options.command, options)
    from callbridge.demo import run_demo  # loads LangChain: not for the other commands

    return run_demo(delay=options.delay, show_events=options.events)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of the whole command line, under the name `callbridge`, and those of its commands."""
    program = "callbridge" if Path(sys.argv[0]).stem == "callbridge" else _MODULE  # the script, or the module
    parser = argparse.ArgumentParser(
        prog=program,
        description="LangChain callbacks as event streams, and event streams as callbacks.",
        epilog=_EPILOG.replace(_MODULE, program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_versions())
    parser.add_argument("--print-completion", action=_Completion, help="print the completion code for a shell")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    add = partial(commands.add_parser, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, command in COMMANDS.items():
        command.add_arguments(add(name, help=command.help, description=command.description, epilog=command.epilog))
    _add_demo(add("demo", help="show both directions on a small legacy chain", description=_DEMO))
    _add_replay(add("replay", help="show the events of a recording", description=_REPLAY))
    _add_relay(add("relay", help="list the runs of a relay, follow one, stop one", description=_RELAY))
    return {"callbridge": parser, **commands.choices}


class _Completion(argparse.Action):
    """Print a script for a shell, and exit."""

    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, choices=("bash", "zsh", "tcsh"), help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, shell: object, option: object = None) -> None:
        try:
            from shtab import complete
        except ImportError:
            parser.exit(2, "callbridge --print-completion: needs shtab: pip install 'callbridge[completion]'\n")
        parser.prog = "callbridge"  # complete the script, even if the module was run
        print(complete(parser, shell=str(shell)))
        parser.exit()


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delay",
        type=_seconds,
        default=0.06,
        metavar="SECONDS",
        help="pause of the fake model before each word (default: 0.06)",
    )
    parser.add_argument("--events", action="store_true", help="show every event as the dict that it is")


def _replay(options: argparse.Namespace) -> int:
    from callbridge.testing.recording import read_recording  # loads LangChain: not for --help
    from callbridge.testing.showing import shown

    try:
        for line in shown(read_recording(options.file, partial=options.partial), speed=options.speed):
            print(line, flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except FileNotFoundError:
        return _replay_failed(f"no such file: {options.file}")
    except OSError as error:
        return _replay_failed(f"{options.file} cannot be read: {error.strerror or error}")
    except callbridge.CallbridgeError as error:
        return _replay_failed(str(error))
    return 0


def _replay_failed(problem: str) -> int:
    print(f"python -m callbridge replay: {problem}", file=sys.stderr)
    return 2


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--speed", type=_factor, metavar="FACTOR", help="keep the timing; 1 is as recorded (default: at once)")
    parser.add_argument("--partial", action="store_true", help="accept a recording that was cut off")


def _relay(options: argparse.Namespace) -> int:
    from callbridge.relay import connect  # loads LangChain: not for --help
    from callbridge.relay.showing import followed, listed

    if options.url is None:
        return _relay_failed("say where it is: --url sqlite:///runs.db, or the variable CALLBRIDGE_RELAY_URL")
    try:
        with connect(options.url, outage_seconds=5) as relay:
            if options.action == "list":
                for line in listed(relay):
                    print(line)
            elif options.action == "stop":
                relay.stop_sync(options.run)
            else:
                for piece in followed(relay, options.run, after=options.after, show_events=options.events):
                    print(piece, end="", flush=True)
    except KeyboardInterrupt:
        return 130  # Ctrl-C leaves; the run goes on
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (callbridge.RunStoppedError, callbridge.RunLostError, callbridge.RunLimitError, callbridge.RunFailedError):
        return 1  # the error was printed already
    except (callbridge.CallbridgeError, ImportError) as error:
        return _relay_failed(str(error))
    return 0


def _relay_failed(problem: str) -> int:
    print(f"python -m callbridge relay: {problem}", file=sys.stderr)
    return 2


def _add_relay(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, told in (("list", "all runs, the newest first"), ("follow", "a run's text as it comes"), ("stop", "stop a run")):
        action = actions.add_parser(name, help=told)
        url = os.environ.get("CALLBRIDGE_RELAY_URL")
        action.add_argument("--url", default=url, help="URL of the log (default: CALLBRIDGE_RELAY_URL)")
        if name != "list":
            action.add_argument("run", metavar="RUN")
        if name == "follow":
            action.add_argument("--after", metavar="POSITION", help="start after this position")
            action.add_argument("--events", action="store_true", help="show a line for each event, with its position")


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return factor


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 10")
    return seconds


def _versions() -> str:
    return (
        f"callbridge {callbridge.__version__}, langchain-core {version('langchain-core')}, CPython {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
