"""Recursion up a graph without Python's: models are deeper than its stack."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, MutableMapping
from functools import partial
from typing import TypeAlias, TypeVar

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")
Asking: TypeAlias = "Generator[Q, A, A]"  # yields questions, is sent their answers, returns its own


def answer(question: Q, ask: Callable[[Q], Asking[Q, A]], known: MutableMapping[Q, A]) -> A:
    """Return the answer to a question that depends on those to other questions, each asked once.

    Parameters
    ----------
    question : hashable
        Such as a tensor.
    ask : callable
        Written as a recursive function would be, but ``yield other`` stands for the call of itself. No question may
        lead back to itself, which in a graph none does.
    known : mutable mapping
        The answers found so far; those found here are added.
    """
    waiting: list[tuple[Q, Asking[Q, A]]] = []
    wanted = question
    while True:
        if wanted not in known:
            waiting.append((wanted, ask(wanted)))
            step = partial(next, waiting[-1][1])
        elif not waiting:
            return known[question]
        else:
            step = partial(waiting[-1][1].send, known[wanted])
        try:
            wanted = step()
        except StopIteration as done:
            wanted, _ = waiting.pop()
            known[wanted] = done.value
