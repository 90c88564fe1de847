"""Datasets: what the formats hold is read exactly, and what is broken is told in one sentence per item."""

import builtins
import importlib
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.evaluate.datasets.annotated import BadItem
from rsp_onnx.evaluate.datasets.coco_masks import decode, run_lengths
from rsp_onnx.evaluate.datasets.formats import FORMATS, dataset_formats, open_dataset
from rsp_onnx.evaluate.datasets.mapping import match_names, read_mapping, write_mapping
from rsp_onnx.evaluate.datasets.photo_file import PhotoFile, look_at, read_indices
from rsp_onnx.evaluate.datasets.voc import VOC_CLASSES
from rsp_onnx.inputs.photos import read_photo

DATA = Path(__file__).parent / "data"
MODELS = Path(__file__).parent.parent / "models"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE = (96, 96)


def the_sentence(error):
    """Return a message that is one sentence, not a traceback."""
    text = str(error.value)
    assert text and "\n" not in text and "Traceback" not in text and text.rstrip('"').endswith("."), text
    return text


@pytest.fixture(scope="module")
def scripts():
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODELS))
        yield importlib.import_module
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == MODELS:
                del sys.modules[name]  # "scenes" is anybody's name


# ---- the committed slices ----

SLICES = {
    "voc": ("voc", DATA / "digits_voc"),
    "instances": ("coco", DATA / "digits_coco"),
    "panoptic": ("coco", DATA / "digits_coco" / "annotations" / "panoptic_test.json"),
}


def test_committed_slices_are_what_the_script_writes(scripts, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "argv", ["write_datasets.py", "--out", str(tmp_path)])
    scripts("write_datasets").main()
    files = sorted(
        f.relative_to(DATA) for d in ("digits_voc", "digits_coco") for f in (DATA / d).rglob("*") if f.is_file()
    )
    assert files == sorted(f.relative_to(tmp_path) for f in tmp_path.rglob("*") if f.is_file())
    for file in files:
        if file.suffix == ".jpg":  # another libjpeg may round otherwise
            new, old = (np.asarray(Image.open(d / file)).astype(int) for d in (tmp_path, DATA))
            assert np.abs(new - old).mean() < 2, file
        elif file.suffix == ".png":
            np.testing.assert_array_equal(
                *(np.asarray(Image.open(d / file)) for d in (tmp_path, DATA)), err_msg=str(file)
            )
        else:
            assert (tmp_path / file).read_bytes() == (DATA / file).read_bytes(), file


def test_committed_slices_are_small():
    assert sum(f.stat().st_size for f in DATA.rglob("*") if f.is_file()) < 1.5e6


@pytest.mark.parametrize("name", SLICES)
def test_a_slice_holds_the_scenes_exactly(scripts, name):
    scenes = pytest.importorskip("sklearn") and scripts("scenes")
    format_, root = SLICES[name]
    dataset = open_dataset(format_, root, names=WORDS)
    assert (len(dataset), dataset.format) == (40, format_)
    flagged = 0
    for index in range(len(dataset)):
        item = dataset[index]
        scene = scenes.make_scene(int(Path(dataset.key(index)).stem))
        assert item.key == dataset.key(index) and item.unknown == ()
        assert sorted((t.class_index, t.box) for t in item.things) == sorted(
            (d.class_index, d.box) for d in scene.digits
        )
        flagged += sum(t.difficult for t in item.things)
        ignored = item.masks.ignored(SIZE)
        counted = np.ones(SIZE, bool) if ignored is None else ~ignored
        for target in item.targets:
            true = np.logical_or.reduce([d.mask for d in scene.digits if d.class_index == target])
            np.testing.assert_array_equal(item.masks.read(target, SIZE) & counted, true & counted)
    assert flagged >= 3, "no difficult object, no crowd"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_masks_are_pycocotools_own_decoding():
    coco_module = pytest.importorskip("pycocotools.coco")
    path = DATA / "digits_coco" / "annotations" / "instances_test.json"
    coco = coco_module.COCO(str(path))
    dataset = open_dataset("coco", path, names=WORDS)
    kinds = set()
    for index, key in enumerate(map(dataset.key, range(len(dataset)))):
        item = dataset[index]
        for category in coco.loadCats(coco.getCatIds()):
            found = coco.loadAnns(coco.getAnnIds([int(Path(key).stem)], [category["id"]], iscrowd=False))
            kinds |= {type(a["segmentation"]) for a in found}
            if found:
                own = np.logical_or.reduce([coco.annToMask(a) > 0 for a in found])
                np.testing.assert_array_equal(item.masks.read(WORDS.index(category["name"]), SIZE), own)
    assert kinds == {list, dict}, "polygons and run lengths"


