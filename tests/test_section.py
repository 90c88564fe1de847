"""Where head and features meet (rsp.md §1), and which tensor the logits are."""

import numpy as np
import pytest
from onnx import numpy_helper, parser
from torch import nn

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.explain.compile import analyse
from rsp_onnx.scores.reading import ScoreOptions

from .zoo import FAMILIES, export, full_densenet121, full_mobilenet_v2, full_resnet18, full_vgg16, section_of
from .zoo.blocks import healthy

IMAGE = (1, 3, 16, 16)


def network(*layers, shape=IMAGE):
    return export(healthy(nn.Sequential(*layers), shape, 0), shape)


def outputs_of(model, kind):
    return [node.output[0] for node in model.graph.node if node.op_type == kind]


def features():
    return [nn.Conv2d(3, 8, 3), nn.ReLU()]


# ---- the section ----


EXPORTS = [(name, {}) for name in FAMILIES if name != "mlp"]
EXPORTS += [(name, {"fold": False}) for name in ("resnet_v2", "densenet", "inception_v3", "mobilenet_v2")]
EXPORTS += [(name, {"dynamo": True}) for name in ("resnet_v1", "densenet", "squeezenet", "shufflenet_v2")]


@pytest.mark.parametrize(("name", "how"), EXPORTS, ids=lambda part: part if isinstance(part, str) else str(part))
def test_every_family_has_its_section(name, how):
    entry = FAMILIES[name]
    model = export(entry.make(), entry.shape, **how)
    section = analyse(model).section
    assert section.name == section_of(model, entry)
    assert section.channel_axis == 1
    assert section.position_axes == tuple(range(2, len(entry.shape)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "pool"),
    [
        (full_vgg16, "MaxPool"),
        (full_resnet18, "GlobalAveragePool"),
        (full_densenet121, "GlobalAveragePool"),
        (full_mobilenet_v2, "GlobalAveragePool"),
    ],
    ids=["vgg16", "resnet18", "densenet121", "mobilenet_v2"],
)
def test_published_networks_are_cut_before_their_last_pool(make, pool):
    model = export(make(), (1, 3, 224, 224))
    last = [node for node in model.graph.node if node.op_type == pool][-1]
    assert analyse(model).section.name == last.input[0]


REAL = {
    "squeezenet1.1_nchw_fp32": ("Concat", 1),
    "squeezenet1.0_nchw_fp16": ("Concat", 1),
    "resnet20_cifar10_nchw_fp32": ("Relu", 1),
    "mobilenet_v2_nhwc_fp32": ("Clip", 1),
}


@pytest.mark.parametrize(("name", "found"), REAL.items(), ids=REAL)
def test_real_models_are_cut_behind_their_last_features(shared_data, name, found):
    section = analyse(str(shared_data / "models" / f"{name}.onnx")).section
    node = section.value.producer()
    assert (node.op_type, section.channel_axis) == found
    assert len(section.position_axes) == 2


def test_an_int8_model_is_cut_at_its_own_quantised_tensor(shared_data):
    section = analyse(str(shared_data / "models" / "mobilenet_v2_nhwc_int8_qdq.onnx")).section
    assert section.value.producer().op_type == "DequantizeLinear"
    assert len(section.position_axes) == 2


@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_a_classifier_that_is_a_1x1_convolution_belongs_to_the_head(dropout, relu):
    head = [nn.Dropout()] * dropout + [nn.Conv2d(8, 10, 1)] + [nn.ReLU()] * relu
    model = network(*features(), *head, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert analyse(model).section.name == outputs_of(model, "Relu")[0]


def test_a_1x1_convolution_with_other_channels_than_classes_is_no_classifier():
    model = network(
        *features(), nn.Conv2d(8, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
    )
    assert analyse(model).section.name == outputs_of(model, "Relu")[-1]


def test_a_1x1_convolution_whose_channels_are_gated_in_pairs_is_no_classifier():
    model = network(*features(), nn.Conv2d(8, 20, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.GLU(1))
    assert analyse(model).section.name == outputs_of(model, "Relu")[-1]


def test_final_down_pooling_belongs_to_the_head_and_pooling_between_does_not():
    down = [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 10)]
    model = network(*features(), *down)
    assert analyse(model).section.name == outputs_of(model, "Relu")[0]
    model = network(*features(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 10))
    assert analyse(model).section.name == outputs_of(model, "Relu")[1]


def test_a_branch_around_a_tensor_rules_it_out():
    """Both branches are features; only their concatenation is crossed by every path."""
    model = export(FAMILIES["inception_v3"].make(), FAMILIES["inception_v3"].shape)
    found = analyse(model).section
    relus = outputs_of(model, "Relu")
    assert relus[-1] not in (found.name, *found.alternatives)
    assert found.name == outputs_of(model, "Concat")[-1]


def test_without_positions_the_section_is_the_first_hidden_activation():
    model = network(nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10), shape=(1, 20))
    section = analyse(model).section
    assert section.name == outputs_of(model, "Relu")[0]
    assert section.position_axes == ()
    assert section.channel_axis == 1
    assert section.note


@pytest.mark.parametrize("shape", [(1, 20), IMAGE])
def test_a_linear_softmax_model_is_cut_at_its_input(shape):
    flat = [nn.Flatten(), nn.Linear(int(np.prod(shape[1:])), 10), nn.Softmax(1)]
    found = analyse(network(*flat, shape=shape))
    assert found.section.name == "x"
    assert found.kind == "softmax"
    assert found.logits.producer().op_type == "Gemm"


def test_tokens_are_positions_and_their_features_channels():
    model = network(nn.Linear(8, 16), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10), shape=(1, 6, 8))
    section = analyse(model).section
    assert section.name == outputs_of(model, "Relu")[0]
    assert (section.channel_axis, section.position_axes) == (2, (1,))


