"""Turn data that is known to be right into the values of a contract."""

from __future__ import annotations

from datetime import date, time
from typing import Any, Literal

from orchestrator.contract.address import read_url
from orchestrator.contract.model import (
    Agreement,
    BackupDuty,
    Client,
    Contact,
    Contract,
    Database,
    Function,
    Hold,
    Mail,
    Pictures,
    Policy,
    Production,
    Programs,
    Promise,
    Recovery,
    Retention,
    Scope,
    Site,
    Staging,
    Step,
    Store,
    UpdateDuty,
    Verify,
    Window,
)
from orchestrator.contract.schema import LATER_DUTIES
from orchestrator.contract.schema_function import DEFAULT_PATHS, WRITING
from orchestrator.contract.schema_update import WEEK

# Data has no types after the schema has looked at it; this is the one module that may say Any about a contract.
Checked = dict[str, Any]


def build_contract(data: Checked) -> Contract:
    """Build the contract. The data has passed shape and sense: nothing is checked here again."""
    return Contract(
        schema=int(data["schema"]),
        client=Client(**data["client"]),
        agreement=_agreement(data["agreement"]),
        contacts=tuple(Contact(**{"phone": "", **contact}) for contact in data["contacts"]),
        store=_store(data["store"]),
        sites=tuple(_site(name, site) for name, site in data["sites"].items()),
        scope=_scope(data["scope"]),
        retention=Retention(**{span: int(count) for span, count in data["retention"].items()}),
    )


def _store(data: Checked) -> Store:
    return Store(
        endpoint=_url(data["endpoint"]),
        bucket=data["bucket"],
        region=data["region"],
        lock_days=int(data.get("lock_days", 0)),
    )


def _url(text: str) -> str:
    url = read_url(text)
    if url is None:
        raise ValueError("an address that was not checked")
    return url.normal


def _agreement(data: Checked) -> Agreement:
    days = {key: date.fromisoformat(data[key]) for key in ("signed", "begins", "ends")}
    return Agreement(number=data["number"], time_zone=data["time_zone"], **days)


def _site(name: str, data: Checked) -> Site:
    places = data["places"]
    return Site(
        name=name,
        cms=data["cms"],
        url=_url(data["url"]),
        production=_production(places["production"], data["url"]),
        staging=Staging(
            port=int(places["staging"]["port"]),
            database=places["staging"]["database"],
            host=places["staging"].get("host", ""),
        ),
        functions=tuple(_function(function) for function in data["functions"]),
    )


def _production(data: Checked, url: str) -> Production:
    parts = read_url(url)
    port = parts.effective_port if parts else 80
    return Production(
        host=data["host"],
        root=data["root"],
        address=data.get("address", "127.0.0.1"),
        port=int(data.get("port", port)),
        programs=Programs(**data.get("programs", {})),
        error_log=data.get("error_log", ""),
        database=Database(**data["database"]) if "database" in data else None,
    )


def _function(data: Checked) -> Function:
    kind = data.get("kind", "page")
    return Function(
        name=data["name"],
        path=data.get("path") or DEFAULT_PATHS.get(kind, ""),
        text=tuple(data.get("text", ())),
        status=int(data.get("status", 200)),
        kind=kind,
        absent=tuple(data.get("absent", ())),
        selector=data.get("selector", ""),
        max_seconds=float(data.get("max_seconds", 0)),
        min_bytes=int(data.get("min_bytes", 0)),
        max_bytes=int(data.get("max_bytes", 0)),
        steps=tuple(_step(step) for step in data.get("steps", ())),
        places=tuple(data.get("in", ("staging",) if kind in WRITING else ())),
        mail=Mail(data["mail"]["to"], tuple(data["mail"].get("text", ()))) if "mail" in data else None,
    )


def _step(data: Checked) -> Step:
    method: Literal["get", "post"] = "post" if "post" in data else "get"
    return Step(
        method=method,
        path=data[method],
        form=tuple(data.get("form", {}).items()),
        hidden=tuple(data.get("hidden", ())),
        text=tuple(data.get("text", ())),
        absent=tuple(data.get("absent", ())),
        selector=data.get("selector", ""),
        status=int(data.get("status", 200)),
    )


def _policy(value: str | list[str]) -> Policy:
    if isinstance(value, list):
        return tuple(value)
    if value == "minor":
        return "minor"
    return "all" if value == "all" else "none"


def _hold(data: Checked) -> Hold:
    until = date.fromisoformat(data["until"]) if "until" in data else None
    return Hold(data["kind"], data["slug"], data.get("version", ""), data["reason"], data.get("only", ""), until)


def _scope(data: Checked) -> Scope:
    return Scope(
        backup=_backup(data["backup"]) if "backup" in data else None,
        update=_update(data["update"]) if "update" in data else None,
        promises=tuple(Promise(duty, data[duty]["promise"]) for duty in LATER_DUTIES if duty in data),
    )


def _recovery(data: Checked) -> Recovery:
    return Recovery(int(data["rto_hours"]), int(data["rpo_hours"]), data.get("drill", Recovery.drill))


def _backup(data: Checked) -> BackupDuty:
    verify, recovery = data.get("verify"), data.get("recovery")
    return BackupDuty(
        verify=Verify(verify["every"], int(verify["all_within_days"])) if verify else Verify(),
        recovery=_recovery(recovery) if recovery else None,
    )


def _update(data: Checked) -> UpdateDuty:
    window = data["window"]
    return UpdateDuty(
        window=Window(
            days=tuple(day for day in WEEK if day in window["days"]),
            begins=time.fromisoformat(window["from"]),
            ends=time.fromisoformat(window["to"]),
        ),
        core=data["core"],
        plugins=_policy(data["plugins"]),
        themes=_policy(data["themes"]),
        holds=tuple(_hold(hold) for hold in data.get("holds", ())),
        cool_down_days=int(data.get("cool_down_days", 0)),
        fast_lane=tuple(data.get("fast_lane", ())),
        look_hold_at=data.get("look", {}).get("hold_at", UpdateDuty.look_hold_at),
        wait_minutes=int(data.get("background", {}).get("wait_minutes", UpdateDuty.wait_minutes)),
        soak_minutes=int(data.get("soak_minutes", UpdateDuty.soak_minutes)),
        freeze_seconds=int(data.get("freeze_seconds", UpdateDuty.freeze_seconds)),
        pictures=_pictures(data["pictures"]) if "pictures" in data else None,
        translations=data.get("translations", UpdateDuty.translations),
    )


def _pictures(data: Checked) -> Pictures:
    of = data.get("of", "all")
    return Pictures(
        of=() if of == "all" else tuple(of),
        threshold=float(data.get("threshold", Pictures.threshold)),
        masks=tuple(data.get("masks", ())),
        width=int(data.get("width", Pictures.width)),
    )
