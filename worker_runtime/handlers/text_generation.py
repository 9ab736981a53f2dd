"""`text_generation`: a causal language model of transformers, with a prompt or a chat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker_runtime.errors import InputInvalid
from worker_runtime.handlers.torch_device import TorchOptions, check_dtype, torch_device, torch_dtype

REQUIRES = ("torch", "transformers")
DEFAULT_NEW_TOKENS = 256


class Options(TorchOptions):
    """`max_new_tokens` is the most that a job may ask for."""

    max_new_tokens: int = Field(1024, ge=1, le=131072)


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class TextGenerationInput(BaseModel):
    """Either `prompt` or `messages`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str | None = Field(None, min_length=1, description="Text to go on from.")
    messages: list[Message] | None = Field(None, min_length=1, description="A chat, the newest turn last.")
    max_new_tokens: int | None = Field(None, ge=1, description="Tokens to make, 256 by default.")
    temperature: float = Field(0.0, ge=0, le=5, description="0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1)
    stop: list[Annotated[str, Field(min_length=1)]] = Field([], max_length=8, description="Texts that end the answer.")
    seed: int | None = Field(None, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _one_of_both(self) -> TextGenerationInput:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class Handler:
    """Loads tokenizer and model once; each job gives `{"text", "input_tokens", "output_tokens", "finish_reason"}`."""

    Input = TextGenerationInput

    def __init__(self, options: dict[str, Any], dtypes: Mapping[str, str | None]) -> None:
        self._options = Options.model_validate(options)
        self._dtype = check_dtype(self._options, dtypes)

    def load(self, model_dir: Path) -> None:
        """Read the weights onto the device; `auto` lets accelerate spread them over all GPUs."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        placed = {"device_map": "auto"} if self._options.device == "auto" else {}
        self._tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=torch_dtype(self._dtype), local_files_only=True, **placed
        )
        self._model = (model if placed else model.to(torch_device(self._options))).eval()

    def __call__(self, inputs: TextGenerationInput) -> dict[str, Any]:
        """Make the answer's text."""
        import torch

        encoded = self._encode(inputs).to(self._model.device)
        input_tokens = int(encoded["input_ids"].shape[1])
        wanted = inputs.max_new_tokens or min(DEFAULT_NEW_TOKENS, self._options.max_new_tokens)
        self._check_length(input_tokens, wanted)
        if inputs.seed is not None:
            torch.manual_seed(inputs.seed)
        sampling: dict[str, Any] = {"do_sample": False}
        if inputs.temperature > 0:
            sampling = {"do_sample": True, "temperature": inputs.temperature, "top_p": inputs.top_p}
        stopping = {"stop_strings": inputs.stop, "tokenizer": self._tokenizer} if inputs.stop else {}
        pad_id = self._tokenizer.pad_token_id
        with torch.inference_mode():
            made = self._model.generate(
                **encoded,
                max_new_tokens=wanted,
                pad_token_id=self._tokenizer.eos_token_id if pad_id is None else pad_id,
                **sampling,
                **stopping,
            )[0, input_tokens:]
        text, was_stopped = self._decode(made, inputs.stop)
        has_ended = was_stopped or len(made) < wanted or int(made[-1]) in self._end_ids()
        return {
            "text": text,
            "input_tokens": input_tokens,
            "output_tokens": len(made),
            "finish_reason": "stop" if has_ended else "length",
        }

    def _encode(self, inputs: TextGenerationInput) -> Any:
        if inputs.messages is None:
            return self._tokenizer(inputs.prompt, return_tensors="pt", return_token_type_ids=False)
        if not self._tokenizer.chat_template:
            raise InputInvalid("messages: this model has no chat template", fix="send a prompt")
        chat = [message.model_dump() for message in inputs.messages]
        try:
            return self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        except Exception as error:  # templates refuse e.g. two user turns in a row, with jinja2's own exception
            raise InputInvalid(f"messages: the model's chat template refuses them ({error})") from error

    def _check_length(self, input_tokens: int, wanted: int) -> None:
        if wanted > self._options.max_new_tokens:
            raise InputInvalid(f"max_new_tokens: at most {self._options.max_new_tokens} (found {wanted})")
        window = getattr(self._model.config, "max_position_embeddings", None)
        if window and input_tokens + wanted > window:
            raise InputInvalid(
                f"the input has {input_tokens} tokens, and with {wanted} new ones exceeds the model's {window}",
                fix="shorten the input, or ask for fewer tokens",
            )

    def _end_ids(self) -> set[int]:
        ids = self._model.generation_config.eos_token_id
        return set(ids if isinstance(ids, list) else [ids]) - {None}

    def _decode(self, made: Any, stop: list[str]) -> tuple[str, bool]:
        text: str = self._tokenizer.decode(made, skip_special_tokens=True)
        cuts = [position for position in (text.find(end) for end in stop) if position >= 0]
        return (text[: min(cuts)], True) if cuts else (text, False)
