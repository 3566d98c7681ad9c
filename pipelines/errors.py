"""The one error tree of koine: every error that a user can cause has a place, a fact and a remedy.

Exit codes are part of the command line's contract: 1 is a bug of ours, 2 a wrong configuration or
usage, 3 wrong data, 4 a problem of the machine (disk, permissions, another run), 130 an interrupt.
"""

from __future__ import annotations


class KoineError(Exception):
    """Base of all errors that are shown to the user as text, without a traceback."""

    exit_code = 1


class ConfigError(KoineError):
    """The configuration or the command line is wrong; nothing was run."""

    exit_code = 2


class DataError(KoineError):
    """Input or an artefact is missing, corrupt or not what its manifest says."""

    exit_code = 3


class EnvironmentProblem(KoineError):
    """The machine refuses: disk full, no permission, locked by another run, a missing engine."""

    exit_code = 4
