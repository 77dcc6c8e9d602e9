"""Give the shape of a function in a contract: what is asked of the site, and what the answer must be like."""

from __future__ import annotations

from orchestrator.contract.schema_words import Schema, choice, listed, mapping, number, seconds, text, word

KINDS = ("page", "feed", "sitemap", "rest", "search", "xmlrpc_off", "login", "admin", "editor", "steps")
# Those that a browser can show.
PAGES = ("page", "search", "login")
# Where a kind always is; what is not listed must say its path.
DEFAULT_PATHS = {
    "xmlrpc_off": "/xmlrpc.php",
    "login": "/wp-login.php",
    "feed": "/feed/",
    "sitemap": "/wp-sitemap.xml",
    "editor": "/wp-admin/post-new.php",
}
# What leaves something behind wherever it is asked: an order, a draft.
WRITING = ("steps", "editor")

PATH = r"^/[A-Za-z0-9/._~%?&=+:@,-]{0,500}$"
PATH_ALLOWED = "a path that begins with '/', of letters, digits and / . _ ~ % ? & = + : @ , -"
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,60}"
_ELEMENT = rf"({_NAME}|(?=[#.\[]))([#.]{_NAME}|\[{_NAME}(=[A-Za-z0-9_./:@-]{{1,100}})?\]){{0,8}}"
FIELD = r"^[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,99}$"
FIELD_ALLOWED = "the name of a form's field: letters, digits and _ . : - [ ], beginning with a letter or '_'"
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
                "form of the login; that XML-RPC is off; a page that an administrator sees, or the editor with a new post; steps one "
                "after another. Without it: page.",
                *KINDS,
            ),
            "path": path("What is asked for, from the first slash. page, rest, search and admin need it."),
            "text": words("Words that must stand in the answer.", "Example Bakery"),
            "absent": words("Words that may not stand there.", "Out of order"),
            "selector": selector(),
            "status": number("The HTTP status of a page or an answer in JSON.", 200, 200, 599, default=200),
            "max_seconds": seconds("The whole answer is there within so many seconds.", 1.5, 0.05, 20),
            "min_bytes": number("It is at least so large.", 2000, 1, 8_000_000),
            "max_bytes": number("It is no larger.", 500_000, 1, 8_000_000),
            "steps": listed("For steps: what a visitor does, with one jar of cookies.", _step(), 1, 30),
            "in": listed(
                "For steps and editor: where they are taken. They write, so without it: staging alone.",
                choice("A place.", "staging", "production"),
                1,
                2,
            ),
            "mail": mapping(
                "For steps: a mail that staging would have sent afterwards. Nothing leaves the copy.",
                {"to": text("To whom.", "ada@example.test")},
                {"text": words("Words in its subject or its text.", "Thank you")},
            ),
        },
    )


def _step() -> Schema:
    form = {
        "type": "object",
        "description": "What is filled in: the form's fields by their names. No passwords.",
        "minProperties": 1,
        "maxProperties": 50,
        "propertyNames": {"pattern": FIELD, "x-allowed": FIELD_ALLOWED},
        "additionalProperties": text("What stands in the field.", "Ada", longest=1000),
        "x-key": "field",
    }
    return mapping(
        "One step: `get` or `post`, and what the answer must be like.",
        {},
        {
            "get": path("A page that is asked for."),
            "post": path("Where a form is sent."),
            "form": form,
            "hidden": listed(
                "Fields that are taken from the page before, such as a nonce.",
                word("A field's name.", "_wpnonce", pattern=FIELD, allowed=FIELD_ALLOWED),
                1,
                20,
            ),
            "text": words("Words that must stand in the answer.", "Thank you"),
            "absent": words("Words that may not stand there.", "Sorry"),
            "selector": selector(),
            "status": number(
                "The HTTP status. Without it redirects are followed, and 200 is right.", 200, 200, 599, default=200
            ),
        },
    )


def selector(
    description: str = "Something of the page's structure that must be there.",
    example: str = "form#order input[name=email]",
) -> Schema:
    """Return the shape of a selector."""
    return word(
        description,
        example,
        pattern=SELECTOR,
        allowed=SELECTOR_ALLOWED,
    )


def path(description: str) -> Schema:
    """Return the shape of the path of a page."""
    return word(description, "/", "/shop/?orderby=price", pattern=PATH, allowed=PATH_ALLOWED)


def words(description: str, example: str) -> Schema:
    """Return the shape of a list of words in a page."""
    return listed(description, text("Words in the page.", example), 1, 50)
