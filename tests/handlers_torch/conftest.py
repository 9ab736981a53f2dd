"""The torch handlers, exercised on tiny models of random weights. A suite of its own: docs/worker.md has the commands.

The development environment has no torch (1 GB), so there nothing is collected here; in the suite's own environment
(requirements.txt) everything is, and nothing skips.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Models this small only lose by threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def alphabet() -> dict[str, int]:
    """The vocabulary of a byte-level BPE that knows the bytes and nothing else."""
    from tokenizers import pre_tokenizers  # type: ignore[import-not-found, unused-ignore]

    return {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, alphabet: dict[str, int]) -> Path:
    """A Llama of two layers with a chat template and a window of 64 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bytes_only = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}assistant:"
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory, alphabet: dict[str, int]) -> Path:
    """A multilingual Whisper of one layer, with the real one's special tokens for two languages."""
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>"]
    specials += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    specials += [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    tokenizer = WhisperTokenizer(vocab=dict(alphabet), merges=[], pad_token="<|endoftext|>")
    tokenizer.add_tokens(specials, special_tokens=True)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in specials}
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=80, max_target_positions=64,
        pad_token_id=ids["<|endoftext|>"], bos_token_id=ids["<|endoftext|>"], eos_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"], suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    torch.manual_seed(2)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        max_initial_timestamp_index=50,
        max_length=20,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )
    folder = tmp_path_factory.mktemp("whisper")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_diffusion(tmp_path_factory: pytest.TempPathFactory, alphabet: dict[str, int]) -> Path:
    """A Stable Diffusion pipeline of a few thousand parameters; 64 pixels a side by default."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(3)
    vocabulary = {**alphabet, **{f"{char}</w>": len(alphabet) + i for char, i in alphabet.items()}}
    vocabulary |= {"<|startoftext|>": len(vocabulary), "<|endoftext|>": len(vocabulary) + 1}
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=32, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, norm_num_groups=4, attention_head_dim=4,
    )  # fmt: skip
    vae = AutoencoderKL(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4)  # fmt: skip
    config = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_attention_heads=2, num_hidden_layers=1,
        bos_token_id=vocabulary["<|startoftext|>"], eos_token_id=vocabulary["<|endoftext|>"],
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(config), unet=unet, scheduler=DDIMScheduler(), safety_checker=None,
        tokenizer=CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77), feature_extractor=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("diffusion")
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan's own classes, with a few thousand parameters."""
    import torch
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    torch.manual_seed(4)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -1.0)]
    tokenizer = T5Tokenizer(vocab=pieces + [(char, -2.0) for char in "abcdefghijklmnopqrstuvwxyz"], extra_ids=0)
    text = UMT5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16,
        text_dim=16, freq_dim=32, ffn_dim=32, num_layers=1, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )  # fmt: skip
    pipeline = WanPipeline(
        tokenizer=tokenizer, text_encoder=UMT5EncoderModel(text), transformer=transformer,
        vae=AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                             temperal_downsample=[False, True, True]),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("wan")
    pipeline.save_pretrained(folder)
    return folder


def make(name: str, folder: Path, *, load_dtype: str | None = None, **options: Any) -> Any:
    """Return a built-in handler, made and loaded as the runtime does it, on the CPU."""
    import io

    from worker_runtime import contract, start
    from worker_runtime.events import EventLog
    from worker_runtime.progress import Progress
    from worker_runtime.recipe import HandlerBlock, Model, WeightFile, WorkerRecipe
    from worker_runtime.settings import Settings

    file = WeightFile(path="config.json", size_bytes=1, digest="git-sha1:" + "0" * 40)
    recipe = WorkerRecipe(
        name="test",
        recipe_sha256="0" * 64,
        handler=HandlerBlock(name=name, options={"device": "cpu", **options}),
        models=(
            Model(key="m", repo="org/m", commit="0" * 40, placement="image", load_dtype=load_dtype, files=(file,)),
        ),
    )
    handler_class = contract.find(recipe.handler, folder)
    log = EventLog(io.StringIO())
    handler = start.construct(handler_class, recipe, Settings(), {"m": folder}, log, Progress(log))
    contract.load(handler, folder)
    return handler


@pytest.fixture(scope="session")
def loaded() -> Any:
    """The function that makes and loads a built-in handler: name, folder, options."""
    return make


@pytest.fixture(scope="session")
def answered() -> Any:
    """The function that runs one job through the adapter, so that inputs are checked and outputs are JSON."""
    import asyncio
    import io

    from worker_runtime.adapter import Adapter, Surroundings
    from worker_runtime.events import EventLog

    def answer(handler: Any, **job_input: Any) -> Any:
        adapter = Adapter(handler, Surroundings(EventLog(io.StringIO())))
        output = asyncio.run(adapter.run({"id": "job", "input": job_input}))
        return dict(output) if isinstance(output, dict) else output

    return answer
