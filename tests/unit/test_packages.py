"""Optional packages: asked for by name, with the extra that installs them."""

from __future__ import annotations

import pytest

from medbundles.errors import EnvironmentFailure
from medbundles.io.packages import require_package


def test_an_absent_package_is_refused_with_its_extra() -> None:
    with pytest.raises(EnvironmentFailure, match=r"fitting needs the package no_such_one; .*'medbundles\[dwi\]'"):
        require_package("no_such_one", "dwi", "fitting")


def test_a_package_that_is_there_is_no_matter() -> None:
    require_package("numpy", "dwi", "fitting")
