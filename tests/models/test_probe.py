"""The probe of the vision encoder, against eager attention on the real classes of every family that has an encoder."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.gemma4.modeling_gemma4 import apply_multidimensional_rope
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from pytest_vtc.models.probe import Encoder, Probe, ProbeError, watch
from tests.models.tiny_towers import FAMILIES, Family

N_IMAGES = 3

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
with_class_row = pytest.mark.parametrize("name", ["llava", "internvl", "internvl-6b"])


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def encode(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """All tensors that `get_image_features` gives, in a fixed order."""
    found: list[Tensor] = []

    def collect(value: Any) -> None:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    out = model.model.get_image_features(**inputs, return_dict=True)
    collect([out[name] for name in sorted(out)])
    return found


def probed(family: Family, model: Any, layer: int, n_images: int = N_IMAGES) -> Probe:
    with watch(model, family.encoder, attention=[layer], keys=[layer]) as probe:
        encode(model, family.inputs(n_images))
    return probe


@dataclass
class Eagerly:
    """What one layer did under eager attention: by call of its attention function and of itself."""

    weights: list[Tensor]
    keys: list[Tensor]
    hidden: list[Tensor]
    arguments: list[dict[str, Any]]

    def reduced(self, family: Family) -> tuple[Tensor, Tensor]:
        """received and cls, [H, R], of all images."""
        images = [image for call in self.weights for image in call]
        first = int(family.encoder.has_cls)
        received = [w[:, family.valid_rows(i, w.shape[1])].mean(1)[:, first:] for i, w in enumerate(images)]
        return torch.cat(received, dim=1), torch.cat([w[:, 0, first:] for w in images], dim=1)


def run_eagerly(family: Family, layer: int, monkeypatch: pytest.MonkeyPatch) -> Eagerly:
    model = family.model("eager")
    watched = family.attention(model, layer)
    seen = Eagerly([], [], [], [])
    module = sys.modules[type(watched).__module__]
    eager = module.eager_attention_forward

    def recording(of: Any, query: Tensor, key: Tensor, *args: Any, **kwargs: Any) -> Any:
        out, weights = eager(of, query, key, *args, **kwargs)
        if of is watched:
            seen.weights.append(weights)
            seen.keys.append(key)
        return out, weights

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.hidden.append(kwargs.pop("hidden_states") if "hidden_states" in kwargs else args[0])
        seen.arguments.append(kwargs)

    monkeypatch.setattr(module, "eager_attention_forward", recording)
    handle = watched.register_forward_pre_hook(lambda m, a, k: before(m, a, dict(k)), with_kwargs=True)
    encode(model, family.inputs(N_IMAGES))
    handle.remove()
    return seen


def assert_same(probe: Probe, other: Probe, layer: int, other_layer: int | None = None) -> None:
    other_layer = layer if other_layer is None else other_layer
    assert torch.equal(probe.attention(layer).received, other.attention(other_layer).received)
    assert torch.equal(probe.keys(layer), other.keys(other_layer))
    assert probe.counts(layer) == other.counts(other_layer)


class TestFeatures:
    @every_family
    @pytest.mark.parametrize(("attention", "dtype"), [("sdpa", torch.float32), ("eager", torch.bfloat16)])
    def test_are_the_same_to_the_bit_while_layers_are_watched(
        self, family: Family, attention: str, dtype: torch.dtype
    ) -> None:
        model = family.model(attention, dtype)
        inputs = family.inputs(N_IMAGES)
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
        before = encode(model, inputs)
        with watch(model, family.encoder, attention=[0, -2], keys=[-2, -1]):
            during = encode(model, inputs)
        after = encode(model, inputs)
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(before, during, after, strict=True))


class TestAttention:
    @every_family
    @pytest.mark.parametrize("layer", [1, -1])
    def test_received_is_the_mean_of_eager_weights_over_rows_that_are_no_padding(
        self, family: Family, layer: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        eagerly = run_eagerly(family, layer, monkeypatch)
        expected, _ = eagerly.reduced(family)
        received = probed(family, family.model(), layer).attention(layer).received
        torch.testing.assert_close(received, expected, atol=1e-5, rtol=0)

    @with_class_row
    def test_cls_is_what_the_class_row_of_eager_weights_pays(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        family = FAMILIES[name]
        _, expected = run_eagerly(family, -2, monkeypatch).reduced(family)
        cls = probed(family, family.model(), -2).attention(-2).cls
        torch.testing.assert_close(cls, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("name", ["gemma3", "gemma4", "qwen3"])
    def test_cls_is_absent_where_the_encoder_has_no_class_row(self, name: str) -> None:
        assert probed(FAMILIES[name], FAMILIES[name].model(), -2).attention(-2).cls is None

    @pytest.mark.parametrize("name", ["llava", "gemma3", "gemma4", "idefics3", "smolvlm", "internvl"])
    def test_agrees_with_output_attentions(self, name: str) -> None:
        family = FAMILIES[name]
        out = family.model("eager").model.get_image_features(
            **family.inputs(N_IMAGES), output_attentions=True, return_dict=True
        )
        expected, _ = Eagerly([out.attentions[1]], [], [], []).reduced(family)
        received = probed(family, family.model(), 1).attention(1).received
        torch.testing.assert_close(received, expected, atol=1e-5, rtol=0)

    def test_of_a_windowed_layer_stays_within_windows(self) -> None:
        family = FAMILIES["qwen2.5"]
        probe = probed(family, family.model(), 1)
        counts = probe.counts(1)
        assert len(counts) > N_IMAGES
        received = probe.attention(1).received
        assert sum(counts) == received.shape[1]
        for window in received.split(counts, dim=1):
            torch.testing.assert_close(window.sum(1), torch.ones(4))


class TestKeys:
    @every_family
    def test_are_what_projection_and_norm_give(self, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
        hidden = run_eagerly(family, -2, monkeypatch).hidden[0]
        attention = family.attention(family.model(), -2)
        if hasattr(attention, "qkv"):
            projected = attention.qkv(hidden).unflatten(-1, (3, 4, 8))[:, 1]
        else:
            projected = attention.k_proj(hidden)
            if hasattr(attention, "k_norm"):
                per_head = attention.k_norm.weight.numel() == 8 if hasattr(attention.k_norm, "weight") else False
                projected = attention.k_norm(projected.unflatten(-1, (-1, 8)) if per_head else projected)
            projected = projected[:, int(family.encoder.has_cls) :].reshape(-1, projected[0, 0].numel() // 8, 8)
        torch.testing.assert_close(probed(family, family.model(), -2).keys(-2), projected.transpose(0, 1))

    @pytest.mark.parametrize("name", ["llava", "gemma3", "idefics3", "smolvlm", "internvl", "internvl-6b"])
    def test_are_those_of_the_attention_where_nothing_is_rotated(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        family = FAMILIES[name]
        given = run_eagerly(family, -2, monkeypatch).keys[0][:, :, int(family.encoder.has_cls) :]
        expected = given.transpose(0, 1).flatten(1, 2)
        torch.testing.assert_close(probed(family, family.model(), -2).keys(-2), expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("name", ["gemma4", "qwen2.5", "qwen3"])
    def test_are_those_of_the_attention_once_rotated(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        family = FAMILIES[name]
        eagerly = run_eagerly(family, -2, monkeypatch)
        given = torch.cat([key.transpose(0, 1).flatten(1, 2) for key in eagerly.keys], dim=1)
        keys = probed(family, family.model(), -2).keys(-2).transpose(0, 1)  # [R, H, d]
        arguments = eagerly.arguments[0]
        cos, sin = arguments["position_embeddings"]
        if name == "gemma4":
            images = keys.unflatten(0, (N_IMAGES, -1))
            rotated = apply_multidimensional_rope(images, cos, sin, arguments["position_ids"]).flatten(0, 1)
        else:
            _, rotated = apply_rotary_pos_emb_vision(keys, keys, cos, sin)
        torch.testing.assert_close(rotated.transpose(0, 1), given, atol=1e-5, rtol=0)

    def test_that_the_projection_did_not_make_are_an_error(self) -> None:
        family = FAMILIES["llava"]
        model = family.model()
        with watch(model, family.encoder, keys=[0]) as probe:
            encode(model, family.inputs(1))
            family.attention(model, 0).k_proj(torch.zeros(1, 5, 32))
        with pytest.raises(ProbeError, match="attended to 26 rows, but its key projection gave 31"):
            probe.keys(0)


class TestImages:
    @every_family
    def test_have_the_same_figures_alone_and_in_a_batch(self, family: Family) -> None:
        model = family.model()
        batch, alone = probed(family, model, -2), probed(family, model, -2, n_images=1)
        n_rows = alone.counts(-2)[0]
        assert batch.counts(-2) == (n_rows,) * N_IMAGES
        torch.testing.assert_close(batch.attention(-2).received[:, :n_rows], alone.attention(-2).received)
        torch.testing.assert_close(batch.keys(-2)[:, :n_rows], alone.keys(-2))

    @every_family
    def test_of_several_calls_come_one_after_another(self, family: Family) -> None:
        model = family.model()
        with watch(model, family.encoder, attention=[1], keys=[1]) as probe:
            encode(model, family.inputs(1))
            encode(model, family.inputs(2))
        first, second = probed(family, model, 1, 1), probed(family, model, 1, 2)
        assert probe.counts(1) == first.counts(1) + second.counts(1)
        assert torch.equal(probe.keys(1), torch.cat([first.keys(1), second.keys(1)], dim=1))
        received = [each.attention(1).received for each in (first, second)]
        assert torch.equal(probe.attention(1).received, torch.cat(received, dim=1))


class TestLayers:
    def test_counted_from_the_end_are_those_counted_from_the_beginning(self) -> None:
        family = FAMILIES["llava"]
        model = family.model()
        assert_same(probed(family, model, -2), probed(family, model, 1), -2, 1)

    def test_watched_together_give_what_each_gives_alone(self) -> None:
        family = FAMILIES["gemma4"]
        model = family.model()
        with watch(model, family.encoder, attention=[0, 1, -2], keys=[-2, -1, 0]) as probe:
            encode(model, family.inputs(N_IMAGES))
        assert_same(probe, probed(family, model, 0), 0)
        assert_same(probe, probed(family, model, 1), -2, 1)
        assert torch.equal(probe.keys(-1), probed(family, model, -1).keys(-1))

    @pytest.mark.parametrize("layer", [3, -4, 24])
    def test_that_do_not_exist_are_refused_with_their_number(self, layer: int) -> None:
        family = FAMILIES["llava"]
        with (
            pytest.raises(ProbeError, match=rf"no encoder layer {layer}: .*has 3 layers, 0 to 2, or -3 to -1"),
            watch(family.model(), family.encoder, attention=[layer]),
        ):
            pass

    def test_that_are_not_watched_stay_as_they_are(self) -> None:
        family = FAMILIES["gemma3"]
        model = family.model()
        with watch(model, family.encoder, attention=[1]):
            configs = [family.attention(model, layer).config._attn_implementation for layer in range(3)]
            assert configs == ["sdpa", configs[1], "sdpa"]
            assert configs[1] != "sdpa"
            assert model.model.vision_tower.config._attn_implementation == "sdpa"

    def test_cannot_be_watched_twice_at_once(self) -> None:
        family = FAMILIES["gemma3"]
        model = family.model()
        with (
            watch(model, family.encoder, attention=[1]),
            pytest.raises(ProbeError, match=r"layer 1 of .* is being watched already"),
            watch(model, family.encoder, keys=[-2]),
        ):
            pass

    def test_that_did_not_run_are_an_error(self) -> None:
        family = FAMILIES["gemma3"]
        with watch(family.model(), family.encoder, attention=[1], keys=[1]) as probe:
            pass
        for read in (probe.attention, probe.keys, probe.counts):
            with pytest.raises(ProbeError, match=r"layer 1 of model\.vision_tower\.encoder\.layers did not run"):
                read(1)

    def test_that_were_not_asked_for_are_an_error(self) -> None:
        family = FAMILIES["gemma3"]
        model = family.model()
        with watch(model, family.encoder, attention=[1]) as probe:
            encode(model, family.inputs(1))
        with pytest.raises(ProbeError, match=r"layer 1 was not watched for keys \(watched: none\)"):
            probe.keys(1)
        with pytest.raises(ProbeError, match=r"layer 0 was not watched for attention \(watched: 1\)"):
            probe.attention(0)


class TestClassRows:
    @pytest.mark.parametrize("name", ["llava", "internvl"])
    def test_are_what_the_class_row_attends_with(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        family = FAMILIES[name]
        model = family.model()
        with watch(model, family.encoder, class_rows=[-2]) as probe:
            encode(model, family.inputs(N_IMAGES))
        queries, keys = probe.class_rows(-2)
        weights = [w[:, 0] for call in run_eagerly(family, -2, monkeypatch).weights for w in call]
        assert queries.shape == keys.shape == (len(weights[0]), len(weights), queries.shape[2])
        # What the class row pays itself and each token is its query on their keys.
        with watch(model, family.encoder, keys=[-2]) as of_tokens:
            encode(model, family.inputs(N_IMAGES))
        by_image = of_tokens.keys(-2).split(of_tokens.counts(-2), dim=1)
        for i, (paid, of_image) in enumerate(zip(weights, by_image, strict=True)):
            rows = torch.cat([keys[:, i : i + 1], of_image], dim=1)
            scores = (rows @ queries[:, i, :, None])[..., 0] * queries.shape[2] ** -0.5
            torch.testing.assert_close(scores.softmax(dim=-1), paid, atol=1e-5, rtol=0)

    def test_of_an_encoder_without_any_are_refused(self) -> None:
        family = FAMILIES["gemma3"]
        with (
            pytest.raises(ProbeError, match="has no class row"),
            watch(family.model(), family.encoder, class_rows=[-2]),
        ):
            pass

    def test_that_were_not_asked_for_are_an_error(self) -> None:
        family = FAMILIES["llava"]
        model = family.model()
        with watch(model, family.encoder, keys=[-2]) as probe:
            encode(model, family.inputs(1))
        with pytest.raises(ProbeError, match="layer -2 was not watched for class rows"):
            probe.class_rows(-2)


class TestModel:
    def test_without_an_encoder_is_refused(self) -> None:
        model = FAMILIES["gemma3"].model()
        with pytest.raises(ProbeError, match="has no vision encoder"), watch(model, None, attention=[0]):
            pass

    def test_without_an_encoder_may_be_watched_for_nothing(self) -> None:
        with watch(FAMILIES["gemma3"].model(), None) as probe:
            pass
        with pytest.raises(ProbeError, match="was not watched"):
            probe.attention(0)

    def test_with_its_encoder_elsewhere_is_refused(self) -> None:
        model = FAMILIES["gemma3"].model()
        with (
            pytest.raises(ProbeError, match=r"no vision encoder at model\.visual\.blocks"),
            watch(model, Encoder("visual", "blocks"), attention=[0]),
        ):
            pass

    @pytest.mark.parametrize("name", ["gemma4", "qwen3"])
    def test_is_as_before_after_an_error_inside(self, name: str) -> None:
        family = FAMILIES[name]
        model = family.model()
        attention = family.attention(model, 1)
        config, n_hooks = attention.config, sum(len(m._forward_hooks) for m in attention.modules())
        with (
            pytest.raises(RuntimeError, match="inside"),
            watch(model, family.encoder, attention=[0, 1], keys=[1]),
        ):
            raise RuntimeError("inside")
        assert attention.config is config
        assert config._attn_implementation == "sdpa"
        assert sum(len(m._forward_hooks) for m in attention.modules()) == n_hooks
        assert_same(probed(family, model, 1), probed(family, model, 1), 1)

    @pytest.mark.parametrize("name", ["llava", "gemma4", "qwen2.5"])
    def test_with_offloaded_weights_gives_the_same(self, name: str) -> None:
        family = FAMILIES[name]
        model = family.model()
        expected = probed(family, model, -2)
        cpu_offload(model.model.get_submodule(family.encoder.tower), execution_device=torch.device("cpu"))
        assert_same(probed(family, model, -2), expected, -2)

    def test_with_packed_windows_gives_what_window_by_window_gives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As flash attention takes them: all windows in one call, with their bounds."""
        calls: list[str] = []

        def packed(module: Any, q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> Any:
            calls.append(module.config._attn_implementation)
            bounds = kwargs["cu_seq_lens_q"].tolist()
            parts = [[t[:, :, a:b] for t in (q, k, v)] for a, b in itertools.pairwise(bounds)]
            outs = [sdpa_attention_forward(module, *part, None, scaling=kwargs["scaling"])[0] for part in parts]
            return torch.cat(outs, dim=1), None

        family = FAMILIES["qwen2.5"]
        model = family.model()
        expected, inputs = probed(family, model, 1), family.inputs(N_IMAGES)
        features = encode(model, inputs)
        monkeypatch.setitem(AttentionInterface._global_mapping, "test_flash", packed)
        for module in model.model.visual.modules():
            if hasattr(module, "config"):
                module.config._attn_implementation = "test_flash"
        with watch(model, family.encoder, attention=[1], keys=[1]) as probe:
            assert all(torch.equal(a, b) for a, b in zip(encode(model, inputs), features, strict=True))
        assert_same(probe, expected, 1)
        assert calls == ["test_flash"] * 4

    def test_with_masks_that_are_no_tensors_is_told_to_use_another_attention(self) -> None:
        family = FAMILIES["gemma4"]
        model = family.model()

        def replace_mask(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, "attention_mask": "block mask"}

        family.attention(model, 0).register_forward_pre_hook(replace_mask, with_kwargs=True)
        with (
            pytest.raises(ProbeError, match=r"layer 0 of .* mask of type str.*attn_implementation='sdpa'"),
            watch(model, family.encoder, attention=[0]),
        ):
            encode(model, family.inputs(2))
