"""The cache of compiled explainers: equal to the bit, never stale, and never in the way."""

import dataclasses
import os
import shutil

import numpy as np
import onnx
import pytest

from rsp_onnx import BadInput, BadModel, Explainer
from rsp_onnx.cache.key import surroundings
from rsp_onnx.explain.supply import shelf
from rsp_onnx.graph import rule_modules

from .little import conv_net, little, table_net, two_input_net

CPU = {"device": "cpu", "threads": 1}
X = np.random.default_rng(0).normal(size=(2, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def folder(cache_switched_on):
    return cache_switched_on


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(conv_net(end="Softmax<axis=1>"), path)
    return path


def item(number=0):
    return {"x": X[number : number + 1]}


def explained(model, *, tensors=(), feeds=None, target="auto", hostile="auto", **settings):
    return Explainer(model, **{**CPU, **settings}).explain(feeds or item(), target, hostile, tensors=tensors)


def fields(explanation):
    """Return all that an explanation holds, but for where its explainer came from."""
    names = (f.name for f in dataclasses.fields(explanation) if f.name not in ("cached", "account"))
    return {**{name: getattr(explanation, name) for name in names}, "account": explanation.account.get()}


def assert_equal(one, other):
    """Hold every field of two explanations to each other, arrays to the bit."""
    a, b = fields(one), fields(other)
    for name, value in a.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == b[name].dtype and value.tobytes() == b[name].tobytes(), name
        elif name in ("relevances", "outputs"):
            assert list(value) == list(b[name]), name
            assert all(value[k].tobytes() == b[name][k].tobytes() for k in value), name
        else:
            assert value == b[name], name


def entries(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# ---- equal to the bit ----


def quantised():
    """A QDQ classifier: int8 weights, a scale for the activations; its scores keep their own bits."""
    rng = np.random.RandomState
    return little(
        """g (float[N,3,12,12] x) => (float[N,4] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) k = DequantizeLinear(w, t, z)
            a = Conv<pads=[1,1,1,1]>(d, k) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }""",
        s=np.float32(0.03), z=np.int8(0), t=np.float32(0.01), w=rng(1).randint(-99, 99, (6, 3, 3, 3)).astype(np.int8),
        v=rng(3).randn(6, 4).astype(np.float32),
    )  # fmt: skip


def mask_net():
    """Scores of every position: a little model of its own makes one per class of them."""
    w = np.random.RandomState(1).randn(4, 3, 3, 3).astype(np.float32)
    text = "g (float[N,3,12,12] x) => (float[N,4,12,12] y) { a = Conv<pads=[1,1,1,1]>(x, w) y = Softmax<axis=1>(a) }"
    return little(text, w=w)


TWO = {"left": X[:1, :, :8, :8].copy(), "right": X[1:, :1, :8, :8].copy()}
HALF = {"x": X[:1].astype(np.float16)}
TABLE = {"x": X[0, 0, 0, :7][None].copy()}
CASES = {
    "rsp": (conv_net(end="Sigmoid"), {}),
    "rivals": (conv_net(), {"target": 1, "hostile": [2, 3]}),
    "softmax": (conv_net(end="Softmax<axis=1>"), {"target": "topk:2"}),
    "gradient": (conv_net(), {"method": "gradient", "tensors": ("r",)}),
    "lrp": (conv_net(), {"method": "lrp-epsilon:epsilon=0.01"}),
    "smooth-grad": (conv_net(), {"method": "smooth-grad:samples=3"}),
    "occlusion": (conv_net(), {"method": "occlusion"}),
    "grad-cam": (conv_net(), {"method": "grad-cam"}),
    "masks": (mask_net(), {"region": "mask"}),
    "int8": (quantised(), {}),
    "half": (conv_net(dtype="float16"), {"feeds": HALF}),
    "two inputs": (two_input_net(), {"feeds": TWO}),
    "table": (table_net(), {"feeds": TABLE, "purge": True, "split": 1.5}),
    "fixed batch": (conv_net(batch=2), {}),
    "labels": (conv_net(), {"labels": ["a", "b", "c", "d"]}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_comes_from_the_cache_is_equal_to_the_bit(folder, name):
    model, asked = CASES[name]
    anew = explained(model, cache=False, **asked)
    assert not folder.exists()
    first, second = explained(model, **asked), explained(model, **asked)
    for one, two, three in zip(*([x] if not isinstance(x, list) else x for x in (anew, first, second)), strict=True):
        assert (one.cached, two.cached, three.cached) == (False, False, True)
        assert_equal(one, two)
        assert_equal(one, three)


def test_a_real_model_and_a_photo(folder, repo):
    model, photo = repo / "models/digits_pytorch.onnx", repo / "models/scenes/scene_0.png"
    found = [Explainer(model, cache=use, **CPU).explain(photo, "four") for use in (False, True, True)]
    assert [one.cached for one in found] == [False, False, True]
    for other in found[1:]:
        assert other.heatmap_original.tobytes() == found[0].heatmap_original.tobytes()
        assert other.image().tobytes() == found[0].image().tobytes()
        assert (other.warnings, other.losses, other.label) == (found[0].warnings, found[0].losses, found[0].label)


def test_scores_activation_bytes_and_kind_are_told_from_the_cache(folder):
    def told():
        explainer = Explainer(conv_net(), **CPU)
        ready = explainer.prepare(item())
        return explainer.scores(item()).tobytes(), explainer.activation_bytes(ready), explainer.score_kind(ready)

    assert told() == told()


def test_a_model_with_the_level_it_needs_is_not_guarded_again(folder, monkeypatch):
    from rsp_onnx.model import session

    monkeypatch.setattr(session, "safe_level", lambda data: "ORT_ENABLE_BASIC")
    first = explained(conv_net(dtype="float16"), feeds=HALF, method="gradient")
    assert first.ledger and any(w.endswith("so it runs at ORT_ENABLE_BASIC") for w in first.warnings)
    monkeypatch.setattr(session, "safe_level", lambda data: pytest.fail("guarded again"))
    second = explained(conv_net(dtype="float16"), feeds=HALF, method="gradient")
    assert second.cached
    assert_equal(first, second)


# ---- never stale ----


@pytest.mark.parametrize(
    "other",
    [
        {"method": "gradient"}, {"method": "lrp-gamma"}, {"purge": True}, {"split": 3.0}, {"signed_inputs": "abs"},
        {"section": "p"}, {"tensors": ("r",)}, {"threads": 2}, {"output": "f"}, {"class_rows": "0:2"},
        {"labels": ["a", "b", "c", "d"]}, {"class_axis": 1},
    ],
    ids=str,
)  # fmt: skip
def test_another_setting_is_another_explainer(folder, other):
    explained(conv_net())
    assert explained(conv_net()).cached
    first = explained(conv_net(), **other)
    assert not first.cached
    assert_equal(first, explained(conv_net(), cache=False, **other))
    assert explained(conv_net(), **other).cached


def test_other_parameters_of_a_method_and_other_weights_are_others(folder):
    explained(conv_net(), method="lrp-gamma")
    assert not explained(conv_net(), method="lrp-gamma:gamma=0.5").cached
    changed = conv_net()
    changed.graph.initializer[0].raw_data = (2 * onnx.numpy_helper.to_array(changed.graph.initializer[0])).tobytes()
    assert not explained(changed, method="lrp-gamma").cached


def test_other_sizes_are_others(folder):
    text = """g (float[N,3,H,W] x) => (float[N,4] y) {
        a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) p = GlobalAveragePool(r) y = Flatten(p) }"""
    model = little(text, w=np.random.RandomState(1).randn(4, 3, 3, 3).astype(np.float32))
    assert not explained(model).cached and explained(model).cached
    assert not explained(model, feeds={"x": X[:1, :, :8, :8].copy()}).cached


def test_another_version_source_or_machine_is_another(folder, monkeypatch):
    explained(conv_net())
    known = dict(surroundings())
    for name in known:
        monkeypatch.setattr(shelf, "surroundings", lambda name=name: {**known, name: "another"})
        assert not explained(conv_net()).cached, name
    monkeypatch.setattr(shelf, "surroundings", lambda: known)
    assert explained(conv_net()).cached


def test_the_surroundings_name_what_compiles_and_see_a_changed_source(monkeypatch, tmp_path):
    from rsp_onnx.cache import key

    found = surroundings()
    assert found["packages"]["onnx-ir"] and found["packages"]["onnx"]
    assert any(found["packages"][name] for name in ("onnxruntime", "onnxruntime-gpu"))
    package = tmp_path / "rsp_onnx"
    (package / "rules").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "rules" / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(key.rsp_onnx, "__file__", str(package / "__init__.py"))
    before = key._sources()
    assert key._sources() == before
    os.utime(package / "rules" / "one.py", ns=(1, 1))
    assert key._sources() != before


def test_rules_of_others_are_neither_read_nor_kept(folder, monkeypatch):
    monkeypatch.setattr(shelf, "others_rules", rule_modules.others_rules)
    monkeypatch.setattr(rule_modules, "_authors", {"rsp_onnx.rules.layers.conv"})
    monkeypatch.setattr(rule_modules, "_offered", lambda: ())
    explained(conv_net())
    assert explained(conv_net()).cached
    count = len(entries(folder))
    rule_modules.note_author("rsp_onnx_user_rules_1")
    assert not explained(conv_net()).cached
    assert not explained(table_net(), feeds=TABLE).cached and len(entries(folder)) == count
    monkeypatch.setattr(rule_modules, "_authors", set())
    monkeypatch.setattr(rule_modules, "_offered", lambda: ("an entry point",))
    assert not explained(conv_net()).cached


def test_whoever_registers_anything_is_noted(monkeypatch):
    from rsp_onnx.graph import op_facts
    from rsp_onnx.rewrite import registry as rewriting
    from rsp_onnx.rulekit import registry

    tables = {registry: ("_RULES", "_NO_FLOW", "_NO_RULE", "_STATISTICS"), op_facts: ("_FACTS",),
              rewriting: ("_HANDLERS", "_HOW")}  # fmt: skip
    for module, names in tables.items():
        for name in names:
            monkeypatch.setattr(module, name, dict(getattr(module, name)))
    facts = {"data": op_facts.Data.KEEPS, "role": op_facts.Role.OTHER, "sign": op_facts.Sign.ANY}
    ways = [
        lambda: registry.rule("Mine")(lambda ctx, node, r: [r]),
        lambda: registry.no_flow("Mine", reason="none"),
        lambda: registry.no_rule("Mine", reason="none"),
        lambda: registry.statistics("Mine", 1, reason="none"),
        lambda: op_facts.op_facts("Mine", **facts),
        lambda: rewriting.expands("Mine", how="")(lambda expansion, node: None),
    ]
    for register in ways:
        monkeypatch.setattr(rule_modules, "_authors", set())
        register()
        assert rule_modules._authors == {__name__}
        assert rule_modules.others_rules()


def test_the_content_of_libraries_of_custom_ops_counts(folder, monkeypatch):
    explained(conv_net())
    monkeypatch.setattr(shelf, "library_digests", lambda: ["another"])
    assert not explained(conv_net()).cached
    assert explained(conv_net()).cached


def test_external_data_counts_and_must_be_there(folder, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(conv_net(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    first = explained(path)
    assert explained(path).cached
    data = bytearray((tmp_path / "net.data").read_bytes())
    data[3] ^= 1  # the sign and exponent of a weight
    (tmp_path / "net.data").write_bytes(data)
    changed = explained(path)
    assert not changed.cached and changed.relevance.tobytes() != first.relevance.tobytes()
    assert explained(path).cached
    (tmp_path / "net.data").unlink()
    with pytest.raises(BadModel, match="is missing"):
        explained(path)


def test_a_file_that_is_replaced_while_it_is_in_use_is_said(folder, saved):
    explained(saved)
    explainer = Explainer(saved, **CPU)
    assert explainer.explain(item()).cached
    onnx.save(conv_net(classes=3), saved)
    with pytest.raises(BadModel, match=r"net\.onnx was changed while it was in use; make a new Explainer\."):
        _ = explainer.model


def test_bytes_and_a_model_in_memory_are_cached_by_what_they_are(folder, saved):
    model = onnx.load(saved)
    assert not explained(model).cached and explained(model).cached
    kept = Explainer(model, **CPU)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    assert kept.explain(item()).cached
    assert kept.model.sha256 == kept.facts.sha256, "the model as it was when the explainer was made"
    assert explained(saved.read_bytes()).cached and explained(saved).cached, "the file holds the same bytes"


def test_an_error_is_the_same_with_a_cache(folder, saved):
    explained(saved)
    for arguments, error in (
        ({"labels": ["a"]}, BadInput),
        ({"method": "none"}, BadInput),
        ({"section": "no"}, BadInput),
    ):
        said = []
        for use in (False, True, True):
            with pytest.raises(error) as raised:
                explained(saved, cache=use, **arguments)
            said.append(str(raised.value))
        assert len(set(said)) == 1
    saved.write_bytes(b"")
    with pytest.raises(BadModel, match="is empty"):
        explained(saved)
    saved.unlink()
    with pytest.raises(BadModel, match="There is no file"):
        explained(saved)


# ---- damage ----


def damaged(folder):
    """Yield every file of the cache in turn, cut off, changed by a bit, empty and gone; whole again afterwards."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        middle = bytes([whole[len(whole) // 2] ^ 1])
        for broken in (
            whole[: len(whole) // 2],
            whole[: len(whole) // 2] + middle + whole[len(whole) // 2 + 1 :],
            b"",
            None,
        ):
            yield path, broken


def test_a_damaged_entry_is_compiled_anew_and_replaced(folder):
    model, asked = CASES["masks"]
    want = explained(model, **asked)
    assert want.ledger, "which is an entry of its own"
    whole = folder.with_name("whole")
    shutil.copytree(folder, whole)
    count = len(entries(folder))
    for path, broken in damaged(whole):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        target = folder / path.relative_to(whole)
        target.unlink() if broken is None else target.write_bytes(broken)
        assert_equal(want, explained(model, **asked))
        assert target.read_bytes() != broken, "thrown away and written anew"
        again = explained(model, **asked)
        assert again.cached, (path.name, broken is None)
        assert_equal(want, again)
        assert len(entries(folder)) == count
