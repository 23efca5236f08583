"""The one exception that means "the user can fix this"."""


class InputError(ValueError):
    """Input that cannot be used, with a message that says what to do about it.

    Everything raised for a wrong flag, file, data set or model file is of
    this class. The scripts print its message without a traceback and exit
    with status 2; Python users catch it as an ordinary `ValueError`.

    The message names what was received and what would be accepted.
    """
