"""Whether an execution provider of ONNX Runtime really computes: a Conv and a MaxPool are run, and compared."""

from __future__ import annotations

import base64
import contextlib
import io

import numpy as np
import onnxruntime as ort

from rsp_onnx.errors import said

# x float[1,1,4,4], w = [[0,1,0],[1,2,1],[0,1,0]]: c = Conv<pads=[1,1,1,1]>(x, w), y = MaxPool<kernel_shape=[2,2],
# strides=[2,2]>(c); written out, so that onnx need not be imported
_CONV_AND_POOL = base64.b64decode(
    "CAg62AEKJAoBeAoBdxIBYyIEQ29udioRCgRwYWRzQAFAAUABQAGgAQc6AAo6CgFjEgF5IgdNYXhQb29sKhUKDGtlcm5lbF9zaGFwZUACQAKgAQcq"
    "EAoHc3RyaWRlc0ACQAKgAQc6ABIFcHJvYmUqMwgBCAEIAwgDEAEiJAAAAAAAAIA/AAAAAAAAgD8AAABAAACAPwAAAAAAAIA/AAAAAEIBd1obCgF4"
    "EhYKFAgBEhAKAggBCgIIAQoCCAQKAggEYhsKAXkSFgoUCAESEAoCCAEKAggBCgIIAgoCCAJCBAoAEA0="
)
_CPU = "CPUExecutionProvider"
_OF_NVIDIA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
_WANTED = np.array([[30, 36], [61, 66]], np.float32)  # of x = 0 ... 15, by hand; exact in half precision too
_ERRORS, _WARNINGS = 4, 2  # what ONNX Runtime logs: fatal errors alone, by default warnings


def probe(provider: str, *, quiet: bool = True) -> str:
    """Return why an execution provider cannot explain a convolutional network here; empty where it can.

    A session of this provider alone, which may leave nothing to the CPU, runs a Conv and a MaxPool; that the runtime
    lists a provider does not say that its libraries, or a device, are there.

    Parameters
    ----------
    provider : str
        ONNX Runtime's name, such as ``CUDAExecutionProvider``.
    quiet : bool
        What ONNX Runtime prints of an attempt that fails is kept from the terminal; else its reasons are in there.
    """
    if provider not in ort.get_available_providers():
        return f"this build of ONNX Runtime ({ort.__version__}) does not have it"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            if quiet:
                ort.set_default_logger_severity(_ERRORS)
            return _compared(*_run(provider, _ERRORS if quiet else _WARNINGS))
        except Exception as error:  # whatever fails here, it does not work
            return said(error)
        finally:
            if quiet:
                ort.set_default_logger_severity(_WARNINGS)


def _run(provider: str, severity: int) -> tuple[list[str], np.ndarray]:
    """Return the providers of a session and what it computed."""
    if provider in _OF_NVIDIA and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds CUDA and cuDNN installed by pip
    options = ort.SessionOptions()
    options.log_severity_level = severity
    if provider != _CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = ort.InferenceSession(_CONV_AND_POOL, options, providers=[provider])
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    return session.get_providers(), np.asarray(session.run(None, {"x": x})[0])


def _compared(providers: list[str], found: np.ndarray) -> str:
    if found.shape == (1, 1, 2, 2) and np.allclose(found[0, 0], _WANTED, rtol=1e-3, atol=0):
        return ""
    return f"it computes {found.reshape(-1).tolist()} ({', '.join(providers)}), not {_WANTED.reshape(-1).tolist()}"
