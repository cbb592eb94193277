"""What datasets that are fetched have in common: a folder with a manifest, and what `list` says about it."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from pytest_vtc.datasets.base import Dataset, DatasetError, Draw, Progress, Sample
from pytest_vtc.datasets.draws import draw as places_of_draw
from pytest_vtc.datasets.kept_images import JOURNAL, MANIFEST
from pytest_vtc.datasets.manifest import read_header, read_manifest, read_rows, write_manifest
from pytest_vtc.option_values import DEFAULT_SEED

LARGE_MB = 1_000
"""From this size on a person is told that a part can be fetched."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Held:
    """What a manifest on disk has: `samples` of `of`. drawn: which draw, if it is one."""

    samples: int
    of: int
    image_bytes: int
    drawn: Draw | None

    @property
    def whole(self) -> int | None:
        """How many samples there are in all, if these are a part."""
        return self.of if self.drawn is not None else None

    def covers(self, draw: Draw) -> bool:
        """Whether the samples of a draw are all there."""
        return self.drawn is None or (self.drawn.seed == draw.seed and self.drawn.n >= draw.n)

    def __str__(self) -> str:
        part = f"{self.samples:,} of {self.of:,}" if self.drawn is not None else f"{self.samples:,}"
        return f"{part} samples, {self.image_bytes / 1e6:,.0f} MB"


class FetchedDataset(Dataset):
    """A dataset that lies under `home / name` once it is fetched: `manifest.jsonl`, as a rule with `images/` beside it.

    The manifest is written last, so that it is there only if everything is.
    """

    about_mb: ClassVar[int]
    """Approximate size of the download."""

    def fetch(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None = None) -> Path:
        self.announce(progress, source, draw)
        if draw is not None and draw.n < 1:
            raise DatasetError(f"{self.name}: asked for {draw.n} samples; ask for at least 1")
        with _alone(home, self.name, progress):
            if draw is not None and self.manifest_path(home).is_file():
                if (wrong := self._wrong(home, source)) is not None:
                    progress(f"{self.name}: fetched again: {wrong}")
                elif (held := self.held(home)) is not None and self._has(held, draw, home, progress):
                    return self.manifest_path(home)
            return self._bring(home, source, progress, draw)

    def _has(self, held: Held, draw: Draw, home: Path, progress: Progress) -> bool:
        """Whether a draw is there already; says so, or what becomes of what is there."""
        if draw.n > held.of:
            raise self._too_many(draw, held.of)
        if held.covers(draw):
            progress(
                f"{self.name}: {held} are there already, and hold the {draw.n:,} that were asked for; nothing to fetch "
                f"(to have fewer on disk, delete {self.folder(home)} first)"
            )
            return True
        if held.drawn is not None and held.drawn.seed != draw.seed:
            progress(
                f"{self.name}: another draw, by seed {held.drawn.seed}, is there ({held}); its manifest is replaced, "
                "its images stay"
            )
        return False

    def _wrong(self, home: Path, source: Path | None) -> str | None:
        """Why what is there cannot be taken for what would be fetched; None if it can."""
        path = self.manifest_path(home)
        try:
            held_by(path)
            facts = read_header(path).extra
            if (damage := _damage(path, every_image=True)) is not None:
                return damage
        except DatasetError as error:
            return str(error)
        if source is not None and (facts.get("revision") or facts.get("source") != str(source.resolve())):
            return f"it comes from {facts.get('source')}, not from {source}"
        return None if self.is_fresh(path) else f"the files of {facts.get('source')} have changed since"

    def is_fresh(self, manifest: Path) -> bool:  # noqa: ARG002
        """Whether the files that a manifest was made from are as they were, as far as it notes that."""
        return True

    @property
    def command(self) -> str:
        """What fetches it."""
        return f"python -m pytest_vtc fetch {self.name}"

    @abstractmethod
    def _bring(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None) -> Path:
        """What `fetch` does, once it has said licence and size and has the folder for itself."""

    def folder(self, home: Path) -> Path:
        return home / self.name

    def manifest_path(self, home: Path) -> Path:
        return self.folder(home) / MANIFEST

    def images_folder(self, home: Path) -> Path:
        return self.folder(home) / "images"

    def held(self, home: Path) -> Held | None:
        """What is fetched; None if nothing is, or if it is damaged."""
        try:
            return held_by(self.manifest_path(home))
        except DatasetError:
            return None

    def state(self, home: Path) -> str:
        path = self.manifest_path(home)
        if path.is_file():
            return state_of(path)
        begun = self.images_folder(home).is_dir() or (self.folder(home) / JOURNAL).is_file()
        return f"{'fetched in part' if begun else 'not fetched'} (about {self.about_mb:,} MB)"

    def drawn_from(self, home: Path) -> int | None:
        held = self.held(home)
        return None if held is None else held.whole

    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        path = self.manifest_path(home)
        if not path.is_file():
            raise DatasetError(f"{self.name} is not fetched; run: {self.command}")
        check_whole(path, self.name)
        return read_manifest(path, prompt_style).samples

    def announce(self, progress: Progress, source: Path | None, draw: Draw | None = None) -> None:
        origin = f"from {source}" if source is not None else f"about {self.about_mb:,} MB from the Hub"
        if source is None and draw is None and self.about_mb >= LARGE_MB:
            origin += " (--n 500 fetches a part)"
        if draw is not None:
            origin += f", of which {draw.n:,} samples are drawn by seed {draw.seed}"
        note = f"; {self.note}" if self.note else ""
        progress(f"{self.name}: {self.description}; {origin}; licence: {self.licence}{note}")

    def chosen(self, groups: Sequence[str], draw: Draw) -> list[int]:
        """The places of what a draw takes of the whole dataset, ascending; groups: of each sample, in its order."""
        if draw.n > len(groups):
            raise self._too_many(draw, len(groups))
        return places_of_draw(groups, draw.n, draw.seed, self.whole_groups)

    def _too_many(self, draw: Draw, of: int) -> DatasetError:
        return DatasetError(
            f"{self.name}: asked for {draw.n:,} samples, but it has {of:,}; ask for at most that many, or leave --n "
            "out for all of them"
        )

    def write(self, home: Path, rows: Iterable[Mapping[str, Any]], **facts: Any) -> Path:
        """Write the manifest of this dataset. `facts` go into its header: source, revision, samples, image_bytes."""
        path = self.manifest_path(home)
        header = {
            "name": self.name,
            "scoring": self.scoring,
            "max_new_tokens": self.max_new_tokens,
            "licence": self.licence,
            "prompt_style": self.prompt_style,
            "whole_groups": self.whole_groups,
            **({"scorings": dict(self.scorings)} if self.scorings else {}),
            **({"published": self.published} if self.published else {}),
            **facts,
        }
        write_manifest(path, header, rows)
        return path