def test_a_crowd_counts_neither_way():
    dataset = open_dataset("coco", DATA / "digits_coco", names=WORDS)
    crowded = [i for i in map(dataset.__getitem__, range(40)) if i.masks.ignored(SIZE) is not None]
    assert crowded
    for item in crowded:
        for target in item.targets:
            mask = item.masks.read(target, SIZE)
            assert mask is None or not (mask & item.masks.ignored(SIZE)).any()


@pytest.mark.parametrize("name", SLICES)
def test_a_dataset_travels_to_another_process_as_an_index(name):
    format_, root = SLICES[name]
    dataset = open_dataset(format_, root, names=WORDS)
    data = pickle.dumps(dataset)
    assert len(data) < 3000
    again = pickle.loads(data)
    item, other = dataset[3], pickle.loads(pickle.dumps(again[3]))
    assert (item.key, item.things) == (other.key, other.things)
    np.testing.assert_array_equal(item.masks.read(item.targets[0], SIZE), other.masks.read(item.targets[0], SIZE))


def test_real_panoptic_samples(shared_data):
    path = shared_data / "images" / "coco_panoptic" / "sample_data" / "panoptic_examples.json"
    dataset = open_dataset("coco", path, names=("person", "sports ball", "sky-other-merged"))
    record = json.loads(path.read_text())["annotations"][0]
    item = dataset[0]
    assert item.image.is_file() and 0 in item.targets
    person = {s["id"]: s for s in record["segments_info"] if s["category_id"] == 1 and not s["iscrowd"]}
    assert item.masks.read(0, (640, 427)).sum() == sum(s["area"] for s in person.values())


# ---- VOC ----


