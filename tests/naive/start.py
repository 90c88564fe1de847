"""Initial relevance at the section: comparative gradients, then the purge of eq. (2)."""

from collections.abc import Sequence

import torch

from .net import Net, Values
from .rules import divide
from .table import Tensor


def positions_axes(section: Tensor, channels_last: bool) -> list[int]:
    """Axes of the positions: all but the sample's and the channels'."""
    return list(range(1, section.ndim - 1)) if channels_last else list(range(2, section.ndim))


def gradient(net: Net, values: Values, section: str, logits: str, c: int) -> Tensor:
    """∂y_c/∂F: the head is run again from F, by autograd."""
    leaf = values[section].detach().clone().requires_grad_()
    if section == logits:
        head = {section: leaf}
    else:
        after = net.above(section)
        needed = [node for node in net.below(logits) if node in after]
        again = {n for node in needed for n in node.output}
        head = net.run(needed, {n: v for n, v in values.items() if n not in again} | {section: leaf})
    return torch.autograd.grad(head[logits].flatten()[c], leaf)[0]


def activation_map(F: Tensor, dy: Tensor, axes: Sequence[int]) -> Tensor:
    """M_c = F ⊙ mean_hw(∂y_c/∂F), then M_c /= max(M_c), or /= max|M_c| where max(M_c) ≤ 0."""
    M = F * (dy.mean(list(axes), keepdim=True) if axes else dy)
    return divide(M, M.max() if M.max() > 0 else M.abs().max())


def relative(maps: Sequence[Tensor], axes: Sequence[int], split: float) -> Tensor:
    """Eq. (1): D = n·M_t − ΣM_h, R₀ = [D]₊/Σ[D]₊ − [−D]₊/Σ[−D]₊;  then eq. (2).

    A = Σ_channels R₀,  R₀ ← (split·A⁺/ΣA⁺ − A⁻/ΣA⁻)/C on every channel. Where the section has one position
    only, A is 1 − 1 = 0 whatever the image: there every unit keeps its own side, R₀ = split·R⁺ − R⁻.
    """
    target, *rest = maps
    D = len(rest) * target - torch.stack(rest).sum(0)
    plus, minus = D.clamp(min=0), (-D).clamp(min=0)
    plus, minus = divide(plus, plus.sum()), divide(minus, minus.sum())
    if all(D.shape[a] == 1 for a in axes):
        return split * plus - minus
    channels = next(a for a in range(1, D.ndim) if a not in axes)
    A = (plus - minus).sum(channels, keepdim=True)
    plus, minus = A.clamp(min=0), (-A).clamp(min=0)
    sides = split * divide(plus, plus.sum()) - divide(minus, minus.sum())
    return (sides / D.shape[channels]).expand(D.shape)


def initial(
    net: Net, values: Values, section: str, logits: str, target: int, hostile: Sequence[int], split: float
) -> Tensor:
    """R₀ at the section: M_t alone, or target against the hostile classes."""
    F = values[section]
    axes = positions_axes(F, F.ndim == 3 and net.channels_last(section))
    classes = [target, *(h for h in hostile if h >= 0)]
    maps = [activation_map(F, gradient(net, values, section, logits, c), axes) for c in classes]
    return maps[0] if len(maps) == 1 else relative(maps, axes, split)
