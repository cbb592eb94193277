"""Scores answers that lie in a file by several rules side by side: what the choice of the rule is worth.

One JSON object a line, of three forms:

    {"prediction": "B", "answer": "B", "options": ["a cat", "a dog"]}     with options and facts as in a manifest
    {"id": "q1", "prediction": "B"}                                       of a dataset that is named
    a line of a run's samples.jsonl                                       of a dataset that is named
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.datasets.registry import WHOSE, data_home, open_samples
from pytest_vtc.report.columns import Column, tabulated
from pytest_vtc.report.figures import NOTHING, percent
from pytest_vtc.scoring import NO_FACTS, Score, judged, rule
from pytest_vtc.scoring.answerable import unanswerable


class ScoredFileError(ValueError):
    """The file cannot be scored; the message names it, with the line, and says what to do."""


@dataclass(frozen=True)
class Line:
    """One line of the file. of: the cell that it belongs to, "" where the file is not a run's. sample: the same."""

    of: str
    sample: str
    prediction: str
    answers: Sequence[str]
    options: Sequence[str]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Tally:
    """What one rule says of one cell. scores: one for each line, in the file's order; n_samples: of the dataset."""

    of: str
    rule: str
    scores: list[Score]
    n_blank: int
    n_samples: int | None = None

    @property
    def mean(self) -> float:
        return sum(score.value for score in self.scores) / len(self.scores)

    @property
    def unparsed(self) -> float:
        return sum(score.unparsed for score in self.scores) / len(self.scores)

    def differing(self, other: Tally) -> int:
        """Lines that both rules judge and disagree about."""
        pairs = zip(self.scores, other.scores, strict=True)
        return sum(abs(ours.value - theirs.value) > 1e-9 for ours, theirs in pairs)


def score_file(path: Path, data: str | None, scorings: Sequence[str], literal: bool = False) -> list[Tally]:
    """A tally for each cell in the file and each of `scorings`; cells in the file's order, rules in that given.

    data: the dataset of the answers, by name or path; None if the lines hold all that is needed.
    scorings: names of rules; with `data`, also `official`, `lmms`, `vlmevalkit`; if empty, the dataset's own rule.
    literal: score blank answers as rules of others do, too. Raises ScoredFileError, DatasetError or ScoringError.
    """
    if data is None:
        if not scorings:
            raise ScoredFileError("name a rule by --scoring, or the dataset by --data")
        rules = [(name, name, literal) for name in scorings]
        for name in scorings:
            if name in WHOSE:
                raise ScoredFileError(f"--scoring {name}: which rule that is depends on the dataset; add --data")
            rule(name)
        lines, n_samples = list(_read(path, None, scorings)), None
    else:
        sets = [open_samples(data, data_home(), None, 0, scoring) for scoring in scorings or (None,)]
        if any(each.scoring == "none" for each in sets):
            raise ScoredFileError(f"{data} has no answers to score by; name a rule, or another dataset")
        rules = [(_called(each, asked), each.scoring, literal or each.literal)
                 for each, asked in zip(sets, scorings or (None,), strict=True)]  # fmt: skip
        lines, n_samples = list(_read(path, sets[0], ())), len(sets[0].samples)
    if not lines:
        raise ScoredFileError(f"{path}: it holds no answers{'' if data is None else f' to {data}'}")
    tallies: list[Tally] = []
    for cell in dict.fromkeys(line.of for line in lines):
        mine = [line for line in lines if line.of == cell]
        n_blank = sum(not line.prediction.strip() for line in mine)
        for shown, name, to_the_letter in rules:
            scores = [
                judged(rule(name), line.prediction, line.answers, line.options, line.facts, literal=to_the_letter)
                for line in mine
            ]
            tallies.append(Tally(cell, shown, scores, n_blank, n_samples))
    return tallies


