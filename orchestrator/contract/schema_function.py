"""Give the shape of a function in a contract: what is asked of the site, and what the answer must be like."""

from __future__ import annotations

from orchestrator.contract.schema_words import Schema, choice, listed, mapping, number, seconds, text, word

KINDS = ("page", "feed", "sitemap", "rest", "search", "xmlrpc_off", "login")
# Where a kind always is; what is not listed must say its path.
DEFAULT_PATHS = {"xmlrpc_off": "/xmlrpc.php", "login": "/wp-login.php", "feed": "/feed/", "sitemap": "/wp-sitemap.xml"}

PATH = r"^/[A-Za-z0-9/._~%?&=+:@,-]{0,500}$"
PATH_ALLOWED = "a path that begins with '/', of letters, digits and / . _ ~ % ? & = + : @ , -"
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,60}"
_ELEMENT = rf"({_NAME}|(?=[#.\[]))([#.]{_NAME}|\[{_NAME}(=[A-Za-z0-9_./:@-]{{1,100}})?\]){{0,8}}"
SELECTOR = rf"^{_ELEMENT}( {_ELEMENT}){{0,8}}$"
SELECTOR_ALLOWED = (
    "tag, #id, .class, [attribute], [attribute=value] without quotes, joined for one element, a space for 'inside of': "
    "'form#order input[name=email]'; nothing else of CSS"
)


def function_schema() -> Schema:
    """Return the shape of one of a site's functions."""
    return mapping(
        "Something the client says that the site must do, with the check that shows it.",
        {"name": text("What it is, in the client's words.", "front page")},
        {
            "kind": choice(
                "What is looked at: a page; a feed or a sitemap with something in it; an answer in JSON; what a search finds; the "
                "form of the login; that XML-RPC is off. Without it: page.",
                *KINDS,
            ),
            "path": path("What is asked for, from the first slash. page, rest and search need it."),
            "text": words("Words that must stand in the answer.", "Example Bakery"),
            "absent": words("Words that may not stand there.", "Out of order"),
            "selector": word(
                "Something of the page's structure that must be there.",
                "form#order input[name=email]",
                pattern=SELECTOR,
                allowed=SELECTOR_ALLOWED,
            ),
            "status": number("The HTTP status of a page or an answer in JSON.", 200, 200, 599, default=200),
            "max_seconds": seconds("The whole answer is there within so many seconds.", 1.5, 0.05, 20),
            "min_bytes": number("It is at least so large.", 2000, 1, 8_000_000),
            "max_bytes": number("It is no larger.", 500_000, 1, 8_000_000),
        },
    )


def path(description: str) -> Schema:
    """Return the shape of the path of a page."""
    return word(description, "/", "/shop/?orderby=price", pattern=PATH, allowed=PATH_ALLOWED)


def words(description: str, example: str) -> Schema:
    """Return the shape of a list of words in a page."""
    return listed(description, text("Words in the page.", example), 1, 50)
