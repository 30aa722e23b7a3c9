"""What the machine computes on, asked without a CUDA context.

A context in this process would rule out forking the engine, so NVML answers, never torch.
See https://docs.nvidia.com/deploy/nvml-api/
"""

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

BFLOAT16_CAPABILITY = (8, 0)
"""From this compute capability on the GPU computes bfloat16."""

_FAST_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """The first GPU that this process may use."""

    name: str
    capability: tuple[int, int]
    """Compute capability, (major, minor)."""
    driver: str
    cuda: tuple[int, int]
    """Newest CUDA that the driver runs without compatibility libraries, (major, minor)."""


class _Nvml:
    """The five NVML calls that we need, over ctypes: nothing is installed into the base."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libnvidia-ml.so.1")
        self._call("nvmlInit_v2")

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise OSError(status, f"{name} returned {status}")

    def text(self, name: str, *arguments: object) -> str:
        buffer = ctypes.create_string_buffer(96)
        self._call(name, *arguments, buffer, ctypes.c_uint(len(buffer)))
        return buffer.value.decode()

    def gpu(self, name: str) -> Gpu:
        handle = ctypes.c_void_p()
        if name.isdigit():
            number = ctypes.c_uint(int(name))
            self._call("nvmlDeviceGetHandleByIndex_v2", number, ctypes.byref(handle))
        else:
            self._call("nvmlDeviceGetHandleByUUID", name.encode(), ctypes.byref(handle))
        major, minor, cuda = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call(
            "nvmlDeviceGetCudaComputeCapability", handle, ctypes.byref(major), ctypes.byref(minor)
        )
        self._call("nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(cuda))
        return Gpu(
            name=self.text("nvmlDeviceGetName", handle),
            capability=(major.value, minor.value),
            driver=self.text("nvmlSystemGetDriverVersion"),
            cuda=(cuda.value // 1000, cuda.value % 1000 // 10),
        )


def gpu(environ: Mapping[str, str] = os.environ) -> Gpu | None:
    """Ask NVML for the first visible GPU; None where there is no driver or no GPU.

    CUDA_VISIBLE_DEVICES names it by number or UUID; empty or -1 hides all.
    """
    first = environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    try:
        return _Nvml().gpu(first) if first not in {"", "-1"} else None
    except OSError:
        return None


def dtype(wanted: str, gpu: Gpu | None, cpuinfo: str) -> str:
    """Choose what to compute in: float32 where bfloat16 is missing, as Gemma 3 overflows float16.

    Args:
        wanted: the DTYPE setting; anything but "auto" is kept.
        gpu: the GPU, or None for the CPU.
        cpuinfo: text of /proc/cpuinfo; an x86 or Arm CPU lists there what it computes fast.
    """
    if wanted != "auto":
        return wanted
    if gpu is not None:
        return "bfloat16" if gpu.capability >= BFLOAT16_CAPABILITY else "float32"
    return "float32" if _FAST_BFLOAT16_FLAGS.isdisjoint(cpuinfo.split()) else "bfloat16"


def cpu_name(cpuinfo: str) -> str:
    """Name a CPU by the widest vectors that it computes with: code made for others is not used."""
    flags = set(cpuinfo.split())
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if flag in flags), "")
    return f"cpu {platform.machine()} {widest}".rstrip()


def needs_compatibility(gpu: Gpu, image_cuda: str) -> bool:
    """Whether the driver is older than the image's CUDA by a major version.

    Within one major version CUDA needs no help.
    See https://docs.nvidia.com/deploy/cuda-compatibility/

    Args:
        gpu: the GPU and its driver.
        image_cuda: CUDA version of the image, such as "12.8.1"; empty where unknown.
    """
    major = image_cuda.partition(".")[0]
    return major.isdigit() and int(major) > gpu.cuda[0]


def torch_version() -> str:
    """Return the version of the installed torch, "" for none."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def torch_cuda() -> str:
    """Return the CUDA version that the installed torch was built for, "" for none.

    Read from the file, since importing torch takes seconds.
    """
    spec = importlib.util.find_spec("torch")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        text = (Path(folder) / "version.py").read_text()
        if found := re.search(r"^cuda\b.*=\s*'([0-9.]+)'", text, re.MULTILINE):
            return found.group(1)
    return ""


def cpuinfo() -> str:
    """Return the text of /proc/cpuinfo; empty where there is none."""
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""
