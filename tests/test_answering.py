"""Rows through the language model: the shared path gives the answers of the plain one, whatever is shared."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_vtc.answering import answer_rows, common_lead
from pytest_vtc.batching import Appetite, BatchLimits
from pytest_vtc.cells import CaseFailed, Positions
from pytest_vtc.compressed import Compressed
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.sequences import Prefix, Row, Tile

QUESTIONS = (
    "what digit is red ?",
    "how many digits are there ?",
    "what color is the digit 3 ?",
    "is there a red digit ?",
    "what shape is in the image?",
)


@pytest.fixture(scope="module", params=["compact", "original"])
def prefixes(tiny: Backend, request: pytest.FixtureRequest) -> list[Prefix]:
    """Three images, each with all tokens and with three selections of different sizes."""
    positions: Positions = request.param
    head, _ = tiny.split_prompt(tiny.prompt_ids("what ?", [(Tile(8, 8),)]))
    images = {str(s.images[0]): s.images[0] for s in open_samples("probes", data_home(), 12, 5).samples}
    made: list[Prefix] = []
    for source in list(images.values())[:3]:
        tokens = tiny.encode(source.open())
        for step in (1, 2, 5, 9):
            indices = torch.arange(0, len(tokens), step)
            made.append(tiny.prefix(head, [tokens], [Compressed(indices, None, indices)], positions))
    return made


def suffix(tiny: Backend, question: str) -> list[int]:
    return tiny.split_prompt(tiny.prompt_ids(question, [(Tile(8, 8),)]))[1]


def limits(tiny: Backend, rows: int | None = None, tokens: int | None = None) -> BatchLimits:
    """tokens: of a call; with few of them it is worth while to compute what all prompts begin with once."""
    made = BatchLimits(rows, Appetite.of(tiny.model), {tiny.device})
    made.tokens = tokens or made.tokens
    return made


def texts(answers: list[Output | CaseFailed]) -> list[list[int]]:
    assert not [answer for answer in answers if isinstance(answer, CaseFailed)]
    return [answer.token_ids for answer in answers if isinstance(answer, Output)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mix_of_shared_and_single_rows_is_answered_as_one_by_one(
    tiny: Backend, prefixes: list[Prefix], data: st.DataObject
) -> None:
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from(prefixes), st.sampled_from(QUESTIONS)), min_size=1, max_size=24)
    )
    batch_size = data.draw(st.sampled_from([None, 1, 3, 64]))
    tokens = data.draw(st.sampled_from([None, 16, 400]))
    rows = [Row(prefix, suffix(tiny, question)) for prefix, question in pairs]
    alone = [tiny.generate([row], 8)[0].token_ids for row in rows]
    assert texts(answer_rows(tiny, limits(tiny, batch_size, tokens), rows, 8)) == alone


def test_a_common_prefix_goes_through_the_model_once(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefilled: list[int] = []
    whole: list[int] = []
    prefill, generate = Backend.prefill, Backend.generate

    def counting_prefill(self: Backend, given: Any, lead: Any = None) -> Any:
        prefilled.append(len(given))
        return prefill(self, given, lead)

    def counting_generate(self: Backend, rows: Any, limit: int, **options: Any) -> Any:
        whole.extend([1] * len(rows) if options.get("prefilled") is None else [])
        return generate(self, rows, limit, **options)

    monkeypatch.setattr(Backend, "prefill", counting_prefill)
    monkeypatch.setattr(Backend, "generate", counting_generate)
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes[:4] for question in QUESTIONS]
    answer_rows(tiny, limits(tiny), rows, 4)
    assert sum(prefilled) == 4
    assert not whole


@pytest.mark.parametrize("questions", [QUESTIONS[:1], QUESTIONS])
def test_what_all_prompts_begin_with_goes_through_the_model_once(
    tiny: Backend, prefixes: list[Prefix], questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    forward = tiny.model.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        computed.append(kwargs["input_ids"].numel())
        return forward(*args, **kwargs)

    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes for question in questions]
    functools.update_wrapper(counting, forward)
    monkeypatch.setattr(tiny.model, "forward", counting)
    answer_rows(tiny, limits(tiny, 1), rows, 1)
    whole = sum(computed)
    computed.clear()
    few = limits(tiny, 1, tokens=16)
    answer_rows(tiny, few, rows, 1)
    lead = common_lead(tiny, prefixes)
    assert tiny.tokenizer.decode(lead) == "<bos><|turn>user\n<|image>"
    assert sum(computed) == whole - len(lead) * (len(prefixes) - 1)


def test_prompts_that_begin_differently_have_nothing_to_share(tiny: Backend, prefixes: list[Prefix]) -> None:
    other = Prefix([7, *prefixes[0].ids], [0, *prefixes[0].positions], prefixes[0].features, 0)
    assert common_lead(tiny, [prefixes[0], other]) == []


def test_beyond_the_sliding_window_what_prompts_begin_with_is_not_shared(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(prefix, suffix(tiny, QUESTIONS[0])) for prefix in prefixes]
    begun: list[bool] = []
    generate = Backend.generate

    def watching(self: Backend, given: Any, limit: int, **options: Any) -> Any:
        begun.append(options["prefilled"] is not None)
        return generate(self, given, limit, **options)

    monkeypatch.setattr(Backend, "generate", watching)
    longest = max(map(len, rows))
    for window, used in ((longest + 4, {True}), (longest + 3, {True, False}), (8, {False})):
        begun.clear()
        monkeypatch.setattr(tiny, "sliding_window", window)
        answer_rows(tiny, limits(tiny, 1, tokens=16), rows, 4)
        assert {*begun} == used


def test_equal_rows_are_computed_once(tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    generate = Backend.generate

    def counting(self: Backend, rows: Any, limit: int, **options: Any) -> Any:
        computed.append(len(rows))
        return generate(self, rows, limit, **options)

    monkeypatch.setattr(Backend, "generate", counting)
    rows = [Row(prefixes[0], suffix(tiny, QUESTIONS[0])) for _ in range(7)]
    found = texts(answer_rows(tiny, limits(tiny), rows, 4))
    assert computed == [1]
    assert found == [found[0]] * 7


def test_beyond_the_sliding_window_no_prefix_is_shared(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not(self: Backend, given: Any, lead: Any = None) -> Any:
        raise AssertionError("a prefix was shared where padding would use up the window")

    monkeypatch.setattr(tiny, "sliding_window", 64)
    monkeypatch.setattr(Backend, "prefill", must_not)
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes[:1] for question in QUESTIONS]
    alone = [tiny.generate([row], 8)[0].token_ids for row in rows]
    assert texts(answer_rows(tiny, limits(tiny), rows, 8)) == alone


def test_the_window_of_the_model_is_read_from_its_configuration(tiny: Backend) -> None:
    assert tiny.sliding_window == tiny.model.config.text_config.sliding_window == 512


def test_rows_whose_prefix_fails_are_computed_whole(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill = Backend.prefill

    def fails_on_one(self: Backend, given: Any, lead: Any = None) -> Any:
        if any(prefix is prefixes[1] for prefix in given):
            raise RuntimeError("cannot compute this")
        return prefill(self, given, lead)

    monkeypatch.setattr(Backend, "prefill", fails_on_one)
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes[:4] for question in QUESTIONS[:2]]
    alone = [tiny.generate([row], 4)[0].token_ids for row in rows]
    assert texts(answer_rows(tiny, limits(tiny), rows, 4)) == alone


def test_memory_that_prefixes_take_is_not_blamed_on_rows(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes for question in QUESTIONS]
    alone = [tiny.generate([row], 4)[0].token_ids for row in rows]
    generate = Backend.generate

    def with_little_memory(self: Backend, given: Any, limit: int, **options: Any) -> Any:
        prefilled = options.get("prefilled")
        if len(given) + len((prefilled and prefilled.places) or ()) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(self, given, limit, **options)

    monkeypatch.setattr(Backend, "generate", with_little_memory)
    with pytest.warns(UserWarning, match="out of memory"):
        assert texts(answer_rows(tiny, limits(tiny), rows, 4)) == alone


def test_a_long_question_leaves_the_others_their_prefix(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes for question in QUESTIONS[:2]]
    rows.append(Row(prefixes[0], suffix(tiny, "what digit is red ? " * 40)))
    alone = [tiny.generate([row], 4)[0].token_ids for row in rows]
    whole: list[int] = []
    generate = Backend.generate

    def watching(self: Backend, given: Any, limit: int, **options: Any) -> Any:
        whole.extend([len(given)] if options.get("prefilled") is None else [])
        return generate(self, given, limit, **options)

    monkeypatch.setattr(tiny, "sliding_window", 128)
    monkeypatch.setattr(Backend, "generate", watching)
    assert texts(answer_rows(tiny, limits(tiny), rows, 4)) == alone
    assert whole == [1]


def test_padding_does_not_count_towards_the_context(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_length = sorted(prefixes, key=len)
    short, long = by_length[0], by_length[-1]
    rows = [Row(long, suffix(tiny, question)) for question in QUESTIONS[:2]]
    rows += [Row(short, suffix(tiny, f"{'is there a red digit ? ' * 8}{question}")) for question in QUESTIONS[:2]]
    alone = [tiny.generate([row], 4)[0].token_ids for row in rows]
    monkeypatch.setattr(tiny, "sliding_window", None)
    monkeypatch.setattr(tiny.model.config.text_config, "max_position_embeddings", max(map(len, rows)) + 4)
    assert texts(answer_rows(tiny, limits(tiny), rows, 4)) == alone
    assert len(long) + max(len(row.suffix) for row in rows) > max(map(len, rows))


@pytest.mark.parametrize("method", ["generate", "prefill"])
def test_out_of_memory_halves_the_batch_says_so_once_and_goes_on(
    tiny: Backend, prefixes: list[Prefix], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    call = getattr(Backend, method)
    too_many: list[int] = []

    def small(self: Backend, given: Any, *args: Any, **options: Any) -> Any:
        if len(given) > 3:
            too_many.append(len(given))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return call(self, given, *args, **options)

    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes for question in QUESTIONS]
    expected = texts(answer_rows(tiny, limits(tiny), rows, 8))
    monkeypatch.setattr(Backend, method, small)
    with pytest.warns(UserWarning, match="out of memory with") as warned:
        assert texts(answer_rows(tiny, limits(tiny), rows, 8)) == expected
    assert len(warned) == 1
    assert too_many


def test_rows_leave_the_batch_as_they_finish(tiny: Backend, prefixes: list[Prefix]) -> None:
    sizes: list[int] = []
    hook = tiny.model.model.language_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: sizes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    rows = [Row(prefix, suffix(tiny, question)) for prefix in prefixes for question in QUESTIONS]
    with torch.inference_mode():
        outputs = tiny.generate(rows, 8)
    hook.remove()
    lengths = [len(output.token_ids) + (not output.truncated) for output in outputs]
    # The call at step k computes the rows that want more than k tokens.
    assert sizes == [sum(length > step for length in lengths) for step in range(max(lengths))]


def test_the_likeliest_letter_is_that_of_the_models_own_logits(tiny: Backend, prefixes: list[Prefix]) -> None:
    letters = tiny.letters(4)
    rows = [Row(prefix, suffix(tiny, question), 4) for prefix in prefixes for question in QUESTIONS]
    chosen = texts(answer_rows(tiny, limits(tiny), rows, 8))
    for row, (token,) in zip(rows, chosen, strict=True):
        (plain,) = tiny.generate([Row(row.prefix, row.suffix)], 1, with_logits=True)
        assert plain.logits is not None
        of_letter = [float(plain.logits[0].softmax(-1)[list(ways)].sum()) for ways in letters]
        assert of_letter[[ways[0] for ways in letters].index(token)] == pytest.approx(max(of_letter), rel=1e-3)


def test_a_letter_beyond_the_options_is_never_chosen(tiny: Backend, prefixes: list[Prefix]) -> None:
    letters = [ways[0] for ways in tiny.letters(26)]
    rows = [Row(prefixes[0], suffix(tiny, QUESTIONS[0]), n) for n in (1, 2, 26)]
    for row, (token,) in zip(rows, texts(answer_rows(tiny, limits(tiny), rows, 8)), strict=True):
        assert letters.index(token) < row.n_options
