"""``python -m downstream`` is the same as ``downstream``."""

from downstream.cli import main

if __name__ == "__main__":
    main()
