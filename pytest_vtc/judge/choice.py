"""Which judge a run has, and what it asks: looked up before anything runs. Imports neither torch nor a client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytest_vtc.datasets.base import SampleSet
from pytest_vtc.judge.endpoint import endpoint
from pytest_vtc.option_values import OptionError
from pytest_vtc.scoring import JudgedRule, any_rule
from pytest_vtc.scoring.judges import PREDICTION, Prompt

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class JudgeChoice:
    """url: as it was given. model: the judge's name. prompts: by dataset, of those that are judged.

    own_words: the datasets for which the judge is asked in the words of this tool.
    """

    url: str
    model: str
    prompts: Mapping[str, Prompt]
    own_words: frozenset[str]

    def describe(self) -> str:
        """A line for the header of a run."""
        return f"vtc: {', '.join(self.prompts)} judged by {self.model} at {endpoint(self.url)}"


def judged_rule(data: SampleSet) -> JudgedRule | None:
    """The rule of a dataset whose answers a judge scores; None for any other."""
    found = None if data.scoring == "none" else any_rule(data.scoring)
    return found if isinstance(found, JudgedRule) else None


def choose_judge(
    url: str | None, model: str | None, prompts: Sequence[str], sets: Iterable[SampleSet], known: Iterable[str] = ()
) -> JudgeChoice | None:
    """The judge of a run on `sets`; None if nothing of it is judged.

    prompts: FILE or DATASET=FILE, as given. known: names of datasets that may be meant beside those of the run.
    Raises OptionError if a judge is needed and not all that takes is given, or if a prompt cannot be used.
    """
    every = list(sets)
    rules = {data.name: rule for data in every if (rule := judged_rule(data)) is not None}
    if not rules:
        return None
    names = ", ".join(rules)
    if url is None or model is None:
        lacking = " ".join(
            option for option, value in (("--vtc-judge URL", url), ("--vtc-judge-model NAME", model)) if value is None
        )
        raise OptionError(
            f"answers of {names} are scored by a language model, the judge: give {lacking} (any OpenAI-compatible "
            "endpoint; its key in the environment variable VTC_JUDGE_API_KEY or OPENAI_API_KEY), or --vtc-scoring none "
            "to record answers without scores"
        )
    endpoint(url)  # a key that cannot be used is said now
    for data in every:
        if data.name in rules:
            _check_facts(data, rules[data.name])
    given = _given(prompts, list(rules), {*rules, *known, *(data.name for data in every)})
    chosen = {name: read_prompt(path, rules[name]) for name, path in given.items()}
    return JudgeChoice(
        url,
        model,
        {name: chosen.get(name, rule.prompt) for name, rule in rules.items()},
        frozenset(rules.keys() - chosen.keys()),
    )


def _check_facts(data: SampleSet, rule: JudgedRule) -> None:
    for sample in data.samples:
        if (reason := rule.lacks(sample.answers, sample.facts)) is not None:
            raise OptionError(
                f"{data.name}: sample {sample.id!r} {reason}; mend the facts of the manifest's row, or choose another "
                "--vtc-scoring"
            )


def _given(prompts: Sequence[str], judged: Sequence[str], known: Iterable[str]) -> dict[str, Path]:
    """The file of each judged dataset that has one."""
    found: dict[str, Path] = {}
    for text in prompts:
        name, equals, file = text.partition("=")
        if not equals or name not in known:
            if equals and not Path(text).is_file():
                raise OptionError(f"--vtc-judge-prompt {text}: no dataset of this run is called {name!r}")
            if len(judged) > 1:
                raise OptionError(
                    f"--vtc-judge-prompt {text}: several datasets are judged ({', '.join(judged)}); say whose prompt "
                    f"it is: --vtc-judge-prompt {judged[0]}={text}"
                )
            name, file = judged[0], text
        if name in found:
            raise OptionError(f"--vtc-judge-prompt: two prompts for {name}; give one")
        if name in judged:  # an ini file may name those of datasets that this run leaves out
            found[name] = Path(file).expanduser()
    return found


def read_prompt(path: Path, rule: JudgedRule) -> Prompt:
    """A prompt for `rule`: a text, which is one message, or `*.json` with a list of messages as endpoints take them.

    Raises OptionError, naming the file, if it cannot be read, has a gap that cannot be filled or none for the answer.
    """
    where = f"--vtc-judge-prompt {path}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{where}: cannot read it ({getattr(error, 'strerror', None) or error})") from error
    messages = _messages(where, text) if path.suffix == ".json" else (("user", text.removesuffix("\n")),)
    prompt = Prompt(messages)
    if unknown := sorted(prompt.gaps - {*rule.gaps}):
        raise OptionError(
            f"{where}: nothing is known by the name {{{unknown[0]}}}; {rule.name} fills in "
            f"{', '.join(f'{{{gap}}}' for gap in rule.gaps)}; for braces as they are, write {{{{{unknown[0]}}}}}"
        )
    if PREDICTION not in prompt.gaps:
        raise OptionError(f"{where}: {{{PREDICTION}}} is missing, in the place of which the judge is shown the answer")
    return prompt


def _messages(where: str, text: str) -> tuple[tuple[str, str], ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{where}: broken JSON: {error}") from error
    expected = f'{where}: expected a list of objects with "role" ({", ".join(_ROLES)}) and "content", both texts'
    if not isinstance(found, list) or not found:
        raise OptionError(expected)
    messages: list[tuple[str, str]] = []
    for each in cast("list[Any]", found):
        message = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise OptionError(expected)
        messages.append((str(role), content))
    return tuple(messages)
