// Cross-origin requests to the RUM routes: browsers send them from every site that is monitored.
//
// As APM Server with its default `allow_origins: ['*']`: the origin is echoed, a preflight is answered without
// authentication (browsers send none with it), and refusals too can be read by the page that caused them.
#ifndef C_SERVER_CORS_H
#define C_SERVER_CORS_H

#include "reply.h"

void cors_preflight(struct reply *reply);

// Adds what lets a page of this origin (null: there is none) read the answer.
void cors_allow(struct reply *reply, const char *origin);

#endif
