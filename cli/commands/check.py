"""``rsp-onnx check``."""

from __future__ import annotations

import sys

import click

from .. import options as shared
from ..device import device_option
from ..no_cache import no_cache_option
from ..printing import print_json, progress_bar


def _some_unless_changed(ctx: click.Context, argument: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if not given and not ctx.params.get("changed"):  # a commit that only deletes hands over no file
        raise click.MissingParameter(ctx=ctx, param=argument)
    return given


@click.command("check", short_help="Check a model's scores and maps against what was recorded.")
@click.argument("specs", nargs=-1, metavar="SPEC...", type=click.Path(), callback=_some_unless_changed)
@click.option(
    "--changed",
    is_flag=True,
    is_eager=True,
    help="What is given are changed files: check each SPEC (*.rsp.toml) in this folder and below that names one.",
)
@click.option("--record", "recording", is_flag=True, help="Write the goldens instead; they must not be there yet.")
@click.option("--update", is_flag=True, help="Record again, replacing the goldens, and print what changed.")
@click.option("--model", metavar="FILE", type=click.Path(), help="Use this model instead of SPEC's own.")
@shared.preprocess_option("Use this preprocessing instead of SPEC's own.")
@device_option("cpu")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Threads of ONNX Runtime; the same number gives the same figures.",
)
@click.option("--costs/--no-costs", default=True, show_default=True, help="With --record: time and memory too.")
@click.option("--junit", metavar="FILE", type=click.Path(), help="Write JUnit XML.")
@click.option("--markdown", metavar="FILE", type=click.Path(), help="Write a table for a pull request.")
@click.option("--sarif", metavar="FILE", type=click.Path(), help="Write SARIF for a code-scanning tab.")
@click.option("--report", metavar="FILE", type=click.Path(), help="Write an HTML page with the maps of failing images.")
@shared.own_ops
@no_cache_option
@shared.json_option
def check_command(
    specs: tuple[str, ...], changed: bool, recording: bool, update: bool, model: str | None, preprocess: str | None,
    device: str, threads: int, costs: bool, junit: str | None, markdown: str | None, sarif: str | None,
    report: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Check a model against a SPEC file and what was recorded of it: explainable, scores, maps, places, behaviour.

    SPEC is a TOML file beside the model: docs/checks.md tells its keys and every check. The exit code is 0 where all
    checks hold, 1 where one fails, 2 where they could not run.

    \b
    Examples:
      rsp-onnx check model.rsp.toml --record
      rsp-onnx check model.rsp.toml
      rsp-onnx check model.rsp.toml --model model_int8.onnx --junit checks.xml --report checks.html
      rsp-onnx check --changed models/model.onnx README.md
    """
    from rsp_onnx.checks import check, concerned_specs, json_report, record, recording_text, text_report, write_reports

    if changed and (recording or update or model):
        raise click.UsageError("--changed checks models as SPEC names them: leave out --record, --update and --model.")
    if changed:
        specs = tuple(map(str, concerned_specs(specs)))
    if recording or update:
        for spec in specs:
            done = record(
                spec, model=model, preprocess=preprocess, update=update, costs=costs, device=device, threads=threads
            )
            click.echo(recording_text(done, spec))
        return
    reports = []
    for spec in specs:
        with progress_bar(20, f"checking {spec}") as progress:
            reports.append(
                check(spec, model=model, preprocess=preprocess, device=device, threads=threads, progress=progress)
            )
        if not as_json:
            click.echo(text_report(reports[-1], sys.stdout.encoding or "utf-8"))
    if as_json:
        print_json(json_report(reports))
    elif not reports:
        click.echo("No SPEC (*.rsp.toml) here and below names a changed file: nothing to check.")
    write_reports(reports, {"junit": junit, "markdown": markdown, "sarif": sarif, "report": report})
    sys.exit(max((one.exit_code for one in reports), default=0))
