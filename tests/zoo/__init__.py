"""Small random networks, one per family of architectures, and their way into ONNX.

Nothing is trained: weights are random but healthy (He scale; BatchNormalization statistics taken from random
images, then shaken, so that a wrong folding shows), seeded, and the same on every call.
"""

from .export import export
from .families import FAMILIES, Entry, section_of
from .full import full_densenet121, full_mobilenet_v2, full_resnet18, full_vgg16

__all__ = [
    "FAMILIES",
    "Entry",
    "export",
    "full_densenet121",
    "full_mobilenet_v2",
    "full_resnet18",
    "full_vgg16",
    "section_of",
]
