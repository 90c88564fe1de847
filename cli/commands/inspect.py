"""``rsp-onnx inspect``."""

from __future__ import annotations

from typing import Any

import click

from .. import options as shared
from ..printing import print_json, table


@click.command(short_help="Show inputs, ops and their rules, the section, costs, warnings.")
@shared.model_argument
@shared.section_option
@shared.score_options
@shared.input_shape_option
@shared.own_ops
@click.option("--nodes", is_flag=True, help="Say for every node what its rule does.")
@click.option("--cost/--no-cost", default=True, help="Compile the explanation to tell what it costs (default: yes).")
@shared.json_option
def inspect(model: str, nodes: bool, as_json: bool, **options: Any) -> None:
    """Show what would happen to a model: inputs, ops and their rules, the section, the conv rules' forms, warnings.

    \b
    Examples:
      rsp-onnx inspect model.onnx
      rsp-onnx inspect model.onnx --nodes
      rsp-onnx inspect model.onnx --json --no-cost
    """
    from rsp_onnx import inspect_model

    report = inspect_model(model, **options)
    if as_json:
        print_json(report)
        return
    each = _nodes(report) if nodes else []
    for lines in (_head(report), _ops(report), each, _section(report), _forms(report), _cost(report), _notes(report)):
        if lines:
            click.echo("\n".join(lines) + "\n")


def _head(report: dict[str, Any]) -> list[str]:
    lines = [f"{report['model']}  (opset {report['opset'].get('', '?')}, sha256 {report['sha256'][:12]}…)"]
    for kind in ("inputs", "outputs"):
        for row in report[kind]:
            shape = " × ".join("?" if d is None else str(d) for d in row["shape"])
            mark = "" if row["explained"] else "  (not explained)"
            lines.append(f"  {kind[:-1]:<7} {row['name']}  {row['dtype']} {shape}{mark}")
    lines += [f"  scores  {report['classes'] or 'unknown'} classes, {report['scores']}", *_axes(report["reading"])]
    if report["preprocessing"]:
        lines.append(
            f"  photos  preprocessed as {report['preprocessing']['name']} ({report['preprocessing']['source']})"
        )
    return lines


def _axes(reading: dict[str, Any]) -> list[str]:
    """Say what the axes of the scores are taken for, where they are not just samples and classes."""
    if reading["sample_axis"] == 0 and reading["class_axis"] == 1 and not (reading["region"] or reading["rows"]):
        return []
    words = ["one sample" if reading["sample_axis"] is None else f"samples {reading['sample_axis']}"]
    if reading["class_axis"] is not None:
        words.append(f"classes {reading['class_axis']} (told by {reading['told_by']})")
    if reading["position_axes"]:
        places = ", ".join(map(str, reading["position_axes"]))
        words.append(f"positions {places}" + (f" ({reading['region']} of them)" if reading["region"] else ""))
    if reading["rows"]:
        words.append(f"rows {reading['rows'][0]} to {reading['rows'][1] - 1} are classes")
    return [f"  axes    of {reading['output']}: {'; '.join(words)}"]


def _ops(report: dict[str, Any]) -> list[str]:
    rows = [["op", "where", "count", "relevance", "gradient"]]
    for row in report["ops"]:
        mark = "" if row["explained"] else "  <- no rule"
        rows.append([row["op"], row["where"], str(row["count"]), _yes(row["relevance"]), _yes(row["gradient"]) + mark])
    return ["Ops:", table(rows)]


def _nodes(report: dict[str, Any]) -> list[str]:
    rows = [["node", "op", "where", "what happens"]]
    rows += [[_short(row["node"] or row["output"]), row["op"], row["where"], row["does"]] for row in report["nodes"]]
    return ["Nodes between input and scores, in the model's order:", table(rows)]


def _yes(value: bool) -> str:
    return "yes" if value else "-"


def _section(report: dict[str, Any]) -> list[str]:
    section = report["section"]
    shape = " × ".join("?" if d is None else str(d) for d in section["shape"])
    lines = [f"Section: {section['tensor']}  {shape}"]
    if report["alternatives"]:
        names = [_short(name) for name in report["alternatives"][:6]]
        lines.append(f"  alternatives: {', '.join(names)}" + (" …" if len(report["alternatives"]) > 6 else ""))
    return lines


def _short(name: str) -> str:
    return name if len(name) <= 60 else "…" + name[-59:]


def _forms(report: dict[str, Any]) -> list[str]:
    if not report["forms"]:
        return []
    from rsp_onnx import summary_numbers

    rows = [["node", "form", "Mop", "MiB"]]
    for row in report["forms"]:
        name = row["node"] or row["output"]
        rows.append([_short(name), row["form"], f"{row['operations'] / 1e6:.1f}", f"{row['memory'] / 2**20:.1f}"])
    totals = summary_numbers(report)
    rows.append(
        ["in all (memory: the largest)", "", f"{totals['operations'] / 1e6:.1f}", f"{totals['memory'] / 2**20:.1f}"]
    )
    return ["Conv rules, for one sample and one target:", table(rows)]


def _cost(report: dict[str, Any]) -> list[str]:
    cost = report["cost"]
    if cost is None:
        return []
    each = [f"{cost[key] / 1e6:,.0f}" for key in ("operations", "forward_operations")]
    return [
        "One explanation (RSP, one sample, one class, one thread):",
        f"  time    about {cost['ratio']:.1f} × a forward pass ({each[0]} M multiply-adds beside {each[1]} M)",
        f"  memory  about {cost['peak_memory_bytes'] / 1e6:,.0f} MB at its peak, weights included",
    ]


def _notes(report: dict[str, Any]) -> list[str]:
    lines = [f"Note: {note}" for note in report["warnings"]]
    if report["missing"]:
        why = {row["op"]: row["does"] for row in report["nodes"] if not row["explained"]}
        each = [f"{op} ({why[op]})" if why.get(op, "no rule") != "no rule" else op for op in report["missing"]]
        lines.append(f"No rule for: {', '.join(each)}. The model cannot be explained yet.")
    return lines
