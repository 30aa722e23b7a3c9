"""A Hugging Face model as a vLLM server image that is warm before its port opens.

lock -> download-weights -> assemble-image -> smoke-test -> publish

`build` does the first three, `publish` all of them, thin: what a registry has is not sent again.
Every address outside is an argument of `dagger call` itself; `dagger call --help` lists them.
"""

from prewarm.main import Prewarm as Prewarm
