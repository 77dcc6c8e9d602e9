"""Judge the functions of a site: names, paths, and which checks go with which kind."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.contract.address import page_problem
from orchestrator.contract.schema_function import DEFAULT_PATHS, PAGES
from orchestrator.contract.suggest import did_you_mean, one_of, quoted
from orchestrator.contract.tree import Data, Finding, Path
from orchestrator.contract.view import View

_SIZE = ("max_seconds", "min_bytes", "max_bytes")
_WORDS = ("text", "absent", *_SIZE)
# What may be said of a kind beside its name and its path.
CHECKS = {
    "page": (*_WORDS, "selector", "status"),
    "search": (*_WORDS, "selector"),
    "login": (*_WORDS, "selector"),
    "rest": (*_WORDS, "status"),
    "feed": _WORDS,
    "sitemap": _WORDS,
    "xmlrpc_off": (),
    "admin": (*_WORDS, "selector"),
    "editor": (*_WORDS, "selector", "in"),
    "steps": ("steps", "in", "mail", "max_seconds"),
}
# Nobody can be signed in where we do not know how.
_SIGNED_IN = ("admin", "editor")
_PASSWORDS = ("pass", "pwd")


def function_findings(view: View, site: Path) -> Iterator[Finding]:
    """Find what makes no sense in the functions of a site."""
    names: set[str] = set()
    cms = view.text(*site, "cms") or "wordpress"
    for function in view.below(*site, "functions"):
        name = view.text(*function, "name")
        if name is not None and name in names:
            yield Finding((*function, "name"), f"{quoted(name)} is already the name of another function of this site.")
        if name is not None and name.lower().startswith(f"{cms}:"):
            message = f"{quoted(name)} is not allowed: names that begin with '{cms}:' are those of built-in checks."
            yield Finding((*function, "name"), message)
        names.add(name or "")
        path = view.text(*function, "path")
        if path is not None and (problem := page_problem(path)):
            yield Finding((*function, "path"), problem)
        yield from _checks(view, function)
        yield from _signed_in(view, function, cms)


def _checks(view: View, function: Path) -> Iterator[Finding]:
    said = view.get(*function)
    kind = view.text(*function, "kind") or "page"
    if not isinstance(said, dict) or (view.get(*function, "kind") is None and "kind" in said):
        return
    known = CHECKS[kind]
    for key in said:
        if key not in known and any(key in checks for checks in CHECKS.values()):
            can = f"Allowed with it: {', '.join(known)}." if known else "Nothing more can be said of it."
            yield Finding((*function, key), f"a function of kind {kind} has no {quoted(key)}. {can}", at_key=True)
    yield from _places(view, function)
    if kind == "steps":
        yield from _steps(view, function, said)
    elif "path" not in said and kind not in DEFAULT_PATHS:
        yield Finding(function, f"the key 'path' is missing: what a function of kind {kind} asks for.", at_key=True)
    least, most = view.number(*function, "min_bytes"), view.number(*function, "max_bytes")
    if least is not None and most is not None and least > most:
        yield Finding(
            (*function, "max_bytes"), f"{most} is less than min_bytes ({least}): nothing would ever be right."
        )
    if kind == "search":
        yield from _search(view, function, said)


def _signed_in(view: View, function: Path, cms: str) -> Iterator[Finding]:
    kind, path = view.text(*function, "kind"), view.text(*function, "path")
    if kind not in _SIGNED_IN:
        return
    if cms != "wordpress":
        message = f"a function of kind {kind} is WordPress's, and this site has cms: {cms}."
        yield Finding((*function, "kind"), message)
    elif path is not None and "/wp-admin/" not in path:
        yield Finding((*function, "path"), "no page of the administration: its path has '/wp-admin/' in it.")


def _places(view: View, function: Path) -> Iterator[Finding]:
    for place in view.below(*function, "in"):
        if view.get(*function, "in", 0) == view.get(*place) and place[-1] != 0:
            yield Finding(place, f"{quoted(view.text(*place))} stands here twice.")


def _search(view: View, function: Path, said: dict[str, Data]) -> Iterator[Finding]:
    path = (view.text(*function, "path") or "").lower()
    words = [view.text(*item) or "" for item in view.below(*function, "text")]
    if "text" not in said:
        message = "the key 'text' is missing: words that only something found can bring, such as a product's price."
        yield Finding(function, message, at_key=True)
    elif words and path and all(word.lower() in path for word in words):
        message = (
            "these words stand in the path too: a search that finds nothing repeats what was asked. Choose others."
        )
        yield Finding((*function, "text"), message, at_key=True)


def _steps(view: View, function: Path, said: dict[str, Data]) -> Iterator[Finding]:
    if "path" in said:
        yield Finding((*function, "path"), "each step has a path of its own. Remove this.", at_key=True)
    if "steps" not in said:
        message = "the key 'steps' is missing: what a visitor does, such as [{get: /shop/}, {post: /order/, form: {name: Ada}}]."
        yield Finding(function, message, at_key=True)
    for step in view.below(*function, "steps"):
        yield from _step(view, step)


def _step(view: View, step: Path) -> Iterator[Finding]:
    said = view.get(*step)
    if not isinstance(said, dict):
        return
    if ("get" in said) == ("post" in said):
        yield Finding(step, "a step has either 'get' or 'post'.", at_key=True)
    for key in ("form", "hidden"):
        if key in said and "post" not in said:
            yield Finding((*step, key), f"{quoted(key)} goes with 'post'.", at_key=True)
    for key in ("get", "post"):
        path = view.text(*step, key)
        if path is not None and (problem := page_problem(path)):
            yield Finding((*step, key), problem)
    for filled in view.below(*step, "form"):
        if any(word in str(filled[-1]).lower() for word in _PASSWORDS):
            message = "a password never stands in a contract. Take a step that needs none."
            yield Finding(filled, message, at_key=True)


def pictures_findings(view: View, pictures: Path) -> Iterator[Finding]:
    """Find names in a wish for pictures that no site has a page of."""
    names = [
        view.text(*function, "name") or ""
        for site in view.below("sites")
        for function in view.below(*site, "functions")
        if (view.text(*function, "kind") or "page") in PAGES and view.number(*function, "status") in (None, 200)
    ]
    for item in view.below(*pictures, "of"):
        name = view.text(*item)
        if name is not None and name not in names:
            allowed = f"Allowed: all, or {one_of(names)}." if names else "There is none."
            yield Finding(item, f"{quoted(name)} is no function that is a page. {allowed}{did_you_mean(name, names)}")
