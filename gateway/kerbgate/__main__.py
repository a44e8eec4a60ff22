"""`python -m kerbgate`: the same verbs as `kerb gateway`."""

import sys

from kerbgate.cli import main

sys.exit(main())
