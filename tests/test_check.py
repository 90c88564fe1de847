"""Record, check, and planted defects: each fails, and by the check that is made for it."""

import json
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from rsp_onnx.checks import CHECKS, Status, check, json_report, record
from rsp_onnx.checks.subject.goldens import pack, read_goldens
from rsp_onnx.cli.main import main
from rsp_onnx.errors import BadInput, BadModel, BadOutput

from .checking import saved, with_random_layer, without_class, write_spec
from .little import little, table_net

QUICK = "[expect]\nsanity = false\nstability = false\nlatency = false\nmemory = false\n"


@pytest.fixture(scope="module")
def digits(repo):
    return repo / "models/digits_pytorch.onnx"


@pytest.fixture(scope="module")
def recorded(repo, tmp_path_factory):
    """A folder with a SPEC of three scenes and its goldens."""
    folder = tmp_path_factory.mktemp("recorded")
    spec = write_spec(repo, folder)
    record(spec)
    return spec


@pytest.fixture
def quick(recorded, tmp_path):
    """The same, without the checks that need further runs."""
    spec = tmp_path / recorded.name
    spec.write_text(recorded.read_text().rstrip() + "\n\n" + QUICK)
    shutil.copy(recorded.with_name("digits.goldens.npz"), tmp_path)
    return spec


