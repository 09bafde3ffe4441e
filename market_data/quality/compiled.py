"""Functions compiled by numba, kept on disk for the processes to come where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

_Function = TypeVar("_Function", bound=Callable[..., object])
_Scalar = TypeVar("_Scalar", bound=np.generic)


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called.

    What is compiled lies beside the code, in `NUMBA_CACHE_DIR`, or below the home; where none of them can be written
    (an installation that is read-only, of a user without a home) each process compiles anew, some seconds long.
    """
    try:
        return cast("_Function", numba.njit(cache=True)(function))
    except RuntimeError:  # numba found no place to write to
        return cast("_Function", numba.njit(function))


def read_only(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Return a view that nobody can write to: one type of argument, where a function would be compiled for both.

    Which arrays Polars gives can be written to depends on how many pieces it holds a column in.
    """
    view = array.view()
    view.flags.writeable = False
    return view
