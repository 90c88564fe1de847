"""The runner: which rows there are, what stops it and what does not, what it says in the end."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from rsp_onnx import Explainer
from rsp_onnx.cli.main import main
from rsp_onnx.errors import BadInput, BadModel, UnsupportedOp
from rsp_onnx.evaluate import evaluate, summary_table, write_report
from rsp_onnx.evaluate.runs.folder import arrow_type
from rsp_onnx.evaluate.runs.plan import Ahead, Plan
from rsp_onnx.evaluate.runs.rows import case_seed
from rsp_onnx.evaluate.runs.settings import Settings, choose_method

from .evaluating import METRICS, copies, rows_of, use_little_ones
from .little import little, two_input_net

METHODS = ["rsp", "rsp:hostile=none", "gradient"]


@pytest.fixture(autouse=True)
def _little_ones(monkeypatch):
    use_little_ones(monkeypatch.setattr)


@pytest.fixture(scope="module")
def digits(repo):
    return repo / "models/digits_pytorch.onnx"


@pytest.fixture(scope="module")
def data(repo, tmp_path_factory):
    return copies(repo / "models/scenes", tmp_path_factory.mktemp("data"), 21)


def run(model, data, out, **options):
    given = {"format": "csv", "methods": METHODS, "metrics": ["hit", "share"], "device": "cpu", "report": False}
    return evaluate(model, data, out=out, **{**given, **options})


@pytest.fixture(scope="module")
def done(digits, data, tmp_path_factory):
    """A whole run, read only."""
    with pytest.MonkeyPatch.context() as patch:
        use_little_ones(patch.setattr)
        out = tmp_path_factory.mktemp("runs") / "done"
        return out, run(digits, data, out, metrics=["hit", "share", "layers"])


# ---- rows ----


def test_there_is_a_row_per_item_target_and_method_in_their_order(done, data):
    out, _ = done
    rows = rows_of(out)
    with open(data / "boxes.csv", newline="") as file:
        pairs = sorted({(r["image"], int(r["class_index"])) for r in csv.DictReader(file)})
    assert [(r["item"], r["target"], r["method"]) for r in rows] == [(*p, m) for p in pairs for m in METHODS]
    assert sorted(p.name for p in (out / "rows").iterdir()) == ["part-000000.parquet", "part-000001.parquet"]


def test_a_row_says_all_there_is_to_say(done, data):
    row = rows_of(done[0])[0]
    assert row["image"] == str(data / "00000.png")
    assert (row["label"], row["width"], row["height"], row["classes"], row["error"]) == ("zero", 96, 96, 4, None)
    assert row["predicted"] == 0 and 0.9 < row["score"] <= 1
    assert row["area"] == pytest.approx(18 * 28 / 96**2)
    assert row["hit.hit"] is True and len(row["hit.peak"]) == 2 and len(row["share.curve"]) == 5
    assert set(row["hostile"]) == {2, 4, 7}


def test_hostile_classes_are_what_the_method_asks_for(digits, data, tmp_path):
    methods = ["rsp:hostile=none", "rsp:hostile=annotated", "rsp:hostile=runners-up"]
    run(digits, data, tmp_path, methods=methods, limit=1)
    first = {r["method"]: r["hostile"] for r in rows_of(tmp_path) if r["target"] == 4}
    assert first["rsp:hostile=none"] == []
    assert sorted(first["rsp:hostile=annotated"]) == [0, 2, 7]
    assert 4 not in first["rsp:hostile=runners-up"]


@pytest.mark.slow
def test_batches_of_any_size_give_the_same_rows(done, digits, data, tmp_path):
    run(digits, data, tmp_path, batch_size=3)
    for a, b in zip(rows_of(done[0]), rows_of(tmp_path), strict=True):
        assert a["share.share"] == pytest.approx(b["share.share"], abs=1e-4)
        assert (a["hit.hit"], a["share.curve"]) == (b["hit.hit"], b["share.curve"])


def test_maps_of_further_classes_reach_the_metric(done):
    rows = [r for r in rows_of(done[0]) if r["method"] == "gradient"]
    firsts = {r["item"]: min(q["target"] for q in rows if q["item"] == r["item"]) for r in rows}
    assert all((r["share.other"] is not None) == (r["target"] == firsts[r["item"]]) for r in rows)


def test_the_seed_of_a_case_depends_on_run_item_and_target_alone():
    seeds = {case_seed(*one) for one in [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2)]}
    assert len(seeds) == 4 and case_seed(0, "a", 1) == case_seed(0, "a", 1)
    assert max(seeds) < 2**32


# ---- which items ----


def settings(**given):
    return Settings("m", "d", "csv", ("rsp",), ("hit",), **given)


def test_a_seed_with_a_limit_draws_items_and_alone_it_does_not():
    assert Plan(settings(limit=5), 100).all_items() == [0, 1, 2, 3, 4]
    assert Plan(settings(seed=3), 4).all_items() == [0, 1, 2, 3]
    drawn = Plan(settings(limit=5, seed=3), 100).all_items()
    assert drawn == Plan(settings(limit=5, seed=3), 100).all_items() != [0, 1, 2, 3, 4]
    assert len(set(drawn)) == 5


def test_shards_have_every_part_of_the_run_once():
    whole = Plan(settings(), 100)
    shards = [Plan(settings(shard=(i, 3)), 100) for i in (1, 2, 3)]
    assert sorted(p for s in shards for p in s.parts) == list(whole.parts)
    assert sorted(i for s in shards for i in s.all_items()) == whole.all_items()


@pytest.mark.slow
def test_shards_put_together_are_the_whole_run(done, digits, data, tmp_path):
    for i in (1, 2):
        run(digits, data, tmp_path / str(i), shard=(i, 2), metrics=["hit", "share", "layers"])
    merged = write_report([tmp_path / "2", tmp_path / "1"], tmp_path / "both")
    assert merged["metrics"] == done[1]["metrics"]
    assert merged["counts"] == done[1]["counts"]
    with pytest.raises(BadInput, match="do not make one run"):
        write_report([tmp_path / "2", shutil.copytree(tmp_path / "2", tmp_path / "again")], tmp_path / "no")


# ---- broken items ----


@pytest.fixture
def broken(repo, tmp_path):
    """Ten items: one image missing, one damaged, one with a bad box, one of a class the model does not know."""
    folder = copies(repo / "models/scenes", tmp_path / "broken", 10)
    (folder / "00001.png").unlink()
    (folder / "00003.png").write_bytes(b"no picture")
    with (folder / "boxes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    head, rows = rows[0], [r for r in rows[1:] if r[0] not in ("00005.png", "00007.png")]
    rows += [["00005.png", 96, 96, 1, "one", "", "", "", ""], ["00007.png", 96, 96, "unknown", "x", 1, 1, 5, 5]]
    with (folder / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *sorted(rows, key=lambda r: r[0])])
    return folder


def test_broken_items_are_listed_and_stop_nothing(digits, broken, tmp_path):
    out = tmp_path / "out"
    found = run(digits, broken, out)
    assert found["counts"] == {"items": 10, "usable": 6, "skipped": 1, "broken": 3, "maps": 57, "failed_maps": 0}
    errors = {e["item"]: e["error"] for e in found["errors"]}
    assert list(errors) == ["00001.png", "00003.png", "00005.png"]
    assert errors["00005.png"] == "00005.png has a box without corners."
    whole = [r for r in rows_of(out) if r["method"] is None]
    assert [r["item"] for r in whole] == ["00001.png", "00003.png", "00005.png", "00007.png"]
    assert "no class the model knows" in whole[3]["error"] and "unicorn" in whole[3]["error"]
    with open(out / "errors.csv", newline="") as file:
        assert [r["item"] for r in csv.DictReader(file)] == list(errors)
    text = summary_table(found)
    assert "1 items show no class the model knows" in text and "3 items cannot be used" in text


def test_a_metric_that_fails_on_an_item_leaves_the_others(digits, data, tmp_path, monkeypatch):
    def fail(self, case):
        raise BadInput("The mask is damaged.")

    monkeypatch.setattr(METRICS["hit"], "measure", fail)
    found = run(digits, data, tmp_path, limit=2)
    rows = rows_of(tmp_path)
    assert {r["error"] for r in rows} == {"The mask is damaged."}
    assert all(r["hit.hit"] is None and r["share.share"] is not None for r in rows)
    assert found["counts"]["failed_maps"] == len(rows)


def test_a_method_that_fails_on_an_item_is_told_and_its_batch_goes_on(digits, data, tmp_path, monkeypatch):
    real = Explainer.explain_each

    def fail(self, items, targets, hostile):
        if self.method == "gradient" and any(f.tensors["image"].mean() == odd for f in items):
            raise BadModel("The relevance is not finite.")
        return real(self, items, targets, hostile)

    odd = Explainer(digits).prepare(data / "00005.png").tensors["image"].mean()
    monkeypatch.setattr(Explainer, "explain_each", fail)
    found = run(digits, data, tmp_path, limit=7)
    failed = [r for r in rows_of(tmp_path) if r["error"]]
    assert {(r["item"], r["method"], r["error"]) for r in failed} == {
        ("00005.png", "gradient", "The relevance is not finite."),
    }  # fmt: skip
    assert found["counts"]["failed_maps"] == len(failed) == len({r["target"] for r in failed})
    assert all(r["hit.hit"] is not None for r in rows_of(tmp_path) if not r["error"])


def test_a_metric_of_the_model_that_fails_is_told(digits, data, tmp_path, monkeypatch):
    def fail(self, *given):
        raise BadModel("No layer has weights.")

    monkeypatch.setattr(METRICS["layers"], "run", fail)
    found = run(digits, data, tmp_path, limit=1, metrics=["hit", "layers"])
    assert {(e["item"], e["method"], e["error"]) for e in found["errors"]} == {
        ("(layers)", method, "No layer has weights.") for method in METHODS
    }  # fmt: skip


def test_a_dataset_of_broken_items_alone_ends_with_a_report(digits, repo, tmp_path):
    folder = copies(repo / "models/scenes", tmp_path / "data", 3)
    for path in folder.glob("*.png"):
        path.unlink()
    found = run(digits, folder, tmp_path / "out", report=True)
    assert found["counts"]["broken"] == 3 and found["metrics"] == []
    assert "3 items cannot be used" in summary_table(found)
    assert "00002.png" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_a_model_that_takes_no_photographs_is_told(data, tmp_path):
    onnx.save(two_input_net(), tmp_path / "two.onnx")
    with pytest.raises(BadInput, match="several inputs"):
        run(tmp_path / "two.onnx", data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_part_is_told(digits, data, tmp_path):
    run(digits, data, tmp_path, limit=2)
    part = tmp_path / "rows/part-000000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(BadInput, match="delete it and run the same command again"):
        run(digits, data, tmp_path, limit=2)


def test_a_target_beyond_the_model_is_told(digits, repo, tmp_path):
    folder = copies(repo / "models/scenes", tmp_path / "data", 2)
    text = (folder / "boxes.csv").read_text().replace("00001.png,96,96,", "00001.png,96,96,9")
    (folder / "boxes.csv").write_text(text)
    found = run(digits, folder, tmp_path / "out")
    assert "the model's are 0..9; check the mapping" in found["errors"][0]["error"]


# ---- what stops a run before it begins ----


def test_a_method_that_cannot_work_stops_the_run_before_any_work(data, tmp_path):
    model = little(
        """g (float[N,3,96,96] x) => (float[N,4] y) {
            p = Det(x) y = Gemm(p, v) }""",
        v=np.ones((3, 4), np.float32),
    )  # fmt: skip
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(UnsupportedOp, match=r"method 'rsp' does not work with this model: .*Det"):
        run(tmp_path / "odd.onnx", data, tmp_path / "out", preprocess="unit")
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"methods": []}, "at least one method"),
        ({"metrics": []}, "at least one metric"),
        ({"methods": ["rsp", "rsp"]}, "given twice"),
        ({"methods": ["rsq"]}, "no method 'rsq'"),
        ({"methods": ["rsp:hostile=all"]}, "hostile=all is not one of"),
        ({"methods": ["rsp:split=two"]}, "split=two is not a number"),
        ({"methods": ["rsp:purge=maybe"]}, "neither yes nor no"),
        ({"shard": (3, 2)}, "shard 3/2"),
        ({"shard": (3, 3)}, "has no items"),
        ({"limit": 0}, "Limit must be 1 or more"),
        ({"engine": "spark"}, "'local' or 'ray'"),
    ],
)
def test_what_makes_no_run_is_told_in_one_sentence(digits, data, tmp_path, options, says):
    with pytest.raises(BadInput, match=says):
        run(digits, data, tmp_path / "out", **options)
    assert not list(tmp_path.rglob("*.parquet"))


def test_method_specs_are_split_between_evaluation_and_method():
    found = choose_method("rsp:hostile=none,split=1.5,purge=yes,signed-inputs=abs,section=r7")
    assert (found.method, found.hostile) == ("rsp", "none")
    assert found.options == {"split": 1.5, "purge": True, "signed_inputs": "abs", "section": "r7"}
    assert found.signed and not choose_method("gradient").signed


def test_another_run_in_the_folder_is_not_overwritten(done, digits, data):
    out, _ = done
    before = rows_of(out)
    with pytest.raises(BadInput, match=r"methods was .* now rsp"):
        run(digits, data, out, methods=["rsp"], metrics=["hit", "share", "layers"])
    assert rows_of(out) == before


def test_the_same_command_again_does_no_work(done, digits, data):
    calls = []
    out, first = done
    again = run(
        digits, data, out, metrics=["hit", "share", "layers"], batch_size=2, progress=lambda *a: calls.append(a)
    )
    assert calls == []
    assert again["metrics"] == first["metrics"]


# ---- the summary ----


def test_the_summary_has_every_figure_and_where_it_comes_from(done):
    out, found = done
    assert json.loads((out / "summary.json").read_text()) == found
    keys = {"method", "metric", "subset", "value", "low", "high", "n", "direction"}
    assert all(set(figure) == keys for figure in found["metrics"])
    overall = {(f["method"], f["metric"]) for f in found["metrics"] if f["subset"] == "all"}
    assert overall == {(m, metric) for m in METHODS for metric in ("hit", "share", "layers")}
    rows = [r["share.share"] for r in rows_of(out) if r["method"] == "rsp"]
    value = next(f for f in found["metrics"] if f["method"] == "rsp" and f["metric"] == "share")
    assert value["value"] == pytest.approx(np.mean(rows)) and value["n"] == len(rows)
    assert len(found["fingerprint"]["model_sha256"]) == 64
    assert found["provider"] == "CPUExecutionProvider" and "numpy" in found["versions"]


def test_metrics_of_models_keep_their_records(done):
    out, _ = done
    names = sorted(p.name for p in (out / "models").iterdir())
    assert names == ["layers.gradient.json", "layers.rsp-hostile=none.json", "layers.rsp.json"]
    record = json.loads((out / "models" / names[0]).read_text())
    assert (record["metric"], record["method"], len(record["records"])) == ("layers", "gradient", 8)


def test_the_table_marks_the_best_and_says_where_rsp_does_not_lead():
    def figure(method, value, metric="m", direction="higher"):
        return {"method": method, "metric": metric, "subset": "all", "value": value, "low": value - 0.01,
                "high": value + 0.01, "n": 7, "direction": direction}  # fmt: skip

    figures = [figure("rsp", 0.5), figure("rsp:split=1", 0.6), figure("clrp", 0.7)]
    figures += [figure(m, v, "d", "lower") for m, v in (("rsp", 0.1), ("rsp:split=1", 0.2), ("clrp", 0.3))]
    counts = {"items": 7, "usable": 7, "skipped": 0, "broken": 0, "maps": 21, "failed_maps": 0}
    text = summary_table({"metrics": figures, "counts": counts})
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "method" and "m ↑ (n = 7)" in lines[0] and "d ↓ (n = 7)" in lines[0]
    assert "0.100*" in lines[1] and "0.700*" in lines[3] and text.count("*") == 3
    assert "RSP does not lead m: clrp 0.700, rsp:split=1 0.600." in text
    assert "does not lead d" not in text


def test_all_methods_with_the_best_figure_are_marked():
    figure = {"metric": "m", "subset": "all", "low": None, "high": None, "n": 7, "direction": "higher"}
    figures = [{**figure, "method": method, "value": value} for method, value in (("rsp", 0.7), ("a", 0.7), ("b", 0.6))]
    counts = {"items": 7, "usable": 7, "skipped": 0, "broken": 0, "maps": 21, "failed_maps": 0}
    lines = summary_table({"metrics": figures, "counts": counts}).splitlines()
    assert [line.endswith("0.700*") for line in lines[1:4]] == [True, True, False]


# ---- the command line ----


def cli(*words):
    return CliRunner().invoke(main, [str(w) for w in words])


def test_the_command_prints_the_table_and_writes_the_report(digits, data, tmp_path):
    words = ["evaluate", digits, data, "--format", "csv", "--method", "rsp", "--method", "gradient", "--metric", "hit"]
    words += ["--limit", 3, "--shard", "1/1", "--device", "cpu", "-o", tmp_path / "run"]
    done = cli(*words)
    assert done.exit_code == 0, done.output
    assert re.match(r"method +hit ↑ \(n = \d+\)\nrsp +[01]", done.stdout)
    assert (tmp_path / "run/report.html").is_file() and done.stderr == ""
    again = cli(*words, "--json")
    assert json.loads(again.stdout) == json.loads((tmp_path / "run/summary.json").read_text())
    report = cli("report", tmp_path / "run", "-o", tmp_path / "report")
    assert report.exit_code == 0 and "1 of 1" not in report.stdout
    assert (tmp_path / "report/report.html").is_file()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--shard", "0/2"], "is not a shard"),
        (["--shard", "two"], "is not a shard"),
        (["--method", "rsp:hostile=all"], "hostile=all is not one of"),
    ],
)
def test_the_command_says_in_one_sentence_what_is_wrong(digits, data, tmp_path, options, says):
    done = cli("evaluate", digits, data, "--format", "csv", "--metric", "hit", "-o", tmp_path / "run", *options)
    assert done.exit_code == 2 and says in done.output
    assert not (tmp_path / "run").exists()


def test_without_the_extra_packages_one_sentence_says_what_to_install(repo):
    code = """import sys