@pytest.fixture
def devkit(tmp_path):
    """Write a devkit with one photo of 20×10 pixels, and return (its root, a function that writes the annotation)."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationClass"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (20, 10), "grey").save(tmp_path / "JPEGImages" / "a.jpg")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("a\n")

    def write(*objects, size="<size><width>20</width><height>10</height></size>", text=None):
        body = text if text is not None else f"<annotation>{size}{''.join(objects)}</annotation>"
        (tmp_path / "Annotations" / "a.xml").write_text(body)
        return open_dataset("voc", tmp_path, names=VOC_CLASSES)

    return tmp_path, write


def thing(name="dog", box=(1, 1, 20, 10), difficult=0, more=""):
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{more}<bndbox>{corners}</bndbox></object>"


def test_voc_boxes_count_from_1_and_parts_are_no_objects(devkit):
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    dataset = devkit[1](thing(box=(1, 1, 20, 10), more=part), thing("cat", (3.0, 2.0, 7.7, 5.0), 1), thing("unicorn"))
    (dog, cat), unknown = dataset[0].things, dataset[0].unknown
    assert (dog.class_index, dog.box, dog.difficult) == (11, (0, 0, 19, 9), False)
    assert (cat.class_index, cat.box, cat.difficult) == (7, (2, 1, pytest.approx(6.7), 4), True)
    assert unknown == ("unicorn",) and dataset[0].masks is None and dataset[0].targets == (7, 11)


def test_voc_palette_masks(devkit):
    root, write = devkit
    values = np.zeros((10, 20), np.uint8)
    values[2:4, 5:9], values[6] = 12, 255
    picture = Image.fromarray(values, "L")
    picture.putpalette(list(range(256)) * 3)
    picture.save(root / "SegmentationClass" / "a.png")
    masks = write(thing())[0].masks
    np.testing.assert_array_equal(masks.read(11, (20, 10)), values == 12)
    np.testing.assert_array_equal(masks.ignored((20, 10)), values == 255)
    assert not masks.read(7, (20, 10)).any()


BROKEN_XML = {
    "missing": None,
    "empty": "",
    "cut off": "<annotation><object><name>dog</na",
    "another root": "<html></html>",
    "no name": "<annotation><object><bndbox/></object></annotation>",
    "no box": "<annotation><object><name>dog</name></object></annotation>",
    "a corner missing": f"<annotation>{thing().replace('<ymax>10</ymax>', '')}</annotation>",
    "a corner in words": f"<annotation>{thing(box=('left', 1, 2, 3))}</annotation>",
    "a corner that is NaN": f"<annotation>{thing(box=('nan', 1, 2, 3))}</annotation>",
    "corners exchanged": f"<annotation>{thing(box=(9, 1, 3, 5))}</annotation>",
    "outside": f"<annotation>{thing(box=(30, 1, 40, 5))}</annotation>",
    "of another photo": "<annotation><size><width>500</width><height>375</height></size></annotation>",
    "a size in words": "<annotation><size><width>wide</width><height>10</height></size></annotation>",
    "an unknown encoding": '<?xml version="1.0" encoding="klingon"?><annotation/>',
}


@pytest.mark.parametrize("kind", BROKEN_XML)
def test_broken_xml_is_told_in_a_sentence(devkit, kind):
    root, write = devkit
    dataset = write(text=BROKEN_XML[kind] or "")
    if BROKEN_XML[kind] is None:
        (root / "Annotations" / "a.xml").unlink()
    assert (len(dataset), dataset.key(0)) == (1, "a")
    with pytest.raises(BadItem) as error:
        dataset[0]
    assert "a.xml" in the_sentence(error) or "a.jpg" in str(error.value)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "a folder"])
def test_broken_photos_are_told_in_a_sentence(devkit, kind):
    root, write = devkit
    dataset, photo = write(thing()), root / "JPEGImages" / "a.jpg"
    photo.unlink()
    if kind == "a folder":
        photo.mkdir()
    elif kind != "missing":
        photo.write_bytes(b"" if kind == "empty" else b"no photo")
    with pytest.raises(BadItem) as error:
        dataset[0]
    assert "a.jpg" in the_sentence(error)


def other_masks():
    grey = Image.new("L", (20, 10), 12)
    return {
        "of another size": Image.new("L", (10, 20)), "coloured": Image.new("RGB", (20, 10)),
        "of a class beyond the list": Image.new("L", (20, 10), 21), "cut off": grey, "text": None,
    }  # fmt: skip


@pytest.mark.parametrize("kind", other_masks())
def test_broken_masks_are_told_in_a_sentence(devkit, kind):
    root, write = devkit
    path, picture = root / "SegmentationClass" / "a.png", other_masks()[kind]
    if picture is None:
        path.write_text("no picture")
    else:
        picture.save(path)
    if kind == "cut off":
        path.write_bytes(path.read_bytes()[:50])
    item = write(thing())[0]
    with pytest.raises(BadItem) as error:
        item.masks.read(11, (20, 10))
    assert "a.png" in the_sentence(error)


def test_splits_are_chosen_or_asked_for(devkit):
    root, write = devkit
    write(thing())
    (root / "ImageSets" / "Main" / "test.txt").write_text("")
    (root / "ImageSets" / "Main" / "dog_val.txt").write_text("a 1\n")
    assert len(open_dataset("voc", root, split="val", names=("dog",))) == 1
    with pytest.raises(BadInput) as error:
        open_dataset("voc", root, split="train", names=("dog",))
    assert "its splits: test, val" in the_sentence(error)


def test_classes_of_a_devkit_are_those_with_lists(devkit):
    root, write = devkit
    for name in ("unicorn", "dragon"):
        (root / "ImageSets" / "Main" / f"{name}_val.txt").write_text("a 1\n")
    assert write(thing("unicorn")).sources == ("dragon", "unicorn")


# ---- COCO ----


def coco_file(tmp_path, annotations=(), images=None, categories=None):
    Image.new("RGB", (12, 10), "grey").save(tmp_path / "a.jpg")
    images = [{"id": 1, "file_name": "a.jpg", "width": 12, "height": 10}] if images is None else images
    categories = [{"id": 7, "name": "dog"}] if categories is None else categories
    (tmp_path / "instances_x.json").write_text(
        json.dumps({"images": images, "annotations": list(annotations), "categories": categories})
    )
    return tmp_path / "instances_x.json"


def note(**changes):
    square = [[2, 3, 6, 3, 6, 8, 2, 8]]
    return {
        "id": 1,
        "image_id": 1,
        "category_id": 7,
        "bbox": [2, 3, 4, 5],
        "iscrowd": 0,
        "segmentation": square,
        **changes,
    }


def test_coco_boxes_and_polygons(tmp_path):
    item = open_dataset("coco", coco_file(tmp_path, [note()]), names=("cat", "dog"))[0]
    assert [(t.class_index, t.box) for t in item.things] == [(1, (2, 3, 5, 7))]
    assert item.masks.read(1, (12, 10))[3:8, 2:6].all() and item.masks.read(1, (12, 10)).sum() == 20


BROKEN_NOTES = {
    "a category nobody named": note(category_id=99),
    "three numbers": note(bbox=[1, 2, 3]),
    "words": note(bbox=["left", 0, 1, 1]),
    "NaN": note(bbox=[float("nan"), 0, 1, 1]),
    "a negative width": note(bbox=[1, 1, -3, 1]),
    "outside": note(bbox=[50, 50, 3, 3]),
}
BROKEN_MASKS = {
    "two points": [[1, 2, 3, 4]],
    "odd": [[1, 2, 3, 4, 5, 6, 7]],
    "words": [["a"] * 6],
    "NaN": [[float("nan")] * 6],
    "huge": [[1e12] * 6],
    "no list": 5,
    "runs too short": {"size": [10, 12], "counts": [5, 5]},
    "runs too long": {"size": [10, 12], "counts": [5, 500]},
    "negative runs": {"size": [10, 12], "counts": [125, -5]},
    "runs for another size": {"size": [12, 10], "counts": [120]},
    "runs in no text": {"size": [10, 12], "counts": "zzz\x01"},
    "no runs": {"size": [10, 12], "counts": ""},
    "runs cut off": {"size": [10, 12], "counts": "o"},
}


@pytest.mark.parametrize("kind", BROKEN_NOTES)
def test_broken_annotations_are_told_in_a_sentence(tmp_path, kind):
    dataset = open_dataset("coco", coco_file(tmp_path, [BROKEN_NOTES[kind]]), names=("dog",))
    with pytest.raises(BadItem) as error:
        dataset[0]
    assert "a.jpg" in the_sentence(error)


@pytest.mark.parametrize("kind", BROKEN_MASKS)
def test_broken_segmentations_never_reach_pycocotools(tmp_path, kind):
    item = open_dataset("coco", coco_file(tmp_path, [note(segmentation=BROKEN_MASKS[kind])]), names=("dog",))[0]
    with pytest.raises(BadItem) as error:
        item.masks.read(0, (12, 10))
    assert "a.jpg" in the_sentence(error)


@pytest.mark.parametrize(
    "image",
    [{"id": 1}, {"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg", "width": 12, "height": 10},
     {"file_name": "a.jpg", "width": 12, "height": 10}, {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
)  # fmt: skip
def test_broken_image_records_are_told_in_a_sentence(tmp_path, image):
    dataset = open_dataset("coco", coco_file(tmp_path, [note()], images=[image]), names=("dog",))
    with pytest.raises(BadItem) as error:
        dataset[0]
    the_sentence(error)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"images": [], "annotations": [], "categories": [{"id": 1}]}', "\xff"]
)
def test_a_file_that_is_not_cocos_is_told_in_a_sentence(tmp_path, text):
    path = tmp_path / "instances_x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as error:
        open_dataset("coco", path, names=("dog",))
    assert "instances_x.json" in the_sentence(error)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_compressed_run_lengths_are_read_as_pycocotools_writes_them(height, width, data):
    mask_module = pytest.importorskip("pycocotools.mask")
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(bits, np.uint8).reshape(height, width)
    text = mask_module.encode(np.asfortranarray(mask))["counts"].decode()
    assert sum(run_lengths(text)) == mask.size
    np.testing.assert_array_equal(decode({"size": [height, width], "counts": text}, width, height, "here"), mask > 0)


# ---- CSV and folders ----


def table(tmp_path, *lines, header="image,width,height,class_index,wnid,xmin,ymin,xmax,ymax"):
    Image.new("RGB", (12, 10), "grey").save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


def test_the_scenes_are_a_csv_dataset_with_masks_beside():
    dataset = open_dataset("csv", MODELS / "scenes", names=WORDS)
    assert len(dataset) == 7 and dataset.key(6) == "scene_6.png"
    item = dataset[6]
    assert sum(t.class_index == 3 for t in item.things) == 2
    values = np.asarray(Image.open(MODELS / "scenes" / "scene_6.mask.png"))
    np.testing.assert_array_equal(item.masks.read(3, SIZE), values == 4)


def test_a_csv_without_boxes_and_with_a_mask_column(tmp_path):
    pixels = np.zeros((10, 12), np.uint8)
    pixels[2:5, 3:6] = 200
    Image.fromarray(pixels).save(tmp_path / "m.png")
    root = table(tmp_path, "a.png,1,m.png", "a.png,0,", header="image,class_index,mask")
    item = open_dataset("csv", root, classes=2)[0]
    assert [(t.class_index, t.box) for t in item.things] == [(1, None), (0, None)]
    np.testing.assert_array_equal(item.masks.read(1, (12, 10)), pixels > 0)
    assert item.masks.read(0, (12, 10)) is None


def test_a_csv_may_name_its_classes(tmp_path):
    root = table(tmp_path, "a.png,Tiger_Cat", "a.png,ghost", header="image,label")
    item = open_dataset("csv", root, names=("dog", "tiger cat, striped"))[0]
    assert (item.targets, item.unknown) == ((1,), ("ghost",))


def test_a_quotation_mark_left_open_in_a_csv_is_told_in_one_line(tmp_path):
    dataset = open_dataset("csv", table(tmp_path, '"a.png,1', "b.png,0", header="image,class_index"), classes=2)
    with pytest.raises(BadItem) as error:
        dataset[0]
    assert "a.png,1 b.png,0" in the_sentence(error)


def test_with_a_mapping_a_csvs_names_decide(tmp_path):
    """A table with the indices of 2 classes serves a model that has a background class in front of them."""
    root = table(tmp_path, "a.png,12,10,1,n00000002,0,0,5,5", "a.png,12,10,0,,0,0,5,5")
    (tmp_path / "words.txt").write_text("n00000001 tench\nn00000002 goldfish\n")
    assert [t.class_index for t in open_dataset("csv", root, classes=3)[0].things] == [1, 0]
    mapped = open_dataset("csv", root, classes=3, mapping=tmp_path / "words.txt")
    assert [t.class_index for t in mapped[0].things] == [2, 1]  # an index alone is the line of that number


BROKEN_LINES = {
    "a photo that is not there": "b.png,12,10,1,x,0,0,5,5",
    "another size": "a.png,13,10,1,x,0,0,5,5",
    "a size in words": "a.png,wide,10,1,x,0,0,5,5",
    "a class beyond the model's": "a.png,12,10,2,x,0,0,5,5",
    "a class below 0": "a.png,12,10,-1,x,0,0,5,5",
    "a class in words": "a.png,12,10,dog,x,0,0,5,5",
    "a box in words": "a.png,12,10,1,x,left,0,5,5",
    "half a box": "a.png,12,10,1,x,0,0",
    "an empty box": "a.png,12,10,1,x,5,0,4,5",
    "a box outside": "a.png,12,10,1,x,12,0,14,5",
    "an infinite box": "a.png,12,10,1,x,0,0,inf,5",
    "a photo's name with a zero byte": "a\0.png,12,10,1,x,0,0,5,5",
    "no photo at all": ",12,10,1,x,0,0,5,5",
}


@pytest.mark.parametrize("kind", BROKEN_LINES)
def test_broken_lines_are_told_in_a_sentence(tmp_path, kind):
    dataset = open_dataset("csv", table(tmp_path, BROKEN_LINES[kind]), classes=2)
    with pytest.raises(BadItem) as error:
        dataset[0]
    the_sentence(error)


@pytest.mark.parametrize("text", ["", "image\na.png\n", "a,b\n1,2\n", "image,class_index\n", "\xff\xfe\n"])
def test_a_broken_table_is_told_in_a_sentence(tmp_path, text):
    (tmp_path / "boxes.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as error:
        open_dataset("csv", tmp_path, classes=2)
    assert "boxes.csv" in the_sentence(error)


def test_a_folder_of_classes(tmp_path):
    for name in ("dog", "3", "ghost"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "b.png")
    (tmp_path / "dog" / "a.jpg").write_bytes(b"no photo")
    dataset = open_dataset("folder", tmp_path, names=("cat", "Dog", "bird", "fish"))
    assert [dataset.key(i) for i in range(len(dataset))] == ["3/b.png", "dog/a.jpg", "dog/b.png", "ghost/b.png"]
    assert dataset[0].targets == (3,) and dataset[2].targets == (1,) and dataset[3].unknown == ("ghost",)
    with pytest.raises(BadItem):
        dataset[1]


# ---- ImageNet ----


def test_imagenet_folders_with_boxes_and_masks(tmp_path):
    for wnid in ("n00000001", "n00000002"):
        (tmp_path / "validation" / wnid).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "validation" / wnid / f"{wnid}_1.JPEG")
        (tmp_path / "validation-segmentation" / wnid).mkdir(parents=True)
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[1:3, 2:5, 0] = 2
    colours[5] = (1000 & 255, 1000 >> 8, 0)
    Image.fromarray(colours).save(tmp_path / "validation-segmentation" / "n00000002" / "n00000002_1.png")
    (tmp_path / "Annotations").mkdir()
    body = thing("n00000002", (2, 1, 4, 2))
    (tmp_path / "Annotations" / "n00000002_1.xml").write_text(f"<annotation>{body}</annotation>")
    dataset = open_dataset("imagenet", tmp_path, classes=2)
    item = dataset[1]
    assert [(t.class_index, t.box) for t in item.things] == [(1, (2, 1, 4, 2))]
    np.testing.assert_array_equal(item.masks.read(1, (8, 6)), colours[:, :, 0] == 2)
    np.testing.assert_array_equal(np.flatnonzero(item.masks.ignored((8, 6)).any(1)), [5])
    assert dataset[0].targets == (0,) and dataset[0].masks is None


def test_imagenet_flat_with_a_solution_and_synset_words(tmp_path):
    photos = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    photos.mkdir(parents=True)
    for name in ("v_1", "v_2", "v_3"):
        Image.new("RGB", (8, 6)).save(photos / f"{name}.JPEG")
    lines = ["ImageId,PredictionString", "v_1,n00000002 1 1 3 3 n00000002 4 4 9 5", "v_2,n00000001 1 1"]
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "words.txt").write_text("n00000001 tench, Tinca\nn00000002 goldfish\n")
    dataset = open_dataset("imagenet", tmp_path, mapping=tmp_path / "words.txt", classes=3)
    assert [(t.class_index, t.box) for t in dataset[0].things] == [(2, (1, 1, 3, 3)), (2, (4, 4, 7, 5))]
    for index in (1, 2):
        with pytest.raises(BadItem) as error:
            dataset[index]
        the_sentence(error)
    with pytest.raises(BadInput) as error:
        open_dataset("imagenet", tmp_path, classes=1000)
    assert "--mapping" in the_sentence(error)


@pytest.fixture
def devkit2012(tmp_path):
    """Write three photos with the devkit's truth: classes 2, 1, 2 of n00000007 (1) and n00000005 (2)."""
    io = pytest.importorskip("scipy.io")
    (tmp_path / "val").mkdir()
    data = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    for n in (1, 2, 3):
        Image.new("RGB", (8, 6)).save(tmp_path / "val" / f"ILSVRC2012_val_{n:08d}.JPEG")
    synsets = np.zeros(2, [("ILSVRC2012_ID", object), ("WNID", object)])
    synsets[0], synsets[1] = (1, "n00000007"), (2, "n00000005")
    io.savemat(data / "meta.mat", {"synsets": synsets})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n2\n")
    return tmp_path, data


