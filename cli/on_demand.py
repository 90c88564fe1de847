"""The commands by name, each imported when it is asked for: a command starts without what the others need."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import click

COMMANDS = {  # where a command is, and the line that `rsp-onnx --help` shows of it
    "activations": ("activations:activations", "Save intermediate tensors of one image."),
    "audit": ("audit:audit", "Look for a class that is decided by something else than its object."),
    "cache": ("about.cache:cache", "Show or empty the cache of compiled explainers."),
    "check": ("check:check_command", "Check a model's scores and maps against what was recorded."),
    "compare": ("compare:compare", "Compare the explanations of two models on the same images."),
    "compile": ("compile:compile_command", "Write one .onnx file that returns scores and relevance."),
    "doctor": ("about.doctor:doctor", "Show what this machine can do, and what is missing."),
    "evaluate": ("evaluate:evaluate", "Measure methods on a dataset and write a report."),
    "explain": ("explain:explain", "Paint which pixels speak for a class, and which against it."),
    "inspect": ("inspect:inspect", "Show inputs, ops and their rules, the section, costs, warnings."),
    "methods": (
        "about.listings:methods_command",
        "List the methods and their papers; parameters are in --markdown and --json.",
    ),
    "metrics": ("about.listings:metrics_command", "List the metrics, what exactly they do, and their papers."),
    "ops": ("about.listings:ops_command", "List the supported ops and what their rules do."),
    "page": ("web.page:page", "Write a web page that explains in the browser."),
    "report": ("report:report", "Compare runs, or put shards of one together."),
    "serve": ("web.serve:serve", "Open a page that explains photos as they are dropped, on this machine."),
}  # fmt: skip
_CUT = ("activations", "methods", "metrics")  # their line is a docstring's first sentence, which click cuts to fit


class _Imported(MutableMapping[str, click.Command]):
    """The commands as click wants them; one is imported when its name is looked up."""

    def __init__(self) -> None:
        self._found: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._found:
            module, _, attribute = COMMANDS[name][0].partition(":")
            self._found[name] = getattr(import_module(f".commands.{module}", __package__), attribute)
        return self._found[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**COMMANDS, **self._found})

    def __len__(self) -> int:
        return len({**COMMANDS, **self._found})


class CommandsOnDemand(click.Group):
    """A group whose commands are imported one by one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.commands = _Imported()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, as click would from the commands themselves."""
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(len(name) for name in names)
        with formatter.section("Commands"):
            formatter.write_dl([(name, _line(name, room)) for name in names])


def _line(name: str, room: int) -> str:
    line = COMMANDS[name][1]
    stand_in = click.Command(name, help=line) if name in _CUT else click.Command(name, short_help=line)
    return stand_in.get_short_help_str(room)
