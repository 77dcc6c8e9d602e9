# GPL-3.0-or-later
"""Probes of what is no ordinary page: feeds, sitemaps, the search, the form of the login, and XML-RPC that must be off."""

from __future__ import annotations

import xml.parsers.expat
from typing import Any, Mapping
from xml.etree import ElementTree

from .page_selector import matches
from .probe_round import Round, content_problems, decoded, limit, promises_broken, result, status_problems
from .web import Answer, fetch

_LIST_METHODS = (
    b'<?xml version="1.0"?><methodCall><methodName>system.listMethods</methodName><params></params></methodCall>'
)
# What a server does that refuses without a word.
_HUNG_UP = ("RemoteDisconnected", "Connection reset by peer")


class _NotXml(Exception):
    """Not XML, or XML that declares entities: a feed has none, and they may grow without end."""


def feed(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """RSS, RDF or Atom with at least one entry."""
    return _xml(around, probe, {"rss", "RDF", "feed"}, {"item", "entry"}, "feed")


def sitemap(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """A sitemap with at least one address, or a list of sitemaps with at least one."""
    return _xml(around, probe, {"urlset", "sitemapindex"}, {"url", "sitemap"}, "sitemap")


def search(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """The page of a search, with words in it that only something found can bring."""
    answer = around.ask(str(probe["path"]), follow=3, limit=limit(probe))
    return result(probe, answer, status_problems(answer, 200) + content_problems(answer, probe, 200))


def login(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """The form with a name, a password and where they go. Nobody is signed in."""
    answer = around.ask(str(probe["path"]), follow=3, limit=limit(probe))
    problems = status_problems(answer, 200)
    if not problems and not matches("form input[type=password]", decoded(answer)):
        problems.append("there is no form with a password")
    return result(probe, answer, problems + content_problems(answer, probe, 200))


def xmlrpc_off(around: Round, probe: Mapping[str, Any]) -> dict[str, Any]:
    """Asks for the methods as a program would. Refused, or an answer that lists none, is right."""
    headers = {"Content-Type": "text/xml"}
    answer = fetch(around.target, str(probe["path"]), "POST", headers, around.timeout, body=_LIST_METHODS)
    problems = []
    if answer.error and not answer.error.endswith(_HUNG_UP):
        # A server that is away refuses everything: that says nothing of XML-RPC.
        problems.append(answer.error)
    elif answer.status < 400 and b"<methodResponse" in answer.body and b"<string>" in answer.body:
        problems.append("XML-RPC answers and lists its methods")
    elif answer.status >= 500:
        problems.append(f"status {answer.status}: that is no refusal, something broke")
    return result(probe, answer, problems)


def _xml(around: Round, probe: Mapping[str, Any], roots: set[str], entries: set[str], called: str) -> dict[str, Any]:
    answer = around.ask(str(probe["path"]), follow=3, limit=limit(probe))
    problems = status_problems(answer, 200)
    if not problems:
        try:
            problems += _entry_problems(_parsed(answer), roots, entries, called)
        except _NotXml as error:
            problems.append(str(error))
        problems += promises_broken(answer, probe)
    return result(probe, answer, problems)


def _entry_problems(root: ElementTree.Element, roots: set[str], entries: set[str], called: str) -> list[str]:
    if _local(root.tag) not in roots:
        return [f"the answer is XML, but no {called}: its root is <{_local(root.tag)[:50]}>"]
    if not any(_local(each.tag) in entries for each in root.iter()):
        return [f"the {called} lists nothing"]
    return []


def _parsed(answer: Answer) -> ElementTree.Element:
    builder = ElementTree.TreeBuilder()
    parser = xml.parsers.expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda name, attributes: builder.start(name, {})
    parser.EndElementHandler = builder.end
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(answer.body, True)
    except xml.parsers.expat.ExpatError as error:
        empty = not answer.body.strip()
        raise _NotXml("the answer is empty" if empty else f"the answer is not well-formed XML: {error}") from error
    return builder.close()


def _refuse(*_: object) -> None:
    raise _NotXml("the answer declares a document type or entities: that is not read")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
