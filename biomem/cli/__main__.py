"""``python -m biomem.cli`` is ``biomem``."""

import sys

from biomem.cli import main

sys.exit(main())