def drawn_fact(draw: Draw | None, taken: int, of: int) -> dict[str, Any]:
    """What a header says of a draw; nothing if it took everything."""
    return {} if draw is None or taken == of else {"drawn": {"n": draw.n, "seed": draw.seed, "of": of}}


def counted(items: Iterable[_Item], total: int, unit: str) -> Iterable[_Item]:
    """The items, with a progress bar on stderr where that is a terminal."""
    from tqdm import tqdm  # only when something is fetched

    return tqdm(items, total=total, unit=unit, file=sys.stderr, disable=None)


def held_by(path: Path) -> Held | None:
    """What a manifest has; None if there is none. Raises DatasetError if it cannot be read."""
    if not path.is_file():
        return None
    facts = read_header(path).extra
    try:
        samples, image_bytes = int(facts.get("samples", 0)), int(facts.get("image_bytes", 0))
        drawn = cast("dict[str, Any] | None", facts.get("drawn"))
        if drawn is None:
            return Held(samples, samples, image_bytes, None)
        return Held(samples, int(drawn["of"]), image_bytes, Draw(int(drawn["n"]), int(drawn["seed"])))
    except (TypeError, ValueError, KeyError) as error:
        raise DatasetError(f"{path}:1: the header says nothing sensible of its samples ({error})") from error


def state_of(path: Path) -> str:
    """One phrase for `list` of a manifest that is there."""
    try:
        held = held_by(path)
        if (damage := _damage(path)) is None:
            return f"fetched, {held}"
    except DatasetError:
        damage = str(path)
    return f"damaged: {damage} (fetch it again)"


def check_whole(path: Path, spec: str) -> None:
    """Raise DatasetError if a manifest has not all the samples that it is to have. spec: how the person named it."""
    held = held_by(path)
    if (cut := _cut_off(path)) is not None:
        raise DatasetError(f"{spec}: damaged: {cut} (fetch it again: {command_for(spec, path, held and held.drawn)})")


def command_for(spec: str, path: Path, draw: Draw | None) -> str:
    """What fetches this much of a dataset from where its manifest says that it comes from, and by the same columns."""
    facts = read_header(path).extra
    words = ["python", "-m", "pytest_vtc", "fetch", spec]
    source = facts.get("source")
    # What comes from the Hub has a revision; a table that is asked for as a folder needs no other.
    if source and facts.get("revision") is None and facts.get("spec") != f"hf:{source}":
        words += ["--source", str(source)]
    if asked := facts.get("asked"):
        words += ["--columns", str(asked)]
    if draw is not None:
        words += ["--n", str(draw.n)] + (["--seed", str(draw.seed)] if draw.seed != DEFAULT_SEED else [])
    return shlex.join(words)


def _damage(path: Path, every_image: bool = False) -> str | None:
    """What is wrong with a manifest whose header is in order: at a glance, or with every row and image looked at."""
    if (cut := _cut_off(path)) is not None:
        return cut
    rows = (row for _, row in itertools.islice(read_rows(path), 1, None if every_image else 2))
    images = {str(name) for row in rows for name in [row.get("image"), *(row.get("images") or [])] if name}
    if not images:
        return f"{path} is cut off"
    missing = [path.parent / name for name in sorted(images) if not (path.parent / name).is_file()]
    more = f" (and {len(missing) - 1:,} more)" if len(missing) > 1 else ""
    return f"{missing[0]} is missing{more}" if missing else None


def _cut_off(path: Path) -> str | None:
    """What is wrong with a manifest that has not as many lines as its header says."""
    facts = read_header(path).extra
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return f"{path} is cut off" if "samples" in facts and lines != int(facts["samples"]) + 1 else None


@contextlib.contextmanager
def _alone(home: Path, name: str, progress: Progress) -> Generator[None]:
    """Keeps another process from fetching the same dataset into the same place: shards of a job array, say."""
    from filelock import FileLock, Timeout  # only when something is fetched

    path = home / f".{name}.lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress(f"{name}: another process is fetching it; waiting")
            lock.acquire()
    except OSError as error:
        raise DatasetError(f"{path}: cannot write here ({error.strerror}); VTC_HOME names another place") from error
    try:
        yield
    finally:
        lock.release()
