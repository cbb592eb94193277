"""Command line, ini file and experiment file, folded into one `Settings`. Imports no torch."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from pytest_vtc.cells import AnswerMode, Positions
from pytest_vtc.gates import Gate, InconclusiveAs, read_gates
from pytest_vtc.judge.endpoint import check_url
from pytest_vtc.option_values import (
    DEFAULT_SEED,
    OptionError,
    Shard,
    as_list,
    integer,
    n,
    optional_integer,
    parse_shard,
    points,
    ratios,
    strings,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

DEFAULT_OUTPUT = "vtc-results"
DEFAULT_RANDOM_SEEDS = 3


@dataclass(frozen=True)
class Settings:
    """What was asked for. None (or empty) means that nobody said: the sweep fills in what suits.

    compressors, data and models are names, specs or paths, not yet looked up. n: samples per dataset, "all", or None
    for each dataset's own default. random_seeds: how often a compressor with a parameter `seed` is measured. scoring,
    prompt_style: entries as `option_values.of_datasets` reads them.
    """

    models: tuple[str, ...]
    random_weights: tuple[str, ...]
    data: tuple[str, ...]
    compressors: tuple[str, ...]
    ratios: tuple[float, ...]
    n: int | Literal["all"] | None
    seed: int
    batch_size: int | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    quantization: Literal["8bit", "4bit"] | None
    positions: Positions | None
    max_new_tokens: int | None
    answers: AnswerMode
    output: Path
    fresh: bool
    gates: tuple[Gate, ...]
    gate_inconclusive: InconclusiveAs = "skip"
    shard: Shard | None = None
    attention: Literal["sdpa", "eager", "flash_attention_2", "flex_attention"] = "sdpa"
    trust_remote_code: bool = False
    random_seeds: int = DEFAULT_RANDOM_SEEDS
    baseline: Path | None = None
    max_regression: float | None = None
    sequential: bool = False
    scoring: tuple[str, ...] = ()
    prompt_style: tuple[str, ...] = ()
    judge: str | None = None
    judge_model: str | None = None
    judge_prompts: tuple[str, ...] = ()
    columns: str | None = None


@dataclass(frozen=True)
class _Option:
    """One option in its three places: `--vtc-NAME`, ini `vtc_NAME`, and a key of the experiment file."""

    name: str
    help: str
    metavar: str | None = None
    is_list: bool = False
    choices: tuple[str, ...] | None = None
    ini_type: Literal["args", "linelist", "string", "int", "bool"] = "string"
    file_keys: tuple[str, ...] = ()
    alias: str | None = None

    @property
    def dest(self) -> str:
        return "vtc_" + self.name.replace("-", "_")

    @property
    def flags(self) -> list[str]:
        return ["--vtc-" + self.name, *([self.alias] if self.alias else [])]


OPTIONS = (
    _Option(
        "model", "model(s): a short name (see `python -m pytest_vtc list`), a Hub id or a checkpoint folder; "
        "default tiny-gemma4, which is embedded", "MODEL", True, ini_type="args", file_keys=("model", "models"),
    ),
    _Option(
        "random-weights", "instead of --vtc-model: model(s) of the named real configuration with random values, for "
        "timing and plumbing without a download; NAME:LAYERS builds so many text layers, NAME:LAYERS:VISION_LAYERS of "
        "both sides", "NAME", True, ini_type="args", file_keys=("random_weights",), alias="--random-weights",
    ),
    _Option(
        "data", "dataset(s): a name, a manifest.jsonl, a *.csv beside its images, a folder of images, or a table as "
        "hf:owner/name[:config[:split]] or hf:./folder; default probes and easyvqa for the embedded model and random "
        "weights, mmmu_pro for any other", "DATA", True, ini_type="args", file_keys=("data",),
    ),
    _Option(
        "compressors", "compressor(s): name, name(parameter=value), ./file.py or ./file.py:Name; 'all': every one that "
        "`python -m pytest_vtc list` shows; 'default': baselines, well-known methods, and whatever was dropped into "
        "compressors/ or installed; default: default", "SPEC", True, ini_type="args", file_keys=("compressors",),
    ),
    _Option(
        "ratios", "share(s) of the vision tokens to keep, in (0, 1]; default 0.5 0.25 0.125", "RATIO", True,
        ini_type="args", file_keys=("ratios",),
    ),
    _Option(
        "n", "samples per dataset, drawn with whole images by --vtc-seed, or 'all'; default 200 for the embedded "
        "datasets, all for others", "N", file_keys=("n_samples", "n"),
    ),
    _Option("columns", "of CSV files and hf: tables in --vtc-data, which column is what: "
            "image=a,question=b,answer=c, and options, category, id, group if there are such; several as image=a+b; "
            "default: by their names", "ROLE=COLUMN,...", file_keys=("columns",)),
    _Option("scoring", "how answers are scored: official, lmms (lmms-eval) or vlmevalkit, to the letter, as far as the "
            "dataset has them; or a rule's name; or none; DATASET=RULE for one of several datasets; default: the "
            "dataset's rule, but empty answers are wrong", "RULE", True, ini_type="args", file_keys=("scoring",)),
    _Option("prompt-style", "whose wording prompts have, such as official, lmms or vlmevalkit; DATASET=STYLE for one "
            "of several datasets; default: the dataset's", "STYLE", True, ini_type="args", file_keys=("prompt_style",)),
    _Option("judge", "endpoint (OpenAI-compatible chat completions) of the language model that scores the answers of "
            "mm_vet, llava_bench and mia_bench, such as https://api.openai.com/v1; its key is taken from the "
            "environment variable VTC_JUDGE_API_KEY or OPENAI_API_KEY", "URL", file_keys=("judge",)),
    _Option("judge-model", "name of that model, as its endpoint knows it", "NAME", file_keys=("judge_model",)),
    _Option("judge-prompt", "what the judge is asked instead of the tool's own words: a file with gaps such as "
            "{question} and {prediction} in it (docs/judged-datasets.md); DATASET=FILE if several are judged; may be "
            "repeated", "FILE", True, ini_type="linelist", file_keys=("judge_prompt", "judge_prompts")),
    _Option("seed", "seed of the draw of samples and of stochastic compressors; default 42", "SEED", ini_type="int",
            file_keys=("seed",)),
    _Option("random-seeds", "measure a compressor that draws at random (one with a parameter `seed`, if that is not "
            f"given) with so many seeds, shown as one row; default {DEFAULT_RANDOM_SEEDS}", "N", ini_type="int",
            file_keys=("random_seeds",)),
    _Option("batch-size", "rows per call of the language model; default: chosen by the tool", "B", ini_type="int",
            file_keys=("batch_size",)),
    _Option("dtype", "precision of the weights; auto: the checkpoint's own on a GPU, float32 on a CPU",
            choices=("auto", "float32", "bfloat16", "float16"), file_keys=("dtype",)),
    _Option("quantization", "load the language model quantised by bitsandbytes", choices=("8bit", "4bit"),
            file_keys=("quantization",)),
    _Option("attention", "attention kernel of the model; default sdpa",
            choices=("sdpa", "eager", "flash_attention_2", "flex_attention"), file_keys=("attention",)),
    _Option("positions", "position ids of kept tokens: renumbered (compact) or their own (original); default: the "
            "model family's", choices=("original", "compact"), file_keys=("positions",)),
    _Option("max-new-tokens", "longest answer in tokens; default: the dataset's", "T", ini_type="int",
            file_keys=("max_new_tokens",)),
    _Option("answers", "generate: the model writes its answer; letters: of a multiple-choice question, the likeliest "
            "option letter by one forward pass, nothing is generated; default generate",
            choices=("generate", "letters"), file_keys=("answers",)),
    _Option("output", f"folder for results.json, samples.jsonl and the store; default {DEFAULT_OUTPUT}", "DIR",
            file_keys=("output_dir", "output")),
    _Option("shard", "run only part I of N, cut by image, for a job array; `python -m pytest_vtc merge` makes them one "
            "run again", "I/N", file_keys=("shard",)),
    _Option("gate", "fail the run if it is broken, e.g. \"divprune@0.5: max_drop=2.5\", \"*@0.5: min_accuracy=80, "
            "category=count\", or @FILE with one a line; docs/gates.md has the rest; may be repeated", "GATE", True,
            ini_type="linelist", file_keys=("gates", "gate")),
    _Option("gate-inconclusive", "how a gate counts that the interval does not decide; default skip",
            choices=("skip", "fail", "pass"), file_keys=("gate_inconclusive",)),
    _Option("baseline", "compare with an earlier run, sample by sample, and fail where a cell became significantly "
            "worse: a results.json with its samples.jsonl beside it, or the folder of both", "PATH",
            file_keys=("baseline",)),
    _Option("max-regression", "with --vtc-baseline: how many percentage points a cell may lose; decided by the "
            "interval of its loss", "POINTS", file_keys=("max_regression",)),
)  # fmt: skip

_FLAGS = ("fresh", "sequential")
"""Options that are on or off."""

_BY_FILE_KEY = {key: option for option in OPTIONS for key in option.file_keys}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("vtc", "benchmark of vision-token compressors (pytest-vtc)")
    for option in OPTIONS:
        group.addoption(
            *option.flags,
            dest=option.dest,
            help=option.help,
            metavar=option.metavar,
            choices=option.choices,
            default=None,
            action="append" if option.is_list else "store",
        )
        parser.addini(option.dest, f"default of --vtc-{option.name}: {option.help}", option.ini_type, default=None)
    group.addoption(
        "--vtc-fresh", action="store_true", default=None, help="measure everything anew, whatever the store holds"
    )
    parser.addini("vtc_fresh", "default of --vtc-fresh", "bool", default=None)
    group.addoption(
        "--vtc-sequential", action="store_true", default=None,
        help="run the images in random order (by --vtc-seed), judge the gates after each one by a test that allows for "
        "that, and end a cell once all its gates are decided",
    )  # fmt: skip
    parser.addini("vtc_sequential", "default of --vtc-sequential", "bool", default=None)
    group.addoption(
        # On the command line alone: a file that comes along with somebody's project must not be able to allow it.
        "--vtc-trust-remote-code", action="store_true", default=False,
        help="run Python code that comes with a checkpoint; read it first",
    )  # fmt: skip
    group.addoption(
        "--vtc-config", dest="vtc_config", metavar="FILE", default=None,
        help="experiment file (JSON or TOML) with keys model, data, compressors, ratios, n_samples, seed, output_dir, "
        "gen_config and any option above; the command line wins over it, it wins over the ini file",
    )  # fmt: skip
    parser.addini("vtc_config", "default of --vtc-config", "string", default=None)
    group.addoption(
        # On the command line alone, as it replaces the tests of the suite.
        "--vtc-conformance", dest="vtc_conformance", metavar="SPEC", default=None, action="append",
        help="instead of any test files, check that compressor(s) keep to their contract, on made-up images and "
        "without a model: ./file.py, ./file.py:Name(parameter=value), a name, or all; each property is a test, with "
        "-k, -n, --lf and so on as usual",
    )  # fmt: skip


def read_settings(config: pytest.Config) -> Settings:
    """Settings of a run; command line before experiment file before ini file before defaults. Raises OptionError."""
    path = config.getoption("vtc_config") or _ini(config, "vtc_config")
    from_file = read_experiment(Path(path)) if path else {}

    given = {
        option.name: (config.getoption(option.dest), from_file.get(option.name), _ini(config, option.dest))
        for option in OPTIONS
    }
    values = {name: next((value for value in places if value is not None), None) for name, places in given.items()}
    _choose_models(given, values)
    baseline, max_regression = values["baseline"], points("max-regression", values["max-regression"])
    if max_regression is not None and baseline is None:
        raise OptionError("--vtc-max-regression needs --vtc-baseline: the run that nothing may be worse than")
    flags = {name: _flag(config, from_file, name) for name in _FLAGS}
    return Settings(
        models=strings(values["model"]),
        random_weights=strings(values["random-weights"]),
        data=strings(values["data"]),
        compressors=strings(values["compressors"]),
        ratios=ratios(values["ratios"]),
        n=n(values["n"]),
        seed=integer("seed", values["seed"], 0) if values["seed"] is not None else DEFAULT_SEED,
        batch_size=optional_integer("batch-size", values["batch-size"]),
        dtype=_choice("dtype", values["dtype"]) or "auto",
        quantization=_choice("quantization", values["quantization"]),
        positions=_choice("positions", values["positions"]),
        max_new_tokens=optional_integer("max-new-tokens", values["max-new-tokens"]),
        answers=_choice("answers", values["answers"]) or "generate",
        output=Path(str(values["output"] or DEFAULT_OUTPUT)).expanduser(),
        fresh=flags["fresh"],
        gates=_gates(config, given["gate"]),
        gate_inconclusive=_choice("gate-inconclusive", values["gate-inconclusive"]) or "skip",
        shard=None if values["shard"] is None else parse_shard(str(values["shard"])),
        attention=_choice("attention", values["attention"]) or "sdpa",
        trust_remote_code=bool(config.getoption("vtc_trust_remote_code")),
        random_seeds=optional_integer("random-seeds", values["random-seeds"]) or DEFAULT_RANDOM_SEEDS,
        baseline=None if baseline is None else Path(str(baseline)).expanduser(),
        max_regression=max_regression,
        sequential=flags["sequential"],
        scoring=strings(values["scoring"]),
        prompt_style=strings(values["prompt-style"]),
        judge=None if values["judge"] is None else check_url(str(values["judge"])),
        judge_model=None if values["judge-model"] is None else str(values["judge-model"]),
        judge_prompts=tuple(map(str, as_list(values["judge-prompt"]))),
        columns=None if values["columns"] is None else str(values["columns"]),
    )


def conformance_specs(config: pytest.Config) -> tuple[str, ...]:
    """What --vtc-conformance was given; empty without it."""
    return strings(config.getoption("vtc_conformance"))


def _choose_models(given: dict[str, tuple[Any, ...]], values: dict[str, Any]) -> None:
    """Of models and random weights, which stand in for models, keep what was said where it counts most."""
    for models, random_weights in zip(given["model"], given["random-weights"], strict=True):
        if models and random_weights:
            raise OptionError("--vtc-model and --vtc-random-weights exclude each other; give one of them")
        if models or random_weights:
            values["random-weights" if models else "model"] = None
            return


def _flag(config: pytest.Config, from_file: dict[str, Any], name: str) -> bool:
    said = config.getoption(f"vtc_{name}")
    return bool(from_file.get(name, _ini(config, f"vtc_{name}")) if said is None else said)


def _gates(config: pytest.Config, given: tuple[Any, ...]) -> tuple[Gate, ...]:
    """Of the first place that has some. Files named in the ini file are relative to its folder's root."""
    folders = (Path(), Path(), config.rootpath)
    entries, folder = next((place for place in zip(given, folders, strict=True) if place[0] is not None), ([], Path()))
    return read_gates(map(str, as_list(entries)), folder)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (pytest.UsageError, ValueError, TypeError) as error:
        raise OptionError(f"ini setting {name}: {error}") from error


