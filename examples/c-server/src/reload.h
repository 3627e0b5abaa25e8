// Taking up a changed configuration while requests are being served, and telling the operator.
//
// Invariants: every attempt is logged once, whoever made it: a refused one with its problems, one that is taken with
// its warnings. A file that is being written is not read: a SIGHUP in the midst of it would find it empty, which
// switches authentication off.
#ifndef C_SERVER_RELOAD_H
#define C_SERVER_RELOAD_H

#include <tollbar.h>

// Logs what deserves a word in the configuration in force.
void reload_log_warnings(const tollbar_engine *engine);

// Reads the files once they have stayed as they are for a moment. Blocks for that long, at most 3 s.
void reload_now(const tollbar_engine *engine);

// Logs the attempts that have not been logged yet. To be called about twice a second, always from the same thread.
void reload_tell(const tollbar_engine *engine);

#endif
