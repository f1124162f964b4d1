"""Chat: the one page for people, served with a policy that lets it speak to this gateway and nobody else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from starlette.types import Receive, Scope, Send

from deploy.gateway.settings import SettingsError

PAGE = Path(__file__).parents[1] / "chat" / "index.html"
PATH = "/chat"
_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


class ChatPage:
    """The ASGI application behind GET /chat. No key is needed for it: the page asks its reader for one."""

    def __init__(self, path: Path = PAGE) -> None:
        """Read the page once. Raises SettingsError when it is not there."""
        try:
            self._body = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"chat_page: {path} cannot be read ({error.strerror})") from None
        self._headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(self._body)).encode()),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", policy(self._body).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def policy(page: bytes) -> str:
    """The Content-Security-Policy of a page: its own inline style and script by digest, and nothing else."""
    digests: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        digests[kind.decode()].append(f"'sha256-{digest}'")
    own = [f"{kind}-src {' '.join(found)}" for kind, found in digests.items() if found]
    others = ["img-src data:", "connect-src 'self'"]
    closed = [f"{kind} 'none'" for kind in ("default-src", "base-uri", "form-action", "frame-ancestors")]
    return "; ".join([*closed, *own, *others])
