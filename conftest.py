"""Common to `tests/` and `benchmarks/`."""

from __future__ import annotations

import os

# Tests run the plugin in pytest sessions of their own.
pytest_plugins = ["pytester"]

if os.environ.get("CI"):
    # Whatever is not on the machine must show as an error, not as a download.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
