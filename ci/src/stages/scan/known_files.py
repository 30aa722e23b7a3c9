"""Files that hold credentials by their very names, whatever is in them."""

import posixpath
import re

_NAMES = frozenset(
    ".netrc _netrc .git-credentials .pypirc .dockercfg .pgpass .htpasswd token stored_tokens "
    "application_default_credentials.json access_tokens.db credentials.db "
    "id_rsa id_dsa id_ecdsa id_ed25519".split()
)
_ENDS = (".docker/config.json", ".aws/credentials", ".kube/config", ".config/gh/hosts.yml")
NPMRC = ".npmrc"
LARGEST_NPMRC = 1 << 20  # bytes
_NPM_TOKEN = re.compile(rb"_(?:authToken|auth|password)[ \t]*=[ \t]*(?!\$\{)\S")


def is_known(path: str) -> bool:
    """Whether a file of this path, absolute or not, is where some program keeps credentials."""
    plain = posixpath.normpath(f"/{path}")
    return posixpath.basename(plain) in _NAMES or plain.endswith(tuple(f"/{end}" for end in _ENDS))


def may_hold_npm_token(path: str) -> bool:
    """Whether a file is npm's settings, which are harmless without a token."""
    return posixpath.basename(posixpath.normpath(f"/{path}")) == NPMRC


def holds_npm_token(content: bytes) -> bool:
    """Whether npm's settings hold a credential itself, and not a variable's name."""
    return _NPM_TOKEN.search(content) is not None
