#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An agent that reads logs and says what is wrong. It asks hardy for them, so it gets an answer, fresh
# or old, and knows which:
#
#   echo '03:00:01 ERROR pool: connections exhausted' >app.log
#   hardy serve &
#   ./analyse.sh
#   touch app.log.down; ./analyse.sh; rm app.log.down     # the log service goes away
#
# ADMIN is where hardy serve answers.
set -eu
answer=$(curl -sS --max-time 200 "http://${ADMIN:-127.0.0.1:4274}/api/v1/gather/answers")
# Begins anew each time: it changes nothing, and is done in seconds.
python3 - "$answer" <<'PY'
import json, sys
logs = json.loads(sys.argv[1]).get("components", {}).get("logs", {})
if not logs.get("success"):
    sys.exit("no logs, fresh or old: " + logs.get("error", "no answer"))
data = logs["data"]
age = " (%.0fs old: %s)" % (logs["age"], logs["error"]) if logs.get("cached") else ""
if data["errors"] == 0:
    print("nothing is wrong in %d lines%s" % (data["lines"], age))
elif "exhausted" in data["last_error"]:
    print("raise the size of the pool: %d errors, the last %s%s" % (data["errors"], data["last_error"], age))
else:
    print("%d errors, the last: %s%s" % (data["errors"], data["last_error"], age))
PY
