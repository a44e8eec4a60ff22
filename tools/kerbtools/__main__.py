"""`python -m kerbtools` is the `kerb` command."""

import sys

from kerbtools.cli import main

sys.exit(main())
