// `POST /assets/v1/sourcemaps`: source maps are checked and acknowledged, not kept.
//
// Invariant: never anonymous. The upload streams through; nothing of it is held but the names of its fields.
#ifndef C_SERVER_SOURCEMAP_H
#define C_SERVER_SOURCEMAP_H

#include "request.h"

void sourcemap_begin(struct request *request);
body_sink sourcemap_take;
void sourcemap_end(struct request *request);
void sourcemap_fail(struct request *request, const struct refusal *refusal);
void sourcemap_release(struct request *request);

#endif
