"""Names with parameters, as users write them: ``lrp-gamma:gamma=0.5`` or ``integrated-gradients:steps=64``."""

from __future__ import annotations

from collections.abc import Mapping

from rsp_onnx.errors import BadInput

PROBABILITIES = "probabilities"  # the parameter of a black box that asks for them


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Return the name and the parameters of ``name`` or ``name:key=value,key=value``.

    Raises
    ------
    BadInput
        A parameter without a value, or given twice.
    """
    name, _, rest = spec.partition(":")
    parameters: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise BadInput(f"{spec!r}: {part!r} is not like key=value; write name:key=value,key=value.")
        if key in parameters:
            raise BadInput(f"{spec!r} gives {key!r} twice; give it once.")
        parameters[key] = value
    return name.strip(), parameters


def numbers(spec: str, given: Mapping[str, str], defaults: Mapping[str, float]) -> dict[str, float]:
    """Return the defaults with what was given in their place; BadInput for unknown names and what is no number."""
    result = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            known = f"its parameters are {', '.join(defaults)}" if defaults else "it has no parameters"
            raise BadInput(f"{spec!r}: there is no parameter {key!r}; {known}.")
        try:
            result[key] = float(value)
        except ValueError:
            raise BadInput(f"{spec!r}: {key}={value} is not a number.") from None
        if result[key] != result[key] or abs(result[key]) == float("inf"):
            raise BadInput(f"{spec!r}: {key}={value} is not a finite number.")
    return result
