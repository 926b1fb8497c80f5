"""`python -m engine` is `dozvon`."""

from engine.cli import main

if __name__ == "__main__":
    main()
