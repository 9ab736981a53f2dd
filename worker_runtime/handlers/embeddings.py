"""`embeddings`: texts to vectors with a BERT-family sentence encoder, in numpy alone (no torch in the image)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker_runtime.handlers.bert.model import SentenceEncoder

BatchSize = Annotated[int, Field(ge=1, le=256)]


class Options(BaseModel):
    """`normalize` None: as the model's modules.json says; `max_texts` bounds one job."""

    model_config = ConfigDict(extra="forbid")

    normalize: bool | None = None
    batch_size: BatchSize = 32
    max_texts: int = Field(1024, ge=1)


class EmbeddingsInput(BaseModel):
    """Either `texts` or one `text`; `normalize` and `batch_size` win over the recipe's options."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str] | None = Field(default=None, min_length=1, description="The texts to embed.")
    text: str | None = Field(default=None, description="One text, instead of `texts`.")
    normalize: bool | None = Field(default=None, description="Scale every vector to length 1.")
    batch_size: BatchSize | None = Field(default=None, description="Texts per forward pass.")

    @model_validator(mode="after")
    def _one_of_both(self) -> EmbeddingsInput:
        if (self.texts is None) == (self.text is None):
            raise ValueError("give either texts or text")
        return self


class Handler:
    """Loads the encoder once; each job gives `{"embeddings": [[…]], "dimension": n, "model": folder's key}`."""

    Input = EmbeddingsInput

    def __init__(self, options: dict[str, Any], models: dict[str, Path]) -> None:
        self._options = Options.model_validate(options)
        self._model = next(iter(models), "")

    def load(self, model_dir: Path) -> None:
        """Map the weights and read the tokenizer."""
        self._encoder = SentenceEncoder(model_dir)

    def __call__(self, inputs: EmbeddingsInput) -> dict[str, Any]:
        """Embed the texts, in their order."""
        texts = inputs.texts if inputs.texts is not None else [inputs.text or ""]
        if len(texts) > self._options.max_texts:
            raise ValueError(f"{len(texts)} texts in one job, and the limit is {self._options.max_texts}")
        normalize = next(
            choice
            for choice in (inputs.normalize, self._options.normalize, self._encoder.normalizes)
            if choice is not None
        )
        vectors = self._encoder.encode(
            texts, normalize=normalize, batch_size=inputs.batch_size or self._options.batch_size
        )
        return {"embeddings": vectors, "dimension": self._encoder.dimension, "model": self._model}