def test_the_devkit_says_the_classes(devkit2012):
    dataset = open_dataset("imagenet", devkit2012[0], classes=2)
    assert [dataset[n].targets for n in range(3)] == [(0,), (1,), (0,)], "classes in the order of their WordNet ids"


@pytest.mark.parametrize("flaw", ["no meta.mat", "a damaged meta.mat", "another number", "words"])
def test_a_broken_devkit_is_told_in_a_sentence(devkit2012, flaw):
    root, data = devkit2012
    if flaw == "no meta.mat":
        (data / "meta.mat").unlink()
    elif flaw == "a damaged meta.mat":
        (data / "meta.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    else:
        (data / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n9\n" if flaw == "another number" else "dog\n")
    with pytest.raises(BadInput) as error:
        open_dataset("imagenet", root, classes=2)
    the_sentence(error)


def test_synset_words_are_the_thousand_classes(shared_data):
    path = shared_data / "labels" / "imagenet_1000_synset_words.txt"
    assert read_mapping(path, None, 1000)["n01440764"] == (0,)
    assert read_mapping(path, None, 1001)["n01440764"] == (1,)
    with pytest.raises(BadInput) as error:
        read_mapping(path, None, 10)
    assert "1000 classes" in the_sentence(error)


# ---- EXIF ----


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(2, 9), st.integers(2, 9), st.data())
def test_boxes_and_masks_turn_with_the_photo(tmp_path_factory, orientation, width, height, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left, width - 1)), data.draw(st.integers(top, height - 1))
    pixels = np.zeros((height, width), np.uint8)
    pixels[top : bottom + 1, left : right + 1] = 255
    photo = Image.fromarray(pixels).convert("RGB")
    exif = photo.getexif()
    exif[0x0112] = orientation
    path = tmp_path_factory.mktemp("turned") / "a.png"
    photo.save(path, exif=exif)
    upright = np.asarray(read_photo(path))[:, :, 0] > 0
    stored = look_at(path, (width, height))
    np.testing.assert_array_equal(stored.mask(pixels > 0), upright)
    rows, columns = np.nonzero(upright)
    assert stored.box((left, top, right, bottom), "it") == (columns.min(), rows.min(), columns.max(), rows.max())
    assert stored.upright == upright.shape[::-1]


