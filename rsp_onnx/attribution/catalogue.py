"""What is known of the methods by name, without what they emit: that is imported when a model is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsp_onnx.errors import BadInput
from rsp_onnx.parameters import PROBABILITIES, numbers, parse_spec

if TYPE_CHECKING:
    from rsp_onnx.compiler.method import Method


@dataclass(frozen=True)
class MethodFacts:
    """A method as its users see it.

    Attributes
    ----------
    family : str
        The module of this package that emits it, in the tuple ``METHODS`` there.
    parameters : mapping
        The method's own, by name, with their defaults; users write ``name:parameter=value``.
    compares : bool
        It holds the target against the hostile classes; the others know no rivals.
    conserves : bool
        Its rules keep the sum of relevance, so that what a node loses means something.
    distributes : bool
        It claims to hand on what it starts with, a sum that is not zero; whether it does is measured.
    signed : bool
        Its sign says for or against; where it does not, as in a gradient, maps are made of the sizes |r|.
    is_black_box : bool
        It looks at scores alone, so that no op needs a rule.
    note : str
        What should be said of it beside its title, a sentence or two.
    """

    name: str
    title: str
    paper: str
    family: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    compares: bool = False
    conserves: bool = False
    distributes: bool = False
    signed: bool = True
    is_black_box: bool = False
    note: str = ""


BACH = "Bach et al.: On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP, PLoS ONE 2015"
MONTAVON = (
    "Montavon et al.: Explaining NonLinear Classification Decisions with Deep Taylor Decomposition, "
    "Pattern Recognition 2017, arXiv 1512.02479"
)
PRESETS = "Kohlbrenner et al.: Towards Best Practice in Explaining Neural Network Decisions with LRP, IJCNN 2020"
ZHANG = "Zhang et al.: Top-down Neural Attention by Excitation Backprop, ECCV 2016, IJCV 2018, arXiv 1608.00507"

_OWN_SCORE = (
    "It measures the score that the model gives, as the other methods explain it: the logit where the model ends in "
    "logits, the probability where it ends in a softmax or sigmoid (its logarithm behind a log-softmax). A softmax "
    "behind large logits is 1 whatever is covered, so that nothing is seen; but it holds the class against its rivals, "
    "where a logit may fall for all classes at once. `probabilities=1` measures it, as the paper does; where it is "
    "saturated, a warning says so."
)

_CATALOGUE = (
    MethodFacts("rsp", "Relative Sectional Propagation",
                "Nam, Choi, Lee: Interpreting Deep Neural Networks with Relative Sectional Propagation, AAAI 2021, "
                "arXiv 2012.03434", "rsp", compares=True, conserves=True, distributes=True),
    MethodFacts("gradient", "Gradient (saliency)",
                "Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, ICLR workshop 2014, arXiv 1312.6034",
                "gradients", signed=False),
    MethodFacts("input-x-gradient", "Input times gradient",
                "Shrikumar et al.: Not Just a Black Box, 2016, arXiv 1605.01713", "gradients"),
    MethodFacts("guided-backprop", "Guided backpropagation",
                "Springenberg et al.: Striving for Simplicity, ICLR workshop 2015, arXiv 1412.6806", "gradients",
                signed=False),
    MethodFacts("lrp-0", "LRP-0: shares by x·w, no stabiliser", BACH, "lrp", distributes=True),
    MethodFacts("lrp-epsilon", "LRP-ε: shares by x·w, stabilised", BACH, "lrp", {"epsilon": 1e-6}, distributes=True),
    MethodFacts("lrp-gamma", "LRP-γ: positive weights count more",
                "Montavon et al.: Layer-Wise Relevance Propagation, an Overview, in: Explainable AI, Springer 2019",
                "lrp", {"gamma": 0.25}, distributes=True),
    MethodFacts("lrp-alpha-beta", "LRP-αβ: positive and negative products apart", BACH, "lrp",
                {"alpha": 2.0, "beta": 1.0}, distributes=True),
    MethodFacts("lrp-z-plus", "LRP-z⁺: shares by positive products", MONTAVON, "lrp", distributes=True),
    MethodFacts("lrp-flat", "LRP-z⁺, flat on the image",
                "Lapuschkin et al.: Unmasking Clever Hans Predictors, Nature Communications 2019", "lrp",
                distributes=True),
    MethodFacts("lrp-w-square", "Deep Taylor decomposition: z⁺, w² on the image", MONTAVON, "lrp", distributes=True),
    MethodFacts("lrp-z-box", "Deep Taylor decomposition: z⁺, z^B on the image", MONTAVON, "lrp", distributes=True),
    MethodFacts("lrp-epsilon-plus-flat", "LRP: z⁺ in convolutions, ε in dense layers, flat on the image", PRESETS,
                "lrp", distributes=True),
    MethodFacts("lrp-epsilon-alpha2-beta1", "LRP: α2β1 in convolutions, ε in dense layers", PRESETS, "lrp",
                distributes=True),
    MethodFacts("clrp", "Contrastive LRP: the target against all other classes",
                "Gu, Yang, Tresp: Understanding Individual Decisions of CNNs via Contrastive Backpropagation, ACCV "
                "2018, arXiv 1812.02100", "lrp"),
    MethodFacts("sglrp", "Softmax-gradient LRP: the target against its likely rivals",
                "Iwana, Kuroki, Uchida: Explaining Convolutional Neural Networks using Softmax Gradient LRP, ICCV "
                "workshop 2019, arXiv 1908.04351", "lrp"),
    MethodFacts("rap", "Relative Attributing Propagation",
                "Nam et al.: Relative Attributing Propagation, AAAI 2020, arXiv 1904.00605", "rap", conserves=True,
                distributes=True),
    MethodFacts("attribution-equilibrium", "Attribution Equilibrium",
                "Nam, Choi, Lee: Illuminating Salient Contributions in Neuron Activation with Attribution Equilibrium, "
                "TPAMI 2024, doi 10.1109/TPAMI.2024.3485775", "equilibrium", {"ratio": 2.0}),
    MethodFacts("excitation-backprop", "Excitation backprop", ZHANG, "excitation"),
    MethodFacts("contrastive-excitation-backprop", "Contrastive excitation backprop", ZHANG, "excitation"),
    MethodFacts("smooth-grad", "SmoothGrad: the mean gradient of noisy copies",
                "Smilkov et al.: SmoothGrad: removing noise by adding noise, 2017, arXiv 1706.03825", "perturbations",
                {"samples": 25.0, "noise": 0.15, "seed": 0.0}, signed=False),
    MethodFacts("integrated-gradients", "Integrated gradients along the straight path from a baseline",
                "Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, ICML 2017, arXiv 1703.01365",
                "perturbations", {"steps": 32.0, "baseline": 0.0}),
    MethodFacts("rise", "RISE: the class's score under random masks (black box)",
                "Petsiuk, Das, Saenko: RISE, BMVC 2018, arXiv 1806.07421", "perturbations",
                {"masks": 1000.0, "cells": 7.0, "probability": 0.5, "seed": 0.0, "baseline": 0.0, PROBABILITIES: 0.0},
                is_black_box=True,
                note=f"{_OWN_SCORE} A logit has no zero, so its mean under all masks is taken off, and the map has two "
                "signs; probabilities are weighed as in the paper."),
    MethodFacts("occlusion", "Occlusion: how much a covered window takes from the class's score (black box)",
                "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014, arXiv 1311.2901",
                "perturbations", {"window": 0.2, "stride": 0.1, "baseline": 0.0, PROBABILITIES: 0.0},
                is_black_box=True, note=_OWN_SCORE),
    MethodFacts("full-grad", "FullGrad: gradients of the input and of every bias",
                "Srinivas, Fleuret: Full-Gradient Representation for Neural Network Visualization, NeurIPS 2019, "
                "arXiv 1905.00780", "full_grad"),
    MethodFacts("grad-cam", "Grad-CAM", "Selvaraju et al.: Grad-CAM, ICCV 2017, arXiv 1610.02391", "cams"),
    MethodFacts("grad-cam-plus-plus", "Grad-CAM++", "Chattopadhay et al.: Grad-CAM++, WACV 2018, arXiv 1710.11063",
                "cams"),
    MethodFacts("layer-cam", "LayerCAM", "Jiang et al.: LayerCAM, IEEE Transactions on Image Processing 2021", "cams"),
    MethodFacts("hires-cam", "HiResCAM: Grad-CAM without averaging the gradient",
                "Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations, arXiv 2011.08891", "cams"),
    MethodFacts("attention-rollout", "Attention rollout (transformers; the same map for every class)",
                "Abnar, Zuidema: Quantifying Attention Flow in Transformers, ACL 2020, arXiv 2005.00928", "rollout"),
)  # fmt: skip

METHODS = {facts.name: facts for facts in _CATALOGUE}


def find_method(spec: str) -> MethodFacts:
    """Return a method by name, with parameters where they are given as ``name:parameter=value``.

    Raises
    ------
    BadInput
        There is no such method or parameter; the message lists those that there are.
    """
    name, given = parse_spec(spec)
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    found = METHODS[name]
    return replace(found, parameters=numbers(spec, given, found.parameters))


def load_method(spec: str) -> Method:
    """Return what emits a method, with its parameters; BadInput as of ``find_method``."""
    facts = find_method(spec)
    emitted: tuple[Method, ...] = import_module(f".{facts.family}", __package__).METHODS
    method = next(one for one in emitted if one.name == facts.name)
    return replace(method, parameters=facts.parameters, conserves=facts.conserves)


def methods() -> list[dict[str, Any]]:
    """Return the methods: one record of name, title, paper, parameters (with their defaults) and so on each.

    ``compares``: the method takes hostile classes; ``note``: what should be said of it beside its title.
    """
    return [
        {
            "name": m.name, "title": m.title, "paper": m.paper, "parameters": dict(m.parameters),
            "compares": m.compares, "note": m.note,
        }
        for m in METHODS.values()
    ]  # fmt: skip
