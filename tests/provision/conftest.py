"""Fixtures of commissioning's tests. The gateway's harness serves them too."""

import sys
from pathlib import Path

from provision_harness import kerb, registry

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

__all__ = ["kerb", "registry"]
