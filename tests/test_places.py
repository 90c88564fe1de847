"""Tokens find back to where they lie in the image: through windows, rolls, mergings, attention, class tokens."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsp_onnx import Explainer
from rsp_onnx.axes.places import grid_of
from rsp_onnx.compiler.analysis import analyse

from .torchscript import exported

WIDTH, SIDE = 6, 4


class Tokens(nn.Module):
    """A 4×4 grid of patches, its tokens in some order, and classes that are linear in single tokens.

    ``order`` says which patch (row by row) each token of the section is.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.patches = how, nn.Conv2d(3, WIDTH, 2, 2)
        self.norm, self.mix, self.start = (
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Parameter(torch.zeros(1, 1, WIDTH)),
        )
        self.merge, self.query = nn.Linear(4 * WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Conv2d(3, WIDTH, 7, 2, 3)
        self.count = {"class token": 17, "zero token": 17, "merged": 4, "pooled queries": 4}.get(how, 16)
        self.head = nn.Linear(self.count * WIDTH, self.count)

    def windows(self, grid: torch.Tensor) -> torch.Tensor:
        n = grid.shape[0]
        return grid.view(n, 2, 2, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(n, 16, WIDTH)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        grid = (self.wide if self.how == "wide patches" else self.patches)(x).permute(0, 2, 3, 1)
        flat = grid.reshape(grid.shape[0], 16, WIDTH)
        if self.how == "windows":
            return self.windows(grid)
        if self.how == "rolled windows":
            return self.windows(torch.roll(grid, (-1, -1), (1, 2)))
        if self.how == "class token":
            return torch.cat((self.start.expand(grid.shape[0], -1, -1), flat), 1)
        if self.how == "zero token":
            return nn.functional.pad(flat, (0, 0, 1, 0))
        if self.how == "merged":
            parts = [grid[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
            return self.merge(torch.cat(parts, -1).reshape(grid.shape[0], 4, 4 * WIDTH))
        if self.how == "pooled queries":
            queries = self.query(grid[:, ::2, ::2].reshape(grid.shape[0], 4, WIDTH))
            return torch.softmax(queries @ flat.transpose(1, 2), -1) @ flat
        if self.how == "attention":
            return flat + torch.softmax(self.query(flat) @ flat.transpose(1, 2), -1) @ flat
        return flat

    def order(self) -> list[int]:
        cells = np.arange(16).reshape(4, 4)
        if "windows" in self.how:
            cells = np.roll(cells, (-1, -1), (0, 1)) if "rolled" in self.how else cells
            return cells.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(-1).tolist()
        return list(range(4 if self.count == 4 else 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.tokens(x)
        t = t + self.mix(self.norm(t)).relu()
        return self.head(t.flatten(1))


WAYS = [
    "rows", "wide patches", "windows", "rolled windows", "class token", "zero token", "merged", "pooled queries",
    "attention",
]  # fmt: skip


def export(network: nn.Module) -> onnx.ModelProto:
    return exported(network, (torch.zeros(1, 3, 8, 8),), axes={"x": {0: "N"}, "y": {0: "N"}})


@pytest.mark.parametrize("how", WAYS)
def test_a_token_finds_its_cell(how):
    network = Tokens(how)
    model = export(network)
    section = next(n.output[0] for n in reversed(model.graph.node) if n.op_type == "Add")
    graph = analyse(model, section=section).graph
    index, sizes = grid_of(graph, graph.values[section], [1], graph.inputs[0])
    order = network.order()
    offset = 1 if how.endswith(" token") else 0
    assert sizes == ([2, 2] if network.count == 4 else [4, 4])
    assert [order[i - offset] for i in index] == list(range(len(order)))


@pytest.mark.parametrize("how", WAYS)
def test_grad_cam_lies_on_the_patch_that_a_class_reads(how):
    """A class that reads one token alone: the map is that token's patch, wherever its token stands."""
    network = Tokens(how)
    side = 2 if network.count == 4 else SIDE
    with torch.no_grad():  # class k reads token k, with weights that its features answer to
        network.head.weight.zero_()
        network.head.bias.zero_()
        x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        t = network.tokens(x)
        t = t + network.mix(network.norm(t)).relu()
        for k in range(network.count):
            network.head.weight[k, k * WIDTH : (k + 1) * WIDTH] = t[0, k]
    model = export(network)
    section = next(n.output[0] for n in reversed(model.graph.node) if n.op_type == "Add")
    explainer, offset = Explainer(model, method="hires-cam", section=section), 1 if how.endswith(" token") else 0
    for token, patch in enumerate(network.order()):
        heatmap = explainer.explain({"x": x.numpy()}, target=token + offset).heatmap
        cells = heatmap.reshape(side, 8 // side, side, 8 // side).sum((1, 3))
        assert int(cells.argmax()) == patch


def test_what_mixes_all_places_has_no_grid():
    class Mixed(Tokens):
        def tokens(self, x: torch.Tensor) -> torch.Tensor:
            return self.start.expand(x.shape[0], 16, -1) + self.patches(x).mean((2, 3))[:, None]

    model = export(Mixed("rows"))
    section = next(n.output[0] for n in reversed(model.graph.node) if n.op_type == "Add")
    graph = analyse(model, section=section).graph
    assert grid_of(graph, graph.values[section], [1], graph.inputs[0]) is None
