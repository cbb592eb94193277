"""CLIP's joint space: a tiny random CLIP checkpoint with a tokenizer of its own, and what cannot be one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.compression import CompressionError, Compressor
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.clip_text import JointSpace, JointSpaces
from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.video_llava import VideoLlavaBackend
from pytest_vtc.models.vision_side import Wants
from tests.families.llava_backends import FAMILIES, load, sample
from tests.families.pictures import picture

CPU = torch.device("cpu")
WIDTH, JOINT, POSITIONS = 64, 24, 7
WORDS = ["<pad>", "<start>", "<end>", "what", "is", "it", "?", "where", "the", "cat"]


def write_clip(folder: Path, width: int = WIDTH) -> str:
    """A CLIP checkpoint whose text encoder has 7 positions, in bfloat16 as far as its file goes."""
    config = hf.CLIPConfig(
        text_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "vocab_size": len(WORDS),
            "max_position_embeddings": POSITIONS,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 20,
            "patch_size": 4,
        },
        projection_dim=JOINT,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = hf.CLIPModel(config)
        # Norms that do something.
        torch.nn.init.normal_(model.vision_model.post_layernorm.weight)
        torch.nn.init.normal_(model.vision_model.post_layernorm.bias)
    model.to(torch.bfloat16).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    words.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    hf.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<start>", eos_token="<end>", pad_token="<pad>", model_max_length=POSITIONS
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def llava(checkpoint: Callable[[str], Path]) -> Any:
    return load(LlavaBackend, checkpoint("llava"))


def whole(clip: str) -> Any:
    return hf.CLIPModel.from_pretrained(clip, dtype=torch.float32).eval()


@torch.inference_mode()
def test_a_short_question_is_where_clip_has_it(clip: str) -> None:
    ids = torch.tensor([[1, 3, 4, 5, 6, 2]])
    expected = whole(clip).get_text_features(input_ids=ids).pooler_output
    torch.testing.assert_close(JointSpace(clip, CPU).text("what is it ?"), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_long_question_is_cut_into_segments_the_last_padded_with_zeros(clip: str) -> None:
    question = "what is the cat ? where is it ?"
    ids = torch.tensor([[1, 3, 4, 8, 9, 6, 7], [4, 5, 6, 2, 0, 0, 0]])
    mask = torch.tensor([[1] * 7, [1, 1, 1, 1, 0, 0, 0]])
    expected = whole(clip).get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    found = JointSpace(clip, CPU).text(question)
    assert found.shape == (2, JOINT)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_question_as_long_as_the_text_encoder_is_one_segment(clip: str) -> None:
    assert JointSpace(clip, CPU).text("what is it ? cat").shape == (1, JOINT)
    assert JointSpace(clip, CPU).text("what is it ? the cat").shape == (2, JOINT)


@torch.inference_mode()
def test_rows_go_through_the_last_norm_and_the_projection(clip: str) -> None:
    model, hidden = whole(clip), torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
    expected = model.visual_projection(model.vision_model.post_layernorm(hidden))
    found = JointSpace(clip, CPU).image(hidden.to(torch.float64))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_rows_of_another_width_are_refused_by_both_widths(clip: str) -> None:
    with pytest.raises(CompressionError, match=r"encoder are 48 wide, those of .* 64: name the CLIP checkpoint"):
        JointSpace(clip, CPU).image(torch.zeros(2, 48))


def test_a_checkpoint_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match=r"cannot load the CLIP checkpoint: .*nobody/no-such-clip"):
        JointSpace("nobody/no-such-clip", CPU)
    with pytest.raises(CompressionError, match=r"is no CLIP checkpoint: it has no config\.json"):
        JointSpace(str(tmp_path), CPU)


def test_another_kind_of_model_is_refused_by_its_name(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(CompressionError, match="is a 'llava' model"):
        JointSpace(str(checkpoint("llava")), CPU)


def test_a_checkpoint_without_its_projections_is_refused(clip: str, tmp_path: Path) -> None:
    model = whole(clip)
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("visual_projection")}
    model.save_pretrained(tmp_path, state_dict=kept)
    hf.AutoTokenizer.from_pretrained(clip).save_pretrained(tmp_path)
    with pytest.raises(CompressionError, match=r"lacks 1 tensors of a CLIPModel, such as visual_projection"):
        JointSpace(str(tmp_path), CPU)


def test_a_checkpoint_is_loaded_once_and_tried_once(clip: str, tmp_path: Path) -> None:
    spaces, missing = JointSpaces(CPU), tmp_path / "later"
    assert spaces.of(clip) is spaces.of(clip)
    for _ in range(2):
        with pytest.raises(CompressionError):
            spaces.of(str(missing))
        if not missing.exists():
            missing.mkdir()
            write_clip(missing)


# Of a model


@pytest.mark.parametrize("family", [LlavaBackend, LlavaNextBackend, VideoLlavaBackend])
def test_the_tokens_of_an_image_lie_where_its_hidden_rows_do(
    clip: str, checkpoint: Callable[[str], Path], family: Any
) -> None:
    backend = load(family, checkpoint(family.model_type))
    hidden = backend.encode(picture(90, 60), Wants(hidden=True)).hidden
    images, texts = backend.joint(clip, hidden, "what is it ?")
    assert torch.equal(images, JointSpace(clip, CPU).image(hidden))
    assert torch.equal(texts, JointSpace(clip, CPU).text("what is it ?"))


class Near(Compressor):
    """Keeps the tokens nearest the question; writes into both."""

    name = "near"
    description = "tokens nearest the question"
    needs = frozenset({"joint"})
    checkpoint = ""

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self.asked: list[tuple[Tensor, Tensor]] = []

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:  # noqa: ARG002
        images, texts = ctx["joint"](self.checkpoint)
        self.asked.append((images.clone(), texts.clone()))
        kept = (images @ texts.mean(dim=0)).argsort(stable=True)[:n_target]
        texts.zero_()
        images.zero_()
        return kept


def test_each_question_on_an_image_is_asked_for_itself(llava: Any, clip: str) -> None:
    one = sample((90, 60))
    other = type(one)("2", one.images, "where is the cat ?", one.answers)
    near = Near(clip)
    for found in Engine(llava).run([Job(of, near, ratio) for of in (one, other) for ratio in (0.5, 0.25)], 2):
        assert isinstance(found, Generation), found
    assert len(near.asked) == 4
    expected = [JointSpace(clip, CPU).text(of.prompt) for of in (one, other)]
    for _, texts in near.asked:
        assert any(torch.equal(texts, text) for text in expected)
    assert sum(torch.equal(texts, expected[0]) for _, texts in near.asked) == 2


def test_a_checkpoint_that_does_not_fit_fails_the_cases_that_ask_for_it(llava: Any, tmp_path: Path) -> None:
    near = Near(write_clip(tmp_path, width=48))
    stock, failed = Engine(llava).run([Job(sample((90, 60)), None, 1.0), Job(sample((90, 60)), near, 0.5)], 2)
    assert isinstance(stock, Generation), stock
    assert isinstance(failed, CaseFailed)
    assert "64 wide" in str(failed)
    assert "48" in str(failed)


def test_families_without_a_clip_tower_say_so(checkpoint: Callable[[str], Path]) -> None:
    onevision = next(family for family in FAMILIES if family.model_type == "llava_onevision")
    backend = load(onevision, checkpoint("llava_onevision"))
    with pytest.raises(CompressionError, match="not CLIP's"):
        backend.joint("any", torch.zeros(1, 64), "what ?")
