#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The alert rules: valid, about metrics that there are, quiet while all is well, loud when it is not; and each
# alert is missed by the test when it is not there. HARDY is not needed but by tap.sh.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"
rules=$home/etc/prometheus/hardy.rules.yml

# Whatever the rules ask for is written by some file of src/.
for metric in $(grep -oE '\bhardy_[a-z_]+' <(sed -n '/expr:/,/for:\|labels:/p' "$rules") | sort -u); do
    ok "$metric is among hardy's metrics" grep -rqF --include='*.c' "\"$metric\"" "$home/src"
done
for alert in $(sed -n 's/.*- alert: //p' "$rules"); do
    ok "docs/deploy.md has the alert $alert" grep -q "\`$alert\`" "$home/docs/deploy.md"
done

command -v promtool >/dev/null || {
    skip 'the rules as Prometheus reads them' 'promtool is not here'
    exit 0
}
code 'promtool finds nothing wrong' 0 promtool check rules "$rules"
behave() { # behave RULES: what the alerts do over time is what the tests say
    for test in hardy paused; do
        sed "s#RULES#$1#" "$home/tests/etc/$test.rules.test.yml" >"$test.yml"
    done
    promtool test rules hardy.yml paused.yml >promtool.log 2>&1
}
ok 'the alerts do what they should' behave "$rules"
sed 's/- alert: /- alert: Other/' "$rules" >without.yml
not_ok 'without them the test fails' behave "$work/without.yml"
for alert in $(sed -n 's/.*- alert: //p' "$rules"); do
    ok "it misses $alert" grep -qE "\\\\?\"$alert\\\\?\"" promtool.log
done
