"""How much memory is free for weights, as the system, its control group and the GPUs have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class FreeMemory:
    """Bytes that weights can take. spill: main memory beside the GPUs, for what does not fit on them."""

    bytes: int
    where: str
    spill: int = 0


def free_memory(device: str | None) -> FreeMemory:
    """Free memory of one GPU (`cuda:1`), or, for None, of all GPUs, or of the machine if it has none."""
    if not torch.cuda.is_available():
        return FreeMemory(free_main_memory(), "in main memory")
    if device is not None:
        return FreeMemory(torch.cuda.mem_get_info(device)[0], f"on {device}")
    gpus = torch.cuda.device_count()
    free = sum(torch.cuda.mem_get_info(gpu)[0] for gpu in range(gpus))
    return FreeMemory(free, "on the GPU" if gpus == 1 else f"on {gpus} GPUs", free_main_memory())


def free_main_memory() -> int:
    """Bytes: what the system has left, or less where a container or a cluster's job has a limit of its own."""
    return min([psutil.virtual_memory().available, *_left_in_control_groups(_CGROUP, Path("/proc/self/cgroup"))])


def _left_in_control_groups(root: Path, membership: Path) -> list[int]:
    """What each limit (cgroup v2) on this process leaves, from its own group up to the root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []  # not Linux
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    group = root / path
    left: list[int] = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue  # the root group has no limit, and in a container only a part of the tree is to be seen
        if limit != "max":
            # Pages of files count as used, and are given up when memory is wanted.
            files = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
            left.append(max(0, int(limit) - used + files))
    return left
