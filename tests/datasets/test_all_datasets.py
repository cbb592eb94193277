"""What holds for every dataset that is read from a table on the Hub."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import test_ai2d_dataset as ai2d
import test_chartqa_dataset as chartqa
import test_docvqa_dataset as docvqa
import test_hallusionbench_dataset as hallusionbench
import test_judged_datasets as judged
import test_mathvision_dataset as mathvision
import test_mathvista_dataset as mathvista
import test_mmbench_dataset as mmbench
import test_mme_dataset as mme
import test_mmmu_dataset as mmmu
import test_mmstar_dataset as mmstar
import test_ocrbench_dataset as ocrbench
import test_pope_dataset as pope
import test_realworldqa_dataset as realworldqa
import test_scienceqa_dataset as scienceqa
import test_seedbench_dataset as seedbench
import test_textvqa_dataset as textvqa
import test_vizwiz_dataset as vizwiz
import test_vqav2_dataset as vqav2
from published_rows import mmmu_row

from pytest_vtc.datasets.hub_dataset import HubDataset
from pytest_vtc.datasets.registry import WHOSE, known_datasets
from pytest_vtc.scoring import any_rule, rule
from pytest_vtc.scoring.published import metric

HUB = {name: dataset for name, dataset in known_datasets().items() if isinstance(dataset, HubDataset)}
OF_GROUPS = ("circular", "hallusion", "mme")
"""Metrics that count a group only where all of it is there."""

ROWS: dict[str, dict[str, Any]] = {
    "ai2d": ai2d.row(),
    "chartqa": chartqa.chart_row(),
    "docvqa": docvqa.doc_row(1),
    "hallusionbench": hallusionbench.row(0, 0, 0),
    "llava_bench": judged.bench_row(),
    "mathvision": mathvision.problem(1),
    "mathvision_test": mathvision.problem(1),
    "mathvista": mathvista.choice(1),
    "mia_bench": judged.mia_row(),
    "mm_vet": judged.vet_row(),
    "mmbench_cn": mmbench.row(1),
    "mmbench_en": mmbench.row(1),
    "mme": mme.pair(1)[0],
    "mmmu": mmmu.row(1),
    "mmmu_pro": mmmu_row(1),
    "mmmu_pro_10": mmmu_row(1),
    "mmstar": mmstar.row(1),
    "ocrbench": ocrbench.ocr_row(),
    "pope": pope.questions("random")[0],
    "realworldqa": realworldqa.row(),
    "scienceqa": scienceqa.row(),
    "seedbench": seedbench.row(1),
    "seedbench2_plus": seedbench.plus_row(1),
    "textvqa": textvqa.textvqa_row(1),
    "vizwiz": vizwiz.vizwiz_row(1),
    "vqav2": vqav2.vqa_row(1),
}
"""A row of each as it is published."""


JUDGED = ("llava_bench", "mia_bench", "mm_vet")
"""Those whose rules need a judge."""


def test_there_is_a_row_of_each_but_the_picture_that_asks_by_itself() -> None:
    assert HUB.keys() - ROWS.keys() == {"mmmu_pro_vision"}


@pytest.mark.parametrize("name", HUB)
def test_rules_and_metric_exist(name: str) -> None:
    dataset = HUB[name]
    assert set(dataset.scorings) <= set(WHOSE)
    for each in (dataset.scoring, *dataset.scorings.values()):
        assert each == "none" or any_rule(each).name == each
    assert dataset.published is None or metric(dataset.published).name == dataset.published


@pytest.mark.parametrize("name", HUB)
def test_metric_of_groups_has_whole_ones(name: str) -> None:
    assert HUB[name].whole_groups or HUB[name].published not in OF_GROUPS


@pytest.mark.parametrize("name", HUB)
def test_size_licence_and_description_are_stated(name: str) -> None:
    dataset = HUB[name]
    assert dataset.size is not None
    assert dataset.size > 0
    assert dataset.about_mb > 0
    assert dataset.licence.strip()
    assert 0 < len(dataset.description) < 100
    assert dataset.max_new_tokens > 0


@pytest.mark.parametrize("name", HUB)
def test_docstring_names_the_paper(name: str) -> None:
    """Its own, or that of the dataset of which it is another configuration."""
    classes = [each for each in type(HUB[name]).__mro__ if issubclass(each, HubDataset) and each is not HubDataset]
    told = [" ".join(cast("str", each.__doc__).split()) for each in classes]
    assert any(re.match(r'[^"]+, "[^"]+", .*((19|20)\d\d|arXiv \d{4}\.\d{5})', each) for each in told)


@pytest.mark.parametrize("name", HUB)
def test_repositories_are_owners_and_names_and_none_is_named_twice(name: str) -> None:
    repositories = HUB[name].repositories
    assert all(re.fullmatch(r"[\w-]+/[\w.-]+", repository) for repository in repositories)
    assert len(set(repositories)) == len(repositories) > 0


@pytest.mark.parametrize("name", ROWS)
def test_question_has_a_prompt_of_each_style_and_needs_no_image(name: str) -> None:
    dataset = HUB[name]
    question = dataset.question({column: ROWS[name][column] for column in dataset.columns}, f"{name}, row 1")
    assert question is not None
    assert list(question.prompts) == [dataset.prompt_style, *dataset.prompt_styles]
    assert all(prompt.strip() for prompt in question.prompts.values())


@pytest.mark.parametrize("name", [name for name in ROWS if name not in JUDGED])
def test_answer_is_right_by_every_rule_of_the_dataset(name: str) -> None:
    dataset = HUB[name]
    question = dataset.question(ROWS[name], f"{name}, row 1")
    assert question is not None
    said = f"The answer is {question.answers[0]}." if name == "scienceqa" else question.answers[0]
    for each in {dataset.scoring, dataset.scorings.get("official", dataset.scoring)}:
        assert rule(each).score(said, question.answers, question.options, question.facts).value == 1
