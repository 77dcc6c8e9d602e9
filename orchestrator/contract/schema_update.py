"""Give the shape of the duty to update: which releases, when, and what is looked at beside them."""

from __future__ import annotations

from orchestrator.contract.schema_function import selector
from orchestrator.contract.schema_words import Schema, choice, day, listed, mapping, number, share, text, word

SLUG = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SLUG_ALLOWED = "letters, digits, '.', '_' and '-', at most 100, beginning with a letter or digit"
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def update_schema() -> Schema:
    """Return the shape of the duty to keep software up to date."""
    days = {"description": "A day of the week.", "examples": ["mon"], "enum": list(WEEK)}
    window = mapping(
        "When production may be touched, by the agreement's time zone.",
        {
            "days": listed("The days on which the window opens.", days, 1, 7),
            "from": _clock("When it opens.", "02:00"),
            "to": _clock("When it closes. Earlier than `from`: on the next day.", "05:00"),
        },
    )
    background = mapping(
        "What plugins migrate after an update, by cron. Without it: awaited for 2 minutes.",
        {
            "wait_minutes": number(
                "For so many minutes it is awaited; what is not done then makes the run degraded.", 2, 0, 60
            )
        },
    )
    soak = number("After so many minutes the site is probed again. Without it, or with 0: it is not.", 5, 0, 60)
    freeze = number(
        "For so many seconds an update may keep visitors out; one that would need more is refused before it begins."
        " Without it: 60.",
        60,
        1,
        600,
    )
    return mapping(
        "The promise to keep software up to date.",
        {
            "window": window,
            "core": choice("How far WordPress itself is updated.", "none", "minor", "major"),
            "plugins": _policy("plugins"),
            "themes": _policy("themes"),
        },
        {
            "cool_down_days": number(
                "A release waits so many days after one of the client's sites first saw it on offer. Without it: 0.",
                7,
                0,
                365,
            ),
            "fast_lane": listed(
                "Slugs whose releases do not wait for the cool-down, such as wordpress. Holds and policies still count.",
                word(
                    "The slug of core (wordpress), a plugin or a theme.",
                    "wordpress",
                    pattern=SLUG,
                    allowed=SLUG_ALLOWED,
                ),
                0,
                500,
            ),
            "translations": choice(
                "Whether the language packs of WordPress, plugins and themes are updated, in the languages that the site has."
                " Without it: none.",
                "all",
                "none",
            ),
            "look": mapping(
                "The look at what is new in a release, before it is tried: docs/updates.md says what is looked for.",
                {
                    "hold_at": choice(
                        "From which findings on a release is held until a person lets it go. Without it: high.",
                        "high",
                        "low",
                        "never",
                    )
                },
            ),
            "pictures": _pictures(),
            "holds": listed("Releases that these sites do not get.", _hold(), 0, 200),
            "background": background,
            "soak_minutes": soak,
            "freeze_seconds": freeze,
        },
    )


def _pictures() -> Schema:
    name = text("The name of one of the functions that are pages.", "front page")
    return mapping(
        "A browser looks at the copy before its update and after it: pictures, JavaScript's errors, forms. docs/pictures.md says "
        "what upkeep's own machine needs for it. Without it no browser is ever started.",
        {},
        {
            "of": {
                "description": "Which pages: all functions of the kinds page, search and login, or some of them by their names. "
                "Without it: all.",
                "examples": ["all", ["front page"]],
                "if": {"type": "array"},
                "then": {"type": "array", "items": name, "minItems": 1, "maxItems": 200},
                "else": {"enum": ["all"], "x-or": "a list of names"},
            },
            "threshold": share(
                "The share of a picture, part of 1, that may be different after an update. Without it: 0.01.",
                0.01,
                0.0001,
                0.5,
            ),
            "masks": listed(
                "What is left out of the pictures.", selector("Everything that it matches.", ".slideshow"), 1, 50
            ),
            "width": number("The width of the browser's window, in pixels. Without it: 1280.", 1280, 320, 2560),
        },
    )


def _clock(description: str, example: str) -> Schema:
    return word(
        description,
        example,
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        allowed='a time of day such as "02:00", from "00:00" to "23:59"',
    )


def _policy(kind: str) -> Schema:
    description = (
        f"Which {kind} are updated: all, minor (no release with a new first number), none, or a list of slugs."
    )
    slug = word(f"The slug of one of the {kind}.", "newspack-blocks", pattern=SLUG, allowed=SLUG_ALLOWED)
    return {
        "description": description,
        "examples": ["all", ["newspack-blocks"]],
        "if": {"type": "array"},
        "then": {"type": "array", "items": slug, "minItems": 1, "maxItems": 500},
        "else": {"enum": ["all", "minor", "none"], "x-or": "a list of slugs"},
    }


def _hold() -> Schema:
    return mapping(
        "A release that these sites do not get, or, with `only`, the one release that they get.",
        {
            "kind": choice("What kind of thing is held.", "core", "plugin", "theme", "translation"),
            "slug": word(
                "Its slug; for core: wordpress; for a translation, such as plugin.newspack-blocks.de_DE.",
                "newspack-blocks",
                pattern=SLUG,
                allowed=SLUG_ALLOWED,
            ),
            "reason": text("Why.", "breaks the booking form", longest=500),
        },
        {
            "version": _version("The version that is held, in quotes. Either this or `only`.", "4.33.0"),
            "only": _version("All versions but this one are held. Either this or `version`.", "4.32.1"),
            "until": day(
                "The last day of the hold, by UTC. After it the hold counts no more, and `upkeep check` says so.",
                "2026-12-31",
            ),
        },
    )


def _version(description: str, example: str) -> Schema:
    return word(
        description,
        example,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$",
        allowed='a version such as "6.5.5", in quotes',
    )
