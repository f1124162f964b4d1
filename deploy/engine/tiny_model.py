"""Makes a model small enough for two cores: a real tokenizer and a Llama configuration, but no weights.

`python tiny_model.py FOLDER`. vLLM serves it with `--load-format dummy`, which seeds random weights: the text
is nonsense and always the same nonsense, while scheduler, KV cache, API and metrics are the real ones. The
tokenizer is trained on corpus.txt beside this file. The same corpus gives the same bytes.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tokenizers import (  # type: ignore[import-not-found]  # installed in .engine only
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

CORPUS = Path(__file__).with_name("corpus.txt")
VOCABULARY = 2048
POSITIONS = 2048
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
SPECIAL = [PAD, BOS, EOS, *ROLES]
# The template writes BOS itself: vLLM tokenizes what it renders without adding special tokens.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] or '') + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train(corpus: Path = CORPUS) -> Tokenizer:
    """A byte-level BPE of at most `VOCABULARY` words, trained on `corpus`: any text survives a round trip."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Line by line and not as a file, whose reading the library spreads over threads.
    tokenizer.train_from_iterator(corpus.read_text("utf-8").splitlines(keepends=True), trainer=trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, bos)]
    )
    return tokenizer


def configuration(tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json: a Llama of two layers, about 2 million parameters."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "hidden_act": "silu",
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "vocab_size": tokenizer.get_vocab_size(),
        "torch_dtype": "bfloat16",
        **_special_ids(tokenizer),
    }


def write(folder: Path) -> None:
    """Write the model to `folder`."""
    tokenizer = train()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "config.json", configuration(tokenizer))
    _write_json(folder / "generation_config.json", _special_ids(tokenizer))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
            "additional_special_tokens": ROLES,
            "model_max_length": POSITIONS,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    named = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
    return {key: int(tokenizer.token_to_id(token)) for key, token in named.items()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tiny_model.py FOLDER")
    write(Path(sys.argv[1]))
    print(f"a model of {train().get_vocab_size()} words in {sys.argv[1]}")
