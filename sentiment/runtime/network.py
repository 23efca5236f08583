"""Whether a download can work at all, asked before a library retries for minutes."""

import os
import socket

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def has_network(host: str, timeout: float = 5.0) -> bool:
    """Whether `host` can be reached over HTTPS.

    Behind a proxy only the proxy knows, so the answer is yes.
    """
    if any(os.environ.get(name) for name in PROXY_VARIABLES):
        return True
    try:
        socket.create_connection((host, 443), timeout).close()
    except OSError:
        return False
    return True
