// Cross-origin requests to the RUM routes: browsers send them from every site that is monitored.
//
// As APM Server: an origin that `apm-server.rum.allow_origins` lists is echoed, a preflight is answered without
// authentication (browsers send none with it), and refusals too can be read by the page that caused them. A request of
// another origin is refused before anything else is looked at. `origin` null: the request names none.
#ifndef C_SERVER_CORS_H
#define C_SERVER_CORS_H

#include "reply.h"
#include <tollbar.h>

void cors_preflight(struct reply *reply, const tollbar_engine *engine);

// Whether a page of this origin may send. If not, the refusal says so.
bool cors_enter(const tollbar_engine *engine, const char *origin, struct refusal *refusal);

// Adds what lets a page of this origin read the answer, if it may send.
void cors_allow(struct reply *reply, const tollbar_engine *engine, const char *origin);

#endif
