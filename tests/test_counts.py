"""The guard that counts: a planted pass is caught, what got better is said, and the table holds for the smallest."""

import importlib
from dataclasses import replace

import pytest

from rsp_onnx.rulekit import registry

from .little import conv_net


@pytest.fixture
def counts(repo, monkeypatch):
    monkeypatch.syspath_prepend(str(repo))
    return importlib.import_module("benchmarks.counts")


def test_a_planted_pass_is_caught(counts, monkeypatch):
    """One more multiplication by one in the rule of Relu, the size of the activation."""
    key = ("conv", "rsp", "free")
    before = counts.count(conv_net(), "rsp", None)
    rule = registry._RULES["Relu"]
    monkeypatch.setitem(registry._RULES, "Relu", lambda ctx, node, r: rule(ctx, node, ctx.op.Mul(r, 1.0000001)))
    worse, better = counts.compare({key: before}, {key: counts.count(conv_net(), "rsp", None)})
    assert better == []
    assert any(
        line.startswith(f"conv rsp free: nodes went from {before.nodes} to {before.nodes + 1}") for line in worse
    )
    assert any(line.startswith("conv rsp free: bytes went from") for line in worse)


def test_a_hundredth_is_no_change_and_a_twentieth_less_is_said(counts):
    row = counts.Row(1000, 1000, 1000, 1000)
    assert counts.compare({("m",): row}, {("m",): replace(row, nodes=1010, bytes=960)}) == ([], [])
    worse, better = counts.compare({("m",): row}, {("m",): replace(row, nodes=1011, bytes=949)})
    assert worse == ["m: nodes went from 1,000 to 1,011 (+1.1%)."]
    assert better == ["m: bytes went from 1,000 to 949 (-5.1%)."]
    assert counts.compare({}, {("m",): row})[0] == ["m is not in the table; add it with --write."]


def test_the_table_holds_and_a_change_fails(counts, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["counts", "--check", "--only", "table"])
    assert counts.main() == 0
    assert "6 explainers counted, 0 counts got worse" in capsys.readouterr().out
    rows = counts.read()
    least = {key: replace(row, nodes=row.nodes // 2) for key, row in rows.items()}
    counts.write(least, tmp_path / "counts.csv")
    assert counts.read(tmp_path / "counts.csv") == least
    monkeypatch.setattr(counts, "read", lambda: least)
    assert counts.main() == 1
    assert "table rsp free: nodes went from" in capsys.readouterr().out


@pytest.mark.slow
def test_no_row_of_the_repositorys_own_models_got_worse(counts, monkeypatch):
    monkeypatch.setattr(counts, "OTHERS", ())
    assert counts.compare(counts.read(), counts.counted())[0] == []
