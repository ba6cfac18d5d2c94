"""Errors that the user can mend: the command line prints their message and exits with code 2."""


class UserError(Exception):
    """Wrong usage or missing data. The message says what is wrong and what to do next."""


class DataError(UserError):
    """A dataset that is missing, damaged, or not what it claims to be."""


class SuiteError(UserError):
    """A suite file, or a choice among its jobs, that is refused."""


class DamagedError(UserError):
    """A file that is not what its name says: `what` is wrong, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what


class NetworkError(UserError):
    """A network that breaks the contract of `stampbench.networks.contract`: its message names what, and where."""
