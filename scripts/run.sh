#!/usr/bin/env bash
# Starts the reference ingestor with the sample configuration, waits until it answers, and prints what to try.
# Called by `make run`, which has built the wheel into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

listen=${LISTEN:-127.0.0.1:8200}
config=${CONFIG:-examples/tollbar.yml}
output=${OUTPUT:-/dev/null}

.venv/bin/python -m tollbar.intake --config "$config" --listen "$listen" --output "$output" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null || true' INT TERM

for _ in $(seq 100); do
    kill -0 "$server" 2>/dev/null || { wait "$server"; exit; }
    if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then
        break
    fi
    sleep 0.1
done

cat <<TRY

Tollbar listens on http://$listen ($config). Try, in another terminal:

1. accepted (202): the sample token
   curl -i -H 'Authorization: Bearer example-token-change-me' -H 'Content-Type: application/x-ndjson' --data-binary @examples/backend.ndjson 'http://$listen/intake/v2/events?verbose'

2. refused (401): a wrong token
   curl -i -H 'Authorization: Bearer wrong' -H 'Content-Type: application/x-ndjson' --data-binary @examples/backend.ndjson 'http://$listen/intake/v2/events'

3. throttled (429 after the burst): a browser in a hurry, 60 times
   curl -s -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/x-ndjson' --data-binary @examples/browser.ndjson 'http://$listen/intake/v2/rum/events?[1-60]' | sort | uniq -c

Ctrl-C ends it. Edit $config meanwhile: it is taken up at once.
TRY

# Twice: the first wait ends early when a signal arrives, the second sees the server drain.
wait "$server" || true
wait "$server"
