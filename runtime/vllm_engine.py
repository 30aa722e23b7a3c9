"""What vLLM's engine is, as far as its process can begin before vLLM spawns it."""

import re
from collections.abc import Mapping, Sequence

from runtime.vllm import START_METHOD

ENGINE_MODULES = ("vllm.v1.engine.core", "vllm.v1.worker.gpu_worker", "vllm.v1.executor.abstract")
"""What the engine's process imports in any case; a baked cache knows the rest."""

_MORE_PROCESSES = re.compile(
    r"--(tensor|pipeline|data)[-_]parallel[-_]size(=.*)?|--distributed[-_].*|-[tpd]p([0-9=].*)?"
)


def leaves_start_to_us(environ: Mapping[str, str], *, cpu: bool) -> bool:
    """Whether the engine's process may be begun before vLLM spawns it; ask before `prepare`.

    Not where somebody chose how vLLM starts it, nor where vLLM will have it load other libraries:
    NVIDIA's for an old driver, or on a CPU torch's own OpenMP, unless the image does so already.
    """
    if environ.get(START_METHOD) or environ.get("VLLM_ENABLE_CUDA_COMPATIBILITY", "0") != "0":
        return False
    return not cpu or "omp" in environ.get("LD_PRELOAD", "")


def is_one_process(extra: Sequence[str]) -> bool:
    """Whether the engine's process is the one that computes: no argument asks for more GPUs."""
    return not any(_MORE_PROCESSES.fullmatch(argument) for argument in extra)


def names_tokenizer(extra: Sequence[str]) -> bool:
    """Whether an argument changes which tokenizer is read, or how."""
    return any(re.match(r"--(tokenizer|skip-tok|trust-remote|runner)", one) for one in extra)
