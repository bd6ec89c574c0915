"""What a worker does in a shell: claim a feature, keep it, and end the claim."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import click
from pydantic import Field, ValidationError

from dibs.cli.calling import Call, calls, status_of
from dibs.cli.claiming import Claiming, Got, Wish, claim_of
from dibs.cli.spelling import spoken
from dibs_schema.answers import Answer, Idle
from dibs_schema.inputs import (
    WHOLE,
    Category,
    Evidence,
    EvidenceFields,
    FeatureId,
    Note,
    Reason,
    RequestId,
)
from dibs_schema.refusals import Forbidden, InvalidInput
from dibs_schema.validation import unfitting

Seconds = Annotated[float, Field(ge=0, le=86_400), WHOLE]
Runs = list[tuple[int, str]]

feature_id = click.argument("feature_id", type=int)
reason = click.argument("reason")


@click.command()
@click.argument("feature_id", type=int, required=False)
@click.option("--category", help="Only of this category.")
@click.option("--wait", type=float, default=0, metavar="SECONDS", help="Wait so long for work.")
@click.option("--resume", is_flag=True, help="Take back what the agent's name holds, if it holds anything.")
@click.option("--brief", is_flag=True, help="Of a feature whose text you know: answer briefly.")
@click.option("--id", "number_only", is_flag=True, help="Print the feature's number alone.")
@click.option("--request-id", help="The same id with the same arguments gives the same claim again.")
@calls("feature_claim_and_get", "agent", "detached_lease")
def claim(
    call: Call,
    feature_id: FeatureId | None,
    category: Category | None,
    wait: Seconds,
    resume: bool,
    brief: bool,
    number_only: bool,
    request_id: RequestId | None,
) -> NoReturn:
    """Claim the next ready feature, or FEATURE_ID, for you alone, with all you need to build it.

    The exit status is 3 where nothing is free now, 4 where nothing is left to do, and 5 where what is left waits for
    a person. With an agent's name the token is kept for your next commands; else send it with --token or DIBS_TOKEN.
    """
    _refuse_odd(call, feature_id, resume=resume, brief=brief, number_only=number_only)
    if brief and (category or wait or resume or request_id):
        raise InvalidInput("--brief goes with FEATURE_ID alone.", field="brief")
    wish = Wish(feature_id, category, wait, resume, brief, request_id)

    def deliver(answer: Got) -> None:
        if not number_only:
            call.print(answer)
        elif isinstance(answer, Idle):
            click.echo(spoken(answer.message), err=True)
        else:
            click.echo(claim_of(answer)[0])

    with call.backlog() as database:
        answer = Claiming(call, database, wish).run(deliver)
    sys.exit(status_of(answer))


def _refuse_odd(call: Call, feature_id: int | None, *, resume: bool, brief: bool, number_only: bool) -> None:
    if resume and call.settings.agent is None:
        raise InvalidInput("--resume needs an agent's name: give --agent, or set DIBS_AGENT.", field="resume")
    if brief and feature_id is None:
        raise InvalidInput("--brief needs FEATURE_ID.", field="brief")
    if number_only and call.settings.agent is None:
        raise InvalidInput(
            "--id does not print the token, so that it must be kept: give --agent, or set DIBS_AGENT.",
            field="id",
        )


@click.command()
@feature_id
@click.option("--note", help="What you have learned so far, for the next worker.")
@calls("feature_heartbeat", "agent", "token")
def heartbeat(call: Call, feature_id: FeatureId, note: Note | None) -> Answer:
    """Show that you are at work: the lease of your claim begins anew."""
    from dibs.verbs import lease

    return call.move(
        feature_id, lambda tx, _, token: lease.heartbeat(tx, feature_id, token, note), ends=False
    )


@click.command()
@feature_id
@click.option("--force", is_flag=True, help="Free another's claim; for planners.")
@calls("feature_clear_in_progress", "agent", "token")
def release(call: Call, feature_id: FeatureId, force: bool) -> Answer:
    """Give a claim back without an outcome."""
    from dibs.verbs.release import release as give_back

    if not force:
        return call.move(feature_id, lambda tx, by, token: give_back(tx, by, feature_id, token))
    if not call.settings.role.plans:
        raise Forbidden(
            "--force is a planner's. Give back your own claim without it.", tool="feature_clear_in_progress"
        )
    return call.write(lambda tx: give_back(tx, call.author, feature_id, None, force=True))


@click.command("pass")
@feature_id
@click.option("--evidence", help="What shows that it works: a text, or JSON as the tool takes it.")
@click.option(
    "--ran",
    type=(int, str),
    multiple=True,
    metavar="STATUS COMMAND",
    help="A command that was run, and its exit status; may be repeated.",
)
@click.option("--commit", help="The commit that has it.")
@calls("feature_mark_passing", "agent", "token")
def pass_feature(
    call: Call,
    feature_id: FeatureId,
    evidence: Evidence | None,
    ran: Runs,
    commit: str | None,
) -> Answer:
    """Finish a claimed feature that is built and tested. Of a passing one: confirm it."""
    from dibs.verbs import outcome

    proof = _proof(evidence, ran, commit)
    return call.move(feature_id, lambda tx, by, token: outcome.mark_passing(tx, by, feature_id, token, proof))


def _proof(evidence: EvidenceFields | None, ran: Runs, commit: str | None) -> EvidenceFields | None:
    """All that was given, as one. Raises InvalidInput."""
    if not ran and commit is None:
        return evidence
    given = evidence.model_dump(exclude_defaults=True) if evidence is not None else {}
    given["commands"] = [
        *given.get("commands", []),
        *({"exit_code": status, "command": command} for status, command in ran),
    ]
    try:
        return EvidenceFields.model_validate(given if commit is None else given | {"commit": commit})
    except ValidationError as error:
        raise unfitting(error) from None


@click.command()
@feature_id
@reason
@calls("feature_mark_failing", "agent", "token")
def fail(call: Call, feature_id: FeatureId, reason: Reason) -> Answer:
    """End a failed attempt, or report that a passing feature broke."""
    from dibs.verbs import outcome

    return call.move(
        feature_id, lambda tx, by, token: outcome.mark_failing(tx, by, feature_id, reason, token)
    )


@click.command()
@feature_id
@reason
@calls("feature_skip", "agent", "token")
def skip(call: Call, feature_id: FeatureId, reason: Reason) -> Answer:
    """Put a feature that cannot be built now last. Not for failures."""
    from dibs.verbs.skip import skip as put_last

    return call.move(feature_id, lambda tx, by, token: put_last(tx, by, feature_id, reason, token))


@click.command()
@feature_id
@click.argument("text")
@calls("feature_add_note", "agent", "token")
def note(call: Call, feature_id: FeatureId, text: Note) -> Answer:
    """Tell the next worker on a feature what you learned; with its token, your claim's lease begins anew."""
    from dibs.rules.diagnosis import holder_of
    from dibs.verbs.lease import renew
    from dibs.verbs.note import add_note

    def write(tx: Any, by: str, token: str | None) -> Answer:
        if token is not None:
            renew(tx, [token])
        return add_note(tx, holder_of(tx, feature_id, token) or by, feature_id, text)

    return call.move(feature_id, write, ends=False)
