"""What `python -m pytest_vtc list` shows: models by family, datasets, compressors by stage."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from tabulate import tabulate

from pytest_vtc.compression import Compressor, Stage
from pytest_vtc.datasets.fetched import state_of
from pytest_vtc.datasets.own_tables import fetched_tables
from pytest_vtc.datasets.registry import data_home, known_datasets
from pytest_vtc.discovery import ON_REQUEST, known_compressors
from pytest_vtc.models.catalogue import BITS, CATALOGUE, FAMILY_NAMES
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.vision_side import RARE

_WIDTH = 98
_INDENT = "    "

STAGES: Mapping[Stage, str] = {
    "encoder": "within the vision encoder, or on its output before the projector",
    "pre_llm": "on the projected tokens, before the language model",
    "llm": "between layers of the language model",
}
"""Where compressors act, in the order in which an image passes."""


def listing() -> Iterator[str]:
    """Every line of the list, none wider than 98 columns but for the table of datasets."""
    yield from _models()
    yield from _datasets()
    yield from _compressors()


def _models() -> Iterator[str]:
    """The catalogue as one table, cut into families by headings that say what each cannot do."""
    cards = sorted(CATALOGUE.values(), key=lambda card: list(FAMILY_NAMES).index(card.model_type))
    rows = [
        [
            card.name,
            f"{card.parameters:.3g}B" if card.parameters >= 0.1 else f"{card.parameters * 1000:.2g}M",
            *(_gigabytes(card.memory_gb(quantization)) for quantization in BITS),
            card.tokens_per_image,
            card.licence + (", gated" if card.gated else ""),
        ]
        for card in cards
    ]
    headers = ["name", "size", "bf16", "8bit", "4bit", "vision tokens", "licence"]
    align = ("left", "right", "right", "right", "right", "left", "left")
    lines = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align).splitlines()
    title, rule, *body = (f"  {line}".rstrip() for line in lines)
    yield from ("Models", title, rule)
    for family, members in itertools.groupby(zip(cards, body, strict=True), key=lambda row: row[0].model_type):
        cannot = ", ".join(_lacks(family))
        yield f"{FAMILY_NAMES[family]} ({family})" + (f"; cannot: {cannot}" if cannot else "")
        yield from (row for _, row in members)
    yield ""
    for note in (
        "size: parameters. bf16, 8bit, 4bit: GB of weights. --vtc-quantization leaves the vision side, embeddings, the "
        "output layer and a mixture's experts as they are.",
        "vision tokens: what the language model gets of an image. gated: the Hub wants its terms accepted first.",
        *(f"{card.name}: {card.note}." for card in cards if card.note),
        "Any other checkpoint works by Hub id or folder if its config.json names one of these families (in parentheses)"
        f"{''.join(f' or {family}' for family in BACKENDS if family not in FAMILY_NAMES)}.",
        "--random-weights NAME instead of --vtc-model NAME: the same shapes with random values, and no download.",
        "cannot: what a compressor may need and does not get there:",
        *_reasons({family: _lacks(family) for family in FAMILY_NAMES}),
        *_rare(),
    ):
        yield textwrap.fill(note, _WIDTH, subsequent_indent=_INDENT)
    yield ""


def _lacks(family: str) -> dict[str, str]:
    """What a family cannot give although most can, and why; the rarer parts are told the other way round."""
    return {part: why for part, why in BACKENDS[family].lacks.items() if part not in RARE}


def _reasons(lacks: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What each family lacks and why, those of one reason together."""
    families: dict[tuple[str, str], list[str]] = {}
    for family, of_family in lacks.items():
        for reason in dict.fromkeys(of_family.values()):
            needs = ", ".join(need for need in of_family if of_family[need] == reason)
            families.setdefault((needs, reason), []).append(family)
    return [f"  {needs} ({', '.join(names)}): {reason}" for (needs, reason), names in families.items()]


def _rare() -> list[str]:
    """What most families cannot give, with those that can, and why the others cannot."""
    offering = {part: [name for name, family in BACKENDS.items() if part in family.offers] for part in RARE}
    return [
        "Only some families can give these parts to a compressor:",
        *(f"  {part} ({', '.join(offering[part]) or 'none'}); elsewhere: {why}" for part, why in RARE.items()),
    ]


def _gigabytes(amount: float) -> str:
    return f"{amount:.1f}" if amount >= 0.1 else "<0.1"


def _datasets() -> Iterator[str]:
    """Two lines or more for each: what it asks; what of it is here, how it is scored, whose it is."""
    home = data_home()
    known = known_datasets()
    tables = [(spec, state_of(path)) for spec, path in fetched_tables(home)]
    indent = max(map(len, known)) + 4
    yield "Datasets"
    for name, dataset in known.items():
        yield from _hanging(f"  {name}", dataset.description, indent)
        about = [dataset.state(home), f"scored by {dataset.scoring}", dataset.licence, dataset.note]
        yield from _hanging("", "; ".join(part for part in about if part), indent)
    for spec, state in tables:
        yield from _hanging(f"  {spec}", f"a table of your own; {state}", indent)
    yield ""
    for note in (
        "Also: any manifest.jsonl, *.csv beside its images, or folder of images, by path; any table of the Hub as "
        "hf:owner/name, or of a folder as hf:./folder.",
        f"Fetched datasets lie in {home}. `fetch NAME --n 500` fetches a part, drawn as `--vtc-n 500` draws it.",
    ):
        yield textwrap.fill(note, _WIDTH, subsequent_indent=_INDENT)
    yield ""


def _compressors() -> Iterator[str]:
    """Grouped by stage: two lines or more for each, what it does and where it comes from."""
    classes: list[type[Compressor]] = [found.cls for _, found in sorted(known_compressors().items())]
    by_stage: dict[Stage, list[type[Compressor]]] = {
        stage: [cls for cls in classes if cls.stage == stage] for stage in STAGES
    }
    indent = max(len(cls.name) for cls in classes) + 4
    yield "Compressors"
    for stage, members in by_stage.items():
        if members:
            yield f"{stage}: {STAGES[stage]}"
            for cls in members:
                yield from _compressor(cls, indent)
    yield ""
    for note in (
        "needs: parts of the model; a model that lacks one skips the compressor's cells and says why. *: where a model "
        "has none, the compressor does something else instead, which is printed below the results and recorded.",
        "on request: not in a run that names no compressors; --vtc-compressors all has every one.",
        "Also: ./file.py, and name(parameter=value) for other than default parameters.",
    ):
        yield textwrap.fill(note, _WIDTH, subsequent_indent=_INDENT)


def _compressor(cls: type[Compressor], indent: int) -> Iterator[str]:
    yield from _hanging(f"  {cls.name}", cls.description, indent)
    needs = ", ".join([*sorted(cls.needs - cls.substitutes.keys()), *(f"{part}*" for part in sorted(cls.substitutes))])
    source = cls.reference if not cls.year or str(cls.year) in cls.reference else f"{cls.reference} ({cls.year})"
    about = [source, f"needs {needs}" if needs else "", "on request" if cls.name in ON_REQUEST else ""]
    yield from _hanging("", "; ".join(part for part in about if part), indent)


def _hanging(start: str, text: str, indent: int) -> Sequence[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=start.ljust(indent), subsequent_indent=" " * indent, break_on_hyphens=False
    )
