"""`python -m mdds_client` is the command `mdds`."""

from __future__ import annotations

import sys

from mdds_client.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
