"""The lock in the repository is the model and base that the product is specified with."""

from pathlib import Path

from stages import lockfile, reference
from stages.lock import DEFAULT_BASE

LOCK = Path(__file__).parents[2] / "model.lock.json"

# google/gemma-3-1b-it at this commit, as the Hub publishes it: path, bytes, sha256.
COMMIT = "dcc83ea841ab6100d6b47a070329e1ba4cf78752"
FILES = """
added_tokens.json 35 50b2f405ba56a26d4913fd772089992252d7f942123cc0a034d96424221ba946
config.json 899 19cb5d28c97778271ba2b3c3df47bf76bdd6706724777a2318b3522230afe91e
generation_config.json 215 fd9324becc53c4be610db39e13a613006f09fd6ef71a95fb6320dc33157490a3
model.safetensors 1999811208 3d4ef8d71c14db7e448a09ebe891cfb6bf32c57a9b44499ae0d1c098e48516b6
special_tokens_map.json 662 2f7b0adf4fb469770bb1490e3e35df87b1dc578246c5e7e6fc76ecf33213a397
tokenizer.json 33384568 4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795
tokenizer.model 4689074 1299c11d7cf632ef3b4e11937501358ada021bbdf7c47638d13c0ee982f2e79c
tokenizer_config.json 1156999 bfe25c2735e395407beb78456ea9a6984a1f00d8c16fa04a8b75f2a614cf53e1
"""
BASE = "docker.io/vllm/vllm-openai:v0.9.0"
BASE_DIGEST = "sha256:df2c55e5107afea09ea1a50f9dd96c99ebf97a795334c4d08f691f3d79b2ab12"


def test_committed_lock_names_every_file_to_the_byte() -> None:
    """Name, commit, and path, size and sha256 of each file are the published ones."""
    model = lockfile.read(LOCK).model

    listed = [f"{file.path} {file.size} {file.sha256}" for file in model.files]
    assert (model.name, model.commit) == ("google/gemma-3-1b-it", COMMIT)
    assert listed == FILES.split("\n")[1:-1]


def test_committed_lock_stands_on_the_default_base() -> None:
    """The base is vLLM v0.9.0 by digest, and what `lock` takes when none is named."""
    base = lockfile.read(LOCK).base
    default = reference.parse(DEFAULT_BASE)

    assert (base.image, base.digest) == (BASE, BASE_DIGEST)
    assert f"{base.image}@{base.digest}" == str(default)


def test_committed_lock_is_written_as_the_program_writes_it() -> None:
    """A rewritten lock shows only what changed."""
    assert lockfile.dump(lockfile.read(LOCK)) == LOCK.read_text(encoding="utf-8")
