/*
 * How a change gets on disk in a SQLite file: the order of commit, leaving the writer queue, sync, answer and checkpoint.
 *
 * WRITERS processes make CHANGES changes together. Each commits in its turn, leaves the queue, syncs the log and answers.
 * It may commit twice in a turn, as upkeep comes before a call's own change; then it syncs the log between.
 * Changes are numbered by their commits, so "up to" is a number. Whoever has its turn may checkpoint: sync the log, copy it
 * into the database file, sync that, and let the log restart. Any sync may fail. Then the kernel has dropped what it
 * could not write, and says so once to each descriptor that is open; a later sync, and that of a descriptor opened later,
 * succeeds and writes nothing. So a process that meets the error leaves a mark, which others read before they commit and
 * after they sync. Assumed: no process opens the log for the first time in the moment between an error and its mark.
 * A process has two descriptors of the log: its own, and SQLite's for checkpoints.
 *
 * A power cut may come at any moment. It leaves what is on disk, so it suffices that what is on disk never falls behind
 * what was acknowledged.
 *
 * Checked: an acknowledged change, and all before it, are on disk from then on; the database file is never ahead of what
 * the log has on disk. BUG_... plants a mistake.
 */

#define WRITERS 3
#define CHANGES 3
#define NOBODY WRITERS

byte turn = NOBODY;
byte visible;        /* changes that readers see */
byte in_log;         /* of these, the log on disk has all up to this one; 0 after it has restarted */
byte copied;         /* the database file has all up to this one, perhaps in the kernel's memory alone */
byte in_file;        /* and on disk */
byte acknowledged;
bool failed;         /* a sync of the log has failed */
bool mark;           /* the file next to the database that says so */
bool told[WRITERS];  /* this process's own descriptor will not report it, or has done so */
bool told_sqlite[WRITERS];  /* and SQLite's */

#define max(a, b) (a > b -> a : b)
#define on_disk max(in_log, in_file)
#define unharmed assert(acknowledged <= on_disk)

inline leave() { turn = NOBODY }

inline checkpoint() {
    /* sync the log by SQLite's descriptor; SQLite goes on without a checkpoint if that fails, and the commit stands */
    if
#ifdef BUG_CHECKPOINT_DOES_NOT_SYNC_THE_LOG
    :: copies = true
#else
    :: atomic { !failed -> in_log = visible; copies = true }
    :: atomic { !told_sqlite[me] -> failed = true; told_sqlite[me] = true; copies = false }
    :: atomic { failed && told_sqlite[me] -> copies = true }
#endif
    fi;
    if
    :: copies ->
#ifdef BUG_LOG_BEGINS_BEFORE_THE_FILE_IS_SYNCED
       copied = visible;
       d_step { in_log = 0; unharmed };
       in_file = copied
#else
       atomic { assert(max(in_log, in_file) >= visible); copied = visible };
       if
       :: in_file = copied;
          d_step { in_log = 0; unharmed }  /* the next commit writes the log from its beginning */
       :: skip                             /* the sync of the database file failed: the log stays */
       fi
#endif
    :: else
    fi
}

inline commit() {
    atomic { visible++; mine = visible };
    if
    :: checkpoint()
    :: skip
    fi
}

inline sync() {
    covers = visible;
    if
    :: atomic { !failed -> in_log = (in_file >= covers -> in_log : max(in_log, covers)) }
    :: atomic { failed && told[me] }  /* succeeds, and writes nothing */
#ifdef BUG_FAILED_SYNC_IS_REPEATED
    :: atomic { !told[me] -> failed = true; told[me] = true }
#else
    :: atomic { !told[me] -> failed = true; told[me] = true; mark = true; stops = true }
#endif
    fi;
#ifndef BUG_MARK_IS_NOT_READ
    stops = stops || mark
#endif
}

proctype Writer(byte me) {
    byte mine, covers;
    bool copies, stops;

    atomic { failed == mark -> told[me] = failed };  /* it opens the log */
    do
    :: atomic { turn == NOBODY && visible < CHANGES -> turn = me };
#ifndef BUG_MARK_IS_NOT_READ
       if
       :: mark -> leave(); break
       :: else
       fi;
#endif
       commit();
       if
       :: visible < CHANGES ->
#ifndef BUG_TWO_COMMITS_WITHOUT_A_SYNC
          sync();
          if
          :: stops -> leave(); break
          :: else
          fi;
#endif
          commit()
       :: skip
       fi;
#ifdef BUG_ANSWER_BEFORE_SYNC
       d_step { acknowledged = max(acknowledged, mine); unharmed };
#endif
       leave();
       sync();
       if
       :: stops -> break
       :: else
       fi;
       d_step { acknowledged = max(acknowledged, mine); unharmed }
    :: visible == CHANGES -> break
    od
}

init {
    atomic { run Writer(0); run Writer(1); run Writer(2) }
}
