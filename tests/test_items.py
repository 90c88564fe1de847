"""A tensor file, a mapping or an array with several items: each is explained, by itself, in whole batches."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx import BadInput, Explainer
from rsp_onnx.cli.main import main
from rsp_onnx.model.session import Session

from .little import conv_net
from .running import relative_l2

W = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
V = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
X = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)


def dense(batch: object, more: str = "", end: str = "y = MatMul(r, v)", classes: int = 3) -> onnx.ModelProto:
    """Return x → ReLU(x·W)·V, whose gradient is known; more: further inputs, end: what becomes of the hidden layer."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[{batch}, 4] x{more}) => (float[{batch}, {classes}] y)
        <int64[1] first = {{0}}, int64[1] last = {{2}}, int64[1] one = {{1}}> {{
            a = MatMul(x, w) r = Relu(a) {end} }}""")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for a, name in ((W, "w"), (V, "v")))
    return model


def gradient(x: np.ndarray, target: int) -> np.ndarray:
    return (W * (x @ W > 0)) @ V[:, target]


def cli(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def explained(tmp_path):
    """Return a function that explains a tensor file by the command line: (result, records, folder)."""

    def call(model, array, *options):
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        file = tmp_path / ("x.npz" if isinstance(array, dict) else "x.npy")
        np.savez(file, **array) if isinstance(array, dict) else np.save(file, array)
        out = tmp_path / "out"
        result = cli("explain", tmp_path / "m.onnx", file, "--method", "gradient", *options, "-o", out)
        records = json.loads((out / "explain.json").read_text()) if out.is_dir() else []
        return result, records, out

    return call


def maps(records, out):
    """Return the relevance of every record, as it was written."""
    found = []
    for record in records:
        with np.load(out / record["npz"]) as arrays:
            found.append(arrays["relevance"])
    return found


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_item_of_a_file_is_explained(explained, batch, count):
    result, records, out = explained(dense(batch), X[:count], "--target", 1, "--target", 2)
    assert result.exit_code == 0, result.output
    asked = [(n, c) for n in range(count) for c in (1, 2)]
    assert [(r.get("item"), r["target"]) for r in records] == [(n if count > 1 else None, c) for n, c in asked]
    stems = [f"x.{n}.{c}" if count > 1 else f"x.{c}" for n, c in asked]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["explain.json", *(f"{stem}.{kind}" for stem in stems for kind in ("npz", "png"))]
    )
    for (n, c), found in zip(asked, maps(records, out), strict=True):
        assert relative_l2(found, gradient(X[n], c)) < 1e-6
    assert [r["scores"] for r in records] == [
        pytest.approx(np.maximum(X[n] @ W, 0) @ V, rel=1e-5) for n, _ in asked
    ]  # fmt: skip
    lines = result.stdout.splitlines()[: len(asked)]
    for line, (n, c) in zip(lines, asked, strict=True):
        assert f"x.npy, item {n}: class {c} (" in line if count > 1 else f"x.npy: class {c} (" in line
    warnings = result.stderr.splitlines()
    assert all(count == 1 or ".npy, item " in w for w in warnings)


def test_two_items_of_two_classes_are_told_apart():
    """Scores that are two by two have their samples in front."""
    explainer = Explainer(dense(2, end="s = MatMul(r, v) y = Slice(s, first, last, one)", classes=2), method="gradient")
    for (found,), x in zip(explainer.explain_batch(list(X[:2]), target=1), X, strict=False):
        assert relative_l2(found.relevance, gradient(x, 1)) < 1e-6
        assert relative_l2(found.scores, (np.maximum(x @ W, 0) @ V)[:2]) < 1e-6


@pytest.mark.parametrize(("count", "runs"), [(1, 1), (2, 1), (3, 2)])
def test_a_fixed_batch_is_run_full(explained, monkeypatch, count, runs):
    real, calls = Session.run, []

    def run(self, feeds, *names):
        calls.append(feeds)
        return real(self, feeds, *names)

    monkeypatch.setattr(Session, "run", run)
    result, records, _ = explained(dense(2), X[:count], "--target", 0)
    assert result.exit_code == 0 and len(records) == count
    explaining = [feeds["x"] for feeds in calls if "target" in feeds]
    assert [len(x) for x in explaining] == [2] * runs
    np.testing.assert_array_equal(np.concatenate(explaining)[:count], X[:count])


def test_items_in_python():
    explainer = Explainer(dense("N"), method="gradient")
    for given in (X, {"x": X}):
        items = explainer.items(given)
        found = [one[0].relevance for one in explainer.explain_batch(items, target=2)]
        assert relative_l2(np.stack(found), np.stack([gradient(x, 2) for x in X])) < 1e-6
    single = [one[0].relevance for one in explainer.explain_batch(list(X), target=2)]
    np.testing.assert_array_equal(single, found)
    with pytest.raises(BadInput, match=r"holds 3 items, .*explainer\.explain_batch\(explainer\.items\(x\)\)"):
        explainer.explain(X)
    (only,) = explainer.items(X[:1])
    assert only.shape == (1, 4) and explainer.items("photo.png") == ["photo.png"]


def test_what_has_no_batch_axis_belongs_to_every_item(explained):
    model = dense("N", ", float by", "s = MatMul(r, v) y = Mul(s, by)")
    result, records, out = explained(model, {"x": X, "by": np.float32(-2)}, "--target", 0)
    assert result.exit_code == 0 and [r["item"] for r in records] == [0, 1, 2]
    assert relative_l2(np.stack(maps(records, out)), np.stack([-2 * gradient(x, 0) for x in X])) < 1e-6


def test_time_in_front_belongs_to_every_item(explained):
    """Of a model of one sample the input with time in front is one item; the other holds three."""
    model = dense(1, ", float[5, 1, 3] t", "s = MatMul(r, v) m = ReduceMean<axes = [0], keepdims = 0>(t) y = Mul(s, m)")
    time = np.random.default_rng(3).normal(size=(5, 1, 3)).astype(np.float32)
    result, records, out = explained(model, {"x": X, "t": time}, "--target", 1)
    assert result.exit_code == 0, result.output
    want = [gradient(x, 1) * time.mean(0)[0, 1] for x in X]
    assert relative_l2(np.stack(maps(records, out)), np.stack(want)) < 1e-6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (X[:0], "holds 0 items; give at least one"),
        (np.where(np.arange(3)[:, None] == 2, np.nan, X).astype(np.float32), "contains NaN or infinity"),
        (X[:, :3], "must have the shape 1×4, not 1×3"),
        ({"x": X, "z": X[:2]}, "different numbers of items ('x' 3, 'z' 2)"),
        ({"x": X[:1], "z": X}, "different numbers of items ('x' 1, 'z' 3)"),
    ],
    ids=["none", "one broken", "too narrow", "three and two", "one and three"],
)
def test_items_that_do_not_fit_are_one_sentence_and_nothing_is_written(explained, given, said):
    model = dense("N", ", float[N, 4] z", "b = MatMul(z, w) c = Add(r, b) y = MatMul(c, v)")
    result, _, out = explained(model if isinstance(given, dict) else dense("N"), given)
    assert result.exit_code == 2 and result.stdout == "" and not out.exists()
    assert said in result.stderr and len(result.stderr.splitlines()) == 1


def test_two_files_whose_items_would_share_a_name(tmp_path):
    (tmp_path / "m.onnx").write_bytes(dense("N").SerializeToString())
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "a.1.npy", X[:1])
    result = cli("explain", tmp_path / "m.onnx", tmp_path / "a.npy", tmp_path / "a.1.npy", "-o", tmp_path / "out")
    assert result.exit_code == 2 and "would both be written as a.1.*" in result.stderr
    assert not (tmp_path / "out").exists()


def test_files_and_photos_of_different_counts_share_batches(tmp_path, repo):
    (tmp_path / "m.onnx").write_bytes(conv_net().SerializeToString())
    pictures = np.random.default_rng(4).normal(size=(3, 3, 12, 12)).astype(np.float32)
    np.save(tmp_path / "a.npy", pictures[:2])
    np.save(tmp_path / "b.npy", pictures[2])
    files = [tmp_path / "a.npy", tmp_path / "b.npy", repo / "models/scenes/scene_0.png"]
    arguments = ["--target", 3, "--batch-size", 3, "--preprocess", "unit"]
    result = cli("explain", tmp_path / "m.onnx", *files, *arguments, "-o", tmp_path / "o")
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "o/explain.json").read_text())
    assert [(r["npz"], r.get("item")) for r in records] == [
        ("a.0.3.npz", 0), ("a.1.3.npz", 1), ("b.3.npz", None), ("scene_0.3.npz", None),
    ]  # fmt: skip
    explainer = Explainer(tmp_path / "m.onnx")
    for picture, found in zip(pictures, maps(records, tmp_path / "o"), strict=False):
        assert relative_l2(found, explainer.explain(picture, target=3).relevance) < 1e-6


def test_comparing_keeps_to_one_item_per_file(tmp_path):
    (tmp_path / "m.onnx").write_bytes(dense("N").SerializeToString())
    np.save(tmp_path / "x.npy", X)
    result = cli("compare", tmp_path / "m.onnx", tmp_path / "m.onnx", tmp_path / "x.npy", "-o", tmp_path / "out")
    assert result.exit_code == 2 and "elsewhere give one item per file" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_exported_model_of_two_takes_any_number(shared_graph, tmp_path):
    """torch's squeeze of all axes fixes the batch at the two it was exported with."""
    path = shared_graph("torch__squeeze_all_b2__ts-op13")
    x = np.random.default_rng(5).normal(size=(3, 3, 32, 32)).astype(np.float32)
    model = onnx.load(path)
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    explainer = Explainer(path, method="gradient")
    for count in (1, 2, 3):
        np.save(tmp_path / f"x{count}.npy", x[:count])
        found = explainer.explain_batch(explainer.items(tmp_path / f"x{count}.npy"), target=7)
        assert len(found) == count
        for one, (got,) in zip(x, found, strict=False):
            assert relative_l2(got.relevance, by_hand(model, weights, one, 7)) < 1e-5


def by_hand(model: onnx.ModelProto, weights: dict[str, np.ndarray], x: np.ndarray, target: int) -> np.ndarray:
    """Return the gradient of Gemm(mean(ReLU(Conv(x)))) by torch's autograd."""
    import torch

    conv, gemm = model.graph.node[0], model.graph.node[-1]
    pads = next(a.ints for a in conv.attribute if a.name == "pads")
    strides = next(a.ints for a in conv.attribute if a.name == "strides")
    leaf = torch.tensor(x[None]).requires_grad_()
    w, b, v, c = (torch.tensor(weights[name]) for name in (*conv.input[1:], *gemm.input[1:]))
    y = torch.conv2d(leaf, w, b, padding=tuple(pads[:2]), stride=tuple(strides)).relu().mean((2, 3)) @ v.T + c
    y[0, target].backward()
    assert leaf.grad is not None
    return leaf.grad[0].numpy()
