"""An email as a web page that can do nothing: no script, no request, no form."""

import html
import re
from typing import NamedTuple

from email_processor.domain.stored import StoredEmail
from email_processor.tools.amounts import counted
from email_processor.tools.archive.mime import is_html, sent_at
from email_processor.tools.archive.text import printable

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_REMOTE = re.compile(
    r"""(?:\b(?:src|srcset|background|poster|data)\s*=\s*["']?\s*|url\(\s*["']?\s*|@import\s+["']?)(?:https?:)?//""",
    re.IGNORECASE,
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{subject}</title>
<style>
body {{ font: 15px/1.5 sans-serif; margin: 1.5rem auto; max-width: 60rem; padding: 0 1rem }}
dt {{ color: #666; float: left; width: 6rem }} dd {{ margin-left: 6rem; overflow-wrap: anywhere }}
iframe {{ border: 1px solid #ccc; height: 75vh; width: 100% }}
</style>
</head>
<body>
<h1>{subject}</h1>
<dl><dt>From</dt><dd>{sender}</dd><dt>Sent</dt><dd>{sent}</dd><dt>Archived</dt><dd>{key}</dd></dl>
<p>{blocked}</p>
<iframe sandbox="" title="The email's content" srcdoc="{content}"></iframe>
</body>
</html>
"""


class WebPage(NamedTuple):
    """The page, and how often the email wanted to load something from elsewhere."""

    text: str
    blocked: int


def page_of(key: str, stored: StoredEmail) -> WebPage:
    """A page whose only foreign part is a frame without any right, under a policy that loads nothing."""
    content = printable(stored.content)
    blocked = len(_REMOTE.findall(content)) if is_html(content) else 0
    inner = content if is_html(content) else f"<pre style='white-space:pre-wrap'>{html.escape(content)}</pre>"
    framed = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">{inner}'
    return WebPage(
        _PAGE.format(
            policy=POLICY,
            subject=html.escape(printable(stored.subject)),
            sender=html.escape(printable(stored.sender)),
            sent=f"{sent_at(stored):%Y-%m-%d %H:%M:%S} UTC",
            key=html.escape(printable(key)),
            blocked=f"{counted(blocked, 'reference')} to other servers blocked." if blocked else "Nothing was blocked.",
            content=html.escape(framed),
        ),
        blocked,
    )
