"""What a run's manifest holds: everything needed to run again, and what it ran with."""

from __future__ import annotations

from typing import Any, TypedDict


class ModelInfo(TypedDict):
    """A model as it was loaded.

    source: Hub id, or name of a local folder; revision: commit, or hash of a local folder's files. attention: the
    kernel asked for. positions: the policy in force. warnings: what is known to go wrong with a model so loaded.
    sliding_window: slots that the shortest-sighted layer sees; None if all see all of them.
    unsupported: spec -> reason, of the run's compressors that the model cannot give what they need.
    substitutes: spec -> part of the context that the model lacks -> what the compressor does instead, of the others.
    random_weights: only the configuration is the source's; its answers mean nothing.
    """

    source: str
    revision: str | None
    dtype: str
    quantization: str | None
    attention: str
    warnings: list[str]
    device: str
    positions: str
    sliding_window: int | None
    unsupported: dict[str, str]
    substitutes: dict[str, dict[str, str]]
    random_weights: bool


class JudgeInfo(TypedDict):
    """The language model that scored a dataset's answers.

    prompt: hash of what it was asked. own_words: that is this tool's wording, which nobody's published scores rest on.
    """

    model: str
    prompt: str
    own_words: bool


class DatasetInfo(TypedDict):
    """A dataset as it was used.

    n: samples drawn of `size`. drawn_from: how many the whole dataset has of which `size` were fetched; None if all
    were, or if that is not known. scoring: the rule's name, "none" if not scored. literal: blank answers, which are
    wrong otherwise, were scored as the rule does. published: the metric shown beside accuracy. prompt_style: whose
    wording. whole_groups: a group counts for that metric only with all of its samples.
    judge: by whom answers were scored; None where a rule did without one.
    """

    n: int
    size: int
    drawn_from: int | None
    scoring: str
    literal: bool
    published: str | None
    prompt_style: str
    whole_groups: bool
    max_new_tokens: int
    fingerprint: str
    judge: JudgeInfo | None


class CompressorInfo(TypedDict):
    """A compressor as it was used.

    source_hash: of the file that defines it. exact: False if it may keep fewer. seed_group: the spec that was asked for
    where the run repeats it with several seeds, of which this is one; None otherwise.
    """

    name: str
    parameters: dict[str, Any]
    source_hash: str
    reference: str
    exact: bool
    seed_group: str | None


class Git(TypedDict):
    """The user's working tree. dirty: it has changes that are not committed."""

    commit: str
    dirty: bool


class Hardware(TypedDict):
    """What the run ran on. accelerator: its name, or None on the CPU."""

    platform: str
    processor: str
    n_cpus: int
    memory_bytes: int | None
    accelerator: str | None


class LoadedModel(TypedDict):
    """What was seen of a model when it was loaded.

    parity: how keep-all compared with the unmodified model. overridden: the checkpoint's generation settings that
    greedy decoding replaced. dtype: of the weights, as loaded. quantization: method and format of the rest; kept: the
    parts that it left alone. attention: kernels of the language model (`text`) and the tower (`vision`).
    """

    parity: dict[str, Any]
    overridden: dict[str, Any]
    dtype: str
    quantization: str | None
    kept: list[str]
    attention: dict[str, str]


class Merged(TypedDict):
    """One shard of a run that was put together from several."""

    shard: str
    started: str
    seconds: float
    command: list[str]
    hardware: Hardware


class Run(TypedDict):
    """What differs between two runs of the same command.

    started: ISO 8601 with time zone. seconds: wall time, of merged shards the sum. loaded: by model; one whose answers
    were all stored is not. shard: `2/8`, if this is one. merged: the shards, if it was put together from some.
    unread_replies: of judged datasets, how many answers have no reply of the judge that could be read.
    """

    started: str
    seconds: float
    command: list[str]
    loaded: dict[str, LoadedModel]
    shard: str | None
    merged: list[Merged]
    unread_replies: dict[str, int]


class Manifest(TypedDict):
    """Everything needed to run again. Keys of models, datasets and compressors are those of the cells."""

    pytest_vtc: str
    seed: int
    models: dict[str, ModelInfo]
    datasets: dict[str, DatasetInfo]
    compressors: dict[str, CompressorInfo]
    settings: dict[str, Any]
    versions: dict[str, str]
    hardware: Hardware
    git: Git | None
    run: Run
