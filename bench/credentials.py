"""User names and passwords in URIs: given to the store that asks for them, and written nowhere."""

from __future__ import annotations

import re

_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/:@]*(?::\S*)?@", re.IGNORECASE)
"""`scheme://user:password@`; the password may hold any sign, as SQLAlchemy reads it. `sqlite:///a@b` has no user."""

_QUERY = re.compile(
    r"(?P<name>[?&;#][^=&;#\s]*(?:user|pass|pwd|token|key|secret|signature|credential)[^=&;#\s]*=)[^\s&;#]*",
    re.IGNORECASE,
)
"""`?access_token=...`, `&X-Amz-Signature=...`, `#apikey=...`."""


def without_credentials(text: str) -> str:
    """The same text, its URIs without users and passwords: `postgresql://me:secret@host/db` -> `postgresql://host/db`.

    Of a command give one argument at a time: a password then may hold blanks only where the URI quotes them.
    """
    return _QUERY.sub(r"\g<name>...", _USER.sub(r"\g<scheme>", text))
