"""pytest-vtc: which vision-token compressor loses the least accuracy, and what it saves.

`Pipeline` is here for scripts; compressors import `pytest_vtc.compression`; everything else is the plugin's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_vtc.pipeline import Pipeline

__all__ = ["Pipeline"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the pytest plugin lives in this package and must not pull in torch.
    if name == "Pipeline":
        from pytest_vtc.pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