# ---- named by the user ----


def test_the_user_can_name_any_tensor_that_every_path_crosses():
    model = export(FAMILIES["vgg"].make(), FAMILIES["vgg"].shape)
    found = analyse(model).section
    for name in (outputs_of(model, "Relu")[1], outputs_of(model, "MaxPool")[1], "x"):
        assert name in (*found.alternatives, "x")
        section = analyse(model, section=name).section
        assert section.name == name
        assert section.position_axes == (2, 3)


def test_alternatives_can_all_be_named_and_stand_deepest_first():
    model = export(FAMILIES["resnet_v1"].make(), FAMILIES["resnet_v1"].shape)
    made = [o for node in model.graph.node for o in node.output]
    alternatives = analyse(model).section.alternatives
    assert list(alternatives) == sorted(alternatives, key=made.index, reverse=True)
    for name in alternatives:
        assert analyse(model, section=name).section.name == name


def test_a_wrong_name_is_refused_with_the_names_that_are_possible():
    model = export(FAMILIES["resnet_v1"].make(), FAMILIES["resnet_v1"].shape)
    best = analyse(model).section.name
    with pytest.raises(BadInput, match="there is no such tensor") as caught:
        analyse(model, section="nonsense")
    assert repr(best) in str(caught.value)
    with pytest.raises(BadInput, match="goes around it") as caught:
        analyse(model, section=outputs_of(model, "Relu")[1])  # inside a residual block
    assert repr(best) in str(caught.value)


# ---- the logits ----


def with_tail(*tail, shape="float[N,10] y"):
    """A small convolutional network whose scores z [N, 10] end in these ops."""
    body = f"c = Conv(x, w)  F = Relu(c)  p = GlobalAveragePool(F)  q = Flatten(p)  z = MatMul(q, v)  {'  '.join(tail)}"
    head = f'<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,16,16] x) => ({shape})'
    model = parser.parse_model(f"{head} {{ {body} }}")
    rng = np.random.default_rng(0)
    for name, size in (("w", (8, 3, 3, 3)), ("v", (8, 10))):
        weight = rng.normal(size=size).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 10]), "s"))
    return model


TAILS = {
    "none": (["y = Identity(z)"], "logits", "y"),
    "softmax": (["y = Softmax<axis=1>(z)"], "softmax", "z"),
    "log-softmax": (["y = LogSoftmax<axis=-1>(z)"], "log-softmax", "z"),
    "sigmoid": (["y = Sigmoid(z)"], "sigmoid", "z"),
    "hard sigmoid": (["y = HardSigmoid(z)"], "sigmoid", "z"),
    "reshape": (["y = Reshape(z, s)"], "logits", "y"),
    "softmax, reshape": (["a = Softmax(z)", "y = Reshape(a, s)"], "softmax", "z"),
    "reshape, softmax, cast": (["a = Reshape(z, s)", "b = Softmax(a)", "y = Cast<to=1>(b)"], "softmax", "a"),
}


@pytest.mark.parametrize(("tail", "kind", "logits"), TAILS.values(), ids=TAILS)
def test_logits_are_what_a_final_activation_reads(tail, kind, logits):
    found = analyse(with_tail(*tail))
    assert (found.kind, found.output.name, found.section.name) == (kind, "y", "F")
    assert found.logits.name == logits
    assert found.classes == 10


def test_a_softmax_inside_the_network_is_not_its_end():
    found = analyse(with_second_layer())
    assert found.kind == "logits"
    assert found.logits.name == "y"


def with_second_layer():
    model = with_tail("a = Softmax(z)", "y = MatMul(a, e)")
    model.graph.initializer.append(numpy_helper.from_array(np.eye(10, dtype=np.float32), "e"))
    return model


def test_the_first_output_with_numbers_is_explained_and_another_can_be_named():
    tail = ["label = ArgMax<axis=1, keepdims=0>(z)", "y = Softmax(z)", "other = Sigmoid(z)"]
    model = with_tail(*tail, shape="int64[N] label, float[N,10] y, float[N,10] other")
    assert analyse(model).output.name == "y"
    assert analyse(model, scores=ScoreOptions(output="other")).kind == "sigmoid"
    with pytest.raises(BadInput, match="no output or tensor 'none'; its outputs are 'label', 'y', 'other'"):
        analyse(model, scores=ScoreOptions(output="none"))


def test_a_model_that_gives_only_labels_is_refused():
    model = with_tail("label = ArgMax<axis=1, keepdims=0>(z)", shape="int64[N] label")
    with pytest.raises(BadModel, match="export the scores"):
        analyse(model)


def test_an_output_that_does_not_depend_on_the_image_is_refused():
    model = with_tail("y = Identity(k)", shape="float[1,10] y")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 10), np.float32), "k"))
    with pytest.raises(BadModel):
        analyse(model)
