"""`python -m engine` is `dozvon`."""

import sys

INTERRUPTED = 130


def main() -> None:
    """The command; Ctrl-C while it still loads is no reason for a traceback."""
    try:
        from engine.cli import main as dozvon

        dozvon()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
