"""From answers to measurements: scores each by its dataset's rule, or has it judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_vtc.cells import CaseFailed, Generation, Measurement
from pytest_vtc.judge.choice import judged_rule
from pytest_vtc.judge.client import ChatClient, JudgeError
from pytest_vtc.judge.endpoint import endpoint
from pytest_vtc.judge.judge import Judge, Question
from pytest_vtc.judge.replies import REPLIES_NAME, Replies
from pytest_vtc.scoring import NOTHING, Score, judged, rule
from pytest_vtc.scoring.judges import Asked
from pytest_vtc.sweep import Case, Sweep

Result = Measurement | CaseFailed


@dataclass(frozen=True)
class AnsweredCase:
    """A case and what the model did. cached: that came from the store."""

    case: Case
    generation: Generation
    cached: bool


class CaseScores:
    """Scores the answers of a sweep. judge: by whom those are judged that need it; the sweep's own if None."""

    def __init__(self, sweep: Sweep, judge: Judge | None = None) -> None:
        self._choice = sweep.judge
        if judge is None and self._choice is not None:
            replies = Replies(sweep.settings.output / REPLIES_NAME, fresh=sweep.settings.fresh)
            judge = Judge(self._choice.model, ChatClient(endpoint(self._choice.url)), replies)
        self._judge = judge

    def results(self, answers: Iterable[AnsweredCase]) -> dict[int, Result]:
        """A measurement of each case, by its order, or why a judge did not score it.

        The judge is asked about all of them together. Raises StoreError if its replies cannot be kept.
        """
        every = list(answers)
        scores: dict[int, Score | JudgeError | None] = {}
        questions: dict[int, Question] = {}
        for answer in every:
            if (question := self._question(answer)) is not None:
                questions[answer.case.order] = question
            else:
                scores[answer.case.order] = _score(answer)
        if questions and self._judge is not None:
            verdicts = self._judge.scores(list(questions.values()))
            scores |= dict(zip(questions, verdicts, strict=True))
        return {answer.case.order: _result(answer, scores[answer.case.order]) for answer in every}

    def _question(self, answer: AnsweredCase) -> Question | None:
        """What the judge is asked about an answer; None if it is scored without one, as blank ones are."""
        data, sample, said = answer.case.block.data, answer.case.sample, answer.generation.answer
        by = judged_rule(data)
        if by is None or self._choice is None or (not said.strip() and not data.literal):
            return None
        asked = Asked(said, sample.prompt, sample.answers, sample.category, sample.facts)
        return Question(by, self._choice.prompts[data.name], asked, sample.images)


def _score(answer: AnsweredCase) -> Score | None:
    """The score of an answer that no judge is asked about; None where there is nothing to score by."""
    sample, data = answer.case.sample, answer.case.block.data
    if not sample.answers or data.scoring == "none":
        return None
    if judged_rule(data) is not None:
        return NOTHING
    said = answer.generation.answer
    return judged(rule(data.scoring), said, sample.answers, sample.options, sample.facts, literal=data.literal)


def _result(answer: AnsweredCase, score: Score | JudgeError | None) -> Result:
    case, sample = answer.case, answer.case.sample
    if isinstance(score, JudgeError):
        return CaseFailed(f"answered, but not judged: {score}. The answer is kept: --lf has it judged again")
    if score is not None and score.unparsed and judged_rule(case.block.data) is not None:
        # What a reply that nobody can read is worth is the harness's policy, unless the original's is asked for.
        score = score if case.block.data.literal else NOTHING
    return Measurement(
        cell=case.cell,
        sample=sample.id,
        category=sample.category,
        group=sample.group or sample.id,
        expected=sample.answers,
        generation=answer.generation,
        score=None if score is None else score.value,
        parsed=None if score is None else score.parsed,
        unparsed=False if score is None else score.unparsed,
        cached=answer.cached,
        order=case.order,
        facts=sample.facts,
    )
