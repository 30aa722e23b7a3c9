"""The data type follows from the device; the driver from NVML."""

from pathlib import Path

import pytest

from runtime import device
from runtime.device import Gpu


def gpu(capability: tuple[int, int], cuda: tuple[int, int] = (12, 2)) -> Gpu:
    """Return a GPU with what matters here."""
    return Gpu(name="NVIDIA", capability=capability, driver="535.1", cuda=cuda)


@pytest.mark.parametrize(
    ("wanted", "on", "cpuinfo", "expected"),
    [
        ("auto", gpu((7, 5)), "", "float32"),
        ("auto", gpu((8, 0)), "", "bfloat16"),
        ("auto", gpu((8, 9)), "", "bfloat16"),
        ("auto", gpu((10, 0)), "", "bfloat16"),
        ("auto", None, "flags : avx2 avx512_bf16", "bfloat16"),
        ("auto", None, "flags : amx_bf16", "bfloat16"),
        ("auto", None, "Features : asimd bf16", "bfloat16"),
        ("auto", None, "flags : avx2", "float32"),
        ("float16", gpu((7, 5)), "", "float16"),
        ("float32", gpu((9, 0)), "", "float32"),
    ],
)
def test_dtype_is_what_the_device_computes_well(
    wanted: str, on: Gpu | None, cpuinfo: str, expected: str
) -> None:
    """A T4 gets float32, for Gemma 3 overflows float16; an L4 gets bfloat16; DTYPE wins."""
    assert device.dtype(wanted, on, cpuinfo) == expected


@pytest.mark.parametrize(
    ("image", "driver", "expected"),
    [
        ("12.8", (12, 2), False),
        ("13.0", (12, 2), True),
        ("13.0.3", (13, 0), False),
        ("12.8.1", (13, 0), False),
        ("", (12, 2), False),
    ],
)
def test_only_an_older_major_version_needs_help(
    image: str, driver: tuple[int, int], expected: object
) -> None:
    """Within a major version CUDA runs on any driver of that version."""
    assert device.needs_compatibility(gpu((8, 9), driver), image) is expected


def test_no_driver_means_no_gpu() -> None:
    """Without libnvidia-ml there is nothing to ask."""
    assert device.gpu({}) is None


def test_hidden_gpus_are_not_asked() -> None:
    """An empty CUDA_VISIBLE_DEVICES, or -1, hides them all."""
    assert device.gpu({"CUDA_VISIBLE_DEVICES": ""}) is None
    assert device.gpu({"CUDA_VISIBLE_DEVICES": "-1"}) is None


def test_the_cuda_of_torch_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing torch would take seconds; its version file says what it was built for."""
    assert device.torch_cuda() == ""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "version.py").write_text("cuda: Optional[str] = '13.0'\nhip = None\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert device.torch_cuda() == "13.0"


def test_the_machine_describes_its_cpu() -> None:
    """Linux says what the CPU computes."""
    assert device.cpuinfo()
