"""The errors of this package. The command line prints a `UserError` without a traceback and exits with code 2."""


class UserError(Exception):
    """An error that the user can correct. The message says what is wrong and what to do next."""


class DataError(UserError):
    """A dataset that is missing, damaged, or not what it claims to be."""


class SuiteError(UserError):
    """A suite file, or a choice among its jobs, that is refused."""


class DamagedError(UserError):
    """A file that is not what its name says. `what` names the file and the damage."""

    def __init__(self, what: str, remedy: str) -> None:
        """Join what is wrong and what to do about it in one message."""
        super().__init__(f"{what}; {remedy}")
        self.what = what


class NetworkError(UserError):
    """A network that breaks the contract of `stampbench.networks.contract`: its message names what, and where."""


class BudgetError(ValueError):
    """A budget that no plan can meet, or a plan that exceeds its budget."""