def read_experiment(path: Path) -> dict[str, Any]:
    """Read an experiment file into option names and values. Raises OptionError with file and line."""
    if not path.is_file():
        raise OptionError(f"--vtc-config: no file {path}")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not valid {path.suffix.lstrip('.').upper() or 'text'}: {error}") from error
    if not isinstance(data, dict):
        raise OptionError(f"{path}: expected an object with keys such as model, data, ratios")
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _FLAGS:
            if not isinstance(value, bool):
                raise OptionError(f"{path}: {key} is {value!r}; write true or false")
            values[key] = value
        elif key == "gen_config":
            values |= _generation(path, value)
        elif option := _BY_FILE_KEY.get(key):
            values[option.name] = value
        else:
            known = sorted([*_BY_FILE_KEY, *_FLAGS, "gen_config"])
            raise OptionError(f"{path}: unknown key {key!r}; known: {', '.join(known)}")
    return values


def _generation(path: Path, value: Any) -> dict[str, Any]:
    """`gen_config` of an experiment file: the answer length is an option, sampling is not to be had."""
    if not isinstance(value, dict):
        raise OptionError(f"{path}: gen_config must be an object")
    values: dict[str, Any] = {}
    for key, setting in cast("dict[str, Any]", value).items():
        if key == "max_new_tokens":
            values["max-new-tokens"] = setting
        elif (key, setting) not in [("do_sample", False), ("num_beams", 1), ("temperature", 0), ("temperature", 0.0)]:
            raise OptionError(
                f"{path}: gen_config.{key} = {setting!r} is not supported: decoding is greedy, for stock and "
                "compressed alike; only max_new_tokens can be set"
            )
    return values


def _choice(name: str, value: Any) -> Any:
    choices = next(option.choices for option in OPTIONS if option.name == name)
    assert choices is not None
    if value is not None and value not in choices:
        raise OptionError(f"--vtc-{name}: {value!r} is not one of {', '.join(choices)}")
    return value
