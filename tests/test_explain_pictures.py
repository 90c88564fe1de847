"""`rsp-onnx explain`: layouts, formats, contact sheets, tokens, and what cannot be drawn."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from rsp_onnx import Explainer, Explanations, explain_files
from rsp_onnx.cli.main import main
from rsp_onnx.errors import BadInput
from rsp_onnx.explain.pictures import contact
from rsp_onnx.explain.pictures.contact import ContactSheets
from rsp_onnx.render.kinds import kind_of

from .little import conv_net, little, volume_net

RNG = np.random.RandomState


def text_net():
    """Eight words of embedding 5, their mean, 3 classes."""
    return little(
        """g (int64[N,T] ids) => (float[N,3] y) {
            e = Gather(table, ids) axes = Constant<value_ints=[1]>() m = ReduceMean<keepdims=0, axes=[1]>(e)
            y = MatMul(m, v) }""",
        table=RNG(1).randn(8, 5).astype(np.float32),
        v=RNG(2).randn(5, 3).astype(np.float32),
    )  # fmt: skip


def flat_net():
    """Four axes of places, as films of volumes have."""
    return little(
        "g (float[N,1,2,2,2,2] x) => (float[N,3] y) { f = Flatten(x) y = MatMul(f, v) }",
        v=RNG(3).randn(16, 3).astype(np.float32),
    )


def cli(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def files(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def model(tmp_path):
    onnx.save(conv_net(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(3):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(tmp_path / f"photo_{n}.png")
    return [tmp_path / f"photo_{n}.png" for n in range(3)]


def test_every_picture_on_one_sheet_beside_the_single_ones(model, photos, tmp_path):
    said = cli("explain", model, *photos, "--target", "topk:2", "--contact-sheet", "-o", tmp_path / "out").stdout
    assert f"Contact sheet: {tmp_path / 'out' / 'contact-sheet.png'}" in said
    records = json.loads((tmp_path / "out/explain.json").read_text())
    assert len(records) == 6
    assert files(tmp_path / "out") == {"explain.json", "contact-sheet.png"} | {
        r[kind] for r in records for kind in ("png", "npz")
    }
    with Image.open(tmp_path / "out/contact-sheet.png") as sheet:
        assert sheet.width == 10 + 2 * 234 and (sheet.height - 10) % 3 == 0
        rows = np.asarray(sheet)
    step = (len(rows) - 10) // 3
    for n in range(3):  # a picture in each cell, in the middle of its room
        for left in (10, 244):
            assert np.ptp(rows[10 + n * step + 112, left + 40 : left + 180].astype(int)) > 20


def test_without_the_option_there_is_no_sheet(model, photos, tmp_path):
    records = explain_files(Explainer(model), photos, tmp_path / "out")
    assert records.sheets == () and "contact-sheet.png" not in files(tmp_path / "out")
    assert set(records[0]) >= {"png", "npz"} and not {"svg", "pdf", "layout"} & set(records[0])


def test_many_pictures_take_several_sheets_and_none_is_lost(monkeypatch, model, photos, tmp_path):
    monkeypatch.setattr(contact, "ROWS", 2)
    monkeypatch.setattr(contact, "COLUMNS", 3)
    found = Explainer(model).explain(photos[0], target="topk:4")
    sheets, drawn = ContactSheets(tmp_path), []

    def sheet(pictures, columns, captions, **_):
        drawn.extend(caption for caption in captions if caption)
        return Image.new("RGB", (columns, 1))

    monkeypatch.setattr(contact, "contact_sheet", sheet)
    for name in ("a.png", "b.png", "c.png"):  # two rows each: three pictures, then one
        sheets.add(name, found)
    sheets.finish()
    assert sheets.written == ["contact-sheet.1.png", "contact-sheet.2.png", "contact-sheet.3.png"]
    wanted = [f"{name}\n{one.label}\n" for name in ("a.png", "b.png", "c.png") for one in found]
    assert [any(caption.startswith(start) for caption in drawn) for start in wanted] == [True] * 12 and len(drawn) == 12


def test_a_long_name_keeps_both_ends():
    name = contact._short("ILSVRC2012_validation_of_many_00000001.JPEG")
    assert len(name) == 26 and name.startswith("ILSVRC20…") and name.endswith("00000001.JPEG")
    assert contact._short("a" * 26) == "a" * 26


def test_an_image_that_is_called_like_the_sheet_is_refused(model, photos, tmp_path):
    photos[0].rename(tmp_path / "contact-sheet.png")
    with pytest.raises(BadInput, match="give the image of that name another one"):
        explain_files(Explainer(model), [tmp_path / "contact-sheet.png"], tmp_path / "out", contact_sheet=True)
    assert not (tmp_path / "out").exists()


def test_pictures_are_written_in_every_format_asked_for(model, photos, tmp_path):
    out = tmp_path / "out"
    cli("explain", model, photos[0], "--target", 1, "--format", "svg", "--format", "pdf", "-o", out)
    (record,) = json.loads((out / "explain.json").read_text())
    assert (record["png"], record["svg"], record["pdf"]) == (None, "photo_0.1.svg", "photo_0.1.pdf")
    assert files(out) == {"explain.json", "photo_0.1.svg", "photo_0.1.pdf", "photo_0.1.npz"}
    said = cli("explain", model, photos[1], "--target", 1, "--format", "svg", "-o", out).stdout
    assert f"-> {out / 'photo_1.1.svg'}" in said


def test_the_layout_is_that_of_the_files(model, photos, tmp_path):
    sizes = {}
    for layout in ("triple", "pair", "overlay"):
        cli("explain", model, photos[0], "--target", 1, "--layout", layout, "-o", tmp_path / layout)
        with Image.open(tmp_path / layout / "photo_0.1.png") as picture:
            sizes[layout] = picture.width
    assert sizes["triple"] > sizes["pair"] > sizes["overlay"] == 640


@pytest.mark.parametrize(("option", "says"), [({"layout": "x"}, "no layout 'x'"), ({"formats": ["gif"]}, "'gif'")])
def test_a_wrong_choice_is_said_before_any_work(option, says, photos, tmp_path):
    with pytest.raises(BadInput, match=says):
        explain_files(Explainer(conv_net()), photos, tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_the_words_of_tokens_come_from_a_vocabulary(tmp_path):
    onnx.save(text_net(), tmp_path / "text.onnx")
    np.save(tmp_path / "ids.npy", np.array([[1, 2, 7, 0]]))
    (tmp_path / "vocab.txt").write_text("[PAD]\nthe\n<b>cat</b>\n", encoding="utf-8")
    more = ["--target", 0, "--format", "svg", "-o", tmp_path / "out"]
    cli("explain", tmp_path / "text.onnx", tmp_path / "ids.npy", "--tokens", tmp_path / "vocab.txt", *more)
    svg = (tmp_path / "out/ids.0.svg").read_text(encoding="utf-8")
    assert all(f">{word}</text>" in svg for word in ("the", "&lt;b&gt;cat&lt;/b&gt;", "[7]", "[PAD]"))
    cli("explain", tmp_path / "text.onnx", tmp_path / "ids.npy", *more)
    svg = (tmp_path / "out/ids.0.svg").read_text(encoding="utf-8")
    assert ">7</text>" in svg and ">ids, no vocabulary given</text>" in svg
    found = Explainer(text_net(), device="cpu", tokens={"the": 1}).explain(np.array([[1, 2]]), 0)
    assert kind_of(found) == "tokens" and found.names.tokens == {1: "the"}
    missing = tmp_path / "no.txt"
    said = cli("explain", tmp_path / "text.onnx", tmp_path / "ids.npy", "--tokens", missing, code=2).stderr
    assert said == f"Error: The vocabulary {missing} cannot be read: No such file or directory.\n"


def test_what_cannot_be_drawn_is_said_on_the_terminal_and_in_the_record(tmp_path):
    onnx.save(flat_net(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", RNG(0).randn(1, 1, 2, 2, 2, 2).astype(np.float32))
    result = cli("explain", tmp_path / "m.onnx", tmp_path / "x.npy", "--contact-sheet", "-o", tmp_path / "out")
    (record,) = json.loads((tmp_path / "out/explain.json").read_text())
    says = "A map with 4 axes cannot be drawn; use .relevance or .save('map.npz')"
    assert record["png"] is None and record["npz"] in files(tmp_path / "out") and says in record["warnings"]
    assert f"{says}.\n" in result.stderr and "contact-sheet.png" in files(tmp_path / "out")


def test_a_volume_with_its_channels_last_has_the_map_of_one_with_them_in_front():
    model = volume_net()
    last = little(
        "g (float[N,6,7,8,1] x) => (float[N,3] y) { t = Transpose<perm=[0,4,1,2,3]>(x) "
        "a = Conv<pads=[1,1,1,1,1,1]>(t, w) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }",
        **{w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer},
    )
    x = RNG(0).randn(1, 1, 6, 7, 8).astype(np.float32)
    first = Explainer(model, device="cpu", method="gradient").explain(x, 1)
    other = Explainer(last, device="cpu", method="gradient").explain(np.moveaxis(x, 1, -1), 1)
    assert other.relevance.shape == (6, 7, 8, 1) and other.heatmap.shape == (6, 7, 8)
    np.testing.assert_allclose(other.heatmap, first.heatmap, rtol=1e-5, atol=1e-7)
    assert kind_of(first) == kind_of(other) == "volume"
    assert np.array_equal(np.asarray(first.image()), np.asarray(other.image()))


def spectrogram_net(axes, last=False):
    """A plane of one channel, its axes named in the file."""
    sizes = f"N,{axes},1" if last else f"N,1,{axes}"
    turn = "t = Transpose<perm=[0,3,1,2]>(x)" if last else "t = Identity(x)"
    return little(
        f"""g (float[{sizes}] x) => (float[N,3] y) {{ {turn} a = Conv<pads=[1,1,1,1]>(t, w) r = Relu(a)
            p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }}""",
        w=RNG(1).randn(5, 1, 3, 3).astype(np.float32),
        v=RNG(3).randn(5, 3).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("axes", "last", "called"),
    [
        ("freq,time", False, {"freq", "time"}),
        ("mel_bins,time", True, {"mel_bins", "time"}),
        ("24,frames", False, {"row", "frames"}),
        ("s0,dim_time", False, {"row", "column"}),  # an exporter's names say nothing
    ],
)
def test_a_spectrograms_axes_are_called_as_in_the_model(axes, last, called, cache_switched_on):
    x = RNG(0).randn(1, 24, 40).astype(np.float32)
    for _ in range(2):  # the second time what is known of the inputs is read from the disk
        explainer = Explainer(spectrogram_net(axes, last), device="cpu")
        found = explainer.explain(np.moveaxis(x, 0, -1)[None] if last else x[None], 1)
        texts = [word.text for word in found.page("overlay").words]
        assert called <= set(texts) and kind_of(found) == "image"
        assert "the input: " in " ".join(texts)


def test_lists_of_explanations_are_lists(model, photos):
    explainer = Explainer(model)
    found = explainer.explain(photos[0], target="topk:3")
    batch = explainer.explain_batch(photos, target="topk:2")
    assert isinstance(found, list) and type(found) is Explanations is type(found[:2]) is type(batch) is type(batch[0])
    assert found[0].target == explainer.explain(photos[0]).target and len(found[1:]) == 2 and [*found] == found
