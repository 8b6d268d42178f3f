#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
"$EXAMPLES/payment-api/payment-api.sh" stop
[ -z "${HOLD:-}" ] || until [ -e go ] || ! [ -e restart.sh ]; do sleep 0.02; done
exec "$EXAMPLES/payment-api/payment-api.sh" start
