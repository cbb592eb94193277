"""What a dataset is to the rest of the tool: ordered samples, a scoring rule, and where its files come from."""

from __future__ import annotations

import difflib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

from PIL import Image

from pytest_vtc.scoring.base import NO_FACTS


class DatasetError(ValueError):
    """Something is wrong with a dataset's files or with what was asked of it; the message says what to do."""


class ImageSource(Protocol):
    """An image that is opened when it is needed, not before."""

    def open(self) -> Image.Image:
        """Decode to RGB. Raises DatasetError, naming the image, if it is missing or cannot be read."""
        ...

    def fingerprint(self) -> str:
        """Changes whenever the pixels may have changed; does not depend on where the file lies."""
        ...

    def __str__(self) -> str:
        """How to name the image to a person: its path, as a rule."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One question. `images` stand before the text of the prompt, in their order.

    answers: every accepted answer; empty means that the sample is described and not scored.
    options: the option texts of a multiple-choice question, A first.
    group: samples that share an image share a group; they are neighbours in a run and one cluster in its statistics.
    facts: what else scoring rules and published metrics need to know of the question.
    """

    id: str
    images: tuple[ImageSource, ...]
    prompt: str
    answers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    category: str = ""
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: NO_FACTS, hash=False)

    def fingerprint(self) -> str:
        """Hash of everything about the sample that can change a model's answer: prompt and images."""
        parts = [self.prompt, *(image.fingerprint() for image in self.images)]
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


OWN_STYLE = "own"
"""The wording of prompts that follow nobody else's."""


@dataclass(frozen=True)
class SampleSet:
    """The samples a run uses, in run order, and how to score and generate for them.

    scoring: name of a rule in `pytest_vtc.scoring`, or "none" for samples without answers. literal: blank answers are
    scored as the rule does, too. published: name of a metric in `pytest_vtc.scoring.published`, or None.
    prompt_style: whose wording the prompts have. whole_groups: a group that is cut would be worth nothing.
    size: how many samples the whole dataset has, of which `samples` may be a draw. drawn_from: where that is itself a
    part that was fetched, how many there are in all. own_order: where the run's order is not the dataset's, the places
    in `samples` in the dataset's.
    """

    name: str
    samples: Sequence[Sample]
    scoring: str
    max_new_tokens: int
    size: int
    literal: bool = False
    published: str | None = None
    prompt_style: str = OWN_STYLE
    whole_groups: bool = False
    own_order: Sequence[int] | None = None
    drawn_from: int | None = None

    def fingerprint(self) -> str:
        """Hash of the samples' ids, prompts and answers, in the dataset's order. No image is opened for it."""
        digest = hashlib.sha256()
        for sample in self.samples if self.own_order is None else (self.samples[place] for place in self.own_order):
            facts = [text for fact in sorted(sample.facts.items()) for text in fact]
            parts = (sample.id, sample.prompt, *sample.answers, *sample.options, *facts, "\n")
            digest.update("\x00".join(parts).encode())
        return digest.hexdigest()[:16]


Progress = Callable[[str], None]
"""Called with one line for a person each time there is something to say."""


@dataclass(frozen=True)
class Draw:
    """A part of a dataset: `n` of its samples, drawn by group with `seed`, as a run draws them."""

    n: int
    seed: int


class Dataset(ABC):
    """One dataset. `name` is how it is asked for; the rest is for `list` and for defaults."""

    name: ClassVar[str]
    description: ClassVar[str]
    licence: ClassVar[str]
    scoring: ClassVar[str]
    max_new_tokens: ClassVar[int]
    default_n: ClassVar[int | None] = None
    """How many samples a run takes when nobody says; None for all of them."""
    scorings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The rules that `official`, `lmms` (lmms-eval) and `vlmevalkit` name for it, as far as there are."""
    published: ClassVar[str | None] = None
    """The metric by which its authors rank models, where that is not accuracy: a name in `scoring.published`."""
    prompt_style: ClassVar[str] = OWN_STYLE
    prompt_styles: ClassVar[tuple[str, ...]] = ()
    """Whose wording its prompts have when nobody says, and whose else they can have."""
    whole_groups: ClassVar[bool] = False
    """Its score is made of whole groups (pairs, rotations), so that a draw never cuts one."""
    note: ClassVar[str] = ""
    """What else `list` and `fetch` say of it, in a phrase: "test answers are hidden; validation is used"."""

    @abstractmethod
    def state(self, home: Path) -> str:
        """One phrase for `list`: "built in", "fetched, 1,730 samples, 678 MB", "not fetched (about 678 MB)"."""

    @abstractmethod
    def fetch(self, home: Path, source: Path | None, progress: Progress, draw: Draw | None = None) -> Path | None:
        """Make the dataset ready under `home`, from the Hub or from files at `source`; resumes what was cut off.

        draw: of which part; None for all of it. Returns the manifest's path, or None for a built-in dataset, which
        needs no fetching.
        Raises DatasetError saying what is missing (offline, say) and how to get it.
        """

    def drawn_from(self, home: Path) -> int | None:  # noqa: ARG002
        """How many samples there are in all, if only a part is fetched."""
        return None

    @abstractmethod
    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        """All samples in the dataset's own order, samples of one group side by side. Opens no image.

        prompt_style: one of `prompt_styles`; the dataset's own if None.
        Raises DatasetError if it is not fetched, naming the command that fetches it.
        """


class BuiltInDataset(Dataset):
    """A dataset that is part of the installation, or drawn by it."""

    default_n: ClassVar[int | None] = 200

    def fetch(
        self,
        home: Path,  # noqa: ARG002
        source: Path | None,  # noqa: ARG002
        progress: Progress,
        draw: Draw | None = None,  # noqa: ARG002
    ) -> Path | None:
        progress(f"{self.name} is built in: nothing to fetch")
        return None


def nearest(name: str, known: Sequence[str]) -> str:
    """A closing phrase for an unknown name: the nearest known ones, or all."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}"
