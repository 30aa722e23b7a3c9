"""A `vllm` package with a stand-in engine, for the launcher code of a real release.

Modules that the launcher imports and that are not here are made on the spot: errors are exception
classes, constants are off, anything else can be called and does nothing.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import logging
import sys
import types
from unittest.mock import MagicMock

__version__ = importlib.metadata.version("vllm")

_KNOWN = {
    "VLLM_VERSION": __version__,
    "__version__": __version__,
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": 5,
    "TIMEOUT_KEEP_ALIVE": 5,
    "find_process_using_port": lambda _port: None,
    "instrument": lambda **_: lambda function: function,
    "is_valid_ipv6_address": lambda address: ":" in address,
    "load_log_config": lambda _file: None,
    "get_uvicorn_log_config": lambda _args: None,
}


class _Logger(logging.LoggerAdapter):
    def info_once(self, *arguments):
        self.info(*arguments)


def _init_logger(name):
    logging.basicConfig(level=logging.INFO)
    return _Logger(logging.getLogger(name), {})


class _Made(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "init_logger":
            return _init_logger
        if name in _KNOWN:
            return _KNOWN[name]
        if name in {"make_arg_parser", "FlexibleArgumentParser"}:
            standin = importlib.import_module("vllm.standin")
            return standin.make_arg_parser if name.islower() else standin.Parser
        if name.endswith("Error"):
            value = type(name, (Exception,), {})
        elif name.isupper():
            value = None
        else:
            value = MagicMock(name=name)
        setattr(self, name, value)
        return value


class _Maker(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.startswith("vllm.") and fullname != "vllm.entrypoints.launchers":
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Made(spec.name)

    def exec_module(self, module):
        """Leave the module empty: it makes what it is asked for."""


sys.meta_path.append(_Maker())
