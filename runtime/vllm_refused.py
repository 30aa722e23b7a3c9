"""vLLM's flags that move or bypass the gate or the guard, and what to use instead.

Held against each release's own source by tests marked `releases`.
"""

_DATA_PARALLEL = (
    "address external-lb hybrid-lb multi-port-external-lb rank size size-local start-rank"
)

FORBIDDEN = {
    **{f"--data-parallel-{part}": "scale with more containers" for part in _DATA_PARALLEL.split()},
    # flag: what to use instead, in the words of the settings
    "--api-key": "set VLLM_API_KEY",
    "--api-server-count": "one process holds the gate; scale with more containers",
    "--config": "pass the arguments themselves",
    "--grpc": "only the HTTP server can be gated",
    "--headless": "only the HTTP server can be gated",
    "--hf-token": "nothing is looked up on the Hub",
    "--host": "set HOST",
    "--model": "set MODEL_NAME and HF_HOME",
    "--nnodes": "one container is one server",
    "--node-rank": "one container is one server",
    "--port": "set PORT",
    "--uds": "only a TCP port can be gated; set PORT",
}
"""Every flag that moves or bypasses the gate or the guard."""

FORBIDDEN_SHORT = {
    "-asc": "--api-server-count",
    "-dp": "--data-parallel-size",
    "-dpa": "--data-parallel-address",
    "-dpe": "--data-parallel-external-lb",
    "-dph": "--data-parallel-hybrid-lb",
    "-dpl": "--data-parallel-size-local",
    "-dpn": "--data-parallel-rank",
    "-dpr": "--data-parallel-start-rank",
    "-n": "--nnodes",
    "-r": "--node-rank",
}
