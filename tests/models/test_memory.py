"""Free memory, as a machine, a container and GPUs have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from pytest_vtc.models import memory
from pytest_vtc.models.memory import FreeMemory, free_main_memory, free_memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups in which this process is in /job/step, on a machine with 1000 bytes to spare."""
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "membership").write_text("1:name=systemd:/elsewhere\n0::/job/step\n")
    read = memory._left_in_control_groups
    monkeypatch.setattr(memory, "_left_in_control_groups", lambda *_: read(tmp_path, tmp_path / "membership"))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    return tmp_path


def limit(group: Path, most: str, used: int, of_files: int = 0) -> None:
    (group / "memory.max").write_text(most + "\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\nactive_file {of_files}\ninactive_file 0\n")


def test_without_limits_it_is_what_the_machine_has(groups: Path) -> None:
    limit(groups / "job", "max", 100)
    assert free_main_memory() == 1000


def test_the_limit_of_a_job_is_kept_to(groups: Path) -> None:
    limit(groups / "job" / "step", "max", 100)
    limit(groups / "job", "500", 200)
    assert free_main_memory() == 300


def test_pages_of_files_can_be_had_back(groups: Path) -> None:
    limit(groups / "job", "500", 400, of_files=350)
    assert free_main_memory() == 450


def test_a_limit_above_the_machine_does_not_add_to_it(groups: Path) -> None:
    limit(groups / "job", "5000", 0)
    assert free_main_memory() == 1000


def test_where_there_are_no_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert memory._left_in_control_groups(tmp_path, tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("device", "found"),
    [("cuda:1", FreeMemory(200, "on cuda:1")), (None, FreeMemory(300, "on 2 GPUs", 1000))],
)
def test_one_gpu_is_asked_for_itself_and_all_for_their_sum(
    monkeypatch: pytest.MonkeyPatch, groups: Path, device: str | None, found: FreeMemory
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: ((200 if gpu in (1, "cuda:1") else 100), 1000))
    assert free_memory(device) == found
