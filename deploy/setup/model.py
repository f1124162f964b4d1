"""The tiny model in .cache/models/tiny: made on the spot by the engine's Python, nothing is downloaded."""

from pathlib import Path

from deploy.setup import clone, step
from deploy.setup.engine import RECIPES, WITHOUT
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp

PROGRAM = RECIPES / "tiny_model.py"
CORPUS = RECIPES / "corpus.txt"


def install() -> None:
    """Make the model's folder; nothing to do where its stamp says that program and corpus are the same."""
    made = stamp(clone.MODEL, [PROGRAM, CORPUS, Path(__file__)])
    if made.matches:
        print(f"  {clone.shown(clone.MODEL)} is complete")
        return
    python = clone.ENGINE / "bin" / "python"
    if not python.exists():
        raise SetupError(f"{clone.shown(python)}, which trains the tokenizer", "no such file", WITHOUT)
    with step.step(f"train the tokenizer and write {clone.shown(clone.MODEL)}"):
        step.run([python, PROGRAM, clone.MODEL], log="model", hint=WITHOUT, limit_s=120)
    made.write()
