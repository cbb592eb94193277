"""A dataset of GQA's size, as its authors publish it: what it takes to fetch, to list, to load and to collect.

    python benchmarks/harness/large_dataset.py [--questions 132062] [--images 10234] [--json FILE] [--no-check]

Every figure comes from a process of its own: CPU time, and memory of the whole process. Collecting is held to the
limits of collection.py, with the dataset counted in: beside `pytest.mark.parametrize` for the same count of items,
each less a session of five. The images are one file under many names: none is opened but those of the few cases that
are run. README.md beside this file has figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collection import CELLS, MAX_CPU_RATIO, MAX_MEMORY_RATIO, PARAMETRIZED, SWEEP, Figures, current_mb, peak_mb
from tabulate import tabulate

MAX_LOAD_S = 5.0
MAX_KB_PER_QUESTION = 0.75
FETCH_KB_PER_QUESTION = 4.0

STEPS = ("fetch", "state", "load", "collect", "few")
ANSWERS = ("yes", "no", "left", "right", "man", "woman", *(f"thing {n}" for n in range(1_000)))
KINDS = [(semantic, kind) for semantic in ("rel", "attr", "obj") for kind in ("query", "verify", "choose", "logical")]


def publish(folder: Path, n_questions: int, n_images: int) -> None:
    """`val_balanced_questions.json` and `images/` with all the keys, and about the bytes, of the real ones."""
    from PIL import Image

    images = folder / "images"
    images.mkdir(parents=True)
    first = images / "2300000.jpg"
    Image.new("RGB", (64, 48), "teal").save(first)
    for number in range(1, n_images):
        os.link(first, images / f"{2_300_000 + number}.jpg")
    with (folder / "val_balanced_questions.json").open("w") as file:
        for number in range(n_questions):
            file.write("{" if number == 0 else ", ")
            image = 2_300_000 + number * n_images // n_questions
            file.write(f'"{number:08d}": {json.dumps(question(number, image))}')
        file.write("}")


def question(number: int, image: int) -> Figures:
    answer, (semantic, structural) = ANSWERS[number % len(ANSWERS)], KINDS[number % len(KINDS)]
    text = f"Is the {ANSWERS[number * 7 % 1_000]} to the left of the {answer} number {number} made of wood or of metal?"
    program = [
        {"operation": "select", "dependencies": [], "argument": f"table ({number})"},
        {"operation": "relate", "dependencies": [0], "argument": f"{answer},to the left of,s ({image})"},
        {"operation": "choose material", "dependencies": [1], "argument": "wood|metal"},
    ]
    return {
        "semantic": program,
        "entailed": [f"{number + other:08d}" for other in range(5)],
        "equivalent": [f"{number:08d}"],
        "question": text,
        "imageId": str(image),
        "isBalanced": True,
        "groups": {"global": "material", "local": "10c-table_material"},
        "answer": answer,
        "semanticStr": f"select: table ({number})->relate: {answer},to the left of,s ({image}) [0]->choose material",
        "annotations": {
            "answer": {},
            "question": {"2": str(image), "6:8": str(number)},
            "fullAnswer": {"1": str(image)},
        },
        "types": {"detailed": "chooseMaterial", "semantic": semantic, "structural": structural},
        "fullAnswer": f"The {answer} number {number} is made of wood.",
    }


# One measurement, in a process of its own


def measure(step: str, folder: Path) -> Figures:
    """`folder` holds `gqa/` as published, and `home/` where it is fetched to. To be called once in a process."""
    from pytest_vtc.datasets.gqa import Gqa

    if step in ("collect", "few"):
        import pytest

        Path("test_suite.py").write_text(SWEEP)
        command = ["test_suite.py", "--rootdir=.", "-c", os.devnull, "--vtc-data=gqa", "--vtc-n=all", "-qq"]
        command += ["--vtc-compressors=divprune,identity", "--vtc-ratios=0.5,0.25"]
        command += ["--collect-only"] if step == "collect" else ["-k", "00000007 or 00000100"]
        began, before = 0.0, 0.0
        if (status := pytest.main(command)) != pytest.ExitCode.OK:
            raise SystemExit(f"{step} ended with {status!r}")
    else:
        began, before = time.process_time(), current_mb()
        if step == "fetch":
            Gqa().fetch(folder / "home", folder / "gqa", lambda line: print(line, file=sys.stderr))
        elif step == "state":
            print(Gqa().state(folder / "home"), file=sys.stderr)
        else:
            samples = Gqa().load(folder / "home")
            print(f"{len(samples):,} samples", file=sys.stderr)
    cpu_s, now = time.process_time() - began, current_mb()
    return {"cpu_s": cpu_s, "peak_mb": peak_mb() - before, "kept_mb": now - before}


def parametrized(n: int) -> Figures:
    import pytest

    Path("test_suite.py").write_text(PARAMETRIZED.format(n=n))
    pytest.main(["test_suite.py", "--rootdir=.", "-c", os.devnull, "--collect-only", "-qq"])
    return {"cpu_s": time.process_time(), "peak_mb": peak_mb(), "kept_mb": current_mb()}


def in_a_process(folder: Path, *arguments: str) -> Figures:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VTC_HOME": str(folder / "home")}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder), *arguments]
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# All of them


def measured(n_questions: int, n_images: int) -> Figures:
    found: Figures = {"questions": n_questions, "images": n_images, "items": CELLS * n_questions}
    for size, (questions, images) in {"small": (200, 20), "large": (n_questions, n_images)}.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            publish(folder / "gqa", questions, images)
            found[size] = {step: in_a_process(folder, "--measure", step) for step in STEPS}
            found[size]["parametrize"] = in_a_process(folder, "--parametrize", str(CELLS * questions))
    small, large = found["small"], found["large"]
    for figure, name in (("cpu_s", "cpu_ratio"), ("peak_mb", "memory_ratio")):
        more = {kind: large[kind][figure] - small[kind][figure] for kind in ("collect", "parametrize")}
        found[name] = more["collect"] / more["parametrize"]
    found["kb_per_question"] = large["load"]["kept_mb"] / n_questions * 1024
    found["fetch_kb_per_question"] = large["fetch"]["peak_mb"] / n_questions * 1024
    return found


def missed(found: Figures) -> list[str]:
    limits = [
        ("seconds of CPU to load", found["large"]["load"]["cpu_s"], MAX_LOAD_S),
        ("KB kept of a question that is loaded", found["kb_per_question"], MAX_KB_PER_QUESTION),
        ("KB a question while fetching", found["fetch_kb_per_question"], FETCH_KB_PER_QUESTION),
        ("CPU time to collect, dataset included, against parametrize", found["cpu_ratio"], MAX_CPU_RATIO),
        ("memory to collect, dataset included, against parametrize", found["memory_ratio"], MAX_MEMORY_RATIO),
    ]
    return [f"{what}: {value:.2f}, limit {limit:g}" for what, value, limit in limits if value > limit]


def show(found: Figures) -> None:
    print(f"\n{found['questions']:,} questions on {found['images']:,} images; {found['items']:,} items\n")
    names = {
        "fetch": "fetch, from files as published", "state": "its line in `list`", "load": "load",
        "collect": "a session that collects all", "few": "a session that runs ten of them (-k)",
        "parametrize": "pytest.mark.parametrize collects as many",
    }  # fmt: skip
    rows = [
        [name, f"{found['large'][k]['cpu_s']:.1f}", f"{found['large'][k]['peak_mb']:.0f}"] for k, name in names.items()
    ]
    print(tabulate(rows, headers=["", "CPU s", "peak MB"], disable_numparse=True))
    print(
        f"\n{found['kb_per_question']:.2f} KB of a question stay in memory. To collect, dataset included, against "
        f"parametrize: {found['cpu_ratio']:.2f} of the CPU time, {found['memory_ratio']:.2f} of the memory"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=132_062, help="how many questions (132062)")
    parser.add_argument("--images", type=int, default=10_234, help="on how many images (10234)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--no-check", action="store_true", help="print only; exit code 0 whatever the figures")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--parametrize", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        with contextlib.redirect_stdout(sys.stderr):
            figures = parametrized(given.parametrize) if given.measure is None else measure(given.measure, given.folder)
        print(json.dumps(figures))
        return 0
    found = measured(given.questions, given.images)
    show(found)
    problems = missed(found)
    if given.json is not None:
        given.json.write_text(json.dumps({**found, "missed": problems}, indent=2) + "\n")
    print("\n" + ("\n".join(f"NOT MET: {problem}" for problem in problems) or "Every limit is met."))
    return 1 if problems and not given.no_check else 0


if __name__ == "__main__":
    sys.exit(main())
