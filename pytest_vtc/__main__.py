"""`python -m pytest_vtc`."""

from pytest_vtc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
