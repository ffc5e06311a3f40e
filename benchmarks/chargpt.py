"""The example ``tapegrad.examples.chargpt`` against the same script with PyTorch.

    python benchmarks/chargpt.py --text shakespeare.txt
    python benchmarks/chargpt.py --steps 200 --threads 2

The script's source runs twice, as it is and with ``torch`` in place of ``tapegrad``, each in a
process of its own. They train in turns, a tenth of the steps at a time, so that drift hits both;
only the time of training counts. The numbers drawn differ, so the losses agree but roughly.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

PEERS = ("tapegrad", "torch")
TURNS = 10


def script(library: str) -> types.ModuleType:
    """The example with the modules of one library."""
    found = importlib.util.find_spec("tapegrad")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "examples" / "chargpt.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    # What serves the command line is not needed, and would load tapegrad beside PyTorch.
    own = ("from tapegrad.examples", "from tapegrad._extras")
    source = "\n".join("" if line.startswith(own) else line for line in lines)
    source = source.replace("import tapegrad as tg", f"import {library} as tg")
    source = source.replace("from tapegrad", f"from {library}")
    module = types.ModuleType(f"chargpt_{library}")
    module.__dict__["ExampleError"] = RuntimeError
    sys.modules[module.__name__] = module
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def work(library: str, text: Path | None, steps: int, threads: int, seed: int) -> None:
    """Train when told: a line with the number of steps comes in, the seconds go out."""
    example: Any = script(library)
    example.tg.set_num_threads(threads)
    example.tg.manual_seed(seed)
    data = example.encode(example.read(text), 64)
    model = example.GPT(example.Shape(len(data.characters)))
    recipe = example.Recipe(steps=steps)
    optimizer = example.make_optimizer(model, recipe)
    step = 0
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            example.train_step(model, optimizer, recipe, step, data).item()
            step += 1
        print(time.perf_counter() - start, flush=True)
    print(example.unseen_loss(model, data), flush=True)


def compare(options: argparse.Namespace) -> None:
    """Start both, let them take turns, and print times and losses."""
    peers = {}
    for library in PEERS:
        command = [sys.executable, __file__, "--peer", library, "--steps", str(options.steps)]
        command += ["--threads", str(options.threads), "--seed", str(options.seed)]
        if options.text is not None:
            command += ["--text", str(options.text)]
        peers[library] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    seconds = dict.fromkeys(PEERS, 0.0)

    def answer(library: str) -> str:
        pipe = peers[library].stdout
        assert pipe is not None
        return pipe.readline()

    for library in PEERS:
        answer(library)
    for turn in range(TURNS):
        count = options.steps * (turn + 1) // TURNS - options.steps * turn // TURNS
        for library, process in peers.items():
            assert process.stdin is not None
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
            seconds[library] += float(answer(library))
    for library, process in peers.items():
        assert process.stdin is not None
        process.stdin.close()
        loss = float(answer(library))
        process.wait()
        each = 1000 * seconds[library] / options.steps
        print(
            f"{library:9} {seconds[library]:7.1f} s ({each:.1f} ms a step), "
            f"loss on unseen text {loss:.4f}"
        )
    print(f"torch/tapegrad: {seconds['torch'] / seconds['tapegrad']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--text", type=Path, help="a file (Python's help texts)")
    parser.add_argument("--steps", type=int, default=2000, help="batches to learn from (2000)")
    parser.add_argument("--threads", type=int, default=1, help="how many threads compute (1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (0)")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer is not None:
        work(options.peer, options.text, options.steps, options.threads, options.seed)
    else:
        compare(options)


if __name__ == "__main__":
    main()
