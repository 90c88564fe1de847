"""What a check is: its name, what it says, its default threshold, and how figures become ✓ or ✗."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal, TypeVar

from rsp_onnx.checks.spec.spec import Expectation
from rsp_onnx.checks.subject.subject import DECIMALS, Shot, Subject

Direction = Literal["higher", "lower"]


class Status(str, Enum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    SKIP = "not applicable"


class NotApplicable(Exception):  # noqa: N818 - no error: the check says why it has nothing to say
    """A check does not apply to this model or SPEC; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One figure of one image.

    Attributes
    ----------
    value : float, optional
        None where there is nothing to measure but ``ok`` to tell.
    recorded : float, optional
        What a threshold relative to the recorded figure starts from.
    ok : bool, optional
        The answer of a check without a threshold.
    line : int
        Of SPEC.
    """

    image: str = ""
    value: float | None = None
    recorded: float | None = None
    ok: bool | None = None
    note: str = ""
    line: int | None = None

    @classmethod
    def of(
        cls, shot: Shot, value: float | None = None, note: str = "", recorded: float | None = None,
        ok: bool | None = None,
    ) -> Finding:  # fmt: skip
        """Return a figure of an image, rounded, at the image's line."""
        rounded = None if value is None else round(value, DECIMALS)
        return cls(shot.image.name, rounded, recorded, ok, note, shot.image.line)


@dataclass(frozen=True)
class Result:
    """How one check ended.

    Attributes
    ----------
    value, limit : float, optional
        Of the worst figure.
    message : str
        One sentence; of a failure, what is wrong.
    failing : tuple of Finding
        What does not hold, the worst first.
    line : int
        Of SPEC.
    """

    check: Check
    status: Status
    message: str
    value: float | None = None
    limit: float | None = None
    worst: str = ""
    failing: tuple[Finding, ...] = ()
    line: int = 1

    @property
    def name(self) -> str:
        """The check's name."""
        return self.check.name


class Check:
    """One expectation. A subclass sets the facts below and measures; ``register`` makes it known.

    Attributes
    ----------
    says : str
        One sentence: what holds where the check passes.
    default : float, optional
        The threshold; None of a check that holds or does not.
    direction : str
        Which figures are good ones.
    slack : float, optional
        By default a figure may be that much worse than the recorded one; a threshold in SPEC is the figure's own.
    warns : bool
        By default it warns and does not fail; with a threshold in SPEC it fails.
    bounds : tuple of float
        Of a threshold.
    needs_maps : bool
        It says nothing where the model could not be explained.
    no_figures : str
        Why there may be none: then the check does not apply.
    """

    name: ClassVar[str]
    group: ClassVar[str]
    says: ClassVar[str]
    default: ClassVar[float | None] = None
    direction: ClassVar[Direction] = "higher"
    slack: ClassVar[float | None] = None
    warns: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs_maps: ClassVar[bool] = True
    no_figures: ClassVar[str] = "there is nothing to measure"

    def measure(self, subject: Subject) -> Sequence[Finding]:
        """Return the figures; NotApplicable where there can be none."""
        raise NotImplementedError

    def run(self, subject: Subject, expected: Expectation) -> Result:
        """Return how the check ends. expected: a threshold, or True for the default."""
        line = subject.spec.line("expect", self.name) if self.name in subject.spec.expect else 1
        try:
            findings = self._findings(subject)
        except NotApplicable as reason:
            return Result(self, Status.SKIP, str(reason), line=line)
        explicit = None if isinstance(expected, bool) else float(expected)
        return self.judge(findings, explicit, line)

    def _findings(self, subject: Subject) -> Sequence[Finding]:
        _ = subject.shots  # finds out whether the model can be explained at all
        if subject.failure is not None and self.needs_maps:
            where, why = subject.failure
            if where == self.name:
                return [Finding(ok=False, note=why)]
            raise NotApplicable("nothing was explained")
        findings = self.measure(subject)
        if not findings:
            raise NotApplicable(self.no_figures)
        return findings

    def judge(self, findings: Sequence[Finding], explicit: float | None, line: int) -> Result:
        """Return the result of figures: the worst of them decides."""
        ranked = sorted(findings, key=lambda f: self._margin(f, explicit))
        failing = tuple(f for f in ranked if self._margin(f, explicit) < 0)
        worst = ranked[0]
        status = Status.PASS if not failing else Status.WARN if self.warns and explicit is None else Status.FAIL
        told = self._told(worst, len(failing), len(findings)) if failing else self.says
        where = (worst.line or line) if failing else line
        limit = self.limit_of(worst, explicit)
        image = worst.image if failing or worst.value is not None else ""
        return Result(self, status, told, worst.value, limit, image, failing, where)

    def limit_of(self, finding: Finding, explicit: float | None) -> float | None:
        """Return the threshold of one figure."""
        if explicit is not None or self.slack is None or finding.recorded is None:
            return self.default if explicit is None else explicit
        sign = 1 if self.direction == "higher" else -1
        low, high = self.bounds
        return round(min(max(finding.recorded - sign * self.slack, low), high), DECIMALS)

    def _margin(self, finding: Finding, explicit: float | None) -> float:
        """Return by how much a figure holds; below 0 it does not."""
        if finding.ok is not None:
            return 0.0 if finding.ok else -float("inf")
        limit = self.limit_of(finding, explicit)
        if limit is None or finding.value is None:
            return 0.0
        margin = finding.value - limit
        return round(margin if self.direction == "higher" else -margin, DECIMALS)

    def _told(self, worst: Finding, failing: int, count: int) -> str:
        of = f" ({failing} of {count} figures)" if count > 1 else ""
        return f"{worst.note or self.says}{of}"


CHECKS: dict[str, Check] = {}
C = TypeVar("C", bound=type[Check])


def register(cls: C) -> C:
    """Make a check known by its name."""
    if cls.name in CHECKS:
        raise ValueError(f"two checks are called {cls.name!r}")
    CHECKS[cls.name] = cls()
    return cls