def render(tallies: Sequence[Tally]) -> list[str]:
    """Lines of a table: of one cell a row for each rule, of several a row for each cell."""
    rules = list(dict.fromkeys(tally.rule for tally in tallies))
    cells = list(dict.fromkeys(tally.of for tally in tallies))
    if len(cells) == 1:
        first, n = tallies[0], len(tallies[0].scores)
        columns = [
            Column("Rule", rules),
            Column("Score", [percent(tally.mean) for tally in tallies]),
            Column("Unparsed", [percent(tally.unparsed) for tally in tallies]),
            Column("Differs", [NOTHING, *(f"{tally.differing(first):,}" for tally in tallies[1:])]),
        ]
        blank = f"{first.n_blank:,} of them blank" if first.n_blank else "none of them blank"
        of = "" if first.n_samples is None else f" to {n:,} of {first.n_samples:,} samples"
        return [
            *tabulated(columns),
            "",
            f"{n:,} answer{'' if n == 1 else 's'}{of}, {blank}",
            *([f"Differs: answers that the rule judges otherwise than {rules[0]}"] if len(rules) > 1 else []),
        ]
    by_rule = {name: [tally for tally in tallies if tally.rule == name] for name in rules}
    return tabulated(
        [
            Column("Cell", cells),
            Column("n", [f"{len(tally.scores):,}" for tally in by_rule[rules[0]]]),
            *(Column(name, [percent(tally.mean) for tally in of_rule]) for name, of_rule in by_rule.items()),
        ]
    )


def _called(data: SampleSet, asked: str | None) -> str:
    return data.scoring if asked in (None, data.scoring) else f"{data.scoring} ({asked})"


def _read(path: Path, data: SampleSet | None, rules: Sequence[str]) -> Iterator[Line]:
    """The answers in a file; of a run's, those to `data`: a run may have been over several datasets.

    rules: those that must be able to score a line; without `data`, which has been checked.
    """
    samples = None if data is None else {sample.id: sample for sample in data.samples}
    seen: dict[tuple[str, str], int] = {}
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                where = f"{path}:{number}"
                if not (text := _text(where, raw)).strip():
                    continue
                row = _object(where, text)
                if data is not None and _of_run(row) and f"/{data.name}/" not in str(row["cell"]):
                    continue
                line = _answered(where, row, samples)
                if line.sample and (first := seen.setdefault((line.of, line.sample), number)) != number:
                    raise ScoredFileError(f"{where}: a second answer to {line.sample!r}; the first is in line {first}")
                for name in rules:
                    if (reason := unanswerable(name, line.answers, line.options)) is not None:
                        raise ScoredFileError(f"{where}: {reason}")
                yield line
    except OSError as error:
        raise ScoredFileError(f"cannot read {path} ({error.strerror})") from error


def _text(where: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScoredFileError(f"{where}: it is not UTF-8 text; save the file as UTF-8") from error


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScoredFileError(f"{where}: broken JSON: {error}") from error
    if not isinstance(row, dict):
        raise ScoredFileError(f"{where}: expected a JSON object")
    return cast("dict[str, Any]", row)


def _of_run(row: Mapping[str, Any]) -> bool:
    return "cell" in row and "sample" in row


def _answered(where: str, row: Mapping[str, Any], samples: Mapping[str, Sample] | None) -> Line:
    of_run = _of_run(row)
    prediction = row.get("answer" if of_run else "prediction")
    if not isinstance(prediction, str):
        raise ScoredFileError(f'{where}: "prediction" must be a string: what the model said')
    if samples is not None:
        if (name := row.get("sample" if of_run else "id")) is None:
            raise ScoredFileError(f'{where}: "id" is missing: to which question of the dataset this is the answer')
        if (sample := samples.get(str(name))) is None:
            raise ScoredFileError(f"{where}: the dataset has no sample {str(name)!r}")
        of = str(row["cell"]) if of_run else ""
        return Line(of, sample.id, prediction, sample.answers, sample.options, sample.facts)
    if of_run:
        raise ScoredFileError(f"{where}: a line of a run; name its dataset by --data, which knows the options")
    answers = row.get("answer", row.get("target"))
    answers = cast("list[Any]", answers) if isinstance(answers, list) else [answers]
    if not answers:
        raise ScoredFileError(f'{where}: "answer" is an empty list: nothing could be right')
    if not all(isinstance(answer, str | int | float) and not isinstance(answer, bool) for answer in answers):
        raise ScoredFileError(f'{where}: "answer" must be a string, a number or a list of them, or name --data')
    if not any(str(answer).strip() for answer in answers):
        raise ScoredFileError(f'{where}: "answer" is blank; nothing could ever match it')
    options = row.get("options") or []
    facts = row.get("facts") or NO_FACTS
    if not isinstance(options, list) or not isinstance(facts, dict | type(NO_FACTS)):
        raise ScoredFileError(f'{where}: "options" must be a list, and "facts" an object')
    return Line("", "", prediction, [str(answer) for answer in answers], [str(text) for text in options], facts)
