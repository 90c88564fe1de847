"""``rsp-onnx page``: a folder with all the browser needs, written whole or not at all."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from PIL import Image

from rsp_onnx import BadInput, BadOutput, Explainer
from rsp_onnx.cli.main import main
from rsp_onnx.web import built
from rsp_onnx.web.page.samples import write_samples
from rsp_onnx.web.page.write import write_page
from rsp_onnx.web.samples import sample_photos

from .little import conv_net, gray_net, nhwc_net, signal_net

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


@pytest.fixture
def page_is_built(tmp_path, monkeypatch):
    """Put a stand-in where Node's page lies, so that these tests need no Node."""
    folder = tmp_path / "package/built"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets/index.js").write_text("run()", encoding="utf-8")
    engine = '<script type="application/json" id="engine">{ "engine": "none" }</script>'
    (folder / "index.html").write_text(engine, encoding="utf-8")
    monkeypatch.setattr(built, "BUILT", folder)
    return folder


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "a model.onnx"
    path.write_bytes(conv_net().SerializeToString())
    return path


def saved(tmp_path, name, proto):
    path = tmp_path / name
    path.write_bytes(proto.SerializeToString())
    return path


def cli(*arguments, code=0):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == code, done.output
    return done


def facts_of(folder):
    return json.loads((folder / "page.json").read_text(encoding="utf-8"))


def run(folder, one, method, photo, target, layers=False):
    """Run a compiled file of a page as the browser does."""
    session = ort.InferenceSession(folder / one["files"][method]["layers" if layers else "map"])
    explainer = Explainer(folder.parent / one["facts"]["name"], device="cpu", threads=1)
    feeds = {**explainer.feeds(photo), "target": np.array([[target]])}
    if "hostile" in {i.name for i in session.get_inputs()}:
        feeds["hostile"] = np.zeros((1, 1, 0), np.int64)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


