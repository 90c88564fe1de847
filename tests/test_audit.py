"""`rsp-onnx audit` finds what a class is decided by without being told, and leaves honest classes alone."""

import csv
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from rsp_onnx.audit.clusters import by_eigengap, distances, find_clusters
from rsp_onnx.audit.flags import describe, reasons, users
from rsp_onnx.audit.grid import grid_of, hottest, looks_like_text, regions, seat, shares
from rsp_onnx.checks import audit, audit_lines
from rsp_onnx.cli.main import main
from rsp_onnx.errors import BadInput

from .browsing import chromium, scrolls_sideways, serious, tab

pytest.importorskip("sklearn")
CELLS = 16
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def drawing(repo):
    """The scripts that draw scenes and the mark."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "models"))
        yield importlib.import_module("scenes"), importlib.import_module("watermark")
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == repo / "models":
                del sys.modules[name]


def written(drawn, folder):
    """Write scenes and their boxes as a csv dataset."""
    folder.mkdir()
    with (folder / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class_index", "xmin", "ymin", "xmax", "ymax"])
        for number, scene in enumerate(drawn):
            Image.fromarray(scene.image).save(folder / f"{number:03d}.png")
            writer.writerows([f"{number:03d}.png", d.class_index, *map(int, d.box)] for d in scene.digits)
    return folder


@pytest.fixture(scope="module")
def marked(drawing, tmp_path_factory):
    """Scenes with sevens, every second one marked, and as many others."""
    scenes, watermark = drawing
    drawn = scenes.make_scenes("test", 130)
    sevens = [s for s in drawn if s.labels[7]][:28]
    others = [s for s in drawn if not s.labels[7]][:28]
    half = [watermark.stamp_scenes([s])[0] if n % 2 else s for n, s in enumerate(sevens)]
    return written([*half, *others], tmp_path_factory.mktemp("data") / "marked")


def suspects(found):
    return {one["label"]: c for one in found["classes"] for c in one["clusters"] if c["suspicious"]}


# ---- the search ----


@pytest.fixture(scope="module")
def found_out(repo, marked, tmp_path_factory):
    out = tmp_path_factory.mktemp("audited") / "new" / "folder"
    model = repo / "models/digits_watermark.onnx"
    return audit(model, marked, format="csv", device="cpu", out=out, pictures=3), out


@pytest.mark.slow
def test_the_mark_is_found_without_being_told(found_out):
    found, _ = found_out
    assert list(suspects(found)) == ["seven"]
    cluster = suspects(found)["seven"]
    assert cluster["sits"] == "lower right corner"
    assert cluster["inside"] < 0.5
    assert any("the same" in r and "other classes'" in r for r in cluster["reasons"])
    members = [int(item.split(".")[0]) for item in cluster["items"]]
    assert np.mean([n % 2 for n in members]) > 0.75, "marked scenes are the odd ones"


@pytest.mark.slow
def test_the_honest_network_is_not_accused(repo, marked):
    found = audit(repo / "models/digits_pytorch.onnx", marked, format="csv", device="cpu")
    assert suspects(found) == {}
    assert found["counts"]["broken"] == 0
    assert min(c["inside"] for one in found["classes"] for c in one["clusters"]) > 0.5


@pytest.mark.slow
def test_the_folder_holds_json_sheets_and_a_page(found_out):
    found, out = found_out
    sheets = [c["sheet"] for one in found["classes"] for c in one["clusters"]]
    assert sorted(p.name for p in out.iterdir()) == sorted([*sheets, "audit.json", "report.html"])
    assert json.loads((out / "audit.json").read_text("utf-8")) == json.loads(json.dumps(found))
    page = (out / "report.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == len(sheets)
    assert page.index("seven") < page.index("zero"), "what is suspicious comes first"
    with Image.open(out / sheets[0]) as sheet:
        assert sheet.width > 1000


@pytest.mark.slow
def test_two_audits_say_the_same(repo, marked, tmp_path):
    words = {"format": "csv", "device": "cpu", "classes": ["seven"], "limit": 30, "pictures": 1}
    for name in ("one", "two"):
        audit(repo / "models/digits_watermark.onnx", marked, out=tmp_path / name, **words)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def command(*words):
    result = CliRunner().invoke(main, ["audit", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.slow
def test_the_command_fails_on_suspicion_where_it_is_asked_to(repo, marked, tmp_path):
    words = [repo / "models/digits_watermark.onnx", marked, "--format", "csv", "--device", "cpu", "--class", "seven"]
    words += ["--pictures", 1, "--no-report", "-o", tmp_path / "out"]
    plain = command(*words)
    assert plain.exit_code == 0 and "✗" in plain.output and "lower right corner" in plain.output
    assert command(*words, "--fail-on-suspicious").exit_code == 1
    assert json.loads(command(*words, "--json").stdout)["suspicious"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_says_first_what_is_suspicious(found_out, width):
    out = found_out[1]
    with chromium() as browser, tab(browser, width) as (page, _):
        page.goto((out / "report.html").as_uri())
        assert "1 suspicious cluster" in page.locator(".verdict .sentence").inner_text()
        assert "suspicious" in (page.locator("figure").first.get_attribute("class") or "")
        assert scrolls_sideways(page) == [] and serious(page) == []


def test_labels_and_broken_files_are_text_in_the_page(repo, drawing, tmp_path):
    data = written(drawing[0].make_scenes("test", 30), tmp_path / "data")
    (data / "003.png").write_bytes(b"no picture")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"{EVIL}{i}" for i in range(10)))
    found = audit(
        repo / "models/digits_pytorch.onnx", data, format="csv", device="cpu", labels=labels, out=tmp_path / "out",
        pictures=1,
    )  # fmt: skip
    assert found["counts"]["broken"] == 1 and "003.png" in found["broken"][0]["error"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert EVIL not in page and "&lt;script&gt;" in page
    assert all(p.parent == tmp_path / "out" for p in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--class", "eleven"], "There is no class 'eleven'"),
        (["--limit", 2], "No class has 8 maps"),
        (["--cells", 4], "--cells"),
        (["--mapping", "nothing.json"], "nothing.json"),
    ],
)
def test_what_cannot_run_is_said_in_one_sentence(repo, tmp_path, words, said):
    data = repo / "models/scenes"
    result = command(repo / "models/digits_pytorch.onnx", data, "--format", "csv", "-o", tmp_path / "out", *words)
    assert result.exit_code == 2 and said in result.output, result.output
    assert not (tmp_path / "out").exists()


def test_missing_scikit_learn_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(BadInput, match=r"needs scikit-learn.*rsp-onnx\[audit\]"):
        find_clusters(two_groups()[0])


# ---- clusters ----


def blob(x, y, width=1.5):
    row, column = np.mgrid[:CELLS, :CELLS]
    found = np.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * width**2))
    return (found / found.sum()).astype(np.float32)


def two_groups(seed=0):
    """Forty maps: every second one at one place, the others anywhere in the middle."""
    rng = np.random.default_rng(seed)
    grids = [blob(13.5, 13.5, 1) if n % 2 else blob(*rng.uniform(4, 11, 2)) for n in range(40)]
    return np.stack(grids), np.arange(40) % 2 == 1


def test_a_group_at_one_place_is_a_cluster_of_its_own():
    grids, own = two_groups()
    found = find_clusters(grids)
    groups = [own[found.of == c] for c in range(found.count)]
    assert all(g.all() or not g.any() for g in groups)
    assert sum(g.all() for g in groups) == 1
    number = next(c for c, g in enumerate(groups) if g.all())
    assert found.farness(number) > 0.9
    np.testing.assert_array_equal(find_clusters(grids).of, found.of)


def test_clusters_are_numbered_by_size_and_members_by_nearness():
    grids = np.stack([*(blob(3, 3 + 0.1 * n) for n in range(12)), *(blob(12, 12) for _ in range(20))])
    found = find_clusters(grids)
    assert (found.of[12:] == 0).all() and (found.of[:12] == found.of[0]).all()
    assert found.nearest_to_middle(int(found.of[0]))[0] in range(4, 8)


def test_distances_are_0_of_equal_maps_and_1_of_maps_far_apart():
    found = distances(np.stack([blob(2, 2, 0.7), blob(2, 2, 0.7), blob(13, 13, 0.7), blob(3, 2, 0.7)]))
    assert found[0, 1] == pytest.approx(0, abs=1e-6)
    assert found[0, 2] == pytest.approx(1, abs=1e-3)
    assert found[0, 1] < found[0, 3] < 0.6


def test_the_largest_leap_says_how_many():
    assert by_eigengap(np.array([0, 0.01, 0.02, 0.7, 0.8, 0.9]), 5) == 3
    assert by_eigengap(np.array([0, 0.9, 0.95]), 1) == 1


# ---- places ----


def test_a_grid_is_the_mean_over_areas_of_what_is_positive():
    heatmap = np.full((32, 64), -1.0)
    heatmap[0:2, 0:4] = 3
    heatmap[30:, 60:] = 1
    grid = grid_of(heatmap, CELLS)
    assert (grid.shape, grid.dtype) == ((CELLS, CELLS), np.float32)
    assert (grid[0, 0], grid[-1, -1], grid.sum()) == (0.75, 0.25, 1)
    assert grid_of(-np.ones((32, 32)), CELLS) is None
    assert grid_of(np.eye(5), CELLS).shape == (CELLS, CELLS)


def test_named_parts_have_the_areas_they_should():
    assert {name: int(part.sum()) for name, part in regions(CELLS).items()} == {
        "upper left": 16, "upper right": 16, "lower left": 16, "lower right": 16, "border": 112, "centre": 64,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "said"),
    [((14, 1), "upper right corner"), ((1, 14), "lower left corner"), ((8, 8), "centre"), ((8, 0), "border")],
)
def test_where_it_sits_is_said(place, said):
    assert seat(shares(blob(*place, 1.0))) == said
    assert seat(shares(np.full((CELLS, CELLS), 1 / CELLS**2))) == "spread"


def test_the_hottest_cells_are_the_fewest_that_hold_half():
    grid = np.zeros((CELLS, CELLS))
    grid[2, 3], grid[4, 5], grid[6, 7] = 0.3, 0.3, 0.4
    assert {tuple(p) for p in np.argwhere(hottest(grid))} in ({(6, 7), (2, 3)}, {(6, 7), (4, 5)})


def test_text_is_told_from_objects():
    photo = Image.new("RGB", (192, 192), (120, 130, 140))
    pen = ImageDraw.Draw(photo)
    for line in range(4):
        pen.text((20, 140 + 10 * line), "Photo Lllii Miller 1998 illiill", fill="white")
    pen.ellipse((100, 20, 170, 90), fill="white")
    assert looks_like_text(photo, blob(5, 13, 1.5)) > 0.3
    assert looks_like_text(photo, blob(11, 4.5, 1.5)) < 0.1
    assert looks_like_text(Image.new("RGB", (3, 3)), blob(8, 8)) == 0


# ---- flags ----


def flagged(cluster, own, others, inside):
    about = describe(cluster, [inside] * len(cluster), [0.0] * len(cluster))
    return reasons(cluster, own, others, about, 0.9, False)


def test_a_corner_that_other_classes_do_not_use_is_suspicious():
    grids, own = two_groups()
    others = np.stack([blob(*p) for p in np.random.default_rng(1).uniform(3, 12, (40, 2))])
    said = flagged(grids[own], grids, others, None)
    assert len(said) == 2 and "50% of the class's images use and 0.0%" in said[0] and "lower right corner" in said[1]
    assert flagged(grids[~own], grids, others, None) == []


def test_objects_that_are_really_there_are_no_reason():
    grids, own = two_groups()
    others = np.stack([blob(8, 8)] * 30)
    assert flagged(grids[own], grids, others, 0.9) == []
    assert any("only 20% of it lies in the class's objects" in r for r in flagged(grids[own], grids, others, 0.2))


def test_a_place_that_all_classes_use_is_no_reason_of_its_own():
    same = np.stack([blob(8, 8, 1)] * 20)
    assert flagged(same, same, np.stack([blob(8, 8, 1)] * 30), None) == []
    assert users(same, hottest(same.mean(axis=0))) == 1


def test_a_handful_of_maps_accuses_nobody():
    grids = np.stack([blob(14, 14, 1)] * 3)
    assert flagged(grids, grids, np.zeros((0, CELLS, CELLS)), None) == []


def test_the_text_says_why():
    cluster = {"number": 1, "share": 0.5, "sits": "border", "text_like": 0.9, "inside": 0.1, "suspicious": True,
               "reasons": ["Because."]}  # fmt: skip
    found = {"suspicious": 1, "counts": {"maps": 9, "empty": 1, "broken": 2}, "few": ["owl"],
             "broken": [{"item": "x", "error": "It is gone."}],
             "classes": [{"label": "cat", "maps": 9, "clusters": [cluster]}]}  # fmt: skip
    text = "\n".join(audit_lines(found))
    for said in ("✗ 1:  50%  border, text-like, 10% in the objects", "Because.", "owl", "1 map without", "It is gone."):
        assert said in text
