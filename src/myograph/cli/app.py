"""The command line: `myograph`, its commands, and its exit statuses."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import Any

import typer

from myograph.cli import (
    benchmark,
    bids,
    compare,
    curve,
    datasets,
    decoder,
    features,
    fin,
    hd,
    inspect,
    listings,
    live,
    models,
    muscle,
    report,
    reproduce,
    run,
)
from myograph.cli.studio import command
from myograph.cli.terminal import err
from myograph.errors import MyographError, unknown_name

INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Surface EMG from raw recordings to an honest, reproducible classifier.",
)
app.command("run")(run.run)
app.command("inspect")(inspect.inspect)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("curve")(curve.curve)
app.command("benchmark")(benchmark.benchmark)
app.command("results")(benchmark.results)
app.command("runs")(benchmark.runs)
app.command("train")(decoder.train)
app.command("predict")(decoder.predict)
app.command("live")(live.live)
app.command("studio")(command.studio)
app.command("reproduce")(reproduce.reproduce)
app.command("methods")(listings.methods)
app.command("recipes")(listings.recipes)
app.add_typer(bids.app, name="bids")
app.add_typer(datasets.app, name="datasets")
app.add_typer(decoder.app, name="decoder")
app.add_typer(features.app, name="features")
app.add_typer(fin.app, name="fin")
app.add_typer(hd.app, name="hd")
app.add_typer(models.app, name="models")
app.add_typer(muscle.app, name="muscle")


def main() -> None:
    """Run the command line. An error of myograph prints one message, exit status 1; Ctrl-C gives exit status 130.

    SIGTERM, with which schedulers stop a job, ends a command as Ctrl-C does, so that its worker processes end too.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.formatwarning = _format_warning
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # typer's own exit status after Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except MyographError as error:
        _print_error(str(error))
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Interrupted. Finished folds are kept: repeat the command to resume after the last finished fold.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            _usage(error)
        raise


def _usage(error: Any) -> None:
    """Print click's message about a wrong command or option, and suggest the nearest command."""
    command = getattr(error, "cmd_name", None) or ""
    message = error.format_message()
    if not message:  # a group was given without a command, and its help has been printed
        sys.exit(error.exit_code)
    if message.startswith("No such command"):
        given = message.split("'")[1] if "'" in message else command
        group: Any = error.ctx.command if error.ctx else typer.main.get_command(app)
        message = str(unknown_name("command", given, list(group.commands)))
    _print_error(message)
    sys.exit(error.exit_code)


def _format_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    """Return a warning without the place in the code that gave it, which means nothing on the command line."""
    return f"warning {message}\n" if category is UserWarning else f"warning {category.__name__}: {message}\n"


def _print_error(message: str) -> None:
    err.print("[bold red]error[/bold red]", end=" ")
    err.print(message, markup=False, highlight=False, soft_wrap=True)
