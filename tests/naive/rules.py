"""One function per formula of the method's page; every one works on one sample.

x is a layer's input made non-negative, R the relevance at its output, f(x, w) the layer's linear map and vjp
its adjoint. a ⊘ b is a/b where b ≠ 0 and 0 elsewhere.
"""

from collections.abc import Callable, Sequence

import torch

from .table import Tensor

Linear = Callable[[Tensor, Tensor], Tensor]


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a ⊘ b."""
    return torch.where(b != 0, a / torch.where(b != 0, b, torch.ones_like(b)), torch.zeros_like(a))


def vjp(f: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """Adjoint of f at x, applied to s."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(f(x), x, s)[0]


def non_negative(X: Tensor, signed_inputs: str) -> Tensor:
    """x = [X]₊ (clamp) or |X| (abs)."""
    return X.clamp(min=0) if signed_inputs == "clamp" else X.abs()


def unbroadcast(R: Tensor, shape: torch.Size) -> Tensor:
    """Sum R back to the shape it was broadcast from."""
    R = R.sum(list(range(R.ndim - len(shape)))) if R.ndim > len(shape) else R
    wide = [i for i, s in enumerate(shape) if s == 1 and R.shape[i] != 1]
    return R.sum(wide, keepdim=True) if wide else R


def one_sign(f: Linear, w_like: Tensor, x: Tensor, R: Tensor) -> Tensor:
    """G = corr_w(x, R);  Z = (x * G) ⊙ 1[R≠0];  C = x ⊙ convᵀ(R ⊘ Z, G), for R ≥ 0."""
    G = vjp(lambda w: f(x, w), torch.zeros_like(w_like), R)
    Z = f(x, G) * (R != 0)
    return x * vjp(lambda v: f(v, G), x, divide(R, Z))


def conv_1x1(f: Linear, w_like: Tensor, x: Tensor, R: Tensor) -> Tensor:
    """C = C_p − C_n: 1×1 convolutions and dense layers per position."""
    return one_sign(f, w_like, x, R.clamp(min=0)) - one_sign(f, w_like, x, (-R).clamp(min=0))


def conv_kernel(f: Linear, w_like: Tensor, x: Tensor, R: Tensor) -> Tensor:
    """C = 2(C_p − C_n);  C ← C − 1[C≠0]·ΣR/#{C≠0}: kernels > 1 and dense layers on flattened maps."""
    C = 2 * conv_1x1(f, w_like, x, R)
    nonzero = (C != 0).double()
    return C - nonzero * divide(R.sum(), nonzero.sum())


def z_box(f: Linear, W: Tensor, X: Tensor, L: Tensor, H: Tensor, R: Tensor) -> Tensor:
    """Z = X*W − L*W⁺ − H*W⁻;  S = R ⊘ Z;  R_x = X⊙convᵀ(S,W) − L⊙convᵀ(S,W⁺) − H⊙convᵀ(S,W⁻).

    Written with W = W⁺ + W⁻, so that no rounding is left over where X = L or X = H makes Z vanish:
    Z = (X−L)*W⁺ + (X−H)*W⁻;  R_x = (X−L)⊙convᵀ(S,W⁺) + (X−H)⊙convᵀ(S,W⁻).
    """
    plus, minus = W.clamp(min=0), W.clamp(max=0)
    S = divide(R, f(X - L, plus) + f(X - H, minus))
    back_plus, back_minus = vjp(lambda v: f(v, plus), X, S), vjp(lambda v: f(v, minus), X, S)
    return (X - L) * back_plus + (X - H) * back_minus


def z_rule(op: Callable[[Tensor], Tensor], X: Tensor, R: Tensor) -> Tensor:
    """R_x = x ⊙ vjp(R ⊘ op(x)), x = X + 1e-9: pools and other linear reductions."""
    x = X + 1e-9
    return x * vjp(op, x, divide(R, op(x)))


def share(branches: Sequence[Tensor], R: Tensor) -> list[Tensor]:
    """R_i = R·x_i/(Σx_i), x_i = [X_i]₊ + 1e-9: addition of branches."""
    xs = [X.clamp(min=0) + 1e-9 for X in branches]
    total = torch.stack(torch.broadcast_tensors(*xs)).sum(0)
    return [unbroadcast(R * x / total, x.shape) for x in xs]


def purge(R: Tensor, channels: int) -> Tensor:
    """A = Σ_channels R; drop R < 0 where A > 0, R > 0 where A ≤ 0; each sign keeps its total."""
    A = R.sum(channels, keepdim=True)
    plus, minus = R.clamp(min=0), (-R).clamp(min=0)
    kept_plus, kept_minus = plus * (A > 0), minus * (A <= 0)
    return kept_plus * divide(plus.sum(), kept_plus.sum()) - kept_minus * divide(minus.sum(), kept_minus.sum())
