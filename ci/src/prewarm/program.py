"""Which files a stage's program is made of.

The engine runs a program again when one of its files has changed. A download takes minutes, so it
gets only the files that it imports; a test runs it with these and nothing else.
"""

DOWNLOAD = (
    "__init__.py",
    "__main__.py",
    "arguments.py",
    "cache.py",
    "command/__init__.py",
    "command/download.py",
    "command/options.py",
    "companion.py",
    "disk.py",
    "download.py",
    "errors.py",
    "hub.py",
    "layer.py",
    "lockfile.py",
    "names.py",
    "origin.py",
    "parallel.py",
    "partial.py",
    "progress.py",
    "range_answer.py",
    "ranges.py",
    "reference.py",
    "refusal.py",
    "repository.py",
    "retry.py",
    "secret.py",
    "settings.py",
    "stop.py",
    "transfer.py",
    "weights.py",
)