def test_an_annotation_of_the_upright_photo_stays(tmp_path):
    photo = Image.new("RGB", (6, 4))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "a.png", exif=exif)
    assert look_at(tmp_path / "a.png", (4, 6)) == PhotoFile((4, 6))
    assert look_at(tmp_path / "a.png").upright == (4, 6)
    with pytest.raises(BadItem) as error:
        look_at(tmp_path / "a.png", (5, 5))
    the_sentence(error)


@given(st.tuples(*[st.floats(-20, 40)] * 4), st.integers(1, 20), st.integers(1, 20))
def test_a_box_is_clipped_or_refused(box, width, height):
    try:
        left, top, right, bottom = PhotoFile((width, height)).box(box, "it")
    except BadItem:
        return
    assert 0 <= left <= right <= width - 1 and 0 <= top <= bottom <= height - 1


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1"])
def test_masks_are_read_whatever_the_kind_of_png(tmp_path, mode):
    values = np.zeros((6, 8), np.uint8)
    values[2:4, 1:5] = 255 if mode == "1" else 3
    picture = Image.fromarray(values)
    picture = picture.convert(mode) if mode in ("LA", "1") else picture
    if mode == "P":
        picture.putpalette([0, 0, 0] * 3 + [70, 1, 2] + [9, 9, 9] * 252)
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_indices(tmp_path / "m.png", (8, 6)) != 0, values != 0)
    if mode == "P":
        assert read_indices(tmp_path / "m.png", (8, 6), colours=True)[2, 1].tolist() == [70, 1, 2]


