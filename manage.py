#!/usr/bin/env python3
"""`up` and `test` build what they need first; every other command runs in what is there."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # By its path: importing the package needs the requirements that it installs.
    bootstrap = runpy.run_path(str(Path(__file__).resolve().parent / "pytake" / "bootstrap.py"))
    bootstrap["ensure"](sys.argv)

    from pytake.startup import run

    run(sys.argv)
