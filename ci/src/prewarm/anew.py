"""A function of the module that runs each time it is called."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import dagger

P = ParamSpec("P")
R = TypeVar("R")


def anew(function: Callable[P, R]) -> Callable[P, R]:
    """Register a function whose result Dagger must not keep, as it does for 7 days otherwise.

    dagger-io takes `cache`, but its types do not say so.
    """
    register = cast("Callable[..., Callable[[Callable[P, R]], Callable[P, R]]]", dagger.function)
    return register(cache="never")(function)
