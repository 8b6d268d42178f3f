# SPDX-License-Identifier: Apache-2.0
"""test_kubernetes.py: the manifests of etc/kubernetes hold together, are safe, and their hardy answers the probes;
and their Role lets the real kubectl restart a Deployment, and no more."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{home}/tests/clients")
import yaml  # noqa: E402

import tap  # noqa: E402
from apiserver import ApiServer  # noqa: E402

hardy = os.path.abspath(os.environ["HARDY"])


def ok(good, what):
    tap.check(what, good)


def read(name):
    with open(f"{home}/etc/kubernetes/{name}", encoding="utf-8") as f:
        return {d["kind"]: d for d in yaml.safe_load_all(f)}


def free_port():
    return int(subprocess.run(["bash", "-c", f". {home}/tools/free_port.sh; free_port"], capture_output=True,
                              text=True, check=True).stdout)


# --- what the documents say of probes, and what a pod may not do

LIVE = {"initialDelaySeconds": 10, "periodSeconds": 30, "timeoutSeconds": 5, "failureThreshold": 3}
READY = {"initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 2}


def look_at_pod(name, deployment, container):
    spec = deployment["spec"]
    pod = spec["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    ok(spec["selector"]["matchLabels"].items() <= labels.items(), f"{name}: the Deployment selects its pods")
    ok(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, f"{name}: is not root")
    ok(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: has a seccomp profile")
    ok(pod["automountServiceAccountToken"] is False, f"{name}: gets no token of the cluster")
    volumes = {v["name"]: v for v in pod["volumes"]}
    for c in pod["containers"] + pod.get("initContainers", []):
        context = c["securityContext"]
        ok(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] and
           context["capabilities"]["drop"] == ["ALL"], f"{name}: {c['name']} can change nothing but its volumes")
        ok(all(m["name"] in volumes for m in c["volumeMounts"]), f"{name}: {c['name']} mounts what there is")
    ok(set(volumes) == {m["name"] for c in pod["containers"] + pod.get("initContainers", [])
                        for m in c["volumeMounts"]}, f"{name}: each volume is used")
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    for probe, path, timing in (("livenessProbe", "/health/live", LIVE), ("readinessProbe", "/health/ready", READY)):
        p = container[probe]
        ok(p["httpGet"]["path"] == path and ports[p["httpGet"]["port"]] == 4275, f"{name}: {probe} asks {path}")
        ok({k: v for k, v in p.items() if k != "httpGet"} == timing, f"{name}: {probe} has the documented timings")
    state = [m for m in container["volumeMounts"] if m["mountPath"] == "/var/lib/hardy"]
    ok(len(state) == 1 and "emptyDir" in volumes[state[0]["name"]], f"{name}: its state is an emptyDir")
    return ports


gateway, sidecar, restart = read("gateway.yaml"), read("sidecar.yaml"), read("restart.yaml")
container = gateway["Deployment"]["spec"]["template"]["spec"]["containers"][0]
ports = look_at_pod("gateway", gateway["Deployment"], container)
service = gateway["Service"]["spec"]
ok(service["selector"] == gateway["Deployment"]["spec"]["selector"]["matchLabels"], "gateway: the Service finds it")
ok(ports[service["ports"][0]["targetPort"]] == 4273, "gateway: the Service has its port")
beside = sidecar["Deployment"]["spec"]["template"]["spec"]
look_at_pod("sidecar", sidecar["Deployment"], beside["initContainers"][0])
ok(beside["initContainers"][0]["restartPolicy"] == "Always", "sidecar: it is a native one")
ok(beside["initContainers"][0]["startupProbe"]["httpGet"]["path"] == "/health/live",
   "sidecar: the agent begins when hardy answers")
ok(any(e["name"] == "ANTHROPIC_BASE_URL" and ":4273/" in e["value"] for e in beside["containers"][0]["env"]),
   "sidecar: the agent is pointed at it")
ok(restart["RoleBinding"]["roleRef"]["name"] == restart["Role"]["metadata"]["name"] and
   restart["RoleBinding"]["subjects"][0]["name"] == restart["ServiceAccount"]["metadata"]["name"],
   "restart: the binding joins the role and the account")

# --- their hardy

def drain_of(name, config, pod):
    drain = re.search(r"drain: (\d+)s", config)
    ok(pod["terminationGracePeriodSeconds"] >= int(drain.group(1)) + 10, f"{name}: is not killed while it drains")


def probe(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def run(name, manifest, container, work):
    config = manifest["ConfigMap"]["data"]["hardy.yaml"]
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    drain_of(name, config, manifest["Deployment"]["spec"]["template"]["spec"])
    for path in re.findall(r"/(?:var|etc)/[\w./-]+", config):
        ok(any(path.startswith(m) for m in mounts), f"{name}: {path} lies in a volume")
    keys, health, listen = f"{work}/{name}-keys", free_port(), free_port()
    os.makedirs(keys)
    for key in re.findall(r"/etc/hardy-keys/([\w.]+)", config):
        with open(f"{keys}/{key}", "w", encoding="utf-8") as f:
            f.write("abcdefgh-" + key)
    config = config.replace("/etc/hardy-keys", keys).replace("/var/lib/hardy", f"{work}/{name}-state")
    os.makedirs(f"{work}/{name}-state")
    config = config.replace("0.0.0.0:4275", f"127.0.0.1:{health}").replace("0.0.0.0:4273", f"127.0.0.1:{listen}")
    file = f"{work}/{name}.yaml"
    with open(file, "w", encoding="utf-8") as f:
        f.write(config)
    valid = subprocess.run([hardy, "validate", file], capture_output=True, text=True)
    ok(valid.returncode == 0 and "nothing wrong" in valid.stdout, f"{name}: hardy finds nothing wrong with its "
       f"configuration{'' if valid.returncode == 0 else ': ' + valid.stdout + valid.stderr}")
    args = [file if a == "/etc/hardy/hardy.yaml" else a for a in container["args"]]
    process = subprocess.Popen([hardy, *args, "--admin", "127.0.0.1:0", "--listen", f"127.0.0.1:{listen}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 15
        while probe(health, "/health/ready") != 200 and time.monotonic() < until:
            time.sleep(0.05)
        ok(probe(health, "/health/live") == 200, f"{name}: its hardy is live")
        ok(probe(health, "/health/ready") == 200, f"{name}: and ready")
        ok(probe(health, "/metrics") == 200, f"{name}: with metrics beside it")
    finally:
        process.terminate()
        ok(process.wait(timeout=20) == 0, f"{name}: it ends when told to")


with tempfile.TemporaryDirectory() as work:
    run("gateway", gateway, container, work)
    run("sidecar", sidecar, beside["initContainers"][0], work)

    # --- kubectl
    if shutil.which("kubectl"):
        built = subprocess.run(["kubectl", "kustomize", f"{home}/etc/kubernetes"], capture_output=True, text=True,
                               timeout=60)
        kinds = sorted(d["kind"] for d in yaml.safe_load_all(built.stdout)) if built.returncode == 0 else built.stderr
        ok(kinds == ["ConfigMap", "Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"],
           f"kubectl apply -k would apply {kinds}")
        ok("image: hardy:0.1" in built.stdout, "with an image that has a version")
        server = ApiServer()
        env = dict(os.environ, HOME=work, KUBECONFIG=f"{work}/none", NO_PROXY="127.0.0.1")
        base = ["kubectl", "-s", f"http://127.0.0.1:{server.server_address[1]}", f"--cache-dir={work}/cache",
                "rollout"]
        for verb in (["restart", "deployment/web"], ["status", "deployment/web", "--timeout=20s"]):
            done = subprocess.run(base + verb, capture_output=True, text=True, env=env, timeout=60)
            ok(done.returncode == 0, f"kubectl rollout {verb[0]}: {(done.stdout + done.stderr).strip()}")
        allowed = {(verb, resource) for rule in restart["Role"]["rules"] for resource in rule["resources"]
                   for verb in rule["verbs"]}
        ok(set(server.asked) <= allowed, f"the Role allows what kubectl asked for: {sorted(set(server.asked))}")
        ok({("get", "deployments"), ("patch", "deployments")} <= set(server.asked), "which was to read and to patch")
        ok(allowed <= {(v, "deployments") for v in ("get", "list", "watch", "patch")}, "and allows nothing else")
    else:
        tap.skip("kubectl", "it is not here")

tap.finish()