# ---- mapping ----


def test_names_match_whatever_the_spelling():
    names = ("dining table", "Potted_Plant", "tench, Tinca tinca", "crane", "crane", "tv-monitor")
    found = match_names(("diningtable", "pottedplant", "Tinca Tinca", "crane", "TV monitor", "zebra"), names)
    assert found == {
        "diningtable": (0,),
        "pottedplant": (1,),
        "Tinca Tinca": (2,),
        "crane": (),
        "TV monitor": (5,),
        "zebra": (),
    }


@pytest.mark.parametrize("ending", ["toml", "csv"])
def test_a_draft_lists_what_it_did_not_find_and_can_be_edited(tmp_path, ending):
    names = ("airplane", "dog", "cat", 'a "quoted" label')
    dataset = open_dataset("voc", DATA / "digits_voc", names=names)
    dataset.sources = ("aeroplane", "dog", 'a "quoted" label')
    path = tmp_path / f"map.{ending}"
    assert write_mapping(dataset, names, path) == ("aeroplane",)
    assert read_mapping(path, names, 4).table == {"aeroplane": (), "dog": (1,), 'a "quoted" label': (3,)}
    text = path.read_text()
    edited = (
        text.replace('"aeroplane" = ""', '"aeroplane" = ["airplane", 2]')
        if ending == "toml"
        else f"{text}aeroplane,airplane\naeroplane,2\n"
    )
    path.write_text(edited)
    assert read_mapping(path, names, 4)["aeroplane"] == (0, 2)


