"""Write a tiny Gemma 3 model with tokenizer and chat template, downloading nothing.

usage: tiny_model.py OUT_DIR

The weights are random (seed 0), so the text it writes means nothing; every shape, file
and code path is Gemma 3's own. Needs torch, transformers and tokenizers, which vLLM brings.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]

# Gemma 3's turn format. https://ai.google.dev/gemma/docs/core/prompt-structure
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

CORPUS = (
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "A server is warm when its first answer is as fast as its next.",
    "Write a short answer, then stop. Numbers are 0 1 2 3 4 5 6 7 8 9.",
    '{"name": "value", "count": 3, "items": [true, false, null]}',
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which can spell any text, on a few sentences."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<bos>",  # noqa: S106 - token names, not passwords
        eos_token="<eos>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        chat_template=CHAT_TEMPLATE,
    )


def config(vocab_size: int) -> Gemma3TextConfig:
    """Keep Gemma 3's head size and its mix of sliding and full attention; shrink the rest."""
    return Gemma3TextConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
        max_position_embeddings=4096,
        query_pre_attn_scalar=256,
        tie_word_embeddings=True,
        bos_token_id=SPECIAL_TOKENS.index("<bos>"),
        eos_token_id=SPECIAL_TOKENS.index("<eos>"),
        pad_token_id=SPECIAL_TOKENS.index("<pad>"),
    )


def main(out: Path) -> None:
    """Write config, weights, tokenizer and chat template into `out`."""
    words = tokenizer()
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config(vocab_size=len(words))).to(torch.bfloat16)
    model.save_pretrained(out)
    words.save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
