"""Text generation on a tiny Llama of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker_runtime.errors import OptionsInvalid


@pytest.fixture(scope="module")
def llama(tiny_llama: Path, loaded: Any) -> Any:
    """The loaded handler."""
    return loaded("text_generation", tiny_llama, max_new_tokens=50)


def test_greedy_is_repeatable_and_counts_tokens(llama: Any, answered: Any) -> None:
    """The same prompt gives the same text, and the numbers of tokens are true (one token is one byte here)."""
    first = answered(llama, prompt="hello", max_new_tokens=10)
    assert first == answered(llama, prompt="hello", max_new_tokens=10)
    assert first["input_tokens"] == 5
    assert first["output_tokens"] == 10
    assert first["finish_reason"] == "length"


def test_equals_transformers_own_generate(tiny_llama: Path, llama: Any, answered: Any) -> None:
    """The text is what transformers makes of the same prompt, without the prompt."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    made = model.generate(**tokenizer("abc", return_tensors="pt", return_token_type_ids=False), max_new_tokens=8)
    expected = tokenizer.decode(made[0, 3:], skip_special_tokens=True)
    assert answered(llama, prompt="abc", max_new_tokens=8)["text"] == expected


def test_a_chat_goes_through_the_template(llama: Any, answered: Any) -> None:
    """Messages become the model's own template: its bytes are counted."""
    chat = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    assert answered(llama, messages=chat, max_new_tokens=1)["input_tokens"] == len("system:be;user:hi;assistant:")


def test_sampling_follows_the_seed(llama: Any, answered: Any) -> None:
    """A seed repeats a sampled text, and another seed gives another."""
    texts = [answered(llama, prompt="x", temperature=1.5, seed=seed, max_new_tokens=20)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_stop_texts_end_the_answer_and_are_cut(llama: Any, answered: Any) -> None:
    """A stop text that the model makes ends it there, and is not part of the text."""
    whole = answered(llama, prompt="hello", max_new_tokens=10)["text"]
    stop = whole[4:6]
    cut = answered(llama, prompt="hello", max_new_tokens=10, stop=[stop])
    assert cut["text"] == whole[: whole.index(stop)]
    assert cut["finish_reason"] == "stop"
    assert cut["output_tokens"] < 10


@pytest.mark.parametrize(
    ("job_input", "says"),
    [
        ({}, "give either prompt or messages"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "give either prompt or messages"),
        ({"prompt": "x", "max_new_tokens": 51}, "max_new_tokens: at most 50 (found 51)"),
        (
            {"prompt": "x" * 60, "max_new_tokens": 5},
            "the input has 60 tokens, and with 5 new ones exceeds the model's 64",
        ),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: "),
    ],
)
def test_input_that_cannot_work(job_input: dict[str, Any], says: str, llama: Any, answered: Any) -> None:
    """Each input that can't work is one sentence."""
    error = answered(llama, **job_input)["error"]
    assert error.startswith("input_invalid: ")
    assert says in error


def test_a_model_without_a_template(tiny_llama: Path, tmp_path: Path, loaded: Any, answered: Any) -> None:
    """A chat for a model that has no chat template is refused with what to do."""
    import shutil

    plain = tmp_path / "plain"
    shutil.copytree(tiny_llama, plain)
    (plain / "chat_template.jinja").unlink()
    error = answered(loaded("text_generation", plain), messages=[{"role": "user", "content": "x"}])["error"]
    assert error == "input_invalid: messages: this model has no chat template; send a prompt"


@pytest.mark.parametrize(
    ("dtype", "expected"), [("bf16", "torch.bfloat16"), ("fp16", "torch.float16"), (None, "torch.float32")]
)
def test_loads_in_the_dtype_asked_for(dtype: str | None, expected: str, tiny_llama: Path, loaded: Any) -> None:
    """The option's dtype is the weights' type in memory; without one they stay as stored."""
    options = {"dtype": dtype} if dtype else {}
    assert str(loaded("text_generation", tiny_llama, **options)._model.dtype) == expected


def test_the_recipes_dtype_is_the_default(tiny_llama: Path, loaded: Any) -> None:
    """Without the option the model is loaded as its own block of the recipe says."""
    handler = loaded("text_generation", tiny_llama, load_dtype="bf16")
    assert str(handler._model.dtype) == "torch.bfloat16"


def test_a_dtype_that_needs_quantisation_is_refused(tiny_llama: Path, loaded: Any) -> None:
    """A recipe's int4 is no type that torch loads plain weights in."""
    with pytest.raises(OptionsInvalid, match="the recipe loads the model as int4"):
        loaded("text_generation", tiny_llama, load_dtype="int4")
