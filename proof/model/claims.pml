/*
 * The protocol of claims: who holds a feature, which token proves it, and what ends a claim.
 *
 * Three agents work on FEATURES features, each with a name and a server. The server's connection renews the leases of its
 * claims. It may stall, end or be killed, and the agent may go on with a new server, with or without its memory, or never.
 * An agent may hand its claim over to another one, whose server adopts it. Leases run out at any moment, and are reaped.
 *
 * Every step is atomic, since every transition of Dibs is one guarded UPDATE or one transaction. Counters are left out: a
 * step that may make a feature stuck does so or not. Tokens are only ever compared, so a remembered token is LIVE (that of
 * the claim), ENDED (that of the last claim, if it passed or its connection ended), STALE (an older one) or NONE.
 *
 * A change of status is written become(KIND, from, to). A test compares these with TRANSITIONS in
 * schema/dibs_schema/status.py. With CLAIMS_ALONE, outcomes besides a pass are left out, and what planners and people do.
 *
 * Checked: no two agents hold a feature; a transition by a token is one of the holder; an acknowledged pass stays until
 * somebody reports a regression; a lease that lives is not reaped; nobody has a feature that is regained; and with
 * LIVENESS, that the claim of a dead agent ends. BUG_... plants a mistake, which must be found.
 */

#ifndef FEATURES
#define FEATURES 1
#endif
#define LAST (FEATURES - 1)
#define AGENTS 3
#define NOBODY AGENTS

mtype:status = { PENDING, IN_PROGRESS, PASSING, NEEDS_HUMAN, STUCK, ARCHIVED };
mtype:kind = { CLAIM, RESUME, HEARTBEAT, RELEASE, EXPIRE, PASS, VERIFY, FAIL, REGRESS, SKIP, ASK, ANSWER, CANCEL,
               RETRY, ARCHIVE, RESTORE, IMPORT, RETURN, REJECT, CONNECTION_END,
               NOTHING };
mtype:token = { NONE, LIVE, ENDED, STALE };

typedef Feature {
    mtype:status status = PENDING;
    mtype:status archived_from = PENDING;
    byte holder = NOBODY;
    bool renewed;                  /* the connection of the holder's server renews the lease */
    bool leased;                   /* the lease has not run out */
    mtype:kind ended_by = NOTHING; /* how the last claim ended, if that matters to a later call */
    bool acknowledged;             /* a pass was acknowledged, and nobody has reported a regression since */
    mtype:token remembered[AGENTS] = NONE
}

Feature features[FEATURES];
bool alive[AGENTS] = true;

#define F features[f]
#define MINE features[f].remembered[a]
#define holds_any(a) (features[0].holder == a || features[LAST].holder == a)

inline become(kind, from, to) {
    assert(F.status == from);
    F.status = to
}

#define then(i, from, to) F.remembered[i] = (F.remembered[i] == from -> to : F.remembered[i])

inline change_tokens(from, to) { then(0, from, to); then(1, from, to); then(2, from, to) }

inline end_claim(how) {
    change_tokens(ENDED, STALE);
    if
    :: how == PASS || how == CONNECTION_END -> F.ended_by = how; change_tokens(LIVE, ENDED)
    :: else -> F.ended_by = NOTHING; change_tokens(LIVE, STALE)
    fi;
    F.holder = NOBODY; F.renewed = false; F.leased = false
}

inline hold(who, renewed_) { F.holder = who; F.renewed = renewed_; F.leased = true }

inline issue_token(who) { /* the tokens of before are lost */
    change_tokens(ENDED, STALE); change_tokens(LIVE, STALE);
    F.ended_by = NOTHING; F.remembered[who] = LIVE
}

#ifdef BUG_TOKEN_IS_NOT_COMPARED
#define is_valid (F.status == IN_PROGRESS && MINE != NONE)
#else
#define is_valid (F.status == IN_PROGRESS && MINE == LIVE)
#endif

#ifdef BUG_OVERTAKEN_TOKEN_IS_REGAINED
#define can_regain (F.ended_by == CONNECTION_END && MINE != NONE && MINE != LIVE && !holds_any(a))
#else
#define can_regain (F.status == PENDING && F.ended_by == CONNECTION_END && MINE == ENDED && !holds_any(a))
#endif

inline regain_if_released() { /* a call with the token of a claim that its connection's end released */
    if
    :: can_regain ->
        assert(MINE == ENDED && F.holder == NOBODY);
        become(RESUME, PENDING, IN_PROGRESS);
        change_tokens(ENDED, LIVE); F.ended_by = NOTHING; hold(a, true)
    :: else
    fi
}

