"""Which class of one model is which class of another: the same index, shifted by an offset, or of the same name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rsp_onnx.errors import BadInput, BadTarget
from rsp_onnx.inputs.labels import label_of


@dataclass(frozen=True)
class ClassPairs:
    """Which class of B is which of A.

    Attributes
    ----------
    how : str
        ``index``, ``offset`` or ``name``.
    to_b : mapping
        B's class by A's; a class that B does not have is not in it.
    """

    how: str
    to_b: Mapping[int, int]
    labels: tuple[str, ...] | None = None

    @property
    def to_a(self) -> dict[int, int]:
        """A's class by B's."""
        return {b: a for a, b in self.to_b.items()}

    def of(self, target: int) -> int:
        """Return B's class for A's target; BadTarget where B has none."""
        if target not in self.to_b:
            raise BadTarget(
                f"The second model has no class for {label_of(target, self.labels)!r} (class {target} of the first): "
                "choose another --target, or say how the classes correspond with --class-offset or --labels-b."
            )
        return self.to_b[target]


def pair_classes(
    counts: tuple[int, int],
    labels: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
    offset: int | None = None,
) -> ClassPairs:
    """Return how the classes of two models correspond.

    An offset decides where it is given (B's class = A's class + offset); else the names, where both models have labels
    and those differ; else the index.

    Parameters
    ----------
    counts : (int, int)
        Classes of A and of B.
    labels : pair of sequences of str, optional
        Theirs.

    Raises
    ------
    BadInput
        The counts differ and nothing says how the classes correspond, or no class of A has one in B.
    """
    first, second = counts
    own = None if labels[0] is None else tuple(labels[0])
    if offset is not None:
        shifted = {a: a + offset for a in range(first) if 0 <= a + offset < second}
        return ClassPairs("offset", _some(shifted, f"the offset {offset}"), own)
    if labels[0] is not None and labels[1] is not None and list(labels[0]) != list(labels[1]):
        return ClassPairs("name", _some(_by_name(labels[0], labels[1]), "their names"), own)
    if first != second:
        raise BadInput(
            f"The models have {first} and {second} classes: {_hint(second - first)}, or give both models' names with "
            "--labels and --labels-b."
        )
    return ClassPairs("index", {a: a for a in range(first)}, own)


def _hint(more: int) -> str:
    if abs(more) == 1:
        return (
            f"if {'the second' if more > 0 else 'the first'} has a background class in front, say --class-offset {more}"
        )
    return "say by --class-offset N that class 0 of the first is class N of the second"


def _some(to_b: dict[int, int], by: str) -> dict[int, int]:
    if not to_b:
        raise BadInput(f"By {by} no class of the first model is one of the second: check the labels or the offset.")
    return to_b


def _by_name(first: Sequence[str], second: Sequence[str]) -> dict[int, int]:
    """Match whole labels, whatever the case, then the first of their synonyms; names that occur twice match none."""
    to_b: dict[int, int] = {}
    for key in (_folded, _first_word):
        places, taken = _places(second, key), set(to_b.values())
        own = _places(first, key)
        to_b |= {
            a: places[word] for word, a in own.items() if a not in to_b and places.get(word, -1) not in {-1, *taken}
        }
    return dict(sorted(to_b.items()))


def _places(names: Sequence[str], key: Callable[[str], str]) -> dict[str, int]:
    words = [key(name) for name in names]
    counts = Counter(words)
    return {word: i for i, word in enumerate(words) if counts[word] == 1}


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _first_word(name: str) -> str:
    return _folded(name.split(",")[0])