@pytest.mark.usefixtures("page_is_built")
class TestFolder:
    def test_it_holds_the_page_the_models_and_the_samples(self, tmp_path, model):
        Image.fromarray(IMAGE).save(tmp_path / "photo.jpg")
        told = write_page([model], tmp_path / "out", images=tmp_path)
        assert '"engine": "browser"' in (tmp_path / "out/index.html").read_text(encoding="utf-8")
        page = facts_of(tmp_path / "out")
        assert set(page["presets"]) == {"imagenet-torch", "imagenet-caffe", "imagenet-tf", "unit", "raw"}
        addresses = [page["samples"][0]["url"], *page["models"][0]["files"]["rsp"].values()]
        assert all((tmp_path / "out" / one).is_file() and " " not in one for one in addresses)
        assert told["samples"] == 1 and told["models"][0]["methods"] == ["rsp"]
        assert told["bytes"] == sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file())

    @pytest.mark.parametrize("net", [conv_net, nhwc_net], ids=["NCHW", "NHWC"])
    def test_its_files_give_the_maps_of_explain(self, tmp_path, net):
        path = saved(tmp_path, "net.onnx", net())
        write_page([path], tmp_path / "out", methods=["rsp", "gradient"])
        (one,) = facts_of(tmp_path / "out")["models"]
        for method in ("rsp", "gradient"):
            explained = Explainer(path, method=method, device="cpu", threads=1).explain(IMAGE, 1, "none")
            found = run(tmp_path / "out", one, method, IMAGE, 1)
            given = found["relevance"][0, 0]
            given = given if one["wanted"]["layout"] == "NCHW" else given.transpose(2, 0, 1)
            np.testing.assert_allclose(given, explained.relevance, rtol=0, atol=1e-5 * np.abs(given).max())
            np.testing.assert_allclose(found[one["scores"]][0], explained.scores, atol=1e-5)

    @pytest.mark.parametrize("net", [conv_net, nhwc_net], ids=["NCHW", "NHWC"])
    def test_the_layers_are_summed_over_their_channels(self, tmp_path, net):
        path = saved(tmp_path, "net.onnx", net())
        write_page([path], tmp_path / "out")
        (one,) = facts_of(tmp_path / "out")["models"]
        found = run(tmp_path / "out", one, "rsp", IMAGE, 1, layers=True)
        names = [name.removeprefix("relevance/") for name in found if name.startswith("relevance/")]
        assert names and set(names) == {layer["tensor"] for layer in one["facts"]["layers"] if layer["hasMap"]}
        explained = Explainer(path, device="cpu", threads=1).explain(IMAGE, 1, "none", tensors=names)
        for name in names:
            whole = explained.relevances[name]
            wanted = whole.sum(0) if whole.ndim == 3 else whole  # behind its Transpose, the other is NCHW too
            np.testing.assert_allclose(
                found[f"relevance/{name}"][0, 0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max()
            )

    def test_a_gray_model_is_told_without_channels(self, tmp_path):
        write_page([saved(tmp_path, "gray.onnx", gray_net(3))], tmp_path / "out", layers=False)
        (one,) = facts_of(tmp_path / "out")["models"]
        assert (one["wanted"]["layout"], one["wanted"]["channels"]) == ("NHW", 1)
        assert one["files"]["rsp"]["layers"] is None

    def test_two_models_of_one_name_do_not_meet(self, tmp_path, model):
        write_page([model, model], tmp_path / "out", layers=False)
        first, second = facts_of(tmp_path / "out")["models"]
        assert first["facts"]["id"] != second["facts"]["id"] and first["files"] != second["files"]

    def test_it_replaces_a_page_and_nothing_else(self, tmp_path, model):
        write_page([model], tmp_path / "out", layers=False)
        (tmp_path / "out/left over").touch()
        write_page([model], tmp_path / "out", layers=False)
        assert not (tmp_path / "out/left over").exists()
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/letter.txt").touch()
        with pytest.raises(BadOutput, match="holds something else"):
            write_page([model], tmp_path / "mine")
        assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]

    def test_a_page_stays_where_the_new_one_cannot_be_put(self, tmp_path, model, monkeypatch):
        write_page([model], tmp_path / "out", layers=False)
        (tmp_path / "out/mine").touch()
        rename = Path.rename

        def refuse(self, target):
            if self.name == "page":
                raise OSError(28, "No space left on device")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(BadOutput, match="cannot be written: No space left on device"):
            write_page([model], tmp_path / "out", layers=False)
        assert (tmp_path / "out/mine").exists() and not list(tmp_path.glob(".rsp-onnx-page-*"))

    @pytest.mark.parametrize("number", [0, 1], ids=["the first", "the second"])
    def test_a_model_that_is_refused_leaves_nothing(self, tmp_path, model, number):
        models = [model, saved(tmp_path, "signal.onnx", signal_net())]
        before = sorted(p.name for p in tmp_path.iterdir())
        with pytest.raises(BadInput, match="takes no photographs"):
            write_page(models[number:] if number else models[::-1], tmp_path / "out")
        assert sorted(p.name for p in tmp_path.iterdir()) == before

    def test_labels_are_one_for_all_or_one_each(self, tmp_path, model):
        (tmp_path / "labels.txt").write_text("<img src=x onerror=alert(1)>\nb\nc\nd\n", encoding="utf-8")
        labels = [tmp_path / "labels.txt"]
        write_page([model, model], tmp_path / "out", labels=labels, layers=False)
        for one in facts_of(tmp_path / "out")["models"]:
            assert one["facts"]["labels"][0] == "<img src=x onerror=alert(1)>"
            assert one["facts"]["labelsSource"] == "labels.txt"
        with pytest.raises(BadInput, match="2 label files for 1 models"):
            write_page([model], tmp_path / "again", labels=labels * 2)

    def test_the_command_says_what_it_wrote(self, tmp_path, model):
        done = cli("page", model, "-o", tmp_path / "out", "--json")
        assert json.loads(done.stdout)["models"][0]["name"] == "a model.onnx"


def test_a_page_that_was_not_built_is_one_sentence(tmp_path, model, monkeypatch):
    monkeypatch.setattr(built, "BUILT", tmp_path / "nowhere")
    done = cli("page", model, "-o", tmp_path / "out", code=2)
    assert "The page is not built: run make page" in done.stderr and not (tmp_path / "out").exists()


def test_samples_are_what_browsers_read(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.tiff", "a.jpg", "c.png"):
        Image.fromarray(IMAGE).save(folder / name)
    (folder / "notes.txt").touch()
    found = write_samples(sample_photos(folder), tmp_path / "samples")
    assert [(one["name"], one["url"]) for one in found] == [
        ("a", "samples/0.jpg"), ("b", "samples/1.png"), ("c", "samples/2.png"),
    ]  # fmt: skip
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "samples/1.png")), IMAGE)
    missing = "with images cannot be read: No such file"
    for place, why in ((tmp_path / "none", missing), (tmp_path / "samples/..", "holds no photographs")):
        with pytest.raises(BadInput, match=why):
            sample_photos(place)