def test_a_mapping_file_decides(tmp_path):
    (tmp_path / "map.toml").write_text('[classes]\n"zero" = "nought"\n"one" = ""\n')
    dataset = open_dataset("voc", DATA / "digits_voc", mapping=tmp_path / "map.toml", names=("one", "nought"))
    item = next(i for i in map(dataset.__getitem__, range(40)) if i.targets)
    assert item.targets == (1,)
    assert item.masks.read(1, SIZE).any()


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.toml", "["), ("m.toml", "a = 1"), ("m.toml", "[classes]\na = 9"), ("m.toml", "[classes]\na = true"),
     ("m.toml", '[classes]\na = "ghost"'), ("m.csv", "a,b\n1,2\n"), ("m.txt", "tench\n"), ("m.toml", "\xff"),
     ("m.toml", None)],
)  # fmt: skip
def test_a_broken_mapping_is_told_in_a_sentence(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as error:
        open_dataset("voc", DATA / "digits_voc", mapping=tmp_path / name, names=("dog",))
    assert name in the_sentence(error)


def test_without_labels_classes_are_matched_by_position():
    dataset = open_dataset("voc", DATA / "digits_voc", classes=11)
    assert dataset.mapping["eight"] == (1,), "a background class stands in front"
    with pytest.raises(BadInput) as error:
        open_dataset("voc", DATA / "digits_voc", classes=1000)
    assert "--labels" in the_sentence(error)


# ---- opening ----

EXAMPLES = {  # per format where a dataset of it lies, and a file to write where there is none in the repository
    "voc": (DATA / "digits_voc", None),
    "coco": (DATA / "digits_coco", None),
    "imagenet": (None, "val/n00000001/a.JPEG"),
    "folder": (None, "zero/a.png"),
    "csv": (MODELS / "scenes", None),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_opens_its_example_and_says_what_it_is(tmp_path, name):
    root, file = EXAMPLES[name]
    if file is not None:
        root, photo = tmp_path, tmp_path / file
        photo.parent.mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(photo)
    dataset = open_dataset(name, root, names=WORDS, classes=1 if name == "imagenet" else None)
    assert dataset.format == name and dataset[0].targets
    listed = next(one for one in dataset_formats() if one["name"] == name)
    assert listed["layout"] == FORMATS[name].layout and "\n" not in listed["layout"]
    if not listed["splits"]:
        with pytest.raises(BadInput, match="has no splits"):
            open_dataset(name, root, split="val", names=WORDS)


@pytest.mark.parametrize("format_", [*FORMATS, "yolo"])
def test_a_folder_of_another_kind_is_told_in_a_sentence(tmp_path, format_):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput) as error:
            open_dataset(format_, root, names=("dog",))
        the_sentence(error)


def test_missing_extras_are_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pycocotools"):
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **kwargs)

    item = open_dataset("coco", DATA / "digits_coco", names=WORDS)[0]
    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(BadInput) as error:
        item.masks.read(item.targets[0], SIZE)
    assert 'pip install "rsp-onnx[eval]"' in the_sentence(error)


