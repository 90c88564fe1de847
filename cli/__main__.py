"""``python -m rsp_onnx.cli``."""

from .main import main

main()
