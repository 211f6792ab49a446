"""ONNX Runtime sessions of one thread: as many calls as there are cores run side by side."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mien.errors import MienError

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["one_thread", "open_session"]


def one_thread() -> onnxruntime.SessionOptions:
    """Return options for one thread a call that does not spin while it waits."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen.log_severity_level = 3
    return chosen


@lru_cache(maxsize=2)
def open_session(model: bytes, what: str) -> Any:
    """Return an ONNX Runtime session of one thread that does not spin while it waits.

    The last are kept, for as many callers and threads as want them: to open one takes as long as
    to look for faces in three images.

    Raises:
        MienError: the model cannot be loaded.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, one_thread(), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class
        cause = str(error).splitlines()[0][:200]
        raise MienError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {what}: {cause}"
        ) from error