def test_one_broken_item_of_ten_leaves_nine(tmp_path):
    root = tmp_path / "voc"
    shutil.copytree(DATA / "digits_voc", root)
    victim = sorted(root.rglob("Annotations/*.xml"))[3]
    victim.write_text("<annotation>")
    dataset, broken = open_dataset("voc", root, names=WORDS), []
    for index in range(10):
        try:
            dataset[index]
        except BadItem:
            broken.append(dataset.key(index))
    assert broken == [victim.stem]


# ---- damage of any kind ----


def small(folder):
    """Write one dataset of each format with two photos."""
    for name in ("a", "b"):
        Image.new("RGB", (12, 10), "grey").save(folder / f"{name}.jpg")
    voc = folder / "voc"
    (voc / "Annotations").mkdir(parents=True)
    (voc / "JPEGImages").mkdir()
    shutil.copy(folder / "a.jpg", voc / "JPEGImages")
    (voc / "Annotations" / "a.xml").write_text(
        f"<annotation>{thing(box=(1, 2, 9, 8))}{thing('cat', (2, 2, 3, 3), 1)}</annotation>"
    )
    (folder / "t.csv").write_text("image,class_index,xmin,ymin,xmax,ymax\na.jpg,0,1,2,3,4\nb.jpg,1,0,0,11,9\n")
    runs = {"size": [10, 12], "counts": [5, 20, 95]}
    coco_file(folder, [note(), note(iscrowd=1, segmentation=runs)])
    shutil.copy(folder / "b.jpg", folder / "a.jpg")
    return {"voc": voc / "Annotations" / "a.xml", "csv": folder / "t.csv", "coco": folder / "instances_x.json"}


WITHOUT_INDEX = {"imagenet", "folder"}  # folders alone say what is what


def test_every_format_that_is_read_from_a_file_is_damaged(tmp_path):
    assert small(tmp_path).keys() == FORMATS.keys() - WITHOUT_INDEX


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FORMATS.keys() - WITHOUT_INDEX)), st.data())
def test_whatever_is_damaged_is_told_in_a_sentence(tmp_path_factory, format_, data):
    folder = tmp_path_factory.mktemp("damaged")
    file = small(folder)[format_]
    text = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "twice", "word"]))
        if kind == "byte":
            text[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del text[place : place + data.draw(st.integers(1, 30))]
        elif kind == "twice":
            text[place:place] = text[place : place + 20]
        else:
            text[place:place] = data.draw(
                st.sampled_from([b"null", b"-1", b"1e999", b'"', b"[", b"{}", b"\0", b"<x>", b","])
            )
        text = text or bytearray(b" ")
    file.write_bytes(bytes(text))
    try:
        dataset = open_dataset(format_, folder / "voc" if format_ == "voc" else file, names=VOC_CLASSES)
        items = [dataset[n] for n in range(len(dataset))]
        for item in items:
            for target in item.targets if item.masks else ():
                item.masks.read(target, (12, 10))
                item.masks.ignored((12, 10))
    except (BadInput, BadItem) as error:
        assert str(error) and "\n" not in str(error)
