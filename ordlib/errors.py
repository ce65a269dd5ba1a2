"""The one exception for bad input."""


class InputError(ValueError):
    """Bad input from the user: a file, an argument or a configuration.

    The message names the file or argument, what was found and what was expected. The command line
    prints it alone, without a traceback, and exits with status 2.
    """
