"""Class indices that are not the model's, mostly off by one: with and without a background class in front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.labels import called

from .mapping import match_names

_LOOKED_AT = 32  # photos whose predictions are held against their classes
_LEAST_CLASSES = 4  # a model that mistakes one class for its neighbour is no shift; several classes alike are
_LEAST_SHARE, _TIMES = 0.3, 4  # of the photos the neighbour is predicted, and so often more than the class itself

_MEND = (
    "Give --mapping with a file of lines like 'n01440764 tench, Tinca tinca', one per class of the dataset, or a .csv "
    "file with the columns dataset,model; with a mapping this is not asked."
)


def spread(indices: Sequence[int]) -> Sequence[int]:
    """Return some of a run's items from all over it: a dataset is often in the order of its classes."""
    return indices[:: max(len(indices) // _LOOKED_AT, 1)][:_LOOKED_AT]


def refuse_other_names(where: str, indexed: Iterable[tuple[int, str]], names: Sequence[str] | None) -> None:
    """Raise BadInput where most class indices of a table are not those of the model's labels of the same names.

    Parameters
    ----------
    where : str
        The table.
    indexed : iterable of (int, str)
        A class's index and its name in the table.
    names : sequence of str, optional
        The model's labels.
    """
    pairs = dict.fromkeys(indexed)
    matches = match_names({name for _, name in pairs}, names or ())
    known = [(index, name, matches[name][0]) for index, name in pairs if matches[name]]
    wrong = [one for one in known if one[0] != one[2]]
    if 2 * len(wrong) <= len(known):
        return
    index, name, found = wrong[0]
    raise BadInput(
        f"{where} says that '{name}' is class {index}, but of the model it is class {found}; {len(wrong)} of "
        f"{len(known)} names differ like this. Leave the column class_index out, so that the names decide, or give "
        "--mapping."
    )


def refuse_shifted(seen: Sequence[tuple[Sequence[int], int]], names: Sequence[str] | None) -> None:
    """Raise BadInput where the model mostly predicts the class before or behind the annotated one.

    Parameters
    ----------
    seen : sequence of (targets, predicted)
        Of several photos the annotated classes and the class with the highest score.
    """
    right = sum(predicted in targets for targets, predicted in seen)
    for shift, side in ((1, "behind"), (-1, "before")):
        shifted = [
            predicted for targets, predicted in seen if predicted - shift in targets and predicted not in targets
        ]
        often = len(shifted) >= max(_LEAST_SHARE * len(seen), _TIMES * right)
        if often and len(set(shifted)) >= _LEAST_CLASSES:
            found = Counter(shifted).most_common(1)[0][0]
            raise BadInput(
                f"The dataset's classes are off by one: of {len(seen)} photos the model predicts the annotated class "
                f"in {right} and the one {side} it in {len(shifted)}, such as {called(found, names)} where "
                f"{called(found - shift, names)} is annotated. {_MEND}"
            )
