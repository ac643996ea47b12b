"""Removes the password of a database from URLs and messages."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SECRET = ("password", "passwd", "sslpassword", "oauth_client_secret")
"""Options in the query of a URL that are passwords."""

MASK = "***"


def without_password(url: str) -> str:
    """A URL without its passwords, for output and for the study."""
    parsed = _parsed(url)
    if parsed is None:
        return f"{url.partition('://')[0]}://..." if "://" in url else url.rpartition("@")[2]
    query = {name: MASK if name in SECRET else value for name, value in parsed.query.items()}
    changed = parsed.set(query=query) if query != dict(parsed.query) else parsed
    if changed.password is None and changed is parsed:
        return url
    return changed.render_as_string(hide_password=True).replace(quote_plus(MASK), MASK)


def masked(text: str, url: str) -> str:
    """A text, such as the message of a database driver, without the passwords of a URL."""
    parsed = _parsed(url)
    if parsed is None:
        return text
    secrets = [parsed.password, *(value for name, value in parsed.query.items() if name in SECRET)]
    for secret in secrets:
        if isinstance(secret, str) and len(secret) > 2:  # the mask of a shorter one would cut words
            for spelling in {secret, quote(secret), quote_plus(secret)}:
                text = text.replace(spelling, MASK)
    return text


def _parsed(url: str) -> URL | None:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None