inline pending_or_stuck(kind) {
    if
    :: become(kind, IN_PROGRESS, PENDING)
#ifndef CLAIMS_ALONE
    :: become(kind, IN_PROGRESS, STUCK)
#endif
    fi
}

inline end_by_token() {
    regain_if_released();
    if
    :: is_valid ->
        assert(F.holder == a); /* a token that was overtaken changes nothing */
        if
        :: become(PASS, IN_PROGRESS, PASSING); end_claim(PASS); F.acknowledged = true
        :: pending_or_stuck(RELEASE); end_claim(RELEASE)
#ifndef CLAIMS_ALONE
        :: pending_or_stuck(FAIL); end_claim(FAIL)
        :: pending_or_stuck(SKIP); end_claim(SKIP)
        :: become(ASK, IN_PROGRESS, NEEDS_HUMAN); end_claim(ASK)
        :: become(ASK, IN_PROGRESS, PENDING); end_claim(ASK) /* it waits for a question that was asked before */
#endif
        fi
    :: else /* the earlier answer again, or claim_lost */
    fi;
    if
    :: MINE = NONE
    :: true /* the agent did not get the answer, and may call again */
    fi
}

#ifdef BUG_LATE_FAILURE_IS_A_REPORT
#define may_report (F.status == PASSING)
#else
#define may_report (F.status == PASSING && (MINE == NONE || (MINE == ENDED && F.ended_by == PASS)))
#endif

inline forget_claims() { F.acknowledged = false; F.ended_by = NOTHING; change_tokens(ENDED, STALE) }

inline report_regression() { /* without a token, or with that of the pass */
    assert(MINE == NONE || MINE == ENDED); /* a late failure does not undo what another agent has passed */
    become(REGRESS, PASSING, PENDING);
    forget_claims()
}

inline stop_renewing(ends) { /* the server of an agent ends, and releases its claims, or is killed */
    alive[a] = false;
    f = 0;
    do
    :: f < FEATURES ->
        if
        :: F.holder == a && F.renewed && ends -> pending_or_stuck(RELEASE); end_claim(CONNECTION_END)
        :: F.holder == a && F.renewed && !ends -> F.renewed = false
        :: else
        fi;
        f++
    :: else -> break
    od;
    f = 0
}

proctype Agent(byte a) {
    byte f, other;
    do
    :: atomic { alive[a] ->
        select(f : 0 .. LAST);
        if
        :: F.status == PENDING && !holds_any(a) ->
            become(CLAIM, PENDING, IN_PROGRESS); issue_token(a); hold(a, true)
        :: F.status == IN_PROGRESS && F.holder == a && !F.renewed -> /* its last server has ended */
            become(RESUME, IN_PROGRESS, IN_PROGRESS); issue_token(a); hold(a, true)
        :: MINE != NONE ->
            regain_if_released();
            if
            :: is_valid -> /* the server that adopts a claim renews it from now on */
                assert(F.holder == a);
                become(HEARTBEAT, IN_PROGRESS, IN_PROGRESS); hold(a, true)
            :: else -> MINE = NONE /* claim_lost */
            fi
        :: MINE != NONE -> end_by_token()
        :: may_report -> report_regression()
        :: F.holder == a && MINE == LIVE ->
            select(other : 0 .. AGENTS - 1);
            if
            :: holds_any(other) /* perhaps itself */
            :: else -> issue_token(other); hold(other, false)
            fi
        :: MINE = NONE /* the agent loses its memory */
#ifndef CLAIMS_ALONE
        :: F.holder == a && MINE == LIVE -> become(ANSWER, IN_PROGRESS, IN_PROGRESS) /* within the call that asks */
        :: F.status == PENDING -> /* a skip without a claim */
            if
            :: become(SKIP, PENDING, PENDING)
            :: become(SKIP, PENDING, STUCK)
            fi
        :: F.status == PASSING -> become(VERIFY, PASSING, PASSING)
#endif
        fi;
        f = 0; other = 0 }
    :: atomic { alive[a] -> stop_renewing(true) }
    :: atomic { alive[a] -> stop_renewing(false) }
    :: !alive[a] -> alive[a] = true
#ifdef LIVENESS
    :: !alive[a] -> break
#endif
    od
}

