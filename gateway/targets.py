"""Which label says what an alert is about, in the words of Kubernetes and Prometheus: the default identity's ways.

`job`, `service`, `endpoint`, and often `pod`, `namespace` and `instance` are labels of the scrape: they say who
told Prometheus, and stand behind all that says what it is about. The first way that is open counts."""

from typing import TypedDict

# The alphabet of Kubernetes' generated suffixes: no vowels, and no digit that looks like a letter.
_ONE = "[bcdfghjklmnpqrstvwxz2456789]"
# A ReplicaSet's pod: its Deployment's name, the hash of its template, and a suffix of its own.
_REPLICA_SET = f"^(.+)-{_ONE}{{8,10}}$"
_POD_OF_DEPLOYMENT = f"^(.+)-{_ONE}{{8,10}}-{_ONE}{{5}}$"
# A CronJob's pod has there the minutes since 1970, which may look like such a hash.
_POD_OF_CRONJOB = f"-[23][0-9]{{7}}-{_ONE}{{5}}$"
# A name or an address, in brackets or not, and perhaps a port; no URL.
_HOST = r"^(\[[^\]/]+\]|[^/:]+|[0-9A-Fa-f:]+)(?::[0-9]+)?$"


class TargetRuleDict(TypedDict, total=False):
    """A way to a target, as a file of rules has it."""

    label: str
    kind: str
    when: dict[str, str]
    match: str
    namespaced: bool


_STATE_METRICS = {"job": "*kube-state-metrics*", "pod": "*kube-state-metrics*"}
_NODE_EXPORTER = "*node-exporter*"

TARGET: list[TargetRuleDict] = [
    # What has a label of its own for its name is never told of by chance.
    {"label": "deployment", "kind": "Deployment"},
    {"label": "statefulset", "kind": "StatefulSet"},
    {"label": "daemonset", "kind": "DaemonSet"},
    {"label": "cronjob", "kind": "CronJob"},
    {"label": "job_name", "kind": "Job"},
    {"label": "replicaset", "kind": "Deployment", "match": _REPLICA_SET},
    {"label": "replicaset", "kind": "ReplicaSet"},
    {"label": "horizontalpodautoscaler", "kind": "HorizontalPodAutoscaler"},
    {"label": "poddisruptionbudget", "kind": "PodDisruptionBudget"},
    {"label": "resourcequota", "kind": "ResourceQuota"},
    {"label": "persistentvolumeclaim", "kind": "PersistentVolumeClaim"},
    {"label": "persistentvolume", "kind": "PersistentVolume", "namespaced": False},
    {"label": "name", "kind": "APIService", "when": {"alertname": "KubeAggregatedAPI*"}, "namespaced": False},
    # Of these two exporters `pod` is their own; kube-prometheus writes a node's name where else an address stands.
    {"label": "node", "kind": "Node", "when": _STATE_METRICS, "namespaced": False},
    {"label": "node", "kind": "Node", "when": {"job": _NODE_EXPORTER}, "namespaced": False},
    {
        "label": "instance",
        "kind": "Node",
        "when": {"job": _NODE_EXPORTER, "pod": "?*"},
        "match": "^[^:/]+$",
        "namespaced": False,
    },
    {"label": "instance", "kind": "Host", "when": {"job": _NODE_EXPORTER}, "match": _HOST, "namespaced": False},
    # A pod's name does not last, its Deployment's does.
    {"label": "pod", "kind": "Pod", "match": _POD_OF_CRONJOB},
    {"label": "pod", "kind": "Deployment", "match": _POD_OF_DEPLOYMENT},
    {"label": "pod", "kind": "Pod"},
    {"label": "node", "kind": "Node", "namespaced": False},
    {"label": "instance", "kind": "Host", "match": _HOST, "namespaced": False},
    {"label": "instance", "kind": "Endpoint", "namespaced": False},
    # Nothing says more than who was to be asked: that is what is away.
    {"label": "service", "kind": "Service"},
    {"label": "job", "kind": "ScrapeJob", "namespaced": False},
    {"label": "cluster", "kind": "Cluster", "when": {"alertname": "Kube*"}, "namespaced": False},
]

# kube-prometheus's Watchdog and InfoInhibitor always fire, or stand for others; Grafana's test is of no alert.
LEAVE_OUT = [{"severity": "none"}, {"alertname": "TestAlert", "instance": "Grafana"}]

LABEL_OF_KIND = {"Job": "job_name"}
"""The label that holds the name of an object of this kind, where it is not the kind's own in lower case."""