sys.modules["pyarrow"] = None
from rsp_onnx.cli.main import main
main(["evaluate", "m.onnx", "d", "--format", "csv"])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 2
    says = 'Error: Evaluation needs pyarrow, which is not installed: pip install "rsp-onnx[eval]".'
    assert done.stderr.strip() == says


# ---- small things ----


def test_arrow_types_are_named():
    assert str(arrow_type("list<float64>")) == "list<item: double>"
    assert str(arrow_type("bool")) == "bool"


def test_columns_of_nothing_keep_their_types(done):
    schema = pq.read_schema(done[0] / "rows/part-000000.parquet")
    assert [str(schema.field(n).type) for n in ("error", "area", "hit.hit")] == ["string", "double", "bool"]


def test_reading_ahead_keeps_order_passes_errors_on_and_ends():
    assert list(Ahead(iter(range(100)), 3)) == list(range(100))

    def fails():
        yield 1
        raise BadInput("no")

    ahead = iter(Ahead(fails(), 1))
    assert next(ahead) == 1
    with pytest.raises(BadInput, match="no"):
        next(ahead)
    endless = Ahead(iter(int, 1), 2)
    endless.close()
    assert not endless._thread.is_alive()


def test_what_was_lost_when_photos_were_read_is_told(repo, tmp_path):
    """Scenes of digits, two of them saved with 12 bits in 16."""
    data = tmp_path / "data"
    data.mkdir()
    lines = (repo / "models/scenes/boxes.csv").read_text().splitlines()
    (data / "boxes.csv").write_text("\n".join(lines), encoding="utf-8")
    for number, path in enumerate(sorted((repo / "models/scenes").glob("scene_?.png"))):
        with Image.open(path) as photo:
            grey = np.asarray(photo.convert("L")).astype(np.uint16)
        Image.fromarray(grey * 16 if number < 2 else grey * 257).save(data / path.name)
    summary = evaluate(
        repo / "models/digits_pytorch.onnx", data, format="csv", methods=["gradient"], metrics=["hit"],
        out=tmp_path / "run", device="cpu", report=False,
    )  # fmt: skip
    assert summary["remarks"]["items"] == 2
    assert summary["remarks"]["first"].startswith("scene_0.png: its 16-bit pixels reach only ")
    says = "2 photos lost something or were guessed at when they were read: scene_0.png: its 16-bit pixels reach only"
    assert says in summary_table(summary)