def cli(*words, code=0):
    result = CliRunner().invoke(main, ["check", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def ended(report):
    return {result.name: result.status for result in report.results}


def failed(report):
    return {result.name for result in report.failed}


# ---- what holds ----


def test_the_recorded_model_passes_every_check(recorded):
    report = check(recorded)
    assert failed(report) == set(), [r.message for r in report.failed]
    assert list(ended(report)) == [one.name for one in sorted(CHECKS.values(), key=_group)]
    assert ended(report)["hostile"] is Status.SKIP
    values = {r.name: r.value for r in report.results}
    assert [values[n] for n in ("spearman", "pearson", "ssim", "top-k", "sign", "pointing")] == [1] * 6
    assert values["scores"] == 0
    assert values["sanity"] < 0.7
    assert values["stability"] > 0.95


def _group(one):
    return ["model", "scores", "maps", "places", "behaviour", "costs"].index(one.group)


def test_the_keras_twin_passes(recorded, repo):
    report = check(recorded, model=repo / "models/digits_keras.onnx")
    assert failed(report) == set()


def test_a_hostile_class_that_is_named_speaks_against(repo, tmp_path):
    spec = write_spec(repo, tmp_path, 'hostile = "seven"', scenes=["scene_0.png"])
    record(spec)
    spec.write_text(spec.read_text() + QUICK)
    report = check(spec)
    assert ended(report)["hostile"] is Status.PASS
    assert next(r.value for r in report.results if r.name == "hostile") > 0.9
    assert "hostile/000" in np.load(tmp_path / "digits.goldens.npz").files


def test_the_pointing_game_on_a_folder(repo, tmp_path):
    more = f'[folder]\ndata = "{(repo / "models/scenes").as_posix()}"\nformat = "csv"\nlimit = 2\n'
    spec = write_spec(repo, tmp_path, scenes=["scene_0.png"])
    spec.write_text(spec.read_text() + more + QUICK)
    record(spec)
    report = check(spec)
    rates = read_goldens(tmp_path / "digits.goldens.npz").facts["pointing"]
    assert set(rates) == {"images", "folder"}
    assert 0.8 < rates["folder"] <= 1
    assert ended(report)["pointing"] is Status.PASS


# ---- planted defects ----


def test_zeroed_weights_of_a_class(quick, digits, tmp_path):
    target = read_goldens(quick.with_name("digits.goldens.npz")).images[0].facts["target"]
    model = saved(without_class(digits, target), tmp_path / "zeroed.onnx")
    assert {"scores", "top1"} <= failed(check(quick, model=model))


@pytest.mark.parametrize("at", [-1, 3], ids=["last layer", "a convolution"])
def test_randomised_layers(quick, digits, tmp_path, at):
    model = saved(with_random_layer(digits, at), tmp_path / "random.onnx")
    assert {"scores", "top1", "spearman", "pearson", "ssim", "top-k"} <= failed(check(quick, model=model))


def test_swapped_channels(quick, tmp_path):
    swapped = tmp_path / "swapped.toml"
    swapped.write_text('preset = "unit"\nchannels = "BGR"\n')
    report = check(quick, preprocess=swapped)
    assert failed(report) == {"preprocessing"}  # the scenes are grey: nothing else can see it
    assert "channels is BGR" in report.failed[0].message


def test_wrong_normalisation(quick):
    report = check(quick, preprocess="imagenet-torch")
    assert {"preprocessing", "scores", "spearman", "top-k"} <= failed(report)


def test_labels_off_by_one(quick, tmp_path):
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    (tmp_path / "labels.txt").write_text("\n".join(words[-1:] + words[:-1]))
    quick.write_text('labels = "labels.txt"\n' + quick.read_text())
    report = check(quick)
    assert failed(report) == {"labels"}
    assert "recorded was" in report.failed[0].message
    (tmp_path / "labels.txt").write_text("\n".join(["background", *words]))
    report = check(quick)
    assert failed(report) == {"labels"}
    assert any("11 labels for 10 classes" in f.note for f in report.failed[0].failing)


def test_a_model_with_other_classes_or_without_rules_fails_and_does_not_stop(quick, tmp_path):
    text = """g (float[N,3,96,96] x) => (float[N,{n}] y) {{
        a = Conv<strides=[4,4]>(x, w) r = {op}(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }}"""
    rng = np.random.RandomState(0)
    for n, op, name in ((7, "Relu", "scores"), (10, "Det", "explainable")):
        if op == "Det":
            body = (
                text.format(n=n, op="Relu")
                .replace(
                    "p = Glob", "q = DepthToSpace<blocksize=1>(r) d = Det(q) u = Reshape(d, s) z = Mul(r, u) p = Glob"
                )
                .replace("(r) f", "(z) f")
            )
            weights = {"s": np.array([-1, 8, 1, 1])}
        else:
            body, weights = text.format(n=n, op=op), {}
        model = little(body, w=rng.randn(8, 3, 4, 4).astype("f"), v=rng.randn(8, n).astype("f"), **weights)
        report = check(quick, model=saved(model, tmp_path / f"{op}.onnx"), preprocess="unit")
        assert name in failed(report), ended(report)
        if name == "scores":
            assert "7 classes, but 10 were recorded" in next(r.message for r in report.failed if r.name == "scores")
            assert ended(report)["spearman"] is Status.SKIP


def test_a_blind_method_fails_sanity(repo, tmp_path):
    spec = write_spec(repo, tmp_path, 'method = "guided-backprop"')
    record(spec)
    spec.write_text(spec.read_text() + "[expect]\nstability = false\nlatency = false\nmemory = false\n")
    assert failed(check(spec)) == {"sanity"}


def test_own_thresholds_decide_and_costs_warn(recorded, tmp_path):
    spec = tmp_path / recorded.name
    shutil.copy(recorded.with_name("digits.goldens.npz"), tmp_path)
    body = recorded.read_text()
    spec.write_text(
        body + "[expect]\ninside = 0.999\nleakage = 0.0\nsanity = false\nstability = false\nlatency = 0.1\n"
    )
    report = check(spec)
    assert {"inside", "leakage", "latency"} <= failed(report)
    inside = next(r for r in report.failed if r.name == "inside")
    assert inside.limit == 0.999
    assert inside.worst.endswith(".png")
    assert inside.failing[0].line > 1


# ---- a real model ----


@pytest.mark.slow
def test_a_quantised_mobilenet_passes_with_the_defaults_and_wrong_scaling_does_not(shared_data, tmp_path):
    """float32 recorded, int8 checked: its input is uint8, so SPEC's scaling is left out by itself."""
    spec = tmp_path / "mobilenet.rsp.toml"
    model, labels = shared_data / "models/mobilenet_v2_nhwc_fp32.onnx", shared_data / "labels/imagenet_1001_tf.txt"
    lines = [f'model = "{model}"', f'labels = "{labels}"', 'preprocess = "imagenet-tf"', "", "[[image]]"]
    lines += [f'path = "{shared_data / "images/two_objects/dog_cat.png"}"', 'target = "tiger cat"']
    lines += ['hostile = "bull mastiff"']
    for photo in sorted((shared_data / "images/ilsvrc_val").glob("*.JPEG"))[:5]:
        lines += ["", "[[image]]", f'path = "{photo}"']
    spec.write_text("\n".join(lines) + "\n")
    record(spec)
    report = check(spec, model=shared_data / "models/mobilenet_v2_nhwc_int8_qdq.onnx")
    assert failed(report) == set(), [r.message for r in report.failed]
    assert ended(report)["hostile"] is Status.PASS
    spec.write_text("\n".join(lines) + "\n\n" + QUICK)
    assert {"preprocessing", "scores", "ssim", "top-k"} <= failed(check(spec, preprocess="imagenet-torch"))


# ---- goldens ----


def test_goldens_are_the_same_bytes_readable_and_small(repo, tmp_path):
    files = []
    for n in range(2):
        folder = tmp_path / str(n)
        folder.mkdir()
        files.append(record(write_spec(repo, folder), costs=False).path)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size < 100_000
    with zipfile.ZipFile(files[0]) as archive:
        assert archive.namelist() == sorted(archive.namelist())
        header = archive.read("header.toml").decode()
    for word in ("sha256", "target_label", 'kind = "sigmoid"', "inside", "[preprocessing]", "best_probabilities"):
        assert word in header
    assert np.load(files[0])["map/000"].dtype == np.int8


def test_recording_refuses_to_overwrite_and_update_says_what_changed(quick, digits, tmp_path):
    with pytest.raises(BadOutput, match="--update"):
        record(quick)
    goldens = quick.with_name("digits.goldens.npz")
    before = goldens.read_bytes()
    again = record(quick, update=True)
    assert not again.is_written
    assert goldens.read_bytes() == before
    model = saved(with_random_layer(digits, -1), tmp_path / "random.onnx")
    changed = record(quick, model=model, update=True)
    assert changed.is_written
    assert any(line.startswith("model: digits_pytorch.onnx") for line in changed.changes)
    assert any("the map (spearman" in line and "probabilities by up to" in line for line in changed.changes)
    assert record(quick, update=True).is_written


def test_a_map_survives_eight_bits():
    rng = np.random.default_rng(0)
    heatmap = rng.standard_normal((40, 130)) ** 3
    packed = pack(heatmap)
    assert packed.pixels.shape == (40, 112)
    again = pack(packed.map)
    assert np.array_equal(again.pixels, packed.pixels)
    assert not pack(np.zeros((3, 3))).map.any()
    exact = rng.standard_normal((20, 20))
    assert np.abs(pack(exact).map - exact).max() < 0.01 * np.abs(exact).max()


def test_goldens_of_something_else_are_refused_all_at_once(quick, repo, tmp_path):
    text = quick.read_text()
    quick.write_text('method = "grad-cam"\n' + text.replace('target = "', 'target = "nine"  # "', 1)
                     + f'\n[[image]]\npath = "{(repo / "models/scenes/scene_6.png").as_posix()}"\n')  # fmt: skip
    with pytest.raises(BadInput) as caught:
        check(quick)
    message = str(caught.value)
    for words in ("method is 'grad-cam', recorded was 'rsp'", "another target", "was not recorded", "--update"):
        assert words in message


def test_missing_and_damaged_goldens(quick):
    goldens = quick.with_name("digits.goldens.npz")
    goldens.write_bytes(goldens.read_bytes()[:-40])
    with pytest.raises(BadInput, match="damaged"):
        check(quick)
    goldens.unlink()
    with pytest.raises(BadInput, match="--record"):
        check(quick)


def test_nothing_is_half_written_where_recording_fails(repo, tmp_path):
    spec = write_spec(repo, tmp_path)
    spec.write_text(spec.read_text().replace('target = "', 'target = "no such class ', 1))
    with pytest.raises(Exception, match=r"digits.rsp.toml:\d+: There is no class"):
        record(spec)
    assert [p.name for p in tmp_path.iterdir()] == [spec.name]


def test_recording_a_model_that_says_nothing_is_refused(repo, tmp_path):
    model = little(
        "g (float[N,3,96,96] x) => (float[N,2] y) { z = Relu(x) p = GlobalAveragePool(z) f = Flatten(p) "
        "y = MatMul(f, v) }",
        v=np.zeros((3, 2), np.float32),
    )
    spec = tmp_path / "zero.rsp.toml"
    image = (repo / "models/scenes/scene_0.png").as_posix()
    saved(model, tmp_path / "zero.onnx")
    spec.write_text(f'model = "zero.onnx"\npreprocess = "unit"\n[[image]]\npath = "{image}"\n')
    with pytest.raises(BadModel, match="Nothing can be recorded"):
        record(spec)


def test_tensors_of_a_table_are_checked_too(tmp_path):
    saved(table_net(), tmp_path / "table.onnx")
    np.save(tmp_path / "row.npy", np.random.default_rng(0).standard_normal((1, 7)).astype(np.float32))
    spec = tmp_path / "table.rsp.toml"
    spec.write_text('model = "table.onnx"\n[[image]]\npath = "row.npy"\n')
    record(spec)
    report = check(spec)
    assert not failed(report) - {"sanity", "stability"}, [r.message for r in report.failed]
    assert ended(report)["preprocessing"] is Status.SKIP


# ---- the same figures every time ----


def test_two_runs_give_the_same_json_times_aside(recorded):
    reports = []
    for _ in range(2):
        data = json_report([check(recorded)])
        for spec in data["specs"]:
            assert spec.pop("costs")["seconds"] > 0
        reports.append(json.dumps(data))
    assert reports[0] == reports[1]


def test_threads_change_no_figure_of_the_digits(quick):
    reports = []
    for threads in (1, 2):
        data = json_report([check(quick, threads=threads)])
        data["specs"][0].pop("costs")
        reports.append(data)
    assert reports[0] == reports[1]


# ---- the command ----


def test_exit_codes_and_the_text(quick, digits, tmp_path):
    text = cli(quick).stdout
    assert "✓ spearman" in text
    assert "– hostile" in text
    model = saved(with_random_layer(digits, -1), tmp_path / "random.onnx")
    text = cli(quick, "--model", model, code=1).stdout
    assert "✗ top1" in text
    assert "failed (scores, top1," in text
    assert "scene_" in text
    assert "There is no file" in cli(tmp_path / "none.toml", code=2).output


def test_record_and_update_on_the_command_line(repo, tmp_path):
    spec = write_spec(repo, tmp_path, scenes=["scene_0.png"])
    assert "1 image recorded" in cli(spec, "--record", "--no-costs").stdout
    assert "already" in cli(spec, "--record", code=2).output
    assert "nothing changed" in cli(spec, "--update").stdout


def test_json_on_the_command_line(quick):
    data = json.loads(cli(quick, "--json").stdout)
    assert data["passed"]
    assert {"name", "status", "value", "limit"} <= set(data["specs"][0]["checks"][0])


def test_a_terminal_without_our_signs_gets_others(quick):
    from rsp_onnx.checks import text_report

    text = text_report(check(quick), "ascii")
    assert "  + spearman" in text
    assert text.isascii()


def test_the_command_in_a_process_of_its_own(quick, repo):
    done = subprocess.run(
        [sys.executable, "-m", "rsp_onnx.cli", "check", quick.name], cwd=quick.parent, capture_output=True, text=True,
        env={"PYTHONPATH": str(repo), "PATH": "", "PYTHONIOENCODING": "ascii", "RSP_ONNX_CACHE": "off"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hold" in done.stdout


# ---- the page ----


def test_the_page_has_every_check_with_its_default(repo):
    page = (repo / "docs/checks.md").read_text(encoding="utf-8").partition("## The checks")[2]
    for name, one in CHECKS.items():
        (row,) = re.findall(rf"^\| `{name}` \| .* \| (.*) \|$", page, re.MULTILINE)
        if one.default is not None:
            assert f"{one.default:g}" in row, name
        elif one.slack is not None:
            assert row == f"recorded {'−' if one.direction == 'higher' else '+'} {one.slack:g}"
        else:
            assert row == "on"


# ---- rooms ----


ROOMS = ("spec", "subject", "catalogue", "reports")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_before_it(repo, room):
    texts = [path.read_text("utf-8") for path in (repo / "rsp_onnx/checks" / room).glob("*.py")]
    imported = {name for text in texts for name in re.findall(r"rsp_onnx\.checks\.(\w+)", text)}
    assert imported <= set(ROOMS[: ROOMS.index(room)])


def test_every_module_of_checks_is_among_all_checks(repo):
    folder = repo / "rsp_onnx/checks/catalogue"
    modules = {path.stem for path in folder.glob("*.py") if "\n@register\n" in path.read_text("utf-8")}
    assert {type(one).__module__.rpartition(".")[2] for one in CHECKS.values()} == modules
