"""`python -m ordlib`."""

import sys

from ordlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
