"""The Hub of these tests is like the real one: its own client downloads from it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

from tests.stages.model import COMMIT, NAME, OTHER_TOKEN, TOKEN, content
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import git_blob

Files = dict[str, bytes | Path]


@pytest.fixture
def gated(start: Callable[..., LoopbackHub], files: Files) -> LoopbackHub:
    """Serve the small model to who has accepted its licence."""
    return start(files, gated=True, token=TOKEN, known=(OTHER_TOKEN,))


def test_the_hubs_own_client_downloads_every_file(
    gated: LoopbackHub, files: Files, tmp_path: Path
) -> None:
    """Branch, redirects, ETags and bytes are what huggingface_hub expects."""
    api = HfApi(endpoint=gated.endpoint, token=TOKEN)

    api.snapshot_download(NAME, cache_dir=tmp_path / "cache", local_dir=tmp_path / "out")

    for path in files:
        assert (tmp_path / "out" / path).read_bytes() == content(files, path)
    assert all("authorization" not in one.headers for one in gated.storage.log)


def test_the_hubs_own_client_reads_the_facts(gated: LoopbackHub, files: Files) -> None:
    """Model info with blobs has the ids that git and LFS give."""
    info = HfApi(endpoint=gated.endpoint, token=TOKEN).model_info(NAME, files_metadata=True)

    entries = {one.rfilename: one for one in info.siblings or []}
    weights, config = entries["model.safetensors"], entries["config.json"]
    assert info.sha == COMMIT
    assert weights.lfs
    assert (weights.lfs.size, len(weights.lfs.sha256)) == (weights.size, 64)
    assert config.blob_id == git_blob(content(files, "config.json"))


def test_the_hubs_own_client_knows_its_refusals(gated: LoopbackHub, tmp_path: Path) -> None:
    """Gated and unknown are told apart by the codes that it knows."""
    for token in (False, OTHER_TOKEN):
        api = HfApi(endpoint=gated.endpoint, token=token)
        with pytest.raises(GatedRepoError):
            api.hf_hub_download(NAME, "config.json", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        HfApi(endpoint=gated.endpoint, token=TOKEN).model_info(NAME, revision="v9")