#ifndef CLAIMS_ALONE
proctype Planner() { /* and people */
    byte f;
    do
    :: atomic {
        select(f : 0 .. LAST);
        if
        :: F.status == IN_PROGRESS -> pending_or_stuck(RELEASE); end_claim(RELEASE) /* by force */
        :: F.status == NEEDS_HUMAN -> become(ANSWER, NEEDS_HUMAN, PENDING)
        :: F.status == NEEDS_HUMAN -> become(CANCEL, NEEDS_HUMAN, PENDING)
        :: F.status == STUCK -> become(RETRY, STUCK, PENDING)
        :: F.status == PENDING -> become(RETRY, PENDING, PENDING) /* in its back-off */
        :: F.status == PENDING -> F.archived_from = PENDING; become(ARCHIVE, PENDING, ARCHIVED)
        :: F.status == PASSING -> F.archived_from = PASSING; become(ARCHIVE, PASSING, ARCHIVED)
        :: F.status == NEEDS_HUMAN -> F.archived_from = NEEDS_HUMAN; become(ARCHIVE, NEEDS_HUMAN, ARCHIVED)
        :: F.status == STUCK -> F.archived_from = STUCK; become(ARCHIVE, STUCK, ARCHIVED)
        :: F.status == ARCHIVED && F.archived_from == PENDING -> become(RESTORE, ARCHIVED, PENDING)
        :: F.status == ARCHIVED && F.archived_from == PASSING -> become(RESTORE, ARCHIVED, PASSING)
        :: F.status == ARCHIVED && F.archived_from == NEEDS_HUMAN -> become(RESTORE, ARCHIVED, NEEDS_HUMAN)
        :: F.status == ARCHIVED && F.archived_from == STUCK -> become(RESTORE, ARCHIVED, STUCK)
        :: F.status == PASSING -> become(RETURN, PASSING, PENDING); forget_claims()
        :: F.status == PASSING -> become(REJECT, PASSING, STUCK); forget_claims()
        :: F.status == PENDING -> become(IMPORT, PENDING, PASSING); forget_claims()
        :: F.status == PASSING -> become(IMPORT, PASSING, STUCK); forget_claims()
        :: F.status == STUCK -> become(IMPORT, STUCK, NEEDS_HUMAN); forget_claims()
        :: F.status == NEEDS_HUMAN -> become(IMPORT, NEEDS_HUMAN, PENDING); forget_claims()
        fi;
        if
        :: F.status != ARCHIVED -> F.archived_from = PENDING
        :: else
        fi;
        f = 0 }
    od
}
#endif

proctype Lease(byte f) { /* runs out where nobody renews it, and where its server stalls; a renewal revives it */
    do
    :: atomic { F.status == IN_PROGRESS && F.leased -> F.leased = false }
    :: atomic { F.status == IN_PROGRESS && !F.leased && F.renewed -> F.leased = true }
    od
}

#ifdef BUG_LIVE_LEASE_IS_REAPED
#define may_reap (F.status == IN_PROGRESS)
#else
#define may_reap (F.status == IN_PROGRESS && !F.leased)
#endif

proctype Reaper(byte f) { /* every server reaps before it claims */
    do
    :: atomic { may_reap -> assert(!F.leased); pending_or_stuck(EXPIRE); end_claim(EXPIRE) }
    od
}

#define is_live(f, a) (features[f].remembered[a] == LIVE)
#define is_wrong(f) ( \
    is_live(f, 0) + is_live(f, 1) + is_live(f, 2) > 1 || \
    (features[f].status == IN_PROGRESS) != (features[f].holder != NOBODY) || \
    (features[f].acknowledged && features[f].status != PASSING && \
        !(features[f].status == ARCHIVED && features[f].archived_from == PASSING)))

#ifdef LIVENESS
#define is_held_by_the_dead (features[0].status == IN_PROGRESS && !alive[features[0].holder])
ltl work_of_the_dead_comes_back { [] (is_held_by_the_dead -> <> !is_held_by_the_dead) }
#else
active proctype Monitor() {
    d_step { is_wrong(0) || is_wrong(LAST) -> assert(false) }
}
#endif

init {
    byte i;
    atomic {
        for (i : 0 .. AGENTS - 1) { run Agent(i) }
#ifndef CLAIMS_ALONE
        run Planner();
#endif
        for (i : 0 .. LAST) {
            run Lease(i);
#ifndef BUG_NOBODY_REAPS
            run Reaper(i)
#endif
        }
        i = 0
    }
}
