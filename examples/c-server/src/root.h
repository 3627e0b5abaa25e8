// `/`: what this server is. Agents ask for it before they send anything.
#ifndef C_SERVER_ROOT_H
#define C_SERVER_ROOT_H

#include "request.h"

void root_end(struct request *request);
void root_fail(struct request *request, const struct refusal *refusal);

#endif
