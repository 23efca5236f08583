"""The exceptions that mean "the user can fix this", and what memory ends in."""


class InputError(ValueError):
    """Input that cannot be used, with a message that says what to do about it.

    Everything raised for a wrong flag, file, data set or model file is of
    this class. The scripts print its message without a traceback and exit
    with status 2; Python users catch it as an ordinary `ValueError`.

    The message names what was received and what would be accepted. Names of arguments
    stand in backticks; the command line shows them as flags where they are.
    """


class StorageError(InputError):
    """Something cannot be written, as on a full disk; all else may be well."""


def is_out_of_memory(error: Exception) -> bool:
    """Of the host, or of a device, which JAX reports by status alone."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
