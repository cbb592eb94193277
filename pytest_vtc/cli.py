"""The command line beside pytest: `python -m pytest_vtc list`, `fetch`, `run`, `score`, `merge`, `compare` and more."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_vtc.cells import MEANINGLESS
from pytest_vtc.datasets.base import nearest
from pytest_vtc.datasets.registry import data_home, known_datasets
from pytest_vtc.models.catalogue import TINY
from pytest_vtc.models.random_catalogue import locate_random
from pytest_vtc.option_values import OptionError
from pytest_vtc.options import DEFAULT_OUTPUT, DEFAULT_SEED

PICTURED = "probes:15"
"""A crowded scene: eight digits, about one of which it asks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    0 on success; 1 if `merge` finds that a gate fails, or `compare` that a cell has lost more than it may; 2 with one
    line on standard error if something was wrong with what was asked.
    """
    options = _parser().parse_args(arguments)
    try:
        code = int(options.command(options) or 0)
        sys.stdout.flush()
        return code
    except (ValueError, RuntimeError) as error:
        # Every error of ours derives from these two and says what to do; a bug keeps its traceback.
        if not type(error).__module__.startswith("pytest_vtc."):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `... list | head`: whoever reads has enough. What is still to be flushed at exit must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_vtc",
        description="Vision-token compressors: what there is, fetching datasets, and single questions. "
        "The benchmark itself is run by pytest: pytest benchmarks/ --help",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    show = commands.add_parser("list", help="models, datasets and compressors")
    show.set_defaults(command=_list)

    fetch = commands.add_parser(
        "fetch",
        help="make a dataset ready",
        description="Brings a dataset from the Hub, or from files that are here, into the folder of fetched datasets; "
        "goes on where it was cut off. Licence and size are said first.",
    )
    fetch.add_argument(
        "name", metavar="NAME", help="dataset, as `list` shows it; or a table as hf:owner/name[:config[:split]]"
    )
    fetch.add_argument("--source", type=Path, metavar="DIR", help="folder with the published files, instead of the Hub")
    fetch.add_argument(
        "--n", type=_positive, metavar="N", help="only so many samples, drawn as `--vtc-n N` draws them with this seed"
    )
    fetch.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="of the draw, as --vtc-seed (default: %(default)s)"
    )
    fetch.add_argument("--columns", metavar="ROLE=COLUMN,...", help="of a table, as --vtc-columns")
    fetch.set_defaults(command=_fetch)

    run = commands.add_parser("run", help="ask one question about one image")
    model = run.add_mutually_exclusive_group()
    model.add_argument("--model", default="tiny-gemma4", help="short name, Hub id or folder (default: %(default)s)")
    model.add_argument(
        "--random-weights", metavar="NAME", help="a real configuration with random values; NAME:4 for 4 text layers"
    )
    run.add_argument("--image", required=True, metavar="FILE")
    run.add_argument("--prompt", required=True)
    run.add_argument("--compressor", metavar="SPEC", help="name, name(parameter=value) or ./file.py; default: none")
    run.add_argument("--ratio", type=float, default=1.0, help="share of the vision tokens to keep (default: 1)")
    run.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    run.add_argument("--quantization", choices=["8bit", "4bit"])
    run.add_argument("--attention", default="sdpa", choices=["sdpa", "eager", "flash_attention_2", "flex_attention"])
    run.add_argument("--trust-remote-code", action="store_true", help="run Python code that comes with the checkpoint")
    run.add_argument("--positions", choices=["original", "compact"])
    run.add_argument("--max-new-tokens", type=int, default=256, metavar="T")
    run.add_argument("--seed", type=int, default=42)
    run.set_defaults(command=_run)

    picture = commands.add_parser(
        "picture",
        help="show what compressors keep of an image",
        description="Draws, for each compressor, the image with the tokens that are kept framed and the others "
        "darkened; tokens that were merged into one row share a colour. And all of them on one sheet.",
    )
    picture.add_argument(
        "--image",
        default=PICTURED,
        metavar="FILE",
        help="image file, or DATASET:NUMBER, the first image of a sample, counted from 0 (default: %(default)s)",
    )
    picture.add_argument(
        "--compressors", nargs="+", default=["all"], metavar="SPEC", help="default: all that the model can run"
    )
    picture.add_argument("--ratio", type=float, default=0.25, help="share of the tokens to keep (default: %(default)s)")
    picture.add_argument("--model", default=TINY, help="short name, Hub id or folder (default: %(default)s)")
    picture.add_argument("--prompt", help="for those that read it (default: that of the sample)")
    picture.add_argument("--seed", type=int, default=42)
    picture.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code that comes with the checkpoint"
    )
    picture.add_argument(
        "--output", type=Path, default=Path("vtc-pictures"), metavar="DIR", help="where to (default: %(default)s)"
    )
    picture.set_defaults(command=_picture)

    score = commands.add_parser(
        "score",
        help="score answers in a file by several rules side by side",
        description="Scores answers that this tool or another has collected, by one rule or by several: a JSONL file "
        "of objects with prediction, answer and options; of objects with id and prediction, with --data; or the "
        "samples.jsonl of a run, with --data.",
    )
    score.add_argument("file", type=Path, metavar="FILE", help="the answers, one JSON object a line")
    score.add_argument(
        "--scoring",
        nargs="+",
        default=[],
        metavar="RULE",
        help="rules by name; with --data also official, lmms, vlmevalkit (default: the dataset's rule)",
    )
    score.add_argument("--data", metavar="DATA", help="the dataset whose samples were answered")
    score.add_argument(
        "--literal", action="store_true", help="blank answers are not simply wrong, but scored as the rule does"
    )
    score.set_defaults(command=_score)

    merge = commands.add_parser("merge", help="make one run of the shards of `pytest --vtc-shard I/N`")
    merge.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="output folder of a shard, one for each")
    merge.add_argument(
        "--output", type=Path, default=Path(DEFAULT_OUTPUT), metavar="DIR", help="where to (default: %(default)s)"
    )
    merge.add_argument(
        "--gate",
        action="append",
        default=[],
        help="a gate, or @FILE of gates, beside those of the run; may be repeated",
    )
    merge.add_argument(
        "--gate-inconclusive",
        choices=["skip", "fail", "pass"],
        help="how a gate counts that the interval does not decide (default: as in the shards)",
    )
    merge.add_argument("--partial", action="store_true", help="merge what is there although shards are missing")
    merge.add_argument("--baseline", type=Path, metavar="PATH", help="compare with an earlier run, as --vtc-baseline")
    merge.add_argument(
        "--max-regression", type=_points, metavar="POINTS", help="percentage points that a cell may lose against it"
    )
    merge.set_defaults(command=_merge)

    compare = commands.add_parser(
        "compare",
        help="compare runs sample by sample",
        description="Compares runs with the first of them, by sample id, on the cells that both have: differences with "
        "intervals, answers gained and lost, and the samples whose answers changed.",
    )
    compare.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder with results, or its results.json")
    compare.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="also write: a folder for comparison.json and flips.jsonl, or a *.json",
    )
    compare.add_argument(
        "--max-regression", type=_points, metavar="POINTS",
        help="judge every cell, and exit with 1 if one has lost more percentage points than this",
    )  # fmt: skip
    compare.add_argument("--across-models", action="store_true", help="of runs of one model each, whichever that is")
    compare.add_argument(
        "--allow-differences", action="store_true", help="compare although settings differ that change every answer"
    )
    compare.add_argument(
        "--limit", type=_count, default=5, metavar="N", help="changed answers shown of each cell (default: %(default)s)"
    )
    compare.add_argument("--width", type=_count, metavar="N", help="columns to fit (default: those of the terminal)")
    compare.set_defaults(command=_compare)

    export = commands.add_parser("export", help="the tables of a run as CSV, LaTeX or Markdown")
    export.add_argument("results", type=Path, metavar="RESULTS", help="a results.json, or the folder that holds it")
    export.add_argument("--format", required=True, choices=["csv", "latex", "markdown"])
    export.add_argument(
        "--what",
        choices=["cells", "published", "categories", "pairs", "shares"],
        help="cells: accuracy and difference to stock; published: figures of a dataset's own metric; pairs: "
        "compressors against each other at equal ratio; shares: "
        "mean share of stock over datasets (default: cells, in Markdown everything)",
    )
    export.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    export.set_defaults(command=_export)
    return parser


def _list(options: argparse.Namespace) -> None:  # noqa: ARG001
    from pytest_vtc.listing import listing

    print("\n".join(listing()))


def _fetch(options: argparse.Namespace) -> None:
    from pytest_vtc.datasets.base import DatasetError, Draw
    from pytest_vtc.datasets.own_tables import PREFIX, own_table

    known = known_datasets()
    own = options.name.startswith(PREFIX)
    if not own and options.name not in known:
        raise DatasetError(f"unknown dataset {options.name!r}: {nearest(options.name, list(known))}")
    if options.columns is not None and not own:
        raise OptionError(f"--columns is for tables such as hf:owner/name; {options.name} knows its own")
    dataset = own_table(options.name, options.columns) if own else known[options.name]
    draw = None if options.n is None else Draw(options.n, options.seed)
    manifest = dataset.fetch(data_home(), options.source, lambda line: print(line, flush=True), draw)
    print(f"{dataset.name} is built in, nothing to fetch" if manifest is None else f"ready: {manifest}")


def _picture(options: argparse.Namespace) -> None:
    from pytest_vtc.pictures import draw_all

    for line in draw_all(
        options.image,
        options.compressors,
        options.ratio,
        model=options.model,
        prompt=options.prompt,
        seed=options.seed,
        trust_remote_code=options.trust_remote_code,
        output=options.output,
    ):
        print(line, flush=True)


def _merge(options: argparse.Namespace) -> int:
    from pytest_vtc.merge import merge

    width = max(80, shutil.get_terminal_size().columns)
    if options.max_regression is not None and options.baseline is None:
        raise OptionError("--max-regression needs --baseline: the run that nothing may be worse than")
    done = merge(
        options.folders,
        options.output,
        options.gate,
        options.partial,
        width,
        sys.stdout.isatty(),
        options.gate_inconclusive,
        options.baseline,
        options.max_regression,
    )
    print("\n".join(done.lines))
    return int(done.incomplete or not done.written or done.gate_failed)


def _score(options: argparse.Namespace) -> None:
    from pytest_vtc.scored_file import render, score_file

    print("\n".join(render(score_file(options.file, options.data, options.scoring, options.literal))))


def _export(options: argparse.Namespace) -> None:
    from pytest_vtc.report.export import exported, save

    text = exported(options.results, options.format, options.what)
    if options.output is None:
        print(text, end="")
    else:
        save(text, options.output)
        print(f"Written: {options.output}")


def _compare(options: argparse.Namespace) -> int:
    from pytest_vtc.compare import compare
    from pytest_vtc.report.compared_runs import render, write

    done = compare(options.runs, options.max_regression, options.allow_differences, options.across_models)
    width = max(80, options.width or shutil.get_terminal_size().columns)
    print("\n".join(render(done, options.limit, width, sys.stdout.isatty())))
    if options.output is not None:
        print("\n".join(["", *(f"Written: {path}" for path in write(done, options.output))]))
    return int(done.regressed)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error


def _points(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no number of percentage points from 0 to 100")
    return number


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _count(text: str) -> int:
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def _run(options: argparse.Namespace) -> None:
    from pytest_vtc.image_compression import check_supported, substituted
    from pytest_vtc.models.catalogue import locate
    from pytest_vtc.models.families import family_of
    from pytest_vtc.pipeline import Pipeline, choose

    compressor = choose(options.compressor, options.ratio)
    random = None if options.random_weights is None else locate_random(options.random_weights)
    if compressor is not None:  # before the model is loaded
        check_supported(compressor, family_of(random or locate(options.model), options.trust_remote_code))
    pipeline = Pipeline(
        random or options.model,
        dtype=options.dtype,
        quantization=options.quantization,
        attention=options.attention,
        positions=options.positions,
        seed=options.seed,
        trust_remote_code=options.trust_remote_code,
        on_progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    result = pipeline(
        options.image,
        options.prompt,
        compressor=compressor,
        ratio=options.ratio,
        max_new_tokens=options.max_new_tokens,
    )
    print(result.answer)
    print(
        f"[{result.n_tokens} -> {result.n_kept} vision tokens, {result.kv_bytes:,} bytes of keys and values for the "
        f"prompt, {result.n_generated} tokens generated"
        f"{', cut off at --max-new-tokens' if result.truncated else ''}, {result.seconds:.2f} s]",
        file=sys.stderr,
    )
    if compressor is not None:
        for sentence in dict.fromkeys(substituted(compressor, pipeline.backend).values()):
            print(f"[{compressor.name} on {random.label if random else options.model}: {sentence}]", file=sys.stderr)
    if random is not None:
        print(f"[{random.label}: {MEANINGLESS}]", file=sys.stderr)
