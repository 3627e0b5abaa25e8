// Why a request, or the rest of it, is not taken: what its client is told.
//
// Invariant: the message may be shown to the client, it holds no secret and no path; it is UTF-8.
#ifndef C_SERVER_REFUSAL_H
#define C_SERVER_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

struct refusal {
    unsigned status;
    bool decided;       // by Tollbar, and not for what the body looks like
    int grpc_status;    // of such a decision
    bool exceeds_burst; // more at once than the limit's burst: a smaller batch may fit
    char message[512];
    char document[257];         // the beginning of the line that is meant, or empty
    char www_authenticate[256]; // or empty
    char retry_after[24];       // or empty
};

// Fills it and returns false, so that a function can end with `return refuse(…)`.
__attribute__((format(printf, 3, 4))) bool refuse(struct refusal *refusal, unsigned status, const char *format, ...);

// The same, and shows the beginning of the document; what is not UTF-8 is shown as question marks.
__attribute__((format(printf, 5, 6))) bool refuse_document(struct refusal *refusal, unsigned status,
                                                           const char *document, size_t size, const char *format, ...);

// Copies text into `to`, whole characters only, without what is no UTF-8 text.
void printable(char *to, size_t room, const char *text, size_t size);

#endif
