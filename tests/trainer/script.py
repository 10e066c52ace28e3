"""`-m script FILE args...`: a script in a process that the forkserver made, as `python FILE args...` would run it."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
