"""`python -m monitor` is the command line."""

import sys

from monitor.cli import main

if __name__ == "__main__":
    sys.exit(main())
