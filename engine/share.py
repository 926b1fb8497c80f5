"""Where the files that ship with the program lie: templates, dialplans, example policies."""

from pathlib import Path


def share_dir() -> Path:
    """The directory that holds `asterisk/`, `dialplans/` and `escalation_policies/`.

    In a checkout that is its root, in an installed wheel the packaged copy. Raises FileNotFoundError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for place in (package.parent, package / "_share"):
        if (place / "dialplans" / "extensions.conf.j2").is_file():
            return place
    raise FileNotFoundError(f"the files that ship with dozvon are not beside {package}; install it again")
