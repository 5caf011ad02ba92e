"""`python -m vllm_vigil` is `vigil`."""

import sys

from vllm_vigil.cli import main

if __name__ == "__main__":
    sys.exit(main())
