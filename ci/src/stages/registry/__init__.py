"""Container registries: what a name stands for, blobs on their way in and out, and who is asked.

The protocol is spoken with httpx, because no client library for Python does what a push of large
layers needs. oras 0.2.43 reads a blob into memory to send it in one PUT, cannot mount, and begins
a broken chunked upload anew. python-dxf 12.1.1 mounts, but streams without a Content-Length, takes
nothing up again after a failure, and shows its token to whatever host an upload is sent to.
See https://github.com/opencontainers/distribution-spec/blob/main/spec.md and
https://distribution.github.io/distribution/spec/auth/token/
"""

from stages.registry.reading import Registry

__all__ = ["Registry"]
