"""`dibs token`: the access tokens of the clients that reach a server over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import backlog, backlog_command, print_json
from dibs.platform.users import user_name
from dibs_schema.refusals import Forbidden, InvalidInput
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from dibs.database.transaction import Row

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = 10 * 366 * 86_400
"""Seconds of the longest lifetime."""


@click.group()
def token() -> None:
    """Create, list, rotate and revoke the access tokens of clients over HTTP.

    An access token is of one project, has one role, and acts for one agent, or for the agents NAME/... The database
    holds only its digest, and the events name the token by which each change came.
    """


@token.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([one.value for one in Role]), help="What it may do.")
@click.option("--agent", help="The only agent name it may use; without it, the names that begin with NAME/.")
@click.option("--expires", metavar="TIME", help="When it ends, as 12h, 30d or 8w; the default is never.")
@backlog_command
def create(name: str, *, role: str, agent: str | None, expires: str | None, as_json: bool, **flags: Any) -> None:
    """Create an access token and print it, this once.

    It goes into an environment variable of the client (`dibs init CLIENT --url URL`), and never into a file of the
    project, a URL or a command line.
    """
    from dibs.rules.access_tokens import digest_of, new_access_token
    from dibs.verbs.access_tokens import create_access_token
    from dibs_schema.sanitize import clean

    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"NAME={name[:100]!r}: send up to 60 letters, digits, dots, underscores or hyphens.", field="name"
        )
    lifetime = _seconds("--expires", expires) if expires is not None else None
    if agent is not None and not 1 <= len(agent := clean(agent).strip()) <= 100:
        raise InvalidInput("--agent: send 1 to 100 characters.", field="--agent")
    _refuse_agents()
    secret = new_access_token()
    with backlog(flags, make=True) as database:
        database.write_now(
            lambda tx: create_access_token(tx, user_name(), name, digest_of(secret), Role(role), agent, lifetime)
        )
    _print_secret(name, secret, as_json=as_json)


@token.command()
@click.argument("name")
@click.option("--grace", metavar="TIME", default="1h", show_default=True, help="How long the old secret still works.")
@backlog_command
def rotate(name: str, *, grace: str, as_json: bool, **flags: Any) -> None:
    """Replace the secret of an access token and print the new one, this once.

    Everything else about it stays, also when it expires. --grace 0s ends the old secret at once.
    """
    from dibs.rules.access_tokens import digest_of, new_access_token
    from dibs.verbs.access_tokens import rotate_access_token

    _refuse_agents()
    seconds, secret = _seconds("--grace", grace), new_access_token()
    with backlog(flags) as database:
        database.write_now(lambda tx: rotate_access_token(tx, name, digest_of(secret), seconds))
    _print_secret(name, secret, as_json=as_json)


@token.command()
@click.argument("name")
@backlog_command
def revoke(name: str, *, as_json: bool, **flags: Any) -> None:
    """End an access token. Servers refuse it within 5 seconds. Its claims last as long as their leases."""
    from dibs.verbs.access_tokens import revoke_access_token

    _refuse_agents()
    with backlog(flags) as database:
        database.write_now(lambda tx: revoke_access_token(tx, name))
    if as_json:
        print_json({"name": name, "state": "revoked"})
    else:
        click.echo(f"{name}: revoked. Servers refuse it within 5 seconds.")


@token.command("list")
@backlog_command
def list_tokens(*, as_json: bool, **flags: Any) -> None:
    """List the project's access tokens, without their secrets."""
    from dibs.queries.access_tokens import list_access_tokens

    with backlog(flags) as database:
        now, rows = database.read_now(lambda tx: (tx.now, list_access_tokens(tx)))
    shown = [_shown(row, now) for row in rows]
    if as_json:
        print_json({"tokens": shown})
        return
    if not shown:
        click.echo("There is no access token. `dibs token create NAME --role coder` makes one.")
    for one in shown:
        agent = one.get("agent", f"{one['name']}/...")
        ends = f", until {one['expires_at']}" if "expires_at" in one and one["state"] == "live" else ""
        used = f"last used {one['last_used_at']}" if "last_used_at" in one else "never used"
        click.echo(f"{one['name']}: {one['role']}, agent {agent}, {one['state']}{ends}, {used}")


def _shown(row: Row, now: float) -> dict[str, Any]:
    """Return an access token's row as it is shown, without digests."""
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    state = "revoked" if row["revoked_at"] is not None else "expired" if expired else "live"
    times = {
        name: datetime.fromtimestamp(row[name], UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
        if row[name] is not None
    }
    agent = {"agent": row["agent"]} if row["agent"] is not None else {}
    return {"name": row["name"], "role": row["role"], **agent, "state": state, "created_by": row["created_by"], **times}


def _print_secret(name: str, secret: str, *, as_json: bool) -> None:
    """Print an access token alone on standard output, so that a script can store it."""
    if as_json:
        print_json({"name": name, "token": secret})
        return
    click.echo(secret)
    click.echo("This is shown once. The client reads it from its environment, as DIBS_ACCESS_TOKEN.", err=True)


def _refuse_agents() -> None:
    """Raise Forbidden for the shell of an agent that may not plan: a token can have any role."""
    from dibs.settings import Settings

    role = Settings.read({}).role
    if not role.plans:
        raise Forbidden(f"DIBS_ROLE is {role}, and only planners create, rotate and revoke access tokens.")


def _seconds(option: str, text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip(), re.ASCII)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else -1
    if not found or seconds > _LONGEST:
        raise InvalidInput(f"{option}={text[:30]!r}: send a number and s, m, h, d or w, as 30d.", field=option)
    return float(seconds)
