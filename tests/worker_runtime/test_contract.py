"""How a recipe's handler is found and made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker_runtime import contract
from worker_runtime.errors import HandlerImportFailed, HandlerLoadFailed, HandlerMissing, OptionsInvalid, StartError
from worker_runtime.recipe import HandlerBlock

FULL = """
from dataclasses import dataclass
import beside

@dataclass
class Kept:
    word: str

class Handler:
    def __init__(self, options, models):
        self.kept = Kept(beside.WORD + options["word"] + str(models["m"]))
    def __call__(self, inputs):
        return self.kept.word
"""


def test_a_file_and_what_lies_beside_it(tmp_path: Path) -> None:
    """A handler file may import modules beside it, and gets the keywords that it takes."""
    (tmp_path / "handler.py").write_text(FULL)
    (tmp_path / "beside.py").write_text("WORD = 'x'")
    handler = contract.find(HandlerBlock(file="handler.py"), tmp_path)
    made = contract.make(handler, options={"word": "y"}, models={"m": Path("/w")}, media=None)
    assert made(None) == "xy/w"


def test_a_handler_without_init_or_load(tmp_path: Path) -> None:
    """The smallest handler is a class with a __call__."""
    (tmp_path / "handler.py").write_text("class Handler:\n    def __call__(self, inputs):\n        return inputs\n")
    made = contract.make(contract.find(HandlerBlock(file="handler.py"), tmp_path), options={}, models={})
    contract.load(made, None)
    assert made(5) == 5
    assert contract.input_model(made) is None


@pytest.mark.parametrize("name", contract.BUILT_IN)
def test_every_built_in_is_a_module(name: str) -> None:
    """Each built-in name is a file of worker_runtime/handlers."""
    assert (Path(contract.__file__).parent / "handlers" / f"{name}.py").is_file()


@pytest.mark.parametrize(
    ("block", "code", "error", "says"),
    [
        ({"name": "embedings"}, "", HandlerMissing, "did you mean 'embeddings'?"),
        ({"name": "zzz"}, "", HandlerMissing, "use one of command, echo"),
        ({"file": "nope.py"}, "", HandlerMissing, "no handler file"),
        ({"file": "handler.py"}, "x = 1", HandlerMissing, "no class Handler that can be called"),
        ({"file": "handler.py"}, "class Handler: pass", HandlerMissing, "no class Handler that can be called"),
        ({"file": "handler.py"}, "import not_there", HandlerImportFailed, "imports not_there, which the image"),
        ({"file": "handler.py"}, "1/0", HandlerImportFailed, "raised ZeroDivisionError: division by zero"),
        ({"file": "handler.py"}, "def :", HandlerImportFailed, "raised SyntaxError"),
    ],
)
def test_what_can_be_wrong_with_it(
    block: dict[str, Any], code: str, error: type[StartError], says: str, tmp_path: Path
) -> None:
    """Each way a handler can't be had is one sentence."""
    (tmp_path / "handler.py").write_text(code)
    with pytest.raises(error) as caught:
        contract.find(HandlerBlock(**block), tmp_path)
    assert says in str(caught.value)


def test_options_are_checked() -> None:
    """A built-in handler refuses options that it doesn't know, naming each."""
    echo = contract.find(HandlerBlock(name="echo"), Path())
    with pytest.raises(OptionsInvalid, match=r"delay_s: .*greater than or equal to 0 \(found -1\); word: Extra inputs"):
        contract.make(echo, options={"delay_s": -1, "word": 1}, models={})


def test_init_and_load_that_raise() -> None:
    """Any exception of __init__ or load becomes the start's error, with its type and text."""

    class BadInit:
        def __init__(self) -> None:
            raise RuntimeError("no GPU")

    class BadLoad:
        def load(self, model_dir: Path) -> None:
            raise OSError("no such file")

    with pytest.raises(HandlerLoadFailed, match="constructing the handler raised RuntimeError: no GPU"):
        contract.make(BadInit, options={})
    with pytest.raises(HandlerLoadFailed, match="load raised OSError: no such file"):
        contract.load(BadLoad(), Path())
