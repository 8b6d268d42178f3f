# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server with one Deployment, `web`, as far as `kubectl rollout` needs it."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def web():
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {}, "spec": {}}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
                       "readyReplicas": 1}}


class ApiServer(ThreadingHTTPServer):
    """`asked`: the verb and resource of each request that is not about what the server can."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.web = [], web()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def say(self, answer, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        ability = {
            "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                 "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
            "/apis/apps/v1": {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
                {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment",
                 "verbs": VERBS, "shortNames": ["deploy"]}]},
        }.get(url.path)
        if ability:
            self.say(ability)
        elif url.path == DEPLOYMENTS + "/web":
            self.server.asked.append(("get", "deployments"))
            self.say(self.server.web)
        elif url.path == DEPLOYMENTS:
            watch = "watch" in parse_qs(url.query)
            self.server.asked.append(("watch" if watch else "list", "deployments"))
            self.say({"type": "ADDED", "object": self.server.web} if watch else
                     {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "1"},
                      "items": [self.server.web]})
        else:
            self.server.asked.append(("get", url.path))
            self.say({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def do_PATCH(self):
        patch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(("patch", "deployments"))
        deployment = self.server.web
        deployment["spec"]["template"]["metadata"].update(patch["spec"]["template"]["metadata"])
        deployment["metadata"]["generation"] += 1
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"]
        self.say(deployment)

    def log_message(self, *_):
        pass
